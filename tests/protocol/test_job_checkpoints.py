"""The checkpoints of a job between its runs and the coordinator."""

import dataclasses

import pytest
from job_harness import (
    DESCRIPTION,
    ERROR,
    FAILURE,
    JOB,
    LISTED,
    MASTER,
    POOL,
    SUBTASKS,
    TIMEOUTS,
    cancelled,
    committed,
    finished,
    granted,
    job,
    opened,
    ready,
    started,
)

from actorflow.ids import Address, NodeId, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.checkpoints.checkpoint_events import DiscardStates, StoreCheckpoint
from actorflow.protocol.checkpoints.checkpoint_messages import BacklogReported, CheckpointAcknowledged
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan, Retention
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpoints.commit import RemoveBegun
from actorflow.protocol.jobs.deployment import SubtaskFinished
from actorflow.protocol.jobs.job_checkpoints import JobCheckpoints
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import CancelJob, CommitOutput, JobStatus, NodeLost
from actorflow.protocol.jobs.job_run import JobRun
from actorflow.protocol.jobs.restarts import NoRestart
from actorflow.protocol.machine import CancelTimer, SetTimer, Start, TimerFired, WorkDone, WorkFailed
from actorflow.wire.batch import SavepointOrder

READ = VertexId("read")
FIRST, SECOND = SubtaskId(READ, 0), SubtaskId(READ, 1)
WORKERS = {FIRST: Address("a/worker"), SECOND: Address("b/worker")}

EACH_SECOND = CheckpointRules(interval_s=1.0)


def two_readers(retention=Retention.DELETE_ON_CANCELLATION, rules=EACH_SECOND):
    graph = ExecutionGraph("two", (Vertex(READ, "read", (), 2, 128, "default", "default"),), (), ())
    return JobCheckpoints(CheckpointPlan(rules, retention), graph, {READ: 2})


def stored(effects):
    return [
        dict(effect.work.states) for effect in effects if isinstance(effect, Start) and isinstance(effect.work, StoreCheckpoint)
    ]


def test_a_subtask_that_has_finished_before_others_have_started_is_not_waited_for():
    checkpoints = two_readers()
    assert [] == checkpoints.finished(SubtaskFinished(SECOND, 1, state=b"last"), 0.0)
    checkpoints.run_started(1, WORKERS, 0.5)
    checkpoints.handle(TimerFired("checkpoint"), 1.5)
    assert [{FIRST: b"state", SECOND: b"last"}] == stored(checkpoints.handle(CheckpointAcknowledged(FIRST, 1, 1, b"state"), 1.6))


def test_what_has_finished_in_a_run_that_failed_before_it_was_deployed_is_forgotten():
    checkpoints = two_readers()
    checkpoints.finished(SubtaskFinished(SECOND, 1, state=b"of run 1"), 0.0)
    checkpoints.run_over(0.2)
    checkpoints.finished(SubtaskFinished(FIRST, 1, state=b"while it was ended"), 0.3)
    checkpoints.run_started(2, WORKERS, 0.5)
    checkpoints.handle(TimerFired("checkpoint"), 1.5)
    checkpoints.handle(CheckpointAcknowledged(FIRST, 2, 1, b"state"), 1.6)
    effects = checkpoints.handle(CheckpointAcknowledged(SECOND, 2, 1, b"other"), 1.7)
    assert [{FIRST: b"state", SECOND: b"other"}] == stored(effects)


def test_prepared_output_outlasts_the_job_if_a_savepoint_may_refer_to_it_or_checkpoints_are_retained():
    checkpoints = two_readers()
    assert not checkpoints.outlast()
    assert not checkpoints.outlast(JobStatus.CANCELLED)
    checkpoints.handle(WorkDone(StoreCheckpoint(1, 1, 0, None, {}), "of its own"), 0.0)
    assert not checkpoints.outlast()
    checkpoints.handle(WorkDone(StoreCheckpoint(2, 1, 0, SavepointOrder("mine"), {}), "mine/2"), 0.0)
    assert checkpoints.outlast()
    assert checkpoints.outlast(JobStatus.FINISHED)
    retaining = two_readers(Retention.RETAIN_ON_CANCELLATION)
    assert [True, True, False] == [retaining.outlast(S) for S in (JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.FINISHED)]


