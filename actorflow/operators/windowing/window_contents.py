"""What is kept of a window until it ends: a running value, its records, or its records with their times.

What is held for one window is one value, and `...` when the window has forgotten its records but goes on.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any, Final, NamedTuple, Protocol

from actorflow.operators.compiled.folding import Fold
from actorflow.operators.windowing.evictor import Element, Evictor
from actorflow.operators.windowing.window import Window

FORGOTTEN: Final[EllipsisType] = ...
"""Held for a window that was purged. It pickles, and nothing that users hold is this."""


class Content(NamedTuple):
    """What a window fires with.

    Attributes:
        value: a running value's result, or a list of records.
        kept: what is held after it.
    """

    value: Any
    kept: Any


class Contents(Protocol):
    """A way to keep what windows get."""

    def first(self, record: Any, timestamp: int | None) -> Any:
        """Return what is held for one record."""
        ...

    def add(self, held: Any, record: Any, timestamp: int | None) -> Any:
        """Return what is held with another record; what is given may be changed."""
        ...

    def merge(self, held: Any, later: Any) -> Any:
        """Return what is held for two windows that become one."""
        ...

    def content(self, held: Any, window: Window) -> Content | None:
        """Return what a window fires with; None if its records were all left out: there is no result, and they are forgotten."""
        ...


class FoldedContents:
    """A running value. See `Contents`."""

    def __init__(self, fold: Fold) -> None:
        self.merge = fold.merge
        self._first = fold.first
        self._add = fold.add
        self._result = fold.result

    def first(self, record: Any, timestamp: int | None) -> Any:  # noqa: ARG002
        """Return what is held for one record."""
        return self._first(record)

    def add(self, held: Any, record: Any, timestamp: int | None) -> Any:  # noqa: ARG002
        """Return what is held with another record."""
        return self._add(held, record)

    def content(self, held: Any, window: Window) -> Content | None:  # noqa: ARG002
        """Return the value."""
        return Content(held if self._result is None else self._result(held), held)


class RecordContents:
    """All records, in the order in which they came. See `Contents`."""

    def first(self, record: Any, timestamp: int | None) -> list[Any]:  # noqa: ARG002
        """Return what is held for one record."""
        return [record]

    def add(self, held: list[Any], record: Any, timestamp: int | None) -> list[Any]:  # noqa: ARG002
        """Return what is held with another record."""
        held.append(record)
        return held

    def merge(self, held: list[Any], later: list[Any]) -> list[Any]:
        """Return the records of the earlier window, then those of the later one."""
        return held + later

    def content(self, held: list[Any], window: Window) -> Content | None:  # noqa: ARG002
        """Return a list of the function's own."""
        return Content(held.copy(), held)


class ElementContents:
    """All records with their event times, for an evictor. See `Contents`.

    Args:
        evictor: leaves some of them out.
        fold: makes one value of the others; None if the records are wanted.
    """

    def __init__(self, evictor: Evictor, fold: Fold | None) -> None:
        self._evictor = evictor
        self._fold = fold

    def first(self, record: Any, timestamp: int | None) -> list[Element]:
        """Return what is held for one record."""
        return [Element(record, timestamp)]

    def add(self, held: list[Element], record: Any, timestamp: int | None) -> list[Element]:
        """Return what is held with another record."""
        held.append(Element(record, timestamp))
        return held

    def merge(self, held: list[Element], later: list[Element]) -> list[Element]:
        """Return the elements of the earlier window, then those of the later one."""
        return held + later

    def content(self, held: list[Element], window: Window) -> Content | None:
        """Return what the evictor leaves, before and after."""
        elements = self._evictor.before(held, window)
        if not elements:
            return None
        value = self._value(elements)
        kept = list(self._evictor.after(elements, window))
        return Content(value, kept or FORGOTTEN)

    def _value(self, elements: Any) -> Any:
        records = [element.record for element in elements]
        if self._fold is None:
            return records
        held = self._fold.first(records[0])
        for record in records[1:]:
            held = self._fold.add(held, record)
        return held if self._fold.result is None else self._fold.result(held)
