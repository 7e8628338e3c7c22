"""What the checkpoint coordinator hears of its job, the slow work that it has done, and what it reports. Its messages are in `checkpoint_messages`."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.checkpoints.checkpoint_messages import SubtaskTimes
from actorflow.wire.batch import SavepointOrder

Chain = tuple[tuple[str, str], ...]
"""Id and name of each operator that runs in one subtask, first to last."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Every subtask of a new run is processing.

    Attributes:
        attempt: number of the run.
        workers: every subtask, and who speaks for it.
        sources: the subtasks that barriers begin at.
        chains: what the subtasks of each vertex run.
    """

    attempt: int
    workers: Mapping[SubtaskId, Address]
    sources: Sequence[SubtaskId]
    chains: Mapping[VertexId, Chain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOver:
    """The run has failed, was cancelled, or has finished."""


@dataclass(frozen=True, slots=True)
class SubtaskDone:
    """A subtask has processed all of its input.

    Attributes:
        subtask: which.
        state: its part of every later checkpoint.
        passed: the highest checkpoint whose snapshot it took; 0 if none. For a later one it will meet no barrier any more.
    """

    subtask: SubtaskId
    state: bytes
    passed: int


@dataclass(frozen=True, slots=True)
class BacklogChanged:
    """Sources have begun, or ended, to work off a backlog."""

    backlog: bool


@dataclass(frozen=True, slots=True)
class StoreCheckpoint:
    """Slow work: write the manifest. Its result is the location, as text.

    Attributes:
        checkpoint: its number.
        attempt: number of the run.
        timestamp: wall clock of the trigger, in ms.
        savepoint: where a savepoint goes, and what is then; None for a checkpoint.
        states: the part of each subtask.
    """

    checkpoint: int
    attempt: int
    timestamp: int
    savepoint: SavepointOrder | None
    states: Mapping[SubtaskId, bytes]


@dataclass(frozen=True, slots=True)
class DiscardStates:
    """Slow work: remove what a checkpoint stored that will not be restored.

    Attributes:
        checkpoint: its number.
        location: its manifest, if it has one.
        states: parts of subtasks. What a retained checkpoint refers to as well is kept.
    """

    checkpoint: int
    location: str | None
    states: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CollectOrphans:
    """Slow work: remove what earlier runs have stored and nothing refers to: they died before they could tell, or their checkpoints were given up.

    Attributes:
        attempt: number of the run that has started; what it stores itself is not touched.
        keep: parts of the checkpoints that were complete when it did: nothing else of an earlier run will ever be referred to.
    """

    attempt: int
    keep: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DiscardClaimed:
    """Slow work: remove a savepoint or checkpoint of another job that this one has claimed, and does not need any more."""

    directory: str


@dataclass(frozen=True, slots=True)
class DiscardAll:
    """Slow work: remove all that the job has stored for checkpoints. It is over, and goes on from none of them."""


@dataclass(frozen=True, slots=True)
class CompletedCheckpoint:
    """A checkpoint that can be restored.

    Attributes:
        checkpoint: its number.
        timestamp: wall clock of the trigger, in ms.
        location: its manifest.
        states: the part of each subtask.
        duration_s: from trigger to manifest.
        times: of each subtask that took part.
        savepoint: whether it is a savepoint that the job has stopped with; it belongs to its owner, and is not discarded.
        chains: what the subtasks of each vertex ran.
    """

    checkpoint: int
    timestamp: int
    location: str
    states: Mapping[SubtaskId, bytes]
    duration_s: float = 0.0
    times: Mapping[SubtaskId, SubtaskTimes] = field(default_factory=dict)
    savepoint: bool = False
    chains: Mapping[VertexId, Chain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckpointStatistics:
    """How a completed checkpoint went.

    Attributes:
        checkpoint: its number.
        timestamp: wall clock of the trigger, in ms since the Unix epoch.
        location: its manifest.
        duration_s: from trigger to manifest.
        times: of each subtask that took part.
    """

    checkpoint: int
    timestamp: int
    location: str
    duration_s: float
    times: Mapping[SubtaskId, SubtaskTimes]


@dataclass(frozen=True, slots=True)
class CheckpointsView:
    """What people see of the checkpoints of a job.

    Attributes:
        completed: the last ten, oldest first, whether or not they are retained.
        waiting_for: number of each that is under way, with the subtasks that have not stored their parts.
        triggered: how many have begun.
        failed: how many could not be completed.
        error: why the last of these could not.
    """

    completed: tuple[CheckpointStatistics, ...]
    waiting_for: Mapping[int, tuple[SubtaskId, ...]]
    triggered: int
    failed: int
    error: ErrorInfo | None


@dataclass(frozen=True, slots=True)
class CheckpointsFailing:
    """Reported when more checkpoints have failed in a row than are tolerable: the job is to fail with `error`."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class LastCheckpointTaken:
    """Reported when all subtasks have finished, and a checkpoint holds what they have left: their output can be committed."""


class Phase(enum.Enum):
    """Where a checkpoint that is under way stands."""

    PENDING = "pending"
    STORING = "storing"


@dataclass(frozen=True, slots=True)
class CheckpointsObservation:
    """What `CheckpointCoordinator.observe` shows: numbers of those under way with what they wait for, the completed, counts."""

    attempt: int
    under_way: tuple[tuple[int, Phase, tuple[SubtaskId, ...]], ...]
    completed: tuple[CompletedCheckpoint, ...]
    triggered: int
    failed: int
    failed_in_a_row: int
    last_error: ErrorInfo | None


def checkpoint_error(kind: str, text: str, retry: Retry, hint: str = "") -> ErrorInfo:
    """Return why a checkpoint failed."""
    return ErrorInfo(kind, text, hint=hint, domain=Domain.EXTERNAL, retry=retry)
