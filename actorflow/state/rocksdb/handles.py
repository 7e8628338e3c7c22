"""Handles over cached tables: a value, a dict or a list for each key. Time to live and folding are put around them (`state.binding`)."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable
from typing import Any, Protocol

from actorflow.state.comparing import MISSING
from actorflow.state.rocksdb.cached_table import CachedTable

_NO_ITEMS: dict[Any, Any] = {}


class CurrentKey(Protocol):
    """Knows the key of the record that is being processed."""

    current_key: Any


class RocksDBValue:
    """A value for each key. See `state.handles.ValueHandle`."""

    __slots__ = ("_at", "_default", "_table")

    def __init__(self, at: CurrentKey, table: CachedTable, default: Any) -> None:
        self._at = at
        self._table = table
        self._default = default

    def get(self) -> Any:
        """Return the value of the current key, or the default."""
        value = self._table.get(self._at.current_key)
        return self._default if value is MISSING else value

    def set(self, value: Any) -> None:
        """Remember a value for the current key."""
        self._table.put(self._at.current_key, value)

    def clear(self) -> None:
        """Forget the value of the current key."""
        self._table.remove(self._at.current_key)


class RocksDBMap:
    """A dict for each key. See `state.handles.MapHandle`."""

    __slots__ = ("_at", "_table")

    def __init__(self, at: CurrentKey, table: CachedTable) -> None:
        self._at = at
        self._table = table

    def get(self, entry: Any, default: Any = None) -> Any:
        """Return what `entry` maps to, or `default`."""
        return self._items().get(entry, default)

    def put(self, entry: Any, value: Any) -> None:
        """Map `entry` to `value`."""
        key = self._at.current_key
        items = self._table.get(key)
        if items is MISSING:
            items = {}
        items[entry] = value
        self._table.put(key, items)

    def contains(self, entry: Any) -> bool:
        """Return whether `entry` is mapped."""
        return entry in self._items()

    def remove(self, entry: Any) -> None:
        """Forget `entry`, if it is there."""
        key = self._at.current_key
        items = self._table.get(key)
        if items is MISSING or entry not in items:
            return
        del items[entry]
        if items:
            self._table.put(key, items)
        else:
            self._table.remove(key)

    def items(self) -> ItemsView[Any, Any]:
        """Return a view of the entries of the current key."""
        return self._items().items()

    def clear(self) -> None:
        """Forget all entries of the current key."""
        self._table.remove(self._at.current_key)

    def _items(self) -> dict[Any, Any]:
        items: Any = self._table.get(self._at.current_key)
        return _NO_ITEMS if items is MISSING else items


class RocksDBList:
    """A list for each key. See `state.handles.ListHandle`."""

    __slots__ = ("_at", "_table")

    def __init__(self, at: CurrentKey, table: CachedTable) -> None:
        self._at = at
        self._table = table

    def add(self, value: Any) -> None:
        """Append a value."""
        key = self._at.current_key
        items = self._table.get(key)
        if items is MISSING:
            items = []
        items.append(value)
        self._table.put(key, items)

    def get(self) -> list[Any]:
        """Return a copy of the values of the current key."""
        items = self._table.get(self._at.current_key)
        return [] if items is MISSING else list(items)

    def update(self, values: Iterable[Any]) -> None:
        """Replace the values of the current key."""
        items = list(values)
        if items:
            self._table.put(self._at.current_key, items)
        else:
            self.clear()

    def clear(self) -> None:
        """Forget the values of the current key."""
        self._table.remove(self._at.current_key)
