"""Joins and co-groups by key and window: both streams become one of tagged records, which is windowed.

left  ──► (key, 0, record) ──┐
right ──► (key, 1, record) ──┴─ union ──► by key, window ──► records of both sides ──► pairs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from actorflow.operators.joins.unbounded import JoinKind

L = TypeVar("L")
R = TypeVar("R")

LEFT: Final = 0
RIGHT: Final = 1


class CoGroup(NamedTuple, Generic[L, R]):
    """The records of one key and window.

    Attributes:
        left: those of the left stream, as they came.
        right: those of the right stream.
    """

    left: list[L]
    right: list[R]


@dataclass(frozen=True, slots=True)
class Tagging:
    """A function from a record to `(key, side, record)`."""

    key: Callable[[Any], Any]
    side: int

    def __call__(self, record: Any) -> tuple[Any, int, Any]:
        """Return the record with its key and side."""
        return self.key(record), self.side, record


def co_grouped(key: Any, window: Any, tagged: list[tuple[Any, int, Any]], ctx: Any) -> CoGroup[Any, Any]:  # noqa: ARG001
    """Return the records of both sides. A window function."""
    return CoGroup([record for _, side, record in tagged if side == LEFT], [record for _, side, record in tagged if side == RIGHT])


@dataclass(frozen=True, slots=True)
class Pairing:
    """A window function that gives each left record with each right one; see `JoinKind` for records without another."""

    how: JoinKind

    def __call__(self, key: Any, window: Any, tagged: list[tuple[Any, int, Any]], ctx: Any) -> Iterator[tuple[Any, Any]]:
        """Give the pairs."""
        left, right = co_grouped(key, window, tagged, ctx)
        for record in left:
            for other in right:
                yield record, other
        if not right and self.how in {"left", "full"}:
            yield from ((record, None) for record in left)
        if not left and self.how in {"right", "full"}:
            yield from ((None, record) for record in right)
