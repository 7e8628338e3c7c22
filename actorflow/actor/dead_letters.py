"""Dead letters: messages that reached nobody. Counted for ever, the last ones kept for people to read."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from actorflow.ids import Address


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that reached nobody.

    Attributes:
        target: address it was meant for.
        message: the message itself, or the `keepsakes.Outline` of a large one.
        at_s: when, on the system's clock.
        reason: why it was not delivered.
    """

    target: Address
    message: object
    at_s: float
    reason: str


class DeadLetters:
    """The last dead letters of a system, and how many there were.

    Args:
        kept_max: how many to keep.
    """

    def __init__(self, kept_max: int = 256) -> None:
        self._kept: deque[DeadLetter] = deque(maxlen=kept_max)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Dead letters since the system began, kept or not."""
        return self._count

    def add(self, letter: DeadLetter) -> None:
        """Take one more. Thread-safe."""
        with self._lock:
            self._count += 1
            self._kept.append(letter)

    def last(self, n: int | None = None) -> tuple[DeadLetter, ...]:
        """Return the last `n` of those that are kept, oldest first; all of them without `n`."""
        with self._lock:
            kept = tuple(self._kept)
        return kept if n is None else kept[max(0, len(kept) - n) :]
