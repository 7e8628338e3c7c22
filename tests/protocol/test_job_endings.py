"""How a job is cancelled, and how it commits, event by event."""

import pytest
from job_harness import (
    ERROR,
    HOPELESS,
    JOB,
    READERS,
    SUBTASKS,
    WRITERS,
    allocations,
    cancelled,
    committed,
    failing,
    finished,
    job,
    job_at,
    prepared,
    ready,
    statuses,
    work,
)

from actorflow.protocol.checkpoints.commit import AbortLeft, CommitLeft
from actorflow.protocol.jobs.deployment import CancelSubtask, KillSlot, SubtaskFailed
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    CommitOutput,
    JobStatus,
    JobStatusChanged,
    OutputCommitted,
    SlotEnded,
)
from actorflow.protocol.machine import WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import SlotsLost, SlotsReleased

S = JobStatus


@pytest.mark.parametrize("status", [S.DEPLOYING, S.RUNNING])
def test_a_cancelled_job_ends_its_subtasks_before_it_is_over(status):
    probe = job_at(status)
    probe.tell(CancelJob(JOB))
    assert [S.CANCELLING] == statuses(probe)
    assert [CancelSubtask(subtask, 1) for subtask in SUBTASKS] == probe.sent(CancelSubtask)
    probe.tell(*cancelled())
    assert [S.CANCELLED] == statuses(probe)
    assert [SlotsReleased(JOB, allocations())] == probe.sent(SlotsReleased)
    assert [S.CANCELLED] == [over.status for over in probe.reports(JobOver)]


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


# --- committing -------------------------------------------------------------------------------------------------------------


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


def test_a_worker_that_does_not_commit_is_asked_again_then_killed_and_its_output_is_committed_for_it():
    probe = job_at(S.COMMITTING)
    stuck, living = allocations()
    probe.tell(OutputCommitted(1, living))
    probe.advance(29.9)
    assert [CommitOutput(1), CommitOutput(1)] == probe.sent()
    probe.advance(0.1)
    assert [KillSlot(stuck, "its output was not committed within 30 s")] == probe.sent()
    probe.tell(SlotEnded(stuck, ERROR))
    (left,) = work(probe)
    probe.tell(WorkDone(left, None))
    assert ([S.FINISHED], {}) == (statuses(probe), probe.timers)


def test_output_that_workers_cannot_commit_is_tried_again_as_the_strategy_says_and_then_fails_the_job():
    probe = job_at(S.COMMITTING)
    first, second = committed(error=ERROR)
    assert [] == probe.tell(first)  # the other may be committing still, and nothing is to become visible after the end
    probe.tell(second)
    assert ([], []) == (statuses(probe), probe.sent())
    probe.advance(2.0)
    assert [CommitOutput(1, 2), CommitOutput(1, 2)] == probe.sent()
    probe.tell(*(OutputCommitted(1, allocation, ERROR, 2) for allocation in allocations()))
    assert [JobStatusChanged(JOB, S.FAILED, 1, ERROR)] == probe.sent(JobStatusChanged)
    assert [] == work(probe)


def test_only_who_has_failed_is_asked_again_and_then_the_job_has_finished():
    probe = job_at(S.COMMITTING)
    bad, good = allocations()
    probe.tell(OutputCommitted(1, bad, ERROR), OutputCommitted(1, good))
    probe.advance(2.0)
    assert [CommitOutput(1, 2)] == probe.sent()
    assert [] == probe.tell(OutputCommitted(1, bad, ERROR, 1)), "it was asked twice in the first round"
    probe.tell(OutputCommitted(1, bad, None, 2))
    assert ([S.FINISHED], {}) == (statuses(probe), probe.timers)


def test_output_that_the_job_master_cannot_commit_is_tried_again_and_then_fails_the_job():
    probe = job_at(S.COMMITTING)
    probe.tell(SlotEnded(allocations()[0], ERROR))
    (left,) = work(probe)
    probe.tell(committed()[1], WorkFailed(left, ERROR))
    probe.advance(2.0)
    assert ([left], []) == (work(probe), statuses(probe))
    probe.tell(WorkFailed(left, ERROR))
    assert [S.FAILED] == statuses(probe)


def test_a_worker_that_is_lost_before_it_is_asked_again_has_its_output_committed_for_it():
    probe = job_at(S.COMMITTING)
    bad, good = allocations()
    probe.tell(OutputCommitted(1, bad, ERROR), OutputCommitted(1, good), SlotEnded(bad, ERROR))
    assert [] == work(probe)
    probe.advance(2.0)
    (left,) = work(probe)
    probe.tell(WorkDone(left, None))
    assert ([S.FINISHED], {}) == (statuses(probe), probe.timers)
