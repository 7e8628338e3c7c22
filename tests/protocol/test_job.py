"""The life of a job, event by event."""

import dataclasses

import pytest
from job_harness import (
    CLIENT,
    ERROR,
    HOPELESS,
    JOB,
    LIST_SPLITS,
    LISTED,
    LISTING_FAILED,
    MASTER,
    POOL,
    READERS,
    SUBTASKS,
    WRITERS,
    allocations,
    cancelled,
    committed,
    finished,
    granted,
    job,
    job_at,
    leases,
    opened,
    prepared,
    ready,
    started,
    statuses,
    work,
    worker,
)

from actorflow.errors import InvariantViolated, Retry
from actorflow.protocol.commit import AbortLeft, CommitLeft
from actorflow.protocol.deployment import AttemptState, CancelSubtask, KillSlot, SubtaskFailed, SubtaskFinished
from actorflow.protocol.job import Begin, JobOver
from actorflow.protocol.job_messages import (
    CancelJob,
    CommitOutput,
    JobProgressed,
    JobStatus,
    JobStatusChanged,
    OutputCommitted,
    ProgressReported,
    ResultChunk,
    ResultTaken,
    SlotEnded,
)
from actorflow.protocol.machine import Send, TimerFired, WorkDone, WorkFailed
from actorflow.protocol.restarts import FixedDelay, NoRestart
from actorflow.protocol.slots import SlotsGranted, SlotsLost, SlotsRefused, SlotsReleased, SlotsRequested
from actorflow.protocol.splits import NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested

S = JobStatus
UNDER_WAY = [S.WAITING_FOR_SLOTS, S.DEPLOYING, S.RUNNING]
FAILURE = SubtaskFailed(WRITERS[0], 1, ERROR)


def failing(strategy=None):
    """A running job of which one subtask has failed, and the others have been told to end."""
    probe = job_at(S.RUNNING, strategy)
    probe.tell(FAILURE)
    return probe


def restarted():
    """A job that runs for the second time."""
    probe = failing()
    probe.tell(*cancelled())
    probe.advance(2.0)
    probe.tell(granted(2), *ready(2), *opened(2), *started(2))
    assert (S.RUNNING, 2) == (probe.machine.observe().status, probe.machine.observe().attempt)
    return probe


# --- the regular life --------------------------------------------------------------------------------------------------------


def test_a_job_goes_from_waiting_to_finished_and_tells_its_client_of_each_step():
    probe = job()
    probe.tell(Begin())
    assert ([S.WAITING_FOR_SLOTS], [LIST_SPLITS]) == (statuses(probe), work(probe))
    assert [SlotsRequested(JOB, 1, 2, MASTER)] == probe.sent(SlotsRequested)
    probe.tell(LISTED, granted(), *ready())
    assert [S.DEPLOYING] == statuses(probe)
    probe.tell(*opened())
    assert [] == statuses(probe)
    probe.tell(*started())
    assert [S.RUNNING] == statuses(probe)
    probe.tell(*finished())
    assert [S.COMMITTING] == statuses(probe)
    assert {worker(allocation) for allocation in allocations()} == {
        effect.to for effect in probe.effects if isinstance(effect, Send) and isinstance(effect.message, CommitOutput)
    }
    probe.tell(*committed())
    assert [S.FINISHED] == statuses(probe)
    assert [SlotsReleased(JOB, allocations())] == probe.sent(SlotsReleased)
    assert [JobOver(JOB, S.FINISHED)] == probe.reports()


def test_a_job_whose_sinks_prepare_nothing_finishes_without_asking_anyone_to_commit():
    probe = job_at(S.RUNNING)
    probe.tell(*finished(committables=False))
    assert [S.COMMITTING, S.FINISHED] == statuses(probe)
    assert [] == probe.sent(CommitOutput)


def test_a_job_begins_once():
    assert [] == job_at(S.RUNNING).tell(Begin())


