"""Late records of the two sides of a join: counted, and given to a side output if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.operators.processing.actor import OperatorContext, Tagged


class LateSides:
    """Where late records go.

    Args:
        left_to: side output for those of the left side, or None.
        right_to: the same for the right side.
    """

    def __init__(self, left_to: Tagged | None, right_to: Tagged | None) -> None:
        self._left_to = left_to
        self._right_to = right_to
        self._left = 0
        self._right = 0

    def left(self, record: Any, ctx: OperatorContext) -> None:
        """Take a record of the left side."""
        self._left += 1
        if self._left_to is not None:
            ctx.emit_to(self._left_to, record)

    def right(self, record: Any, ctx: OperatorContext) -> None:
        """Take a record of the right side."""
        self._right += 1
        if self._right_to is not None:
            ctx.emit_to(self._right_to, record)

    def observe(self) -> Mapping[str, object]:
        """Return how many there were of each side."""
        return {"late_left": self._left, "late_right": self._right}
