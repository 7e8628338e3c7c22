"""The parts of a chain: each takes batches and gives them to the next.

FusedStage → ProcessStage → FusedStage → outputs
                  │ side output
                  └──────────► FusedStage → outputs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from actorflow.wire.batch import Batch

Lookup = Callable[[Any], dict[str, object]]
"""From a key to the values of its states, by state name."""

Receiver = Callable[[object, Callable[[object], None]], None]
"""Takes a message, and the function that replies to it."""


class Consumer(Protocol):
    """What a stage gives its batches to."""

    def process(self, batch: Batch) -> None:
        """Take over a batch."""
        ...


class Stage:
    """A part of a chain. The defaults are those of a stage that holds nothing back between batches.

    Attributes:
        blocked: whether it can take no batch now.
    """

    blocked: bool = False

    def open(self) -> None:
        """Get ready."""

    def process(self, batch: Batch) -> None:
        """Take one batch."""
        raise NotImplementedError

    def advance_watermark(self, timestamp: int) -> int:
        """Take a watermark (ms), or the latest one again; return the one that now holds behind this stage."""
        return timestamp

    def receivers(self) -> Mapping[str, Receiver]:
        """Return, by operator name, what takes messages."""
        return {}

    def finish(self) -> bool:
        """Return whether nothing is in flight any more."""
        return True

    def close(self) -> None:
        """Free what it holds."""

    def observe(self) -> dict[str, dict[str, object]]:
        """Return facts by operator name."""
        return {}

    def lookups(self) -> Mapping[str, Lookup]:
        """Return, by operator name, how to read the keyed states of one key."""
        return {}