def test_readers_are_handed_splits():
    probe = job_at(S.RUNNING)
    probe.tell(*(SplitRequested(reader, 1, 1, worker("w")) for reader in READERS))
    assert [SplitAssigned(READERS[0], 1, 1, 0, b"first"), SplitAssigned(READERS[1], 1, 1, 1, b"second")] == probe.sent()
    probe.tell(SplitFinished(READERS[0], 1, 0), SplitRequested(READERS[0], 1, 2, worker("w")))
    assert [NoMoreSplits(READERS[0], 1, 2)] == probe.sent()


def test_a_reader_that_asks_before_the_splits_are_listed_is_answered_when_they_are():
    probe = job()
    probe.tell(Begin(), granted(), *ready(), *opened(), *started(), SplitRequested(READERS[0], 1, 1, worker("w")))
    assert [] == probe.sent(SplitAssigned)
    probe.tell(LISTED)
    assert [SplitAssigned(READERS[0], 1, 1, 0, b"first")] == probe.sent()


def test_the_client_is_told_the_sums_of_what_the_workers_count():
    probe = job_at(S.RUNNING)
    first, second = allocations()
    probe.tell(ProgressReported(1, first, 10, 1), ProgressReported(1, second, 20, 2), ProgressReported(1, first, 15, 3))
    assert [JobProgressed(JOB, 1, 10, 1), JobProgressed(JOB, 1, 30, 3), JobProgressed(JOB, 1, 35, 5)] == probe.sent()


def test_a_finished_job_still_knows_its_counts():
    probe = job_at(S.RUNNING)
    probe.tell(ProgressReported(1, allocations()[0], 10, 4), *finished(), *committed())
    state = probe.machine.observe()
    assert (S.FINISHED, 10, 4) == (state.status, state.records_in, state.records_out)
    assert JobStatusChanged(JOB, S.FINISHED, 1, None, 10, 4) in probe.sent(JobStatusChanged)


def test_results_are_passed_on_and_acknowledged():
    probe = job_at(S.RUNNING)
    chunk = ResultChunk(JOB, WRITERS[1], 1, b"records")
    probe.tell(chunk)
    taken = ResultTaken(WRITERS[1], 1)
    assert [Send(CLIENT, chunk), Send(worker(allocations()[1]), taken)] == probe.effects


# --- failing and restarting --------------------------------------------------------------------------------------------------


def test_a_failure_ends_every_other_subtask_and_says_why():
    probe = failing()
    assert [JobStatusChanged(JOB, S.FAILING, 1, ERROR)] == probe.sent(JobStatusChanged)
    others = [CancelSubtask(subtask, 1) for subtask in SUBTASKS if subtask != WRITERS[0]]
    assert others == probe.sent(CancelSubtask)


def test_when_all_subtasks_have_ended_the_slots_are_given_back_and_the_job_pauses():
    probe = failing()
    probe.tell(*cancelled())
    assert [S.RESTARTING] == statuses(probe)
    assert [SlotsReleased(JOB, allocations())] == probe.sent(SlotsReleased)
    assert {"restart": 2.0} == probe.timers


def test_the_next_run_has_a_higher_number_and_reads_every_split_again():
    probe = job_at(S.RUNNING)
    probe.tell(SplitRequested(READERS[0], 1, 1, worker("w")), SplitFinished(READERS[0], 1, 0), FAILURE, *cancelled())
    probe.advance(2.0)
    assert ([S.WAITING_FOR_SLOTS], []) == (statuses(probe), work(probe))
    assert [SlotsRequested(JOB, 2, 2, MASTER)] == probe.sent(SlotsRequested)
    probe.tell(granted(2), *ready(2), *opened(2), *started(2), SplitRequested(READERS[1], 2, 1, worker("w")))
    assert [SplitAssigned(READERS[1], 2, 1, 0, b"first")] == probe.sent(SplitAssigned)


def test_a_restarted_job_can_finish():
    probe = restarted()
    probe.tell(*finished(2), *committed(2))
    assert [S.COMMITTING, S.FINISHED] == statuses(probe)


