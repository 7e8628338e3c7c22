"""The windows that come with actorflow: `af.windows.*`.

    stream.key_by(key).window(af.windows.tumbling("1min")).count()

Each function returns an assigner: a small value that says which windows a record belongs to. Derive a class from `af.WindowAssigner` for
others. Durations are written as everywhere: `"10min"`, a timedelta, or milliseconds. Windows are aligned to 1970-01-01 00:00 UTC plus
`offset`, before it as well as after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from actorflow.config.values import Duration, duration_ms, signed_duration_ms
from actorflow.errors import PlanError
from actorflow.operators.windowing.evictor import Evictor
from actorflow.operators.windowing.trigger import Trigger
from actorflow.operators.windowing.window import GLOBAL, TimeDomain, Window, WindowAssigner, Windowed

__all__ = ["GLOBAL", "Window", "Windowed", "count", "global_", "session", "sliding", "tumbling"]


def tumbling(size: Duration, offset: Duration = 0, *, time: TimeDomain = "event") -> WindowAssigner:
    """Return windows of one size, one after the other; a record is in one of them.

    Args:
        size: their length.
        offset: by how much later than 1970 UTC they start: `"15min"` makes hourly windows begin at a quarter past, and `"-8h"` daily
            windows at midnight of a time zone eight hours ahead.
        time: `event` (the timestamps of records) or `processing` (the wall clock as they are processed).

    Raises:
        PlanError: if the size is 0, or `time` is unknown.
    """
    length = _positive("size of tumbling", size)
    return TimeWindows(length, length, signed_duration_ms(offset, "offset of tumbling"), _checked(time))


def sliding(size: Duration, slide: Duration, offset: Duration = 0, *, time: TimeDomain = "event") -> WindowAssigner:
    """Return windows of one size that start every `slide`; a record is in all that overlap there, or in none if `slide` leaves gaps.

    Args:
        size: their length.
        slide: from the start of one to the start of the next.
        offset: see `tumbling`.
        time: see `tumbling`.

    Raises:
        PlanError: if size or slide is 0, or `time` is unknown.
    """
    length, step = _positive("size of sliding", size), _positive("slide of sliding", slide)
    return TimeWindows(length, step, signed_duration_ms(offset, "offset of sliding"), _checked(time))


def session(gap: Duration | Callable[[Any], Duration], *, time: TimeDomain = "event") -> WindowAssigner:
    """Return windows that last as long as records keep coming, and end when none has come for the gap.

    Args:
        gap: how long nothing comes before a session is over; a function of the record if that differs between records.
        time: see `tumbling`.

    Raises:
        PlanError: if the gap is 0, or `time` is unknown.
    """
    if callable(gap):
        return DynamicSessionWindows(gap, _checked(time))
    return SessionWindows(_positive("gap of session", gap), _checked(time))


def global_() -> WindowAssigner:
    """Return one window for all records of a key. It never ends, so it gives results only with a trigger that says when."""
    return GlobalWindows()


def count(size: int, slide: int | None = None) -> WindowAssigner:
    """Return windows of a number of records of a key, whatever their time.

    Args:
        size: how many records are in a window.
        slide: after how many records there is a result; by default `size`, so that every record is in one result.

    Raises:
        PlanError: if a number is not at least 1.
    """
    _at_least_one("size", size)
    if slide is not None:
        _at_least_one("slide", slide)
    return CountWindows(size, slide)


@dataclass(frozen=True)
class TimeWindows(WindowAssigner):
    """Windows of one size at regular starts.

    Attributes:
        size: length, in ms.
        slide: from start to start, in ms; equal to `size` if they tumble.
        offset: of the starts, in ms.
        time: see `WindowAssigner`.
    """

    size: int
    slide: int
    offset: int = 0
    time: TimeDomain = "event"

    def assign(self, record: Any, timestamp: int) -> Sequence[Window]:  # noqa: ARG002
        """Return the windows around the timestamp, first one first."""
        last = timestamp - (timestamp - self.offset) % self.slide
        first = last - (self.size - 1 - (timestamp - last)) // self.slide * self.slide
        return [Window(start, start + self.size) for start in range(first, last + 1, self.slide)]


@dataclass(frozen=True)
class SessionWindows(WindowAssigner):
    """Sessions with one gap.

    Attributes:
        gap: in ms.
        time: see `WindowAssigner`.
    """

    gap: int
    time: TimeDomain = "event"
    merging = True

    def gap_after(self, record: Any) -> int:  # noqa: ARG002
        """Return the gap, in ms."""
        return self.gap

    def assign(self, record: Any, timestamp: int) -> Sequence[Window]:  # noqa: ARG002
        """Return the window from this record to the end of the gap after it; it merges with its neighbours."""
        return (Window(timestamp, timestamp + self.gap),)


@dataclass(frozen=True)
class DynamicSessionWindows(WindowAssigner):
    """Sessions whose gap depends on the record.

    Attributes:
        gap_of: returns the gap of a record, a duration.
        time: see `WindowAssigner`.
    """

    gap_of: Callable[[Any], Duration]
    time: TimeDomain = "event"
    merging = True

    def gap_after(self, record: Any) -> int:
        """Return the gap after a record, in ms.

        Raises:
            PlanError: if it is 0.
            ConfigError: if it is no duration.
        """
        gap = self.gap_of(record)
        return gap if type(gap) is int and gap > 0 else _positive("gap that the function of session returned", gap)

    def assign(self, record: Any, timestamp: int) -> Sequence[Window]:
        """Return the window from this record to the end of its gap."""
        return (Window(timestamp, timestamp + self.gap_after(record)),)


@dataclass(frozen=True)
class GlobalWindows(WindowAssigner):
    """One window for all time."""

    @property
    def needs_timestamps(self) -> bool:
        """No: what has no end does not care."""
        return False

    def assign(self, record: Any, timestamp: int) -> Sequence[Window]:  # noqa: ARG002
        """Return the global window."""
        return (GLOBAL,)

    def default_trigger(self) -> Trigger:
        """Return the trigger that never fires."""
        from actorflow.operators.windowing.triggers import never

        return never()


@dataclass(frozen=True)
class CountWindows(GlobalWindows):
    """Windows of a number of records.

    Attributes:
        size: records in a window.
        slide: records from one result to the next; None if windows do not overlap.
    """

    size: int
    slide: int | None = None

    def default_trigger(self) -> Trigger:
        """Return the trigger that counts."""
        from actorflow.operators.windowing import triggers

        return triggers.purging(triggers.count(self.size)) if self.slide is None else triggers.count(self.slide)

    def default_evictor(self) -> Evictor | None:
        """Return what keeps the last records, if windows overlap."""
        from actorflow.operators.windowing import evictors

        return None if self.slide is None else evictors.count(self.size)


def _positive(what: str, duration: Duration) -> int:
    length = duration_ms(duration, what)
    if length <= 0:
        raise PlanError(f"the {what} must be longer than 0, not {duration!r}")
    return length


def _at_least_one(what: str, number: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise PlanError(f"the {what} of count windows must be a whole number of records, 1 or more, not {number!r}")


def _checked(time: TimeDomain) -> TimeDomain:
    if time not in get_args(TimeDomain):
        raise PlanError(f"the time of windows cannot be {time!r}", hint="'event' or 'processing'")
    return time
