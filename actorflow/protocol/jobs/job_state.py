"""A job as it is shown to people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, SubtaskId
from actorflow.plan.topology import Topology
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointsView
from actorflow.protocol.event_time.alignment import GroupView, WatermarkAlignment
from actorflow.protocol.jobs.deployment import AttemptState, SubtaskTotals
from actorflow.protocol.jobs.job_checkpoints import JobCheckpoints
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_messages import JobStatus, OptionValue
from actorflow.protocol.jobs.job_run import JobRun
from actorflow.protocol.jobs.rescaling import Rescaling, RescalingView
from actorflow.protocol.jobs.stages import Stages, StageView
from actorflow.protocol.machine import ensure


@dataclass(frozen=True, slots=True)
class JobState:
    """What `JobMachine.observe` shows.

    Of each subtask its state, the addresses of the worker that runs it and of its TaskManager, where the worker's node can be reached; of one that
    has ended what it has done.
    """

    job: JobId
    status: JobStatus
    attempt: int
    subtasks: Mapping[str, AttemptState]
    workers: Mapping[SubtaskId, Address]
    slots: tuple[str, ...]
    endpoints: Mapping[str, tuple[str, ...]]
    topology: Topology
    records_in: int
    records_out: int
    error: ErrorInfo | None
    alignment: Mapping[str, GroupView]
    checkpoints: CheckpointsView
    totals: Mapping[SubtaskId, SubtaskTotals]
    stages: tuple[StageView, ...]
    rescaling: RescalingView
    options: Mapping[str, OptionValue]
    task_managers: Mapping[SubtaskId, Address]


def state_of(
    description: JobDescription,
    status: JobStatus,
    error: ErrorInfo | None,
    run: JobRun,
    alignment: WatermarkAlignment,
    checkpoints: JobCheckpoints,
    stages: Stages,
    rescaling: Rescaling,
) -> JobState:
    """Return the parts of a job as one value."""
    return JobState(
        description.job,
        status,
        run.number,
        {str(subtask): attempt.state for subtask, attempt in run.attempts.items()},
        *run.shown(),
        *run.workers.records,
        error,
        alignment.observe(),
        checkpoints.observe(),
        dict(run.totals),
        stages.observe(),
        rescaling.observe(),
        description.options,
        {subtask: attempt.task_manager for subtask, attempt in run.attempts.items()},
    )


def check_status(status: JobStatus, error: ErrorInfo | None, *, holds: bool, left: bool) -> None:
    """State what must hold between the status of a job and its run.

    Args:
        status: of the job.
        error: why it fails or restarts.
        holds: whether the run holds slots or has subtasks.
        left: whether something of the run has not ended.
    """
    if status.final or status in {JobStatus.CREATED, JobStatus.RESTARTING}:
        ensure(not holds, f"job is {status.value} and holds slots")
    if status in {JobStatus.FAILING, JobStatus.RESCALING, JobStatus.CANCELLING}:
        ensure(left, f"job is {status.value} and nothing is left to end")
    failed = status in {JobStatus.FAILING, JobStatus.RESTARTING, JobStatus.FAILED}
    ensure(failed == (error is not None), "error and status disagree")
