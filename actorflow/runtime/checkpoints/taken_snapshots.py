"""What a subtask has taken at a barrier, on its way to the files: nothing that is processed later shows in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actorflow.runtime.checkpoints.in_flight import StoredBatches
from actorflow.runtime.checkpoints.input_barriers import Recording
from actorflow.runtime.checkpoints.layered_state import Captured
from actorflow.wire.batch import Barrier


@dataclass(frozen=True, slots=True)
class TakenState:
    """State that was taken.

    Attributes:
        data: in bytes, without what is stored in layers.
        captured: what has changed in keyed state that is stored in layers.
        saved: for a savepoint, instead of these: writes its files, and returns what its part is, as `NativePart.written` does.
    """

    data: bytes
    captured: Captured | None
    saved: Callable[[], tuple[bytes, int, int]] | None = None


@dataclass(slots=True)
class TakenSnapshot:
    """A snapshot that was taken. It is stored once nothing of what is in flight can be missing."""

    barrier: Barrier
    state: TakenState
    positions: dict[int, bytes]
    read: tuple[int, ...]
    start_delay_ms: float
    alignment_ms: float
    sync_ms: float
    at_s: float
    """When it was taken."""
    recording: Recording | None
    outputs: StoredBatches
    given_up: bool = False
    """Whether its checkpoint was given up: then it need not be stored."""
