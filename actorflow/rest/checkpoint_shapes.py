"""The shapes of what the server answers about single checkpoints. Names are Flink's; times in ms, sizes in bytes."""

from __future__ import annotations

from typing_extensions import TypedDict

from actorflow.rest.shapes import Checkpoint


class Range(TypedDict):
    """A figure of several subtasks."""

    min: float
    max: float
    avg: float


class TaskCheckpoint(TypedDict):
    """The part of a vertex in a checkpoint."""

    id: int
    status: str
    latest_ack_timestamp: int
    checkpointed_size: int
    state_size: int
    end_to_end_duration: int
    alignment_buffered: int
    processed_data: int
    persisted_data: int
    num_subtasks: int
    num_acknowledged_subtasks: int


class CheckpointDetails(Checkpoint):
    """A completed checkpoint with the part of each vertex, by its id."""

    tasks: dict[str, TaskCheckpoint]


Durations = TypedDict("Durations", {"sync": float, "async": float})


class Alignment(TypedDict):
    """How long barriers were aligned, and what was stored of what they overtook."""

    buffered: int
    processed: int
    persisted: int
    duration: float


class SubtaskCheckpoint(TypedDict):
    """The part of a subtask in a checkpoint."""

    index: int
    status: str
    ack_timestamp: int
    end_to_end_duration: float
    checkpointed_size: int
    state_size: int
    checkpoint: Durations
    alignment: Alignment
    start_delay: float
    unaligned_checkpoint: bool
    aborted: bool


DurationRanges = TypedDict("DurationRanges", {"sync": Range, "async": Range})


class AlignmentRanges(TypedDict):
    """`Alignment`, of several subtasks."""

    persisted: Range
    duration: Range


class TaskSummary(TypedDict):
    """The least, the most and the average of the subtasks."""

    checkpointed_size: Range
    state_size: Range
    end_to_end_duration: Range
    checkpoint_duration: DurationRanges
    alignment: AlignmentRanges
    start_delay: Range


class TaskCheckpointDetails(TaskCheckpoint):
    """The part of a vertex in a checkpoint, with those of its subtasks."""

    summary: TaskSummary
    subtasks: list[SubtaskCheckpoint]
