"""Where a subtask's time goes, and how much passes through it.

A subtask is at every moment busy (working, or waiting for its turn with work at hand), idle (nothing to do) or back-pressured (it has
work, and nowhere to put the result). The three shares of the last second add up to 1000 ms. All of it costs two clock readings a batch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from actorflow.clock import Clock

_WINDOW_S = 1.0
"""How often the shares are taken anew, in seconds."""


class Activity(enum.IntEnum):
    """What a subtask is doing."""

    BUSY = 0
    IDLE = 1
    BACK_PRESSURED = 2


@dataclass(frozen=True, slots=True)
class SubtaskMetrics:
    """What a subtask has done, as a value. Names follow Flink's task metrics.

    Attributes:
        records_in: records taken from channels, or read from a source.
        records_out: records given to channels, or written to a sink.
        bytes_in: encoded bytes that came from other nodes.
        bytes_out: encoded bytes that went to other nodes.
        busy_ms_per_second: share of the last whole second, in ms.
        idle_ms_per_second: share of the last whole second, in ms.
        back_pressured_ms_per_second: share of the last whole second, in ms.
        busy_s: total since the start, in seconds.
        idle_s: total since the start, in seconds.
        back_pressured_s: total since the start, in seconds.
        records_in_per_second: of the last whole second.
        records_out_per_second: of the last whole second.
    """

    records_in: int
    records_out: int
    bytes_in: int
    bytes_out: int
    busy_ms_per_second: int
    idle_ms_per_second: int
    back_pressured_ms_per_second: int
    busy_s: float
    idle_s: float
    back_pressured_s: float
    records_in_per_second: float = 0.0
    records_out_per_second: float = 0.0


def _nothing() -> tuple[int, int]:
    return 0, 0


class Meter:
    """Adds up the time spent in each activity.

    Args:
        clock: read at every switch.

    Attributes:
        count: returns the records taken and given so far; set once there is something to count.
        shares_ms: busy, idle and back-pressured in the last whole second.
        rates: records taken and given per second, in that second.
    """

    __slots__ = (
        "_activity",
        "_since",
        "_totals_s",
        "_window_counts",
        "_window_start",
        "_window_totals_s",
        "count",
        "now",
        "rates",
        "shares_ms",
    )

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self._activity = Activity.IDLE
        self._since = self._window_start = clock.now()
        self._totals_s = [0.0, 0.0, 0.0]
        self._window_totals_s = (0.0, 0.0, 0.0)
        self.shares_ms: tuple[int, int, int] = (0, 1000, 0)
        self.count: Callable[[], tuple[int, int]] = _nothing
        self.rates = (0.0, 0.0)
        self._window_counts = (0, 0)

    @property
    def activity(self) -> Activity:
        """What the subtask is doing now."""
        return self._activity

    @property
    def since_s(self) -> float:
        """Since when it is doing that, in seconds (monotonic)."""
        return self._since

    def switch(self, activity: Activity) -> None:
        """Book the time since the last switch, and go on in `activity`."""
        now = self.now()
        self._totals_s[self._activity] += now - self._since
        self._since = now
        self._activity = activity
        if now - self._window_start >= _WINDOW_S:
            self._close_window(now)

    def _close_window(self, now: float) -> None:
        elapsed = now - self._window_start
        busy, idle, _ = (
            round((total - before) / elapsed * 1000) for total, before in zip(self._totals_s, self._window_totals_s, strict=True)
        )
        self.shares_ms = (busy, idle, 1000 - busy - idle)
        counts = self.count()
        self.rates = (counts[0] - self._window_counts[0]) / elapsed, (counts[1] - self._window_counts[1]) / elapsed
        self._window_counts = counts
        self._window_start = now
        self._window_totals_s = (self._totals_s[0], self._totals_s[1], self._totals_s[2])

    def totals_s(self) -> tuple[float, float, float]:
        """Return the seconds spent busy, idle and back-pressured, up to now."""
        self.switch(self._activity)
        busy, idle, pressed = self._totals_s
        return busy, idle, pressed