def test_a_job_whose_strategy_gives_up_has_failed_with_the_last_error():
    probe = failing(NoRestart())
    probe.tell(*cancelled())
    assert [JobStatusChanged(JOB, S.FAILED, 1, ERROR)] == probe.sent(JobStatusChanged)
    assert [JobOver(JOB, S.FAILED)] == probe.reports()


def test_what_was_prepared_in_a_run_that_failed_is_removed_once():
    probe = job_at(S.RUNNING)
    probe.tell(*finished()[:3], SubtaskFailed(WRITERS[1], 1, ERROR))
    assert [AbortLeft((prepared(WRITERS[0]),))] == work(probe)
    probe.tell(CancelJob(JOB))
    assert ([S.CANCELLED], []) == (statuses(probe), work(probe))


def test_what_a_subtask_has_prepared_while_it_was_being_cancelled_is_removed():
    probe = failing()
    probe.tell(SubtaskFinished(WRITERS[1], 1, b"late"), *cancelled())
    assert [AbortLeft((b"late",))] == work(probe)


def test_a_second_failure_on_the_way_down_does_not_replace_the_first():
    probe = failing()
    probe.tell(SubtaskFailed(READERS[0], 1, HOPELESS), *cancelled())
    assert [JobStatusChanged(JOB, S.RESTARTING, 1, ERROR)] == probe.sent(JobStatusChanged)


@pytest.mark.parametrize("status", UNDER_WAY)
def test_a_dead_worker_fails_the_run_and_its_slot_is_given_back_at_once(status):
    probe = job_at(status)
    probe.tell(SlotEnded(allocations()[0], ERROR))
    assert S.FAILING is statuses(probe)[0]
    assert (allocations()[0],) == probe.sent(SlotsReleased)[0].allocations
    probe.tell(*cancelled())
    assert S.RESTARTING is probe.machine.observe().status


def test_all_slots_of_a_run_are_given_back_whatever_became_of_their_workers():
    probe = job_at(S.RUNNING)
    dead, living = allocations()
    probe.tell(SlotEnded(dead, ERROR), *cancelled())
    assert [SlotsReleased(JOB, (dead,)), SlotsReleased(JOB, (living,))] == probe.sent(SlotsReleased)


@pytest.mark.parametrize("status", UNDER_WAY)
def test_a_lost_task_manager_fails_the_run_and_ends_what_ran_there(status):
    probe = job_at(status)
    probe.tell(SlotsLost(JOB, allocations(), "no heartbeat"))
    assert [S.FAILING, S.RESTARTING] == statuses(probe)
    assert ("SlotLost", "no heartbeat") == (probe.machine.observe().error.kind, probe.machine.observe().error.message)
    assert [] == probe.sent(SlotsReleased)


def test_refused_slots_fail_a_job_for_good_if_no_retry_can_help():
    probe = job(FixedDelay(9, 1.0))
    probe.tell(Begin(), SlotsRefused(JOB, 1, HOPELESS))
    assert [S.WAITING_FOR_SLOTS, S.FAILING, S.FAILED] == statuses(probe)
    assert HOPELESS == probe.machine.observe().error


def test_refused_slots_are_asked_for_again_by_the_next_run_if_a_retry_can_help():
    probe = job()
    probe.tell(Begin(), SlotsRefused(JOB, 1, ERROR))
    probe.advance(2.0)
    assert [SlotsRequested(JOB, 2, 2, MASTER)] == probe.sent(SlotsRequested)


def test_a_source_that_cannot_be_listed_fails_the_run_and_is_listed_again_by_the_next():
    probe = job()
    probe.tell(Begin(), LISTING_FAILED)
    assert [S.WAITING_FOR_SLOTS, S.FAILING, S.RESTARTING] == statuses(probe)
    probe.advance(2.0)
    assert [LIST_SPLITS] == work(probe)
    probe.tell(LISTED, granted(2), *ready(2), *opened(2), *started(2), SplitRequested(READERS[0], 2, 1, worker("w")))
    assert [SplitAssigned(READERS[0], 2, 1, 0, b"first")] == probe.sent(SplitAssigned)


