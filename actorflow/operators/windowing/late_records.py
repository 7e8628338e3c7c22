"""Where records go that come too late for all their windows."""

from __future__ import annotations

from typing import Any

from actorflow.operators.stage import Consumer
from actorflow.wire.batch import ObjectBatch


class LateRecords:
    """Passes late records on to a side output; without one that is read it counts and drops them.

    Args:
        side: takes them, or None.

    Attributes:
        dropped: how many were dropped.
    """

    def __init__(self, side: Consumer | None) -> None:
        self.dropped = 0
        self._side = side

    def take(self, records: list[Any], timestamps: list[int]) -> None:
        """Take records, maybe none."""
        if not records:
            return
        if self._side is None:
            self.dropped += len(records)
        else:
            self._side.process(ObjectBatch(records, timestamps))
