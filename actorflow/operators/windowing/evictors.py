"""The evictors that come with actorflow: `af.evictors.*`. They leave records out of a window when it fires; see `af.Evictor`.

    stream.key_by(key).window(af.windows.global_()).trigger(af.triggers.count(1)).evict(af.evictors.count(10)).apply(moving_average)

Each works before the result is computed, or with `after=True` behind it: then the result is of all records, and the next one of what was
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actorflow.config.values import Duration, duration_ms
from actorflow.errors import PlanError
from actorflow.operators.windowing.evictor import Element, Evictor
from actorflow.operators.windowing.window import Window

__all__ = ["count", "delta", "time"]


def count(size: int, *, after: bool = False) -> Evictor:
    """Keep the last `size` records.

    Raises:
        PlanError: if `size` is not a whole number, 0 or more.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise PlanError(f"a count evictor keeps a whole number of records, not {size!r}")
    return CountEvictor(size, after=after)


def time(length: Duration, *, after: bool = False) -> Evictor:
    """Keep the records whose event time is less than `length` before the latest one of the window. Records without event time stay."""
    return TimeEvictor(duration_ms(length, "length of a time evictor"), after=after)


def delta(threshold: float, fn: Callable[[Any, Any], Any], *, after: bool = False) -> Evictor:
    """Keep the records that differ from the last one by less than `threshold`.

    Args:
        threshold: compared with what `fn` returns.
        fn: `fn(record, last record)`, a number.
        after: see the module's text.
    """
    if not callable(fn):
        raise PlanError(f"a delta evictor needs a function of two records, not {fn!r}")
    return DeltaEvictor(threshold, fn, after=after)


class BuiltInEvictor(Evictor):
    """An evictor that does the same before or after the result is computed."""

    def __init__(self, *, after: bool) -> None:
        self.at_end = after

    def kept(self, elements: Sequence[Element]) -> Sequence[Element]:
        """Return the elements that stay."""
        raise NotImplementedError

    def before(self, elements: Sequence[Element], window: Window) -> Sequence[Element]:  # noqa: ARG002
        """Leave out what does not stay."""
        return elements if self.at_end else self.kept(elements)

    def after(self, elements: Sequence[Element], window: Window) -> Sequence[Element]:  # noqa: ARG002
        """Leave out what does not stay."""
        return self.kept(elements) if self.at_end else elements


class CountEvictor(BuiltInEvictor):
    """See `count`."""

    def __init__(self, size: int, *, after: bool) -> None:
        super().__init__(after=after)
        self.size = size

    def kept(self, elements: Sequence[Element]) -> Sequence[Element]:
        """Return the last elements."""
        return elements[max(0, len(elements) - self.size) :]


class TimeEvictor(BuiltInEvictor):
    """See `time`."""

    def __init__(self, length: int, *, after: bool) -> None:
        super().__init__(after=after)
        self.length = length

    def kept(self, elements: Sequence[Element]) -> Sequence[Element]:
        """Return the latest elements."""
        latest = max((timestamp for _, timestamp in elements if timestamp is not None), default=None)
        if latest is None:
            return elements
        return [element for element in elements if element.timestamp is None or element.timestamp > latest - self.length]


class DeltaEvictor(BuiltInEvictor):
    """See `delta`."""

    def __init__(self, threshold: float, fn: Callable[[Any, Any], Any], *, after: bool) -> None:
        super().__init__(after=after)
        self.threshold = threshold
        self.fn = fn

    def kept(self, elements: Sequence[Element]) -> Sequence[Element]:
        """Return the elements near the last one."""
        last = elements[-1].record
        return [element for element in elements if self.fn(element.record, last) < self.threshold]