def test_a_listing_that_fails_while_the_job_is_failing_for_another_reason_is_repeated_too():
    probe = job()
    probe.tell(Begin(), granted(), *ready(), *opened(), FAILURE, LISTING_FAILED, *cancelled())
    probe.advance(2.0)
    assert ([S.WAITING_FOR_SLOTS], [LIST_SPLITS]) == (statuses(probe), work(probe))


def test_a_listing_that_takes_longer_than_the_first_run_is_not_started_twice():
    probe = job()
    probe.tell(Begin(), granted(), *ready(), *opened(), FAILURE, *cancelled())
    probe.advance(2.0)
    assert [] == work(probe)
    probe.tell(LISTED)
    assert S.WAITING_FOR_SLOTS is probe.machine.observe().status


def test_a_source_that_can_never_be_listed_is_not_tried_again():
    probe = job()
    probe.tell(Begin(), dataclasses.replace(LISTING_FAILED, error=HOPELESS))
    assert [S.WAITING_FOR_SLOTS, S.FAILING, S.FAILED] == statuses(probe)


def test_a_subtask_that_does_not_start_in_time_fails_the_run():
    probe = job_at(S.DEPLOYING)
    probe.tell(*started()[:3])
    probe.advance(60.0)
    assert [S.FAILING] == statuses(probe)
    assert "subtask write/1 did not start" in probe.machine.observe().error.message


def test_a_worker_that_does_not_build_its_subtasks_in_time_fails_the_run():
    probe = job_at(S.WAITING_FOR_SLOTS)
    probe.tell(*ready(), opened()[0])
    probe.advance(60.0)
    assert [S.FAILING, S.RESTARTING] == statuses(probe)
    error = probe.machine.observe().error
    assert ("DeploymentTimeout", Retry.BACKOFF) == (error.kind, error.retry)
    assert "worker-1.2/worker did not build its subtasks within 60 s" == error.message


def test_a_subtask_that_does_not_end_has_its_slot_killed_and_the_job_goes_on():
    probe = failing()
    probe.tell(*(news for news in cancelled() if news.subtask != READERS[1]))
    assert S.FAILING is probe.machine.observe().status
    probe.advance(5.0)
    assert [allocations()[1]] == [kill.allocation for kill in probe.sent(KillSlot)]
    probe.tell(SlotEnded(allocations()[1], ERROR))
    assert [S.RESTARTING] == statuses(probe)


# --- cancelling --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [S.DEPLOYING, S.RUNNING])
def test_a_cancelled_job_ends_its_subtasks_before_it_is_over(status):
    probe = job_at(status)
    probe.tell(CancelJob(JOB))
    assert [S.CANCELLING] == statuses(probe)
    assert [CancelSubtask(subtask, 1) for subtask in SUBTASKS] == probe.sent(CancelSubtask)
    probe.tell(*cancelled())
    assert [S.CANCELLED] == statuses(probe)
    assert [SlotsReleased(JOB, allocations())] == probe.sent(SlotsReleased)
    assert [JobOver(JOB, S.CANCELLED)] == probe.reports()


def test_a_job_without_subtasks_is_cancelled_at_once():
    probe = job_at(S.WAITING_FOR_SLOTS)
    probe.tell(CancelJob(JOB))
    assert [S.CANCELLING, S.CANCELLED] == statuses(probe)
    assert [SlotsReleased(JOB, allocations())] == probe.sent(SlotsReleased)


def test_subtasks_that_were_built_and_not_started_are_cancelled_at_once():
    probe = job_at(S.WAITING_FOR_SLOTS)
    probe.tell(*ready())
    probe.tell(CancelJob(JOB))
    assert ([S.CANCELLING, S.CANCELLED], {}) == (statuses(probe), probe.timers)


def test_a_job_that_has_not_begun_is_cancelled_and_never_begins():
    probe = job()
    probe.tell(CancelJob(JOB), Begin())
    assert [S.CANCELLED] == statuses(probe)


