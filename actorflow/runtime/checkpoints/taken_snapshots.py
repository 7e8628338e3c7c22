"""What a subtask has taken at a barrier, on its way to the files: nothing that is processed later shows in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actorflow.runtime.checkpoints.in_flight import StoredBatches
from actorflow.runtime.checkpoints.input_barriers import Recording
from actorflow.runtime.checkpoints.layered_state import Captured
from actorflow.storage.files import Pace
from actorflow.wire.batch import Barrier


@dataclass(frozen=True, slots=True)
class TakenState:
    """State that was taken.

    Attributes:
        data: in bytes, without what is stored in layers.
        captured: what has changed in keyed state that is stored in layers.
        positions: of a source: how far its open splits were read, pickled, by the split's number.
        read: of a source: the splits that were read to their end.
        saved: for a savepoint, instead of these: writes its files at a pace, and returns what its part is, as `NativePart.written` does.
    """

    data: bytes
    captured: Captured | None
    positions: dict[int, bytes]
    read: tuple[int, ...]
    saved: Callable[[Pace], tuple[bytes, int, int]] | None = None

    @property
    def oldest(self) -> int:
        """The oldest checkpoint that later snapshots may build upon; 0 if they do not build upon any."""
        return self.captured.below.oldest if self.captured is not None else 0


@dataclass(slots=True)
class TakenSnapshot:
    """A snapshot that was taken. It is stored once nothing of what is in flight can be missing."""

    barrier: Barrier
    state: TakenState
    start_delay_ms: float
    alignment_ms: float
    sync_ms: float
    at_s: float
    """When it was taken."""
    recording: Recording | None
    outputs: StoredBatches
    given_up: bool = False
    """Whether its checkpoint was given up: then it need not be stored."""
