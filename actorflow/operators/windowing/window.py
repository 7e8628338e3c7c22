"""Windows as values, what assigns records to them, and what comes out of them.

A window is a span of time, half-open: `[start, end)` in milliseconds. An *assigner* says which windows a record belongs to, and which clock
they end by: event time (the watermark has passed the window's last millisecond) or processing time (the wall clock has reached its end).
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, TypeVar

from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP

if TYPE_CHECKING:
    from actorflow.operators.windowing.evictor import Evictor
    from actorflow.operators.windowing.trigger import Trigger

K = TypeVar("K")
V = TypeVar("V")

TimeDomain = Literal["event", "processing"]


class Window(NamedTuple):
    """A span of time.

    Attributes:
        start: its first millisecond.
        end: the first millisecond after it.
    """

    start: int
    end: int

    @property
    def max_timestamp(self) -> int:
        """Its last millisecond."""
        return self.end - 1

    def touches(self, other: Window) -> bool:
        """Return whether nothing lies between the two: they overlap, or one begins where the other ends."""
        return self.start <= other.end and other.start <= self.end

    def cover(self, other: Window) -> Window:
        """Return the smallest window that holds both."""
        return Window(min(self.start, other.start), max(self.end, other.end))


GLOBAL: Final = Window(MIN_TIMESTAMP, MAX_TIMESTAMP)
"""The window of all time, which never ends."""


class Windowed(NamedTuple, Generic[K, V]):
    """A result of a window.

    Attributes:
        key: whose; None without `key_by`.
        window: of which time.
        value: what was computed.
    """

    key: K
    window: Window
    value: V


class WindowAssigner(abc.ABC):
    """Says which windows a record belongs to. A value: subtasks share it, so it keeps nothing between calls.

    Attributes:
        time: the clock that its windows end by.
        merging: whether windows of one key that overlap or touch become one (sessions).
        needs_timestamps: whether records must have event times. Where they need not, `timestamp` is that of the record, or None.
    """

    time: TimeDomain = "event"
    merging: bool = False

    @property
    def needs_timestamps(self) -> bool:
        """Whether records must have event times."""
        return self.time == "event"

    @abc.abstractmethod
    def assign(self, record: Any, timestamp: int) -> Iterable[Window]:
        """Return the windows of a record, maybe none.

        Args:
            record: the record.
            timestamp: its event time, or the wall clock for windows in processing time; in ms.
        """

    def default_trigger(self) -> Trigger:
        """Return when windows give their results, unless the user says otherwise: when they end."""
        from actorflow.operators.windowing.triggers import event_time, processing_time

        return event_time() if self.time == "event" else processing_time()

    def default_evictor(self) -> Evictor | None:
        """Return what leaves records out of windows, unless the user says otherwise."""
        return None
