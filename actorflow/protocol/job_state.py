"""A job as it is shown to people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, SubtaskId
from actorflow.plan.topology import Topology
from actorflow.protocol.alignment import GroupView
from actorflow.protocol.checkpoint_events import CheckpointsView
from actorflow.protocol.deployment import AttemptState, SubtaskTotals
from actorflow.protocol.job_messages import JobStatus
from actorflow.protocol.stages import StageView


@dataclass(frozen=True, slots=True)
class JobState:
    """What `JobMachine.observe` shows.

    Of each subtask its state, the address of the worker that runs it, where that one's node can be reached; of one that has ended what it has done.
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
    stages: tuple[StageView, ...] = ()
