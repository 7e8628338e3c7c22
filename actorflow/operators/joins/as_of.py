"""Joins each left record with the latest right one at or before its event time.

A left record waits until the watermark has reached its time: then every right record that can be meant is there. Time goes on by timers, one for
each time at which something happens to a key: right records become the latest in the order of their event times, and left records meet what
is the latest at theirs.

    right at 3, 7; left at 5, 9;  watermark 10:   3: latest   5: (left, 3)   7: latest   9: (left, 7)

Of right records with one event time the one that came last counts. A right record that is late becomes the latest all the same if no later one is
known: what is still to come is to meet it. A late left record is not joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.operators.joins.late import LateSides
from actorflow.operators.processing.actor import OperatorContext, Tagged, TimerContext, TwoInputOperator
from actorflow.state.descriptors import MapState, ValueState


class AsOfJoin(TwoInputOperator):
    """Emits `(left, right)` with the event time of the left record.

    Args:
        tolerance_ms: how much earlier the right record may be, at most; None: as much as it likes, and the latest is kept for ever.
        unmatched: whether a left record that finds nothing is emitted with None.
        late_left: side output for late records of the left side, or None.
    """

    waiting = MapState(int, object)  # of each time the left records, as they came
    versions = MapState(int, object)  # of each time after the watermark the right record, in a tuple
    latest = ValueState(object)  # its time and the right record

    def __init__(self, tolerance_ms: int | None, *, unmatched: bool, late_left: Tagged | None = None) -> None:
        self._tolerance = tolerance_ms
        self._unmatched = unmatched
        self._late = LateSides(late_left, None)

    def on_left(self, record: Any, ctx: OperatorContext) -> None:
        """Have a left record wait for its time."""
        at = ctx.timestamp
        assert at is not None, "the plan has seen to event times"
        if at <= ctx.watermark:
            self._late.left(record, ctx)
            return
        waiting: Any = self.waiting.get(at, ())
        self.waiting.put(at, (*waiting, record))
        ctx.timers.event(at)

    def on_right(self, record: Any, ctx: OperatorContext) -> None:
        """Have a right record wait for its time, or make it the latest if that is over."""
        at = ctx.timestamp
        assert at is not None, "the plan has seen to event times"
        if at > ctx.watermark:
            self.versions.put(at, (record,))
            ctx.timers.event(at)
            return
        self._late.right(record, ctx)
        latest: Any = self.latest.get()
        newest = latest is None or at >= latest[0]
        if newest and (self._tolerance is None or at + self._tolerance > ctx.watermark):
            self._becomes_latest(at, record, ctx)

    def _becomes_latest(self, at: int, record: Any, ctx: OperatorContext) -> None:
        self.latest.set((at, record))
        if self._tolerance:
            ctx.timers.event(at + self._tolerance)

    def on_timer(self, timestamp: int, ctx: TimerContext) -> None:
        """Let the time of a key go on to `timestamp`."""
        version: Any = self.versions.get(timestamp)
        if version is not None:
            self.versions.remove(timestamp)
            self._becomes_latest(timestamp, version[0], ctx)
        latest: Any = self.latest.get()
        in_reach = latest is not None and (self._tolerance is None or timestamp - latest[0] <= self._tolerance)
        waiting: Any = self.waiting.get(timestamp, ())
        if waiting:
            self.waiting.remove(timestamp)
            if in_reach or self._unmatched:
                for record in waiting:
                    ctx.emit((record, latest[1] if in_reach else None))
        if latest is not None and self._tolerance is not None and timestamp >= latest[0] + self._tolerance:
            self.latest.clear()

    def observe(self) -> Mapping[str, object]:
        """Return how many records were late."""
        return self._late.observe()
