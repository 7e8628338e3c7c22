"""The checkpoint coordinator: when checkpoints begin, what makes them whole, and what becomes of them."""

import pytest

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.checkpoints.checkpoint_events import (
    BacklogChanged,
    CheckpointsFailing,
    DiscardStates,
    Phase,
    RunOver,
    RunStarted,
    StoreCheckpoint,
    SubtaskDone,
)
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
from actorflow.protocol.machine import Start, TimerFired, WorkDone, WorkFailed
from actorflow.testing.probe import Probe
from actorflow.wire.batch import SavepointOrder

SOURCE, COUNT = SubtaskId(VertexId("source"), 0), SubtaskId(VertexId("count"), 0)
WORKERS = {SOURCE: Address("tm-1/worker"), COUNT: Address("tm-2/worker")}
ME = Address("client/me")
ORDER = SavepointOrder("/savepoints")
FULL = ErrorInfo("DiskFull", "no space left on device")


def coordinator(attempt=1, restored=(), **rules):
    rules.setdefault("interval_s", 10.0)
    probe = Probe(CheckpointCoordinator(CheckpointRules(**rules), restored=restored))
    probe.tell(RunStarted(attempt, WORKERS, [SOURCE]))
    return probe


def work(probe, kind):
    return [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, kind)]


def acknowledge(probe, checkpoint, *subtasks, attempt=1):
    probe.tell(
        *(CheckpointAcknowledged(subtask, attempt, checkpoint, f"{subtask.vertex}@{checkpoint}".encode()) for subtask in subtasks)
    )


def complete(probe, checkpoint, *, attempt=1):
    """Take a checkpoint that is pending to its end."""
    acknowledge(probe, checkpoint, SOURCE, COUNT, attempt=attempt)
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(WorkDone(store, f"chk-{checkpoint}"))


def completed(probe):
    return [one.checkpoint for one in probe.machine.observe().completed]


