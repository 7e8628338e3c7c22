"""Joins records by key alone: each meets all of the other side that came before it and are still kept.

With a time to live, records are kept that long after they came, in processing time: a timer of each millisecond in which some came forgets them.
Without one they are kept until the input ends.

A left (right, full) join also gives out the records of that side that met none. There are no corrections of what was emitted, so it is only
said when nothing can change it any more: when the record is forgotten, or the input ends.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from actorflow.operators.processing.actor import OperatorContext, TimerContext, TwoInputOperator
from actorflow.state.descriptors import MapState
from actorflow.state.handles import MapHandle
from actorflow.wire.batch import MAX_TIMESTAMP

JoinKind = Literal["inner", "left", "right", "full"]
"""Of which sides records that met none are given out."""

_LEFT: Final = 0
_RIGHT: Final = 1

_Kept = tuple[Any, int | None, bool]
"""A record, its event time if it has one, and whether it has met another."""


class UnboundedJoin(TwoInputOperator):
    """Emits `(left, right)` with the later one of both event times, and `(left, None)` or `(None, right)` with that of the record.

    Args:
        how: of which sides records that met none are emitted.
        ttl_ms: for how long records are kept; None: until the input ends.
    """

    left = MapState(int, object)  # of each ms of processing time what came in it
    right = MapState(int, object)

    def __init__(self, how: JoinKind, ttl_ms: int | None) -> None:
        self._outer = (how in {"left", "full"}, how in {"right", "full"})
        self._ttl = ttl_ms

    def on_left(self, record: Any, ctx: OperatorContext) -> None:
        """Join a left record with the right ones that are there, and keep it."""
        matched = False
        for other, other_at in self._others(self.right, _RIGHT, ctx):
            ctx.emit((record, other), _later(ctx.timestamp, other_at))
            matched = True
        self._keep(self.left, _LEFT, (record, ctx.timestamp, matched), ctx)

    def on_right(self, record: Any, ctx: OperatorContext) -> None:
        """Join a right record with the left ones that are there, and keep it."""
        matched = False
        for other, other_at in self._others(self.left, _LEFT, ctx):
            ctx.emit((other, record), _later(ctx.timestamp, other_at))
            matched = True
        self._keep(self.right, _RIGHT, (record, ctx.timestamp, matched), ctx)

    def _others(self, kept: MapHandle[int, Any], side: int, ctx: OperatorContext) -> list[tuple[Any, int | None]]:
        """Return what is kept of a side, and note that it has met another."""
        since = ctx.processing_time() - self._ttl if self._ttl is not None else None
        found: list[tuple[Any, int | None]] = []
        held: list[_Kept]
        for came, held in list(kept.items()):
            if since is not None and came <= since:
                continue  # its timer is about to fire
            found += [(record, at) for record, at, _ in held]
            if self._outer[side] and not all(matched for _, _, matched in held):
                kept.put(came, [(record, at, True) for record, at, _ in held])
        return found

    def _keep(self, kept: MapHandle[int, Any], side: int, entry: _Kept, ctx: OperatorContext) -> None:
        now = ctx.processing_time()
        held: list[_Kept] | None = kept.get(now)
        if held is not None:
            kept.put(now, [*held, entry])
            return
        kept.put(now, [entry])
        if self._ttl is not None:
            ctx.timers.processing(now + self._ttl)
        elif self._outer[side]:
            ctx.timers.event(MAX_TIMESTAMP)

    def on_timer(self, timestamp: int, ctx: TimerContext) -> None:
        """Forget what came in the millisecond whose time is over; at the end, everything."""
        for side, kept in ((_LEFT, self.left), (_RIGHT, self.right)):
            over = [timestamp - self._ttl] if self._ttl is not None else [came for came, _ in kept.items()]
            for came in over:
                held: Any = kept.get(came, ())
                kept.remove(came)
                for record, at, matched in held:
                    if self._outer[side] and not matched:
                        ctx.emit((record, None) if side == _LEFT else (None, record), at)


def _later(one: int | None, other: int | None) -> int | None:
    """Return the later one of two event times; None if there are none."""
    return max(one, other) if one is not None and other is not None else None
