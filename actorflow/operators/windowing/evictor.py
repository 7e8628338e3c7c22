"""Which records of a window count for its result: the contract of evictors.

An evictor sees all records of a window when it fires. A window with an evictor keeps every record, even if its function could work
with a running value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from actorflow.operators.windowing.window import Window


class Element(NamedTuple):
    """A record in a window.

    Attributes:
        record: the record.
        timestamp: its event time in ms; None if it has none.
    """

    record: Any
    timestamp: int | None


class Evictor:
    """Base of evictors: override one of the two methods, or both. What they leave out is gone from the window for good."""

    def before(self, elements: Sequence[Element], window: Window) -> Sequence[Element]:  # noqa: ARG002
        """Return the elements that the result is computed from.

        Args:
            elements: in the order in which they came.
            window: theirs.
        """
        return elements

    def after(self, elements: Sequence[Element], window: Window) -> Sequence[Element]:  # noqa: ARG002
        """Return the elements that stay in the window for its next result, of those that this one was computed from."""
        return elements
