"""The messages of checkpoints: JobMaster ↔ slot workers. `attempt` numbers the deployment and fences them, `checkpoint` the checkpoint.

What a subtask's state is, is opaque bytes here: a description of files, or the state itself where that is small.
"""

from __future__ import annotations

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId
from actorflow.wire.batch import SavepointOrder
from actorflow.wire.message import Message


class TriggerCheckpoint(Message, frozen=True):
    """To a source subtask: put a barrier behind what you have read so far. One that is not newer than the last is dropped: it came twice.

    Attributes:
        subtask: which.
        attempt: number of the deployment.
        checkpoint: number of the checkpoint; rises over the life of a job.
        timestamp: wall clock of the trigger, in ms since the Unix epoch.
        unaligned: whether the barrier may overtake batches.
        savepoint: what is to be done if it belongs to a savepoint.
    """

    subtask: SubtaskId
    attempt: int
    checkpoint: int
    timestamp: int
    unaligned: bool = False
    savepoint: SavepointOrder | None = None


class SubtaskTimes(Message, frozen=True):
    """How long a subtask took for its part of a checkpoint, in ms, and how much it stored.

    Attributes:
        start_delay_ms: from the trigger to its first barrier.
        alignment_ms: from its first barrier to its last.
        sync_ms: how long it processed nothing because it took its snapshot.
        async_ms: from then until the snapshot was stored.
        state_bytes: size of the state that the checkpoint refers to.
        stored_bytes: how much of it was not stored before.
        in_flight_bytes: size of the batches in flight that were stored with it.
        restored_local_bytes: of the state that its run has gone on from: how much was read from copies on its host.
        restored_remote_bytes: how much was read from where checkpoints are stored.
    """

    start_delay_ms: float = 0.0
    alignment_ms: float = 0.0
    sync_ms: float = 0.0
    async_ms: float = 0.0
    state_bytes: int = 0
    stored_bytes: int = 0
    in_flight_bytes: int = 0
    restored_local_bytes: int = 0
    restored_remote_bytes: int = 0


class CheckpointAcknowledged(Message, frozen=True):
    """A subtask's part of a checkpoint is stored.

    Attributes:
        subtask: which.
        attempt: number of the deployment.
        checkpoint: its number.
        state: the part.
        times: how long it took.
        oldest: of the checkpoints that it may yet build a later part upon, when it hears that they are complete: this one, or one before of whose
            end it had not heard. 0 if it builds upon none.
    """

    subtask: SubtaskId
    attempt: int
    checkpoint: int
    state: bytes
    times: SubtaskTimes = SubtaskTimes()
    oldest: int = 0


class CheckpointDeclined(Message, frozen=True):
    """A subtask cannot take its part; the checkpoint fails, and the subtask goes on."""

    subtask: SubtaskId
    attempt: int
    checkpoint: int
    error: ErrorInfo


class BacklogReported(Message, frozen=True):
    """A source subtask has begun, or ended, to work off a backlog.

    Attributes:
        subtask: which.
        attempt: number of the deployment.
        backlog: whether it does.
    """

    subtask: SubtaskId
    attempt: int
    backlog: bool


class CheckpointCompleted(Message, frozen=True):
    """Every part is stored, and the whole can be restored: what was prepared for it is to be committed. May come more than once."""

    subtask: SubtaskId
    attempt: int
    checkpoint: int


class CheckpointAborted(Message, frozen=True):
    """The checkpoint will not be completed: its barriers need not be waited for."""

    subtask: SubtaskId
    attempt: int
    checkpoint: int


class CheckpointRequested(Message, frozen=True):
    """Take a checkpoint now, or a savepoint.

    Attributes:
        request: names the request; repeated with the same name it is the same request.
        reply_to: gets `CheckpointTaken`.
        savepoint: where it goes, and what is then; None asks for a checkpoint.
    """

    request: str
    reply_to: Address
    savepoint: SavepointOrder | None = None


class CheckpointTaken(Message, frozen=True):
    """The answer to a request.

    Attributes:
        request: its name.
        checkpoint: the number it got; 0 if none was begun.
        location: where it is, or None if it failed.
        error: why it failed.
    """

    request: str
    checkpoint: int
    location: str | None
    error: ErrorInfo | None = None


CHECKPOINT_MESSAGES: tuple[type[Message], ...] = (
    TriggerCheckpoint,
    CheckpointAcknowledged,
    CheckpointDeclined,
    BacklogReported,
    CheckpointCompleted,
    CheckpointAborted,
    CheckpointRequested,
    CheckpointTaken,
)
"""The messages of this file that are sent as such."""
