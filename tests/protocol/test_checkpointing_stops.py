"""Savepoints that others wait for: those that a job is to stop with, of which all subtasks hear, and those whose barriers must not mix."""

import pytest

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointsFailing, DiscardStates, RunOver, RunStarted, StoreCheckpoint
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    CheckpointRequested,
    CheckpointTaken,
    TriggerCheckpoint,
)
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.machine import Start, WorkDone
from actorflow.testing.probe import Probe
from actorflow.wire.batch import SavepointOrder

SOURCE, COUNT = SubtaskId(VertexId("source"), 0), SubtaskId(VertexId("count"), 0)
WORKERS = {SOURCE: Address("tm-1/worker"), COUNT: Address("tm-2/worker")}
ME = Address("client/me")
FULL = ErrorInfo("DiskFull", "no space left on device")


def stopping(then):
    probe = Probe(CheckpointCoordinator(CheckpointRules(interval_s=10.0, tolerable_failures=3)))
    order = SavepointOrder("/savepoints", then)
    probe.tell(RunStarted(1, WORKERS, [SOURCE]), CheckpointRequested("r1", ME, order))
    assert [TriggerCheckpoint(SOURCE, 1, 1, 0, savepoint=order)] == probe.sent()
    return probe


def work(probe, kind):
    return [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, kind)]


def complete(probe, checkpoint, *, attempt=1):
    probe.tell(*(CheckpointAcknowledged(subtask, attempt, checkpoint, b"state") for subtask in WORKERS))
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(WorkDone(store, f"chk-{checkpoint}"))


def test_it_is_heard_of_by_all_and_nothing_is_begun_behind_it():
    probe = stopping("stop")
    probe.advance(100)
    assert [] == probe.sent()
    probe.tell(CheckpointRequested("r2", ME))
    (answer,) = probe.sent()
    assert "is being stopped" in answer.error.message
    complete(probe, 1)
    sent = probe.sent()
    assert all(CheckpointCompleted(subtask, 1, 1) in sent for subtask in WORKERS)
    probe.advance(100)
    assert [] == probe.sent()
    assert 1 == probe.machine.latest.checkpoint  # what fails on the way to the end goes on from it


def test_it_is_never_discarded():
    probe = stopping("stop")
    complete(probe, 1)
    probe.tell(RunOver(), RunStarted(2, WORKERS, [SOURCE]))
    probe.advance(10)
    complete(probe, 2, attempt=2)
    assert 2 == probe.machine.latest.checkpoint
    assert [] == work(probe, DiscardStates)


def test_a_job_goes_on_if_it_fails():
    probe = stopping("stop")
    probe.tell(CheckpointDeclined(COUNT, 1, 1, FULL))
    sent = probe.sent()
    assert all(CheckpointAborted(subtask, 1, 1) in sent for subtask in WORKERS)
    assert [] == probe.reports()
    probe.advance(10)
    assert [2] == [message.checkpoint for message in probe.sent()]


def test_a_job_that_was_drained_fails_with_it():
    probe = stopping("drain")
    probe.tell(CheckpointDeclined(COUNT, 1, 1, FULL))
    assert [CheckpointsFailing(FULL)] == probe.reports()


@pytest.mark.parametrize("kind", ["unaligned", "at_least_once"])
@pytest.mark.parametrize("order", [None, SavepointOrder("/savepoints")])
def test_what_is_asked_for_is_refused_while_its_barriers_would_mix_with_those_of_a_savepoint(kind, order):
    probe = Probe(CheckpointCoordinator(CheckpointRules(**{kind: True})))
    probe.tell(RunStarted(1, WORKERS, [SOURCE]), CheckpointRequested("r1", ME, SavepointOrder("/savepoints")))
    probe.sent()
    probe.tell(CheckpointRequested("r2", ME, order))
    (answer,) = probe.sent()
    assert ("r2", None) == (answer.request, answer.location)
    assert "a savepoint is being taken" in answer.error.message
    complete(probe, 1)
    assert [CheckpointTaken("r1", 1, "chk-1")] == probe.sent()
    probe.tell(CheckpointRequested("r3", ME, order))
    assert [2] == [message.checkpoint for message in probe.sent()]
