"""Joins records whose event times are near each other: `left + lower <= right <= left + upper`.

A record meets all that came before it on the other side and is within its interval, and is kept for those that will come. It is kept until the
watermark says that none will: what is still to come is later than the watermark, so a left record has met all when `watermark >= left + upper`,
a right one when `watermark >= right - lower`. A record at or before the watermark is late; it is not joined.

Records are kept in buckets of time, a quarter of the interval wide: a record looks into the few buckets that its interval touches, and a
bucket is forgotten by one timer, when the last millisecond of it has been passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.operators.joins.late import LateSides
from actorflow.operators.processing.actor import OperatorContext, Tagged, TimerContext, TwoInputOperator
from actorflow.state.descriptors import MapState
from actorflow.state.handles import MapHandle

_BUCKETS = 4
"""In an interval. More of them keep less than a quarter of it too long, and cost more look-ups for each record."""

_Kept = list[tuple[int, Any]]
"""Of one bucket: event times and records, as they came."""


class IntervalJoin(TwoInputOperator):
    """Emits `(left, right)` with the later one of both event times.

    Args:
        lower_ms: the least that the right record is later than the left one; negative: it may be earlier.
        upper_ms: the most that it is later. Both are inclusive.
        late_left: side output for late records of the left side, or None.
        late_right: the same for the right side.
    """

    left = MapState(int, object)
    right = MapState(int, object)

    def __init__(self, lower_ms: int, upper_ms: int, late_left: Tagged | None = None, late_right: Tagged | None = None) -> None:
        assert lower_ms <= upper_ms, "an interval has a beginning and an end"
        self._lower = lower_ms
        self._upper = upper_ms
        self._bucket = max(1, (upper_ms - lower_ms + 1) // _BUCKETS)
        self._late = LateSides(late_left, late_right)

    def on_left(self, record: Any, ctx: OperatorContext) -> None:
        """Join a left record with the right ones that are there, and keep it for those to come."""
        at = ctx.timestamp
        assert at is not None, "the plan has seen to event times"
        if at <= ctx.watermark:
            self._late.left(record, ctx)
            return
        for other_at, other in self._between(self.right, at + self._lower, at + self._upper):
            ctx.emit((record, other), max(at, other_at))
        self._keep(self.left, at, record, self._upper, ctx)

    def on_right(self, record: Any, ctx: OperatorContext) -> None:
        """Join a right record with the left ones that are there, and keep it for those to come."""
        at = ctx.timestamp
        assert at is not None, "the plan has seen to event times"
        if at <= ctx.watermark:
            self._late.right(record, ctx)
            return
        for other_at, other in self._between(self.left, at - self._upper, at - self._lower):
            ctx.emit((other, record), max(at, other_at))
        self._keep(self.right, at, record, -self._lower, ctx)

    def _between(self, kept: MapHandle[int, Any], first: int, last: int) -> _Kept:
        width = self._bucket
        found: _Kept = []
        for bucket in range(first // width, last // width + 1):
            held: _Kept | None = kept.get(bucket)
            if held is not None:
                found += [entry for entry in held if first <= entry[0] <= last]
        return found

    def _keep(self, kept: MapHandle[int, Any], at: int, record: Any, reach: int, ctx: OperatorContext) -> None:
        """Keep a record until the watermark is `reach` past it, if that is still to come."""
        if at + reach <= ctx.watermark:
            return
        bucket = at // self._bucket
        held: _Kept | None = kept.get(bucket)
        if held is None:
            kept.put(bucket, [(at, record)])
            ctx.timers.event((bucket + 1) * self._bucket - 1 + reach)
        else:
            kept.put(bucket, [*held, (at, record)])  # a new list: a snapshot may hold the one before

    def on_timer(self, timestamp: int, ctx: TimerContext) -> None:  # noqa: ARG002
        """Forget the buckets that end so long before."""
        for kept, reach in ((self.left, self._upper), (self.right, -self._lower)):
            end = timestamp - reach + 1
            if end % self._bucket == 0:
                kept.remove(end // self._bucket - 1)

    def observe(self) -> Mapping[str, object]:
        """Return how many records were late."""
        return self._late.observe()