def test_where_there_are_checkpoints_a_run_that_is_built_has_what_earlier_runs_have_left_removed():
    def third_run(description):
        return JobRun(3, description, address=MASTER, resource_manager=POOL, timeouts=TIMEOUTS, previous={})

    assert [Start(RemoveBegun((1, 2)))] == third_run(
        dataclasses.replace(DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1.0)))
    ).remove_older()
    assert [] == third_run(DESCRIPTION).remove_older()


def test_a_job_with_checkpoints_commits_when_one_holds_its_end():
    description = dataclasses.replace(DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1000.0)))
    probe = job(description=description)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started(), *finished())
    assert JobStatus.RUNNING is probe.machine.observe().status
    (store,) = [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, StoreCheckpoint)]
    probe.tell(WorkDone(store, "chk-1"))
    assert JobStatus.COMMITTING is probe.machine.observe().status
    probe.tell(*committed())
    assert JobStatus.FINISHED is probe.machine.observe().status


def test_a_job_whose_end_cannot_be_stored_goes_back_to_the_checkpoint_before():
    description = dataclasses.replace(DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1000.0)))
    probe = job(description=description)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started(), *finished())
    (store,) = [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, StoreCheckpoint)]
    probe.tell(WorkFailed(store, ERROR))
    assert JobStatus.RESTARTING is probe.machine.observe().status
    assert [] == probe.sent(CommitOutput)


# --- what finished subtasks had left, when they run again --------------------------------------------------------------------------


def discarded(effects):
    return [effect.work.states for effect in effects if isinstance(effect, Start) and isinstance(effect.work, DiscardStates)]


def test_what_subtasks_had_left_that_run_again_is_discarded():
    checkpoints = two_readers()
    checkpoints.run_started(1, WORKERS, 0.0)
    checkpoints.finished(SubtaskFinished(SECOND, 1, state=b"left"), 0.5)
    checkpoints.run_over(0.6)
    assert [] == discarded(checkpoints.run_again([FIRST], 0.7))
    assert [(b"left",)] == discarded(checkpoints.run_again([FIRST, SECOND], 0.7))
    assert [] == discarded(checkpoints.run_again([FIRST, SECOND], 0.7))


def test_what_subtasks_had_left_that_run_again_stays_if_a_completed_checkpoint_holds_it():
    checkpoints = two_readers()
    checkpoints.run_started(1, WORKERS, 0.0)
    checkpoints.finished(SubtaskFinished(SECOND, 1, state=b"left"), 0.5)
    checkpoints.handle(TimerFired("checkpoint"), 1.0)
    (store,) = stores(checkpoints.handle(CheckpointAcknowledged(FIRST, 1, 1, b"state"), 1.1))
    checkpoints.handle(WorkDone(store, "chk-1"), 1.2)
    checkpoints.run_over(1.3)
    assert [] == discarded(checkpoints.run_again([FIRST, SECOND], 0.7))


# --- a manifest that is being written when the job ends ----------------------------------------------------------------------------


def storing(retention, *, chk=2):
    """A job with a completed checkpoint whose next one is being written."""
    plan = CheckpointPlan(CheckpointRules(interval_s=1.0, retained_max=1), retention)
    probe = job(description=dataclasses.replace(DESCRIPTION, checkpoints=plan), strategy=NoRestart())
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started())
    for number in range(1, chk + 1):
        probe.advance(1.0)
        probe.tell(*(CheckpointAcknowledged(subtask, 1, number, f"{subtask} {number}".encode()) for subtask in SUBTASKS))
        (store,) = [work for work in stores(probe.effects) if work.checkpoint == number]
        if number < chk:
            probe.tell(WorkDone(store, f"chk-{number}"))
    return probe, store


def stores(effects):
    return [effect.work for effect in effects if isinstance(effect, Start) and isinstance(effect.work, StoreCheckpoint)]


def removed(probe):
    return [
        effect.work.location for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, DiscardStates)
    ]


CANCELS = [CancelJob(JOB), *cancelled()]
FAILS = [FAILURE, *cancelled()]


