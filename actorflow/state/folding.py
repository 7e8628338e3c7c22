"""Handles that fold values into one as they come: reducing and aggregating state, over a value handle of any backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.state.descriptors import Accumulation
from actorflow.state.handles import ValueHandle


class ReducingValue:
    """See `state.handles.ReducingHandle`. The wrapped handle holds a tuple of the reduced value, so that None can be one."""

    __slots__ = ("_inner", "_reduce")

    def __init__(self, inner: ValueHandle[tuple[Any] | None], reduce: Callable[[Any, Any], Any]) -> None:
        self._inner = inner
        self._reduce = reduce

    def add(self, value: Any) -> None:
        """Combine a value with those of the current key."""
        held = self._inner.get()
        self._inner.set((value,) if held is None else (self._reduce(held[0], value),))

    def get(self) -> Any:
        """Return what the values of the current key have become, or None."""
        held = self._inner.get()
        return None if held is None else held[0]

    def clear(self) -> None:
        """Forget the values of the current key."""
        self._inner.clear()


class AggregatingValue:
    """See `state.handles.AggregatingHandle`. The wrapped handle holds a tuple of the accumulator."""

    __slots__ = ("_aggregate", "_inner")

    def __init__(self, inner: ValueHandle[tuple[Any] | None], aggregate: Accumulation[Any, Any, Any]) -> None:
        self._inner = inner
        self._aggregate = aggregate

    def add(self, value: Any) -> None:
        """Add a value to the accumulator of the current key."""
        held = self._inner.get()
        accumulator = self._aggregate.create() if held is None else held[0]
        self._inner.set((self._aggregate.add(accumulator, value),))

    def get(self) -> Any:
        """Return what the accumulator of the current key says, or None."""
        held = self._inner.get()
        return None if held is None else self._aggregate.result(held[0])

    def clear(self) -> None:
        """Forget the accumulator of the current key."""
        self._inner.clear()
