"""The shapes of what the server answers about what a job was told: its options, how it takes checkpoints. Names are Flink's."""

from __future__ import annotations

from typing_extensions import TypedDict


class JobStatusShown(TypedDict):
    """Where a job is in its life."""

    status: str


ExecutionConfig = TypedDict(
    "ExecutionConfig",
    {"restart-strategy": str, "job-parallelism": int, "object-reuse-mode": bool, "user-config": dict[str, str]},
)
JobConfig = TypedDict("JobConfig", {"jid": str, "name": str, "execution-config": ExecutionConfig})


class UserAccumulator(TypedDict):
    """A count of user code."""

    name: str
    type: str
    value: str


JobAccumulators = TypedDict(
    "JobAccumulators",
    {
        "job-accumulators": list[UserAccumulator],
        "user-task-accumulators": list[UserAccumulator],
        "serialized-user-task-accumulators": dict[str, str],
    },
)


class Externalization(TypedDict):
    """Whether checkpoints outlast the job, and whether they go when it is cancelled."""

    enabled: bool
    delete_on_cancellation: bool


class CheckpointConfig(TypedDict):
    """How a job takes checkpoints; times in ms."""

    mode: str
    interval: int
    timeout: int
    min_pause: int
    max_concurrent: int
    externalization: Externalization
    state_backend: str
    checkpoint_storage: str
    unaligned_checkpoints: bool
    tolerable_failed_checkpoints: int
    aligned_checkpoint_timeout: int
    checkpoints_after_tasks_finish: bool
    state_changelog_enabled: bool
