"""Calls of operators that wait for processing time: timers of user code, windows that end, sources that fall idle.

The owner is told when the next one is due, and makes the calls that are due when it has time for them: a subtask whose outputs are exhausted
does not fire timers either.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import NamedTuple


class Alarm:
    """A call that waits. See `operators.contract.Alarm`."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class _Waiting(NamedTuple):
    timestamp: int
    number: int
    alarm: Alarm


class Alarms:
    """The waiting calls of one subtask, by time and, at one time, by the order in which they were asked for.

    Args:
        arm: told the timestamp (ms) at which `ring` is to be called, whenever an earlier one is asked for.
    """

    def __init__(self, arm: Callable[[int], None]) -> None:
        self._arm = arm
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()

    def set(self, timestamp: int, callback: Callable[[], None]) -> Alarm:
        """Have `callback` called at `timestamp` (ms, processing time)."""
        alarm = Alarm(callback)
        heapq.heappush(self._waiting, _Waiting(timestamp, next(self._numbers), alarm))
        if self._waiting[0].alarm is alarm:
            self._arm(timestamp)
        return alarm

    def due(self, now: int) -> bool:
        """Return whether a call is due."""
        return bool(self._waiting) and self._waiting[0].timestamp <= now

    def ring(self, now: int) -> None:
        """Make one call that is due, if any, and ask to be called again for the next."""
        waiting = self._waiting
        if waiting and waiting[0].timestamp <= now:
            callback = heapq.heappop(waiting).alarm.callback
            if callback is not None:
                callback()
        while waiting and waiting[0].alarm.callback is None:
            heapq.heappop(waiting)
        if waiting:
            self._arm(waiting[0].timestamp)

    def awake(self, now: int) -> None:
        """Hear that the time was up that was asked for. If nothing is due, the wall clock was set back meanwhile: ask again."""
        if self._waiting and not self.due(now):
            self._arm(self._waiting[0].timestamp)

    def clear(self) -> None:
        """Forget all calls."""
        self._waiting.clear()
