"""Time as a value that is passed in.

Nothing below `actor/` reads a clock: machines get `now` as an argument. `ManualClock` is the clock of simulations and tests.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back (its zero is arbitrary)."""
        ...

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The clocks of this machine."""

    __slots__ = ()

    def now(self) -> float:
        """Return `time.monotonic()`, in seconds."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000


_ROUNDING_MS = 1e-3
"""A sum of seconds that is meant to be a whole millisecond may fall this much short of it: a timer would find itself early."""


class ManualClock:
    """A clock that moves only when told to.

    Args:
        start_s: first reading of `now`, in seconds.
        wall_start_ms: reading of `wall_ms` at that moment.
    """

    __slots__ = ("_now_s", "_wall_offset_ms")

    def __init__(self, start_s: float = 0.0, wall_start_ms: int = 1_700_000_000_000) -> None:
        self._now_s = start_s
        self._wall_offset_ms = wall_start_ms - int(start_s * 1000)

    def now(self) -> float:
        """Return the seconds that have passed, plus the start."""
        return self._now_s

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds; it advances with `now`."""
        return self._wall_offset_ms + int(self._now_s * 1000 + _ROUNDING_MS)

    def advance(self, seconds: float) -> None:
        """Move time forward by `seconds` (not negative)."""
        assert seconds >= 0, "time does not go back"
        self._now_s += seconds

    def advance_to(self, now_s: float) -> None:
        """Move time forward to `now_s`, if it is not there already."""
        self._now_s = max(self._now_s, now_s)
