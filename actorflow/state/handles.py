"""What an operator can do with its keyed state: the calls on `self.seen`, always for the key of the current record.

A handle belongs to one operator instance and one backend. It is bound before `on_start`; it has no key of its own, the backend
knows the current one.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class ValueHandle(Protocol[T]):
    """One value for each key."""

    def get(self) -> T:
        """Return the value of the current key, or the declared default."""
        ...

    def set(self, value: T) -> None:
        """Remember `value` for the current key."""
        ...

    def clear(self) -> None:
        """Forget the value of the current key."""
        ...


class MapHandle(Protocol[K, V]):
    """A mapping for each key."""

    def get(self, entry: K, default: V | None = None) -> V | None:
        """Return what `entry` maps to, or `default`."""
        ...

    def put(self, entry: K, value: V) -> None:
        """Map `entry` to `value`."""
        ...

    def contains(self, entry: K) -> bool:
        """Return whether `entry` is mapped."""
        ...

    def remove(self, entry: K) -> None:
        """Forget `entry`; nothing happens if it is not there."""
        ...

    def items(self) -> ItemsView[K, V]:
        """Return the entries of the current key, in the order in which they were first put. Copy before changing them on the way."""
        ...

    def clear(self) -> None:
        """Forget all entries of the current key."""
        ...


class ListHandle(Protocol[T]):
    """A list for each key."""

    def add(self, value: T) -> None:
        """Append a value."""
        ...

    def get(self) -> list[T]:
        """Return the values of the current key, oldest first, as a list of the caller's own."""
        ...

    def update(self, values: Iterable[T]) -> None:
        """Replace the values of the current key."""
        ...

    def clear(self) -> None:
        """Forget the values of the current key."""
        ...


class ReducingHandle(Protocol[T]):
    """The values of each key, combined as they come."""

    def add(self, value: T) -> None:
        """Combine a value with those of the current key."""
        ...

    def get(self) -> T | None:
        """Return what the values of the current key have become, or None if there are none."""
        ...

    def clear(self) -> None:
        """Forget the values of the current key."""
        ...


class AggregatingHandle(Protocol[In_contra, Out_co]):
    """The values of each key, in an accumulator."""

    def add(self, value: In_contra) -> None:
        """Add a value to the accumulator of the current key."""
        ...

    def get(self) -> Out_co | None:
        """Return what the accumulator of the current key says, or None if nothing was added."""
        ...

    def clear(self) -> None:
        """Forget the accumulator of the current key."""
        ...
