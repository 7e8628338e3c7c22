"""Timers of one dispatcher: a heap by time, then by ticket. Touched by the dispatcher's thread only.

A target keeps the tickets of its live timers. A cancelled timer stays in the heap, and its ticket no longer matches when it comes due;
`forget` counts those and rebuilds the heap when they are the greater part, so that a timer that is set anew for every message
(a heartbeat's deadline) does not grow it.
"""

from __future__ import annotations

import heapq
from typing import Protocol

TimerKey = str | tuple[str, str]

_FORGOTTEN_MIN = 256


class TimerTarget(Protocol):
    """Whoever set a timer."""

    def timer_live(self, key: TimerKey, ticket: int) -> bool:
        """Return whether the timer is still wanted."""
        ...

    def timer_due(self, key: TimerKey, ticket: int) -> None:
        """Take notice that the timer came due."""
        ...


class Timers:
    """A heap of timers."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TimerTarget, TimerKey]] = []
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, ticket: int, target: TimerTarget, key: TimerKey) -> None:
        """Schedule. `ticket` is unique in the dispatcher and orders timers of the same time."""
        heapq.heappush(self._heap, (at, ticket, target, key))

    def forget(self) -> None:
        """Take notice that one timer in the heap was cancelled or replaced."""
        self._forgotten += 1
        if self._forgotten > _FORGOTTEN_MIN and self._forgotten * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].timer_live(entry[3], entry[1])]
            heapq.heapify(self._heap)
            self._forgotten = 0

    def next_at(self) -> float | None:
        """Return the time of the earliest live timer, or None."""
        while self._heap:
            at, ticket, target, key = self._heap[0]
            if target.timer_live(key, ticket):
                return at
            heapq.heappop(self._heap)
            self._forgotten = max(0, self._forgotten - 1)
        return None

    def fire(self, now: float) -> None:
        """Tell the targets of all timers due at `now`, in order of time, then of setting."""
        while (at := self.next_at()) is not None and at <= now:
            _at, ticket, target, key = heapq.heappop(self._heap)
            target.timer_due(key, ticket)