def test_a_job_that_fails_is_cancelled_instead_of_run_again():
    probe = failing()
    probe.tell(CancelJob(JOB))
    assert [JobStatusChanged(JOB, S.CANCELLING, 1, None)] == probe.sent()
    probe.tell(*cancelled())
    assert ([S.CANCELLED], {}) == (statuses(probe), probe.timers)


def test_a_job_that_waits_for_its_next_run_is_cancelled_at_once():
    probe = failing()
    probe.tell(*cancelled())
    probe.tell(CancelJob(JOB))
    assert ([S.CANCELLED], {}) == (statuses(probe), probe.timers)


@pytest.mark.parametrize("status", [S.COMMITTING, S.FINISHED])
def test_a_cancel_after_the_decision_to_commit_comes_too_late(status):
    assert [] == job_at(status).tell(CancelJob(JOB))


def test_a_second_cancel_changes_nothing():
    probe = job_at(S.RUNNING)
    probe.tell(CancelJob(JOB))
    assert [] == probe.tell(CancelJob(JOB))


def test_what_a_cancelled_job_has_prepared_is_removed():
    probe = job_at(S.RUNNING)
    probe.tell(*finished()[2:], CancelJob(JOB), *cancelled())
    assert [AbortLeft((prepared(WRITERS[0]), prepared(WRITERS[1])))] == work(probe)
    assert [] == probe.sent(CommitOutput)


def test_a_failure_while_cancelling_does_not_stop_the_cancelling():
    probe = job_at(S.RUNNING)
    probe.tell(CancelJob(JOB), SubtaskFailed(READERS[0], 1, HOPELESS), SlotEnded(allocations()[1], ERROR), *cancelled())
    assert [S.CANCELLING, S.CANCELLED] == statuses(probe)
    assert None is probe.machine.observe().error


# --- committing --------------------------------------------------------------------------------------------------------------


def test_output_of_a_worker_that_is_lost_while_committing_is_committed_by_the_job_master():
    probe = job_at(S.COMMITTING)
    lost, living = allocations()
    probe.tell(SlotEnded(lost, ERROR), OutputCommitted(1, living))
    left = CommitLeft(1, lost, (prepared(WRITERS[0]),))
    assert ([left], []) == (work(probe), statuses(probe))
    probe.tell(WorkDone(left, None))
    assert [S.FINISHED] == statuses(probe)


def test_losing_all_task_managers_while_committing_does_not_lose_output():
    probe = job_at(S.COMMITTING)
    probe.tell(SlotsLost(JOB, allocations(), "no heartbeat"))
    left = [CommitLeft(1, a, (prepared(w),)) for a, w in zip(allocations(), WRITERS, strict=True)]
    assert left == work(probe)
    probe.tell(*(WorkDone(item, None) for item in left))
    assert [S.FINISHED] == statuses(probe)


def test_output_that_a_worker_cannot_commit_fails_the_job_without_a_restart():
    probe = job_at(S.COMMITTING)
    probe.tell(committed(error=ERROR)[0])
    assert [JobStatusChanged(JOB, S.FAILED, 1, ERROR)] == probe.sent(JobStatusChanged)
    assert [] == work(probe)


def test_output_that_the_job_master_cannot_commit_fails_the_job_without_a_restart():
    probe = job_at(S.COMMITTING)
    probe.tell(SlotEnded(allocations()[0], ERROR))
    (left,) = work(probe)
    probe.tell(WorkFailed(left, ERROR))
    assert [S.FAILED] == statuses(probe)


