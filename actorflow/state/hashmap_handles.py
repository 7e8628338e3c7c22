"""Handles on keyed state in dicts. The second kind tells which keys may have changed, for incremental snapshots.

A value that a handle has given out may be changed in place, as long as its key is the current one: it is taken for changed, too.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable
from typing import Any, Final, Protocol

from actorflow.state.changes import IMMUTABLE

_NO_ITEMS: Final[dict[Any, Any]] = {}

Note = Callable[[Any], object]
"""Takes a key whose value may change."""


class HasKey(Protocol):
    """Knows the key that is being processed."""

    current_key: Any


class HashMapValue:
    """A value for each key. See `state.handles.ValueHandle`."""

    __slots__ = ("_backend", "_default", "_entries")

    def __init__(self, backend: HasKey, entries: dict[Any, Any], default: Any) -> None:
        self._backend = backend
        self._entries = entries
        self._default = default

    def get(self) -> Any:
        """Return the value of the current key, or the default."""
        return self._entries.get(self._backend.current_key, self._default)

    def set(self, value: Any) -> None:
        """Remember a value for the current key."""
        self._entries[self._backend.current_key] = value

    def clear(self) -> None:
        """Forget the value of the current key."""
        _forget(self._entries, self._backend.current_key)


class HashMapMap:
    """A dict for each key. See `state.handles.MapHandle`."""

    __slots__ = ("_backend", "_entries")

    def __init__(self, backend: HasKey, entries: dict[Any, dict[Any, Any]]) -> None:
        self._backend = backend
        self._entries = entries

    def get(self, entry: Any, default: Any = None) -> Any:
        """Return what `entry` maps to, or `default`."""
        return self._entries.get(self._backend.current_key, _NO_ITEMS).get(entry, default)

    def put(self, entry: Any, value: Any) -> None:
        """Map `entry` to `value`."""
        key = self._backend.current_key
        items = self._entries.get(key)
        if items is None:
            items = self._entries[key] = {}
        items[entry] = value

    def contains(self, entry: Any) -> bool:
        """Return whether `entry` is mapped."""
        return entry in self._entries.get(self._backend.current_key, _NO_ITEMS)

    def remove(self, entry: Any) -> None:
        """Forget `entry`, if it is there."""
        key = self._backend.current_key
        items = self._entries.get(key)
        if items is not None:
            items.pop(entry, None)
            if not items:
                del self._entries[key]

    def items(self) -> ItemsView[Any, Any]:
        """Return a view of the entries of the current key."""
        return self._entries.get(self._backend.current_key, _NO_ITEMS).items()

    def clear(self) -> None:
        """Forget all entries of the current key."""
        _forget(self._entries, self._backend.current_key)


class HashMapList:
    """A list for each key. See `state.handles.ListHandle`."""

    __slots__ = ("_backend", "_entries")

    def __init__(self, backend: HasKey, entries: dict[Any, list[Any]]) -> None:
        self._backend = backend
        self._entries = entries

    def add(self, value: Any) -> None:
        """Append a value."""
        key = self._backend.current_key
        items = self._entries.get(key)
        if items is None:
            items = self._entries[key] = []
        items.append(value)

    def get(self) -> list[Any]:
        """Return a copy of the values of the current key."""
        return list(self._entries.get(self._backend.current_key, ()))

    def update(self, values: Iterable[Any]) -> None:
        """Replace the values of the current key."""
        items = list(values)
        if items:
            self._entries[self._backend.current_key] = items
        else:
            self.clear()

    def clear(self) -> None:
        """Forget the values of the current key."""
        _forget(self._entries, self._backend.current_key)


class NotingValue(HashMapValue):
    """A value for each key, which tells what changes.

    Args:
        backend: knows the current key.
        entries: the values by key.
        default: what there is without a value.
        note: is told.
    """

    __slots__ = ("_note",)

    def __init__(self, backend: HasKey, entries: dict[Any, Any], default: Any, note: Note) -> None:
        super().__init__(backend, entries, default)
        self._note = note

    def get(self) -> Any:
        """Return the value of the current key, or the default."""
        value = super().get()
        if type(value) not in IMMUTABLE:
            self._note(self._backend.current_key)
        return value

    def set(self, value: Any) -> None:
        """Remember a value for the current key."""
        super().set(value)
        self._note(self._backend.current_key)

    def clear(self) -> None:
        """Forget the value of the current key."""
        self._note(self._backend.current_key)
        super().clear()


class NotingMap(HashMapMap):
    """A dict for each key, which tells what changes. See `NotingValue`."""

    __slots__ = ("_note",)

    def __init__(self, backend: HasKey, entries: dict[Any, dict[Any, Any]], note: Note) -> None:
        super().__init__(backend, entries)
        self._note = note

    def get(self, entry: Any, default: Any = None) -> Any:
        """Return what `entry` maps to, or `default`."""
        value = super().get(entry, default)
        if type(value) not in IMMUTABLE:
            self._note(self._backend.current_key)
        return value

    def put(self, entry: Any, value: Any) -> None:
        """Map `entry` to `value`."""
        super().put(entry, value)
        self._note(self._backend.current_key)

    def remove(self, entry: Any) -> None:
        """Forget `entry`, if it is there."""
        self._note(self._backend.current_key)
        super().remove(entry)

    def items(self) -> ItemsView[Any, Any]:
        """Return a view of the entries of the current key."""
        items = super().items()
        if not IMMUTABLE.issuperset({type(value) for _, value in items}):
            self._note(self._backend.current_key)
        return items

    def clear(self) -> None:
        """Forget all entries of the current key."""
        self._note(self._backend.current_key)
        super().clear()


class NotingList(HashMapList):
    """A list for each key, which tells what changes. See `NotingValue`."""

    __slots__ = ("_note",)

    def __init__(self, backend: HasKey, entries: dict[Any, list[Any]], note: Note) -> None:
        super().__init__(backend, entries)
        self._note = note

    def add(self, value: Any) -> None:
        """Append a value."""
        super().add(value)
        self._note(self._backend.current_key)

    def get(self) -> list[Any]:
        """Return a copy of the values of the current key."""
        values = super().get()
        if not IMMUTABLE.issuperset(map(type, values)):
            self._note(self._backend.current_key)
        return values

    def update(self, values: Iterable[Any]) -> None:
        """Replace the values of the current key."""
        super().update(values)
        self._note(self._backend.current_key)

    def clear(self) -> None:
        """Forget the values of the current key."""
        self._note(self._backend.current_key)
        super().clear()


def _forget(entries: dict[Any, Any], key: Any) -> None:
    """Remove a key, if it is there."""
    if key in entries:  # an empty dict would `pop` without a look at the key, and so take `NO_KEY` for one
        del entries[key]  # noqa: RUF051
