"""How a job fails, ends its run, and is run again, event by event."""

import dataclasses

import pytest
from job_harness import (
    ERROR,
    FAILURE,
    HOPELESS,
    JOB,
    LIST_SPLITS,
    LISTED,
    LISTING_FAILED,
    MASTER,
    READERS,
    SUBTASKS,
    WRITERS,
    allocations,
    cancelled,
    committed,
    failing,
    finished,
    granted,
    job,
    job_at,
    opened,
    prepared,
    ready,
    restarted,
    started,
    statuses,
    work,
    worker,
)

from actorflow.errors import Retry
from actorflow.protocol.checkpoints.commit import AbortLeft
from actorflow.protocol.jobs.deployment import CancelSubtask, KillSlot, SubtaskFailed, SubtaskFinished
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    CommitOutput,
    JobStatus,
    JobStatusChanged,
    NodeLost,
    SlotEnded,
    WorkerFailed,
)
from actorflow.protocol.jobs.restarts import FixedDelay, NoRestart
from actorflow.protocol.jobs.splits import SplitAssigned, SplitFinished, SplitRequested
from actorflow.protocol.nodes.slot_messages import SlotsLost, SlotsRefused, SlotsReleased, SlotsRequested
from actorflow.protocol.transfer.delivery import EnvelopeRefused, Undelivered

S = JobStatus
UNDER_WAY = [S.WAITING_FOR_SLOTS, S.DEPLOYING, S.RUNNING]


def test_a_failure_ends_every_other_subtask_and_says_why():
    probe = failing()
    assert [JobStatusChanged(JOB, S.FAILING, 1, ERROR)] == probe.sent(JobStatusChanged)
    others = [CancelSubtask(subtask, 1) for subtask in SUBTASKS if subtask != WRITERS[0]]
    assert others == probe.sent(CancelSubtask)


@pytest.mark.parametrize("status", [S.DEPLOYING, S.RUNNING])
def test_a_worker_that_cannot_go_on_fails_the_run_and_its_subtasks_are_cancelled_too(status):
    probe = job_at(status)
    probe.tell(WorkerFailed(1, allocations()[0], ERROR))
    assert [JobStatusChanged(JOB, S.FAILING, 1, ERROR)] == probe.sent(JobStatusChanged)
    assert [CancelSubtask(subtask, 1) for subtask in SUBTASKS] == probe.sent(CancelSubtask)


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


@pytest.mark.parametrize(
    "news",
    [
        NodeLost("worker-1.1", "it could not be reached for 50 s"),
        Undelivered(worker(allocations()[0]), CommitOutput(1), "it is odd"),
        EnvelopeRefused(worker(allocations()[0]), "it is odd"),
    ],
)
def test_a_worker_that_cannot_be_reached_told_or_read_fails_the_run(news):
    probe = job_at(S.RUNNING)
    probe.tell(news)
    assert [S.FAILING] == statuses(probe)


def test_a_job_whose_strategy_gives_up_has_failed_with_the_last_error():
    probe = failing(NoRestart())
    probe.tell(*cancelled())
    assert [JobStatusChanged(JOB, S.FAILED, 1, ERROR)] == probe.sent(JobStatusChanged)
    assert [S.FAILED] == [over.status for over in probe.reports(JobOver)]


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
