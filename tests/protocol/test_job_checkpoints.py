"""The checkpoints of a job between its runs and the coordinator."""

import dataclasses

from job_harness import (
    DESCRIPTION,
    ERROR,
    LISTED,
    MASTER,
    POOL,
    TIMEOUTS,
    committed,
    finished,
    granted,
    job,
    opened,
    ready,
    started,
)

from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.checkpoints.checkpoint_events import StoreCheckpoint
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAcknowledged
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan, Retention
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpoints.commit import RemoveBegun
from actorflow.protocol.jobs.deployment import SubtaskFinished
from actorflow.protocol.jobs.job_checkpoints import JobCheckpoints
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import CommitOutput, JobStatus
from actorflow.protocol.jobs.job_run import JobRun
from actorflow.protocol.machine import Start, TimerFired, WorkDone, WorkFailed
from actorflow.wire.batch import SavepointOrder

READ = VertexId("read")
FIRST, SECOND = SubtaskId(READ, 0), SubtaskId(READ, 1)
WORKERS = {FIRST: Address("a/worker"), SECOND: Address("b/worker")}


def two_readers(retention=Retention.DELETE_ON_CANCELLATION):
    graph = ExecutionGraph("two", (Vertex(READ, "read", (), 2, 128, "default", "default"),), (), ())
    return JobCheckpoints(CheckpointPlan(CheckpointRules(interval_s=1.0), retention), graph, {READ: 2})


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
