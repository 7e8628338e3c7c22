"""The last checkpoint of a run: taken when all subtasks have finished, and held before anything that they have left is committed."""

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.checkpoints.checkpoint_events import (
    BacklogChanged,
    CheckpointsFailing,
    LastCheckpointTaken,
    RunStarted,
    StoreCheckpoint,
    SubtaskDone,
)
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointRequested,
    CheckpointTaken,
    TriggerCheckpoint,
)
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.machine import Report, Start, WorkDone, WorkFailed
from actorflow.testing.probe import Probe
from actorflow.wire.batch import SavepointOrder

SOURCE, COUNT = SubtaskId(VertexId("source"), 0), SubtaskId(VertexId("count"), 0)
WORKERS = {SOURCE: Address("tm-1/worker"), COUNT: Address("tm-2/worker")}
ME = Address("client/me")
FULL = ErrorInfo("DiskFull", "no space left on device")
LAST = {SOURCE: b"s", COUNT: b"c"}


def coordinator(**rules):
    probe = Probe(CheckpointCoordinator(CheckpointRules(**{"interval_s": 10.0} | rules)))
    probe.tell(RunStarted(1, WORKERS, [SOURCE]))
    return probe


def finish(probe, *, passed=0):
    probe.tell(*(SubtaskDone(subtask, state, passed) for subtask, state in LAST.items()))


def stores(probe):
    return [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, StoreCheckpoint)]


def reported(probe):
    return [effect.value for effect in probe.effects if isinstance(effect, Report)]


def test_when_all_have_finished_their_last_states_are_a_checkpoint_and_only_then_the_run_may_be_committed():
    probe = coordinator()
    finish(probe)
    (store,) = stores(probe)
    assert store.states == LAST
    assert [] == reported(probe)
    assert probe.machine.last_awaited
    probe.tell(WorkDone(store, "chk-1"))
    assert [LastCheckpointTaken()] == reported(probe)
    assert [CheckpointCompleted(SOURCE, 1, 1), CheckpointCompleted(COUNT, 1, 1)] == probe.sent()
    assert probe.machine.latest.states == LAST
    assert not probe.machine.last_awaited
    probe.advance(100)
    assert [] == stores(probe)


def test_one_that_all_have_finished_before_they_met_its_barrier_is_the_last():
    probe = coordinator()
    probe.advance(10)
    finish(probe)
    (store,) = stores(probe)
    assert (1, LAST) == (store.checkpoint, store.states)
    probe.tell(WorkDone(store, "chk-1"))
    assert [LastCheckpointTaken()] == reported(probe)


def test_it_overtakes_the_one_before_it():
    probe = coordinator()
    probe.advance(10)
    probe.tell(*(CheckpointAcknowledged(subtask, 1, 1, b"earlier") for subtask in LAST))
    finish(probe, passed=1)
    assert [CheckpointAborted(SOURCE, 1, 1), CheckpointAborted(COUNT, 1, 1)] == probe.sent()
    assert [2] == [store.checkpoint for store in stores(probe)]


def test_it_is_tried_again_an_interval_later_as_long_as_failures_are_tolerable():
    probe = coordinator(tolerable_failures=1)
    finish(probe)
    probe.tell(WorkFailed(stores(probe)[0], FULL))
    assert [] == reported(probe)
    probe.advance(10)
    (again,) = stores(probe)
    assert LAST == again.states
    probe.tell(WorkFailed(again, FULL))
    assert [CheckpointsFailing(FULL)] == reported(probe)
    assert probe.machine.last_awaited


def test_it_does_not_wait_for_the_backlog():
    probe = coordinator(backlog_interval_s=0, tolerable_failures=1)
    probe.machine._schedule.backlog = True
    finish(probe)
    probe.tell(WorkFailed(stores(probe)[0], FULL))
    probe.advance(10)
    assert [LAST] == [store.states for store in stores(probe)]


def test_what_sources_say_of_a_backlog_does_not_delay_it():
    probe = coordinator(backlog_interval_s=0, tolerable_failures=1)
    finish(probe)
    (store,) = stores(probe)
    probe.tell(BacklogChanged(backlog=True), WorkFailed(store, FULL))
    probe.advance(10)
    assert [LAST] == [store.states for store in stores(probe)]


def test_without_an_interval_there_is_none():
    probe = coordinator(interval_s=None)
    finish(probe)
    assert [] == stores(probe)
    assert not probe.machine.last_awaited


def test_a_savepoint_that_is_asked_for_meanwhile_does_not_give_it_up():
    probe = coordinator(unaligned=True)
    finish(probe)
    (store,) = stores(probe)
    probe.tell(CheckpointRequested("r1", ME, SavepointOrder("/savepoints")))
    (savepoint,) = stores(probe)
    probe.tell(WorkDone(savepoint, "mine"))
    assert [] == reported(probe)
    probe.tell(WorkDone(store, "chk-1"))
    assert [LastCheckpointTaken()] == reported(probe)


def stopping():
    probe = coordinator(tolerable_failures=3)
    probe.tell(CheckpointRequested("r1", ME, SavepointOrder("/savepoints", "stop")))
    assert [1] == [trigger.checkpoint for trigger in probe.sent() if isinstance(trigger, TriggerCheckpoint)]
    return probe


def test_a_savepoint_that_the_job_stops_with_is_the_last():
    probe = stopping()
    probe.tell(*(CheckpointAcknowledged(subtask, 1, 1, b"saved") for subtask in LAST))
    probe.tell(WorkDone(stores(probe)[0], "mine"))
    assert [] == reported(probe)  # the subtasks are about to end
    finish(probe, passed=1)
    assert [] == stores(probe)
    assert not probe.machine.last_awaited


def test_so_it_is_if_all_have_finished_before_they_met_its_barrier():
    probe = stopping()
    finish(probe)
    (store,) = stores(probe)
    assert probe.machine.last_awaited
    probe.tell(WorkDone(store, "mine"))
    assert [LastCheckpointTaken()] == reported(probe)


def test_if_that_savepoint_fails_there_is_one_after_all():
    probe = stopping()
    finish(probe)
    probe.tell(WorkFailed(stores(probe)[0], FULL))
    (store,) = stores(probe)
    assert (2, LAST) == (store.checkpoint, store.states)
    assert CheckpointTaken("r1", 1, None, FULL) in [effect.message for effect in probe.effects if hasattr(effect, "message")]
    probe.tell(WorkDone(store, "chk-2"))
    assert [LastCheckpointTaken()] == reported(probe)