@pytest.mark.parametrize(("news", "status"), [(CANCELS, JobStatus.CANCELLED), (FAILS, JobStatus.FAILED)])
def test_a_job_whose_checkpoints_are_retained_ends_when_the_manifest_that_is_being_written_is_there_and_it_counts(news, status):
    probe, store = storing(Retention.RETAIN_ON_CANCELLATION)
    probe.tell(*news)
    assert not probe.machine.observe().status.final
    probe.tell(*news, NodeLost(NodeId("a"), "gone"))  # nothing else matters any more
    assert [] == probe.reports(JobOver)
    probe.tell(WorkDone(store, "chk-2"))
    assert [status] == [over.status for over in probe.reports(JobOver)]
    assert ["chk-1"] == removed(probe)
    assert 2 == probe.machine.observe().checkpoints.completed[-1].checkpoint


@pytest.mark.parametrize(("news", "status"), [(CANCELS, JobStatus.CANCELLED), (FAILS, JobStatus.FAILED)])
def test_a_job_whose_checkpoints_are_retained_keeps_the_one_before_if_the_manifest_cannot_be_written(news, status):
    probe, store = storing(Retention.RETAIN_ON_CANCELLATION)
    probe.tell(*news, WorkFailed(store, ERROR))
    assert [status] == [over.status for over in probe.reports(JobOver)]
    assert "chk-1" not in removed(probe)


def test_a_checkpoint_that_is_stored_while_the_retaining_job_is_being_cancelled_counts():
    probe, store = storing(Retention.RETAIN_ON_CANCELLATION)
    cancel, *ended = CANCELS
    probe.tell(cancel, WorkDone(store, "chk-2"), *ended)
    assert [JobStatus.CANCELLED] == [over.status for over in probe.reports(JobOver)]
    assert ["chk-1"] == removed(probe)


def test_a_job_whose_checkpoints_are_not_retained_waits_for_none():
    probe, _ = storing(Retention.DELETE_ON_CANCELLATION)
    probe.tell(*CANCELS)
    assert [JobStatus.CANCELLED] == [over.status for over in probe.reports(JobOver)]


# --- backlogs --------------------------------------------------------------------------------------------------------------------


def taken_at(effects):
    """Return when the next periodic checkpoint is due by these effects, or None if none is."""
    due = [effect for effect in effects if isinstance(effect, SetTimer | CancelTimer)]
    return due[-1].at if isinstance(due[-1], SetTimer) else None


def with_backlogs(every_s):
    return two_readers(rules=CheckpointRules(interval_s=1.0, backlog_interval_s=every_s))


def test_checkpoints_come_more_seldom_while_any_source_works_off_a_backlog():
    checkpoints = with_backlogs(60.0)
    assert 1.0 == taken_at(checkpoints.run_started(1, WORKERS, 0.0))
    assert 60.0 == taken_at(checkpoints.handle(BacklogReported(FIRST, 1, backlog=True), 0.1))
    checkpoints.handle(BacklogReported(SECOND, 1, backlog=True), 0.2)
    assert 60.0 == taken_at(checkpoints.handle(BacklogReported(FIRST, 1, backlog=False), 0.3))
    assert 1.0 == taken_at(checkpoints.handle(BacklogReported(SECOND, 1, backlog=False), 0.4))


def test_none_are_taken_where_the_interval_during_a_backlog_is_zero():
    checkpoints = with_backlogs(0.0)
    checkpoints.run_started(1, WORKERS, 0.0)
    assert taken_at(checkpoints.handle(BacklogReported(FIRST, 1, backlog=True), 0.1)) is None


def test_a_backlog_that_is_told_before_all_have_started_counts_and_one_of_an_earlier_run_does_not():
    checkpoints = with_backlogs(60.0)
    checkpoints.handle(BacklogReported(FIRST, 1, backlog=True), 0.0)
    assert 60.0 == taken_at(checkpoints.run_started(1, WORKERS, 0.0))
    checkpoints.run_over(0.5)
    assert 2.0 == taken_at(checkpoints.run_started(2, WORKERS, 1.0))
    assert 2.0 == taken_at(checkpoints.handle(BacklogReported(SECOND, 1, backlog=False), 1.1))


def test_a_source_that_runs_again_has_no_backlog_until_it_says_so():
    checkpoints = with_backlogs(60.0)
    checkpoints.run_started(1, WORKERS, 0.0)
    checkpoints.handle(BacklogReported(FIRST, 1, backlog=True), 0.1)
    assert 1.0 == taken_at(checkpoints.run_again([FIRST], 0.7))