def test_a_checkpoint_goes_from_the_sources_to_the_manifest_and_back_to_everyone():
    probe = coordinator()
    probe.advance(10)
    assert [TriggerCheckpoint(SOURCE, 1, 1, 10_000)] == probe.sent()
    acknowledge(probe, 1, SOURCE)
    assert [] == probe.sent()
    acknowledge(probe, 1, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    assert {SOURCE: b"source@1", COUNT: b"count@1"} == store.states
    assert [] == completed(probe)
    probe.tell(WorkDone(store, "chk-1"))
    assert [CheckpointCompleted(SOURCE, 1, 1), CheckpointCompleted(COUNT, 1, 1)] == probe.sent()
    assert "chk-1" == probe.machine.latest.location
    assert probe.machine.latest.states == store.states


def test_the_next_one_begins_an_interval_after_the_last_began():
    probe = coordinator()
    probe.advance(10)
    probe.advance(4)
    complete(probe, 1)
    probe.advance(5.9)
    assert [] == probe.sent()
    probe.advance(0.1)
    assert [2] == [message.checkpoint for message in probe.sent()]


def test_one_that_takes_longer_than_the_interval_holds_up_the_next_until_it_has_ended():
    probe = coordinator()
    probe.advance(10)
    probe.advance(25)
    assert [] == probe.sent()
    complete(probe, 1)
    assert [] == probe.sent(TriggerCheckpoint)
    probe.advance(0)
    assert [2] == [message.checkpoint for message in probe.sent() if isinstance(message, TriggerCheckpoint)]


def test_between_the_end_of_one_and_the_beginning_of_the_next_there_is_a_pause():
    probe = coordinator(min_pause_s=8.0)
    probe.advance(10)
    probe.advance(9)
    complete(probe, 1)
    probe.advance(7.9)
    assert [] == probe.sent()
    probe.advance(0.2)
    assert [2] == [message.checkpoint for message in probe.sent()]


def test_several_may_be_on_their_way_and_a_later_one_aborts_the_earlier_ones():
    probe = coordinator(concurrent_max=2)
    probe.advance(10)
    probe.advance(10)
    assert [1, 2] == [number for number, *_ in probe.machine.observe().under_way]
    acknowledge(probe, 1, SOURCE)
    complete(probe, 2)
    assert [2] == completed(probe)
    assert [CheckpointAborted(SOURCE, 1, 1), CheckpointAborted(COUNT, 1, 1)] == [
        message for message in probe.sent() if isinstance(message, CheckpointAborted)
    ]
    assert () == probe.machine.observe().under_way
    assert 0 == probe.machine.observe().failed


def test_one_that_is_not_through_in_time_fails_and_says_who_is_missing():
    probe = coordinator(timeout_s=5.0, tolerable_failures=1)
    probe.advance(10)
    acknowledge(probe, 1, SOURCE)
    probe.advance(5)
    error = probe.machine.observe().last_error
    assert "checkpoint 1 took longer than 5 s: 1 subtasks have not acknowledged it (count/0)" in error.message
    assert [CheckpointAborted(SOURCE, 1, 1), CheckpointAborted(COUNT, 1, 1)] == probe.sent()
    assert [] == probe.reports()


def test_more_failures_in_a_row_than_are_tolerable_fail_the_job():
    probe = coordinator(tolerable_failures=1)
    probe.advance(10)
    probe.tell(CheckpointDeclined(COUNT, 1, 1, FULL))
    assert [] == probe.reports()
    probe.advance(10)
    probe.tell(CheckpointDeclined(COUNT, 1, 2, FULL))
    assert [CheckpointsFailing(FULL)] == probe.reports()


def test_a_success_starts_the_count_of_failures_anew():
    probe = coordinator(tolerable_failures=1)
    for number in (1, 2, 3):
        probe.advance(10)
        if number == 2:
            complete(probe, 2)
        else:
            probe.tell(CheckpointDeclined(COUNT, 1, number, FULL))
    assert [] == probe.reports()
    assert (2, 1) == (probe.machine.observe().failed, probe.machine.observe().failed_in_a_row)


def test_a_manifest_that_cannot_be_written_fails_the_checkpoint_and_keeps_the_one_before():
    probe = coordinator(tolerable_failures=5)
    probe.advance(10)
    complete(probe, 1)
    probe.advance(10)
    acknowledge(probe, 2, SOURCE, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(WorkFailed(store, FULL))
    assert [1] == completed(probe)
    assert FULL == probe.machine.observe().last_error
    assert [DiscardStates(2, None, (b"source@2", b"count@2"))] == work(probe, DiscardStates)
    assert not any(isinstance(message, CheckpointCompleted) for message in probe.sent())


def test_what_was_stored_for_a_checkpoint_that_was_given_up_is_removed_when_its_manifest_cannot_be_written_either():
    probe = coordinator()
    probe.advance(10)
    acknowledge(probe, 1, SOURCE, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(RunOver())
    probe.tell(WorkFailed(store, FULL))
    assert [DiscardStates(1, None, (b"source@1", b"count@1"))] == work(probe, DiscardStates)


def test_so_many_are_retained_and_the_oldest_are_discarded():
    probe = coordinator(retained_max=2)
    for number in (1, 2, 3):
        probe.advance(10)
        complete(probe, number)
    assert [2, 3] == completed(probe)
    assert [DiscardStates(1, "chk-1", (b"source@1", b"count@1"))] == work(probe, DiscardStates)


def test_what_is_pending_when_the_run_ends_is_aborted_and_is_no_failure():
    probe = coordinator()
    probe.advance(10)
    acknowledge(probe, 1, SOURCE)
    probe.tell(RunOver())
    assert [DiscardStates(1, None, (b"source@1",))] == work(probe, DiscardStates)
    assert [] == probe.reports()
    assert 0 == probe.machine.observe().failed
    probe.tell(RunStarted(2, WORKERS, [SOURCE]))
    probe.advance(10)
    assert [TriggerCheckpoint(SOURCE, 2, 2, 20_000)] == probe.sent()


def test_an_acknowledgement_of_another_run_or_another_checkpoint_is_void_and_what_it_stored_is_discarded():
    probe = coordinator()
    probe.advance(10)
    acknowledge(probe, 1, COUNT, attempt=7)
    acknowledge(probe, 9, COUNT)
    assert [(1, Phase.PENDING, (SOURCE, COUNT))] == list(probe.machine.observe().under_way)
    assert [DiscardStates(9, None, (b"count@9",))] == work(probe, DiscardStates)


def test_the_same_acknowledgement_again_changes_nothing():
    probe = coordinator()
    probe.advance(10)
    acknowledge(probe, 1, SOURCE, SOURCE)
    assert [(1, Phase.PENDING, (COUNT,))] == list(probe.machine.observe().under_way)
    assert [] == work(probe, DiscardStates)


def test_a_manifest_that_is_written_after_the_run_has_ended_is_removed():
    probe = coordinator()
    probe.advance(10)
    acknowledge(probe, 1, SOURCE, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(RunOver())
    probe.tell(WorkDone(store, "chk-1"))
    assert [] == completed(probe)
    assert [DiscardStates(1, "chk-1", (b"source@1", b"count@1"))] == work(probe, DiscardStates)


def test_a_finished_subtask_takes_no_part_any_more_and_its_last_state_counts():
    probe = coordinator(retained_max=1)
    probe.tell(SubtaskDone(SOURCE, b"the end", 0))
    probe.advance(10)
    assert [] == probe.sent()
    acknowledge(probe, 1, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    assert {SOURCE: b"the end", COUNT: b"count@1"} == store.states
    probe.tell(WorkDone(store, "chk-1"))
    probe.advance(10)
    acknowledge(probe, 2, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(WorkDone(store, "chk-2"))
    assert [DiscardStates(1, "chk-1", (b"count@1",))] == work(probe, DiscardStates)


def test_a_subtask_that_ends_without_having_met_the_barrier_gives_its_last_state_for_it():
    probe = coordinator()
    probe.advance(10)
    acknowledge(probe, 1, COUNT)
    probe.tell(SubtaskDone(SOURCE, b"the end", 0))
    (store,) = work(probe, StoreCheckpoint)
    assert {SOURCE: b"the end", COUNT: b"count@1"} == store.states


def test_the_last_state_of_a_subtask_is_no_part_of_a_checkpoint_whose_barrier_it_has_passed():
    probe = coordinator()
    probe.advance(10)
    probe.tell(SubtaskDone(SOURCE, b"the end", 1))
    acknowledge(probe, 1, COUNT)
    assert [(1, Phase.PENDING, (SOURCE,))] == list(probe.machine.observe().under_way)
    acknowledge(probe, 1, SOURCE)
    (store,) = work(probe, StoreCheckpoint)
    assert {SOURCE: b"source@1", COUNT: b"count@1"} == store.states


def test_a_checkpoint_can_be_asked_for_and_the_same_request_is_answered_again():
    probe = coordinator(interval_s=None)
    ask = CheckpointRequested("r1", ME)
    probe.tell(ask, ask)
    assert [1] == [message.checkpoint for message in probe.sent()]
    complete(probe, 1)
    taken = CheckpointTaken("r1", 1, "chk-1")
    assert taken in probe.sent()
    probe.tell(ask)
    assert [taken] == probe.sent()
    assert [1] == completed(probe)


def test_a_savepoint_commits_nothing_and_subsumes_nothing():
    probe = coordinator()
    probe.advance(10)
    probe.tell(CheckpointRequested("r1", ME, ORDER))
    assert [TriggerCheckpoint(SOURCE, 1, 2, 10_000, savepoint=ORDER)] == probe.sent()
    acknowledge(probe, 2, SOURCE, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    assert ORDER == store.savepoint
    probe.tell(WorkDone(store, "/savepoints/sp-2"))
    assert [CheckpointTaken("r1", 2, "/savepoints/sp-2")] == probe.sent()
    assert [] == completed(probe)
    complete(probe, 1)
    assert [1] == completed(probe)


def test_a_savepoint_is_aligned_even_where_checkpoints_are_not():
    probe = coordinator(unaligned=True)
    probe.advance(10)
    probe.tell(CheckpointRequested("r1", ME, ORDER))
    assert [False] == [message.unaligned for message in probe.sent() if isinstance(message, TriggerCheckpoint)]


@pytest.mark.parametrize("kind", ["unaligned", "at_least_once"])
def test_a_savepoint_takes_the_place_of_a_checkpoint_whose_barriers_it_would_mix_with_and_the_next_waits_for_it(kind):
    probe = coordinator(tolerable_failures=0, **{kind: True})
    probe.advance(10)
    probe.sent()
    probe.tell(CheckpointRequested("r1", ME, ORDER))
    sent = probe.sent()
    assert {CheckpointAborted(subtask, 1, 1) for subtask in WORKERS} <= set(sent)
    assert TriggerCheckpoint(SOURCE, 1, 2, 10_000, savepoint=ORDER) in sent
    assert [] == probe.reports()
    probe.advance(30)
    assert [] == probe.sent()
    acknowledge(probe, 2, SOURCE, COUNT)
    (store,) = work(probe, StoreCheckpoint)
    probe.tell(WorkDone(store, "/savepoints/sp-2"))
    probe.sent()
    probe.advance(0.1)
    assert [TriggerCheckpoint(SOURCE, 1, 3, 40_000, unaligned=kind == "unaligned")] == probe.sent()


def test_barriers_that_are_aligned_first_do_not_overtake_from_the_start():
    probe = coordinator(unaligned=True, aligned_first=True)
    probe.advance(10)
    assert [TriggerCheckpoint(SOURCE, 1, 1, 10_000)] == probe.sent()


def test_a_savepoint_that_fails_is_told_and_does_not_count_against_the_job():
    probe = coordinator(interval_s=None)
    probe.tell(CheckpointRequested("r1", ME, ORDER))
    probe.tell(CheckpointDeclined(COUNT, 1, 1, FULL))
    assert CheckpointTaken("r1", 1, None, FULL) in probe.sent()
    assert [] == probe.reports()


def test_a_request_without_a_run_is_refused():
    probe = Probe(CheckpointCoordinator(CheckpointRules()))
    probe.tell(CheckpointRequested("r1", ME))
    (answer,) = probe.sent()
    assert "the job is not running" in answer.error.message


def test_while_a_backlog_is_worked_off_another_interval_holds():
    probe = coordinator(backlog_interval_s=0)
    probe.tell(BacklogChanged(backlog=True))
    probe.advance(100)
    assert [] == probe.sent()
    probe.tell(BacklogChanged(backlog=False))
    probe.advance(0)
    assert [1] == [message.checkpoint for message in probe.sent()]


def test_numbers_go_on_after_those_of_an_earlier_life():
    first = coordinator()
    first.advance(10)
    complete(first, 1)
    probe = coordinator(attempt=5, restored=first.machine.observe().completed)
    assert 1 == probe.machine.latest.checkpoint
    probe.advance(10)
    assert [2] == [message.checkpoint for message in probe.sent()]


def test_those_of_an_earlier_life_beyond_what_is_retained_are_replaced_together():
    first = coordinator(retained_max=2)
    for number in (1, 2):
        first.advance(10)
        complete(first, number)
    probe = coordinator(attempt=5, restored=first.machine.observe().completed, retained_max=1)
    probe.advance(10)
    complete(probe, 3, attempt=5)
    assert [3] == completed(probe)
    assert [1, 2] == [discarded.checkpoint for discarded in work(probe, DiscardStates)]


def test_a_timer_of_a_checkpoint_that_has_ended_does_nothing():
    probe = coordinator()
    probe.advance(10)
    complete(probe, 1)
    probe.tell(TimerFired("checkpoint-timeout:1"))
    assert 0 == probe.machine.observe().failed


@pytest.mark.parametrize("rules", [{"min_pause_s": 1.0}, {"unaligned": True}])
def test_with_a_pause_or_unaligned_barriers_there_is_only_one_on_its_way(rules):
    probe = coordinator(concurrent_max=3, **rules)
    probe.advance(10)
    probe.advance(30)
    assert 1 == len(probe.machine.observe().under_way)