# --- what comes late, twice, or from elsewhere -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "late",
    [
        *finished(1),
        *started(1)[:1],
        *cancelled(1)[:1],
        FAILURE,
        *ready(1),
        *opened(1),
        *committed(1),
        SlotEnded(allocations()[0], ERROR),
        SlotsLost(JOB, allocations(), "no heartbeat"),
        SlotsRefused(JOB, 1, HOPELESS),
        ProgressReported(1, allocations()[0], 99, 99),
        ResultChunk(JOB, WRITERS[0], 1, b"void"),
        SplitRequested(READERS[0], 1, 1, worker("w")),
        SplitFinished(READERS[0], 1, 0),
        WorkDone(AbortLeft((b"x",)), None),
        WorkFailed(AbortLeft((b"x",)), ERROR),
        WorkDone(CommitLeft(1, allocations()[0], ()), None),
        TimerFired("attempt:read/0:1"),
        TimerFired("opening:1"),
        TimerFired("restart"),
    ],
    ids=str,
)
def test_news_of_an_earlier_run_is_dropped(late):
    assert [] == restarted().tell(late)


def test_slots_that_are_granted_to_an_earlier_run_are_given_back():
    probe = restarted()
    probe.tell(granted(1))
    assert [Send(POOL, SlotsReleased(JOB, allocations(1)))] == probe.effects


def test_slots_that_are_granted_while_the_job_pauses_are_given_back():
    probe = job()
    probe.tell(Begin(), LISTING_FAILED)
    probe.tell(granted(1))
    assert [Send(POOL, SlotsReleased(JOB, allocations(1)))] == probe.effects


@pytest.mark.parametrize(
    ("status", "doubled"),
    [
        (S.WAITING_FOR_SLOTS, granted()),
        (S.DEPLOYING, ready()[0]),
        (S.DEPLOYING, opened()[1]),
        (S.RUNNING, started()[0]),
        (S.COMMITTING, finished()[2]),
        (S.RUNNING, LISTED),
    ],
    ids=str,
)
def test_a_doubled_message_changes_nothing(status, doubled):
    assert [] == job_at(status).tell(doubled)


def test_a_doubled_ending_of_a_worker_changes_nothing():
    probe = job_at(S.COMMITTING)
    probe.tell(SlotEnded(allocations()[0], ERROR))
    assert [] == probe.tell(SlotEnded(allocations()[0], ERROR), SlotsLost(JOB, allocations()[:1], "no heartbeat"))


@pytest.mark.parametrize(
    "event", [CancelJob(JOB), granted(), *finished(), SlotsGranted(JOB, 2, leases(2)), LISTED, TimerFired("restart")]
)
def test_nothing_follows_the_end(event):
    assert [] == job_at(S.FINISHED).tell(event)


def test_the_last_finish_may_overtake_the_start():
    probe = job_at(S.DEPLOYING)
    probe.tell(*started()[:3], *finished()[:3])
    probe.tell(finished()[3])
    assert [S.RUNNING, S.COMMITTING] == statuses(probe)


def test_an_unknown_event_is_an_error():
    with pytest.raises(AssertionError, match="unknown event 'hello'"):
        job().tell("hello")
    with pytest.raises(AssertionError, match="unknown work 'dig'"):
        job_at(S.RUNNING).tell(WorkDone("dig", None))


# --- being looked at ---------------------------------------------------------------------------------------------------------


def test_a_job_can_be_looked_at():
    probe = job_at(S.RUNNING)
    probe.tell(finished()[0])
    state = probe.machine.observe()
    assert (JOB, S.RUNNING, 1, None) == (state.job, state.status, state.attempt, state.error)
    assert ("tm-1/tm#0", "tm-1/tm#1") == state.slots
    assert {"read/0": AttemptState.FINISHED, "write/1": AttemptState.RUNNING}.items() <= state.subtasks.items()


def test_check_finds_a_status_that_does_not_fit_the_run():
    probe = job_at(S.RUNNING)
    probe.machine._status = S.FINISHED
    with pytest.raises(InvariantViolated, match="job is finished and holds slots"):
        probe.machine.check()
    probe = failing()
    probe.machine._error = None
    with pytest.raises(InvariantViolated, match="error and status disagree"):
        probe.machine.check()
    probe = job_at(S.WAITING_FOR_SLOTS)
    probe.machine._status = S.CANCELLING
    with pytest.raises(InvariantViolated, match="nothing is left to end"):
        probe.machine.check()
