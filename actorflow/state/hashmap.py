"""Keyed state in Python dicts: the fastest backend, for state that fits in memory.

One dict a state, from key to value. A map state holds a dict for each key and a list state a list, which disappear with their last
entry, so that a key exists only while it holds something. A state with namespaces has one dict for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, ItemsView, Iterable, Iterator
from typing import Any

from actorflow.clock import SystemClock
from actorflow.errors import PlanError
from actorflow.state.backend import NO_KEY, KeyGroupState, Overlay
from actorflow.state.binding import KeyedState, StateHandle, bound, presented
from actorflow.state.descriptors import StateDescriptor
from actorflow.state.expiry import ExpiryLine, expiry_line, remember
from actorflow.state.timers import TIMERS_STATE, HeapTimers, restore_timers, timers_as_states
from actorflow.state.ttl import Ages, Ttl
from actorflow.wire.batch import MIN_TIMESTAMP

_NO_ITEMS: dict[Any, Any] = {}

_LOOKS_PER_BATCH = 1000
"""At values that may have expired, so that state which nobody uses any more goes away while others work."""


class HashMapBackend:
    """See `state.backend.KeyedBackend`.

    Attributes:
        current_key: see `KeyedBackend`.
        watermark: see `KeyedBackend`.
        processing_time: see `KeyedBackend`.
        event_time: see `KeyedBackend`.

    Args:
        processing_time: returns the wall clock in ms; by default this machine's.
    """

    __slots__ = (
        "_declared",
        "_divided",
        "_handles",
        "_lines",
        "_overlays",
        "_tables",
        "_timers",
        "current_key",
        "event_time",
        "processing_time",
        "watermark",
    )

    resident = True

    def __init__(self, processing_time: Callable[[], int] | None = None) -> None:
        self.current_key: Any = NO_KEY
        self.watermark = MIN_TIMESTAMP
        self.processing_time = processing_time or SystemClock().wall_ms
        self.event_time: Callable[[], int] = lambda: self.watermark
        self._tables: dict[str, dict[Any, Any]] = {}
        self._divided: dict[str, dict[Hashable, dict[Any, Any]]] = {}
        self._declared: dict[str, StateDescriptor] = {}
        self._handles: dict[StateDescriptor, StateHandle] = {}
        self._lines: dict[str, ExpiryLine] = {}
        self._overlays: dict[str, Overlay] = {}
        self._timers: dict[str, HeapTimers] = {}

    def __len__(self) -> int:
        """Return the number of keys that have a value in any state."""
        if len(self._tables) == 1 and not self._divided:
            return next((len(overlay) for overlay in self._overlays.values()), len(next(iter(self._tables.values()))))
        return len(self.keys())

    # --- tables ------------------------------------------------------------------------------------------------------------

    def table(self, name: str, namespace: Hashable = None) -> dict[Any, Any]:
        """Return the dict of a state, from key to value: compiled loops work on it directly."""
        if namespace is None:
            return self._tables.setdefault(name, {})
        return self._division(name).setdefault(namespace, {})

    def load(self, name: str, keys: Iterable[Any], namespace: Hashable = None) -> None:
        """Nothing to do: the values are here."""

    def settle(self) -> None:
        """Look for values that have expired; the others stay here."""
        for line in self._lines.values():
            line.clean(_LOOKS_PER_BATCH)

    def namespaces(self, name: str) -> Collection[Any]:
        """Return the namespaces of a state that hold a value."""
        return [namespace for namespace, table in self._division(name).items() if table]

    def entries(self, name: str, namespace: Hashable = None) -> Iterable[tuple[Any, Any]]:
        """Give every key with its value."""
        if namespace is not None:
            return self._division(name).get(namespace, _NO_ITEMS).items()
        if name in self._overlays:
            self._overlays[name].write_back()
        return self._tables.get(name, _NO_ITEMS).items()

    def drop(self, name: str, namespace: Hashable = None) -> None:
        """Forget a namespace of a state and all its values."""
        if namespace is not None:
            self._division(name).pop(namespace, None)
        else:
            self._tables.pop(name, None)

    def _division(self, name: str) -> dict[Hashable, dict[Any, Any]]:
        """Return the namespaces of a state. What was restored before anybody divided it is divided now."""
        division = self._divided.get(name)
        if division is None:
            division = self._divided[name] = {}
            self._restore_divided(division, self._tables.pop(name, _NO_ITEMS))
        return division

    def overlay(self, name: str, values: Overlay) -> None:
        """Have the dict of the state `name` brought up to date before it is read here."""
        self._overlays[name] = values

    def timers(self, name: str) -> HeapTimers:
        """Return the timers of this name."""
        return self._timers.setdefault(name, HeapTimers())

    # --- handles -----------------------------------------------------------------------------------------------------------

    def bind(self, descriptor: StateDescriptor) -> StateHandle:
        """Return the handle of a declared state.

        Raises:
            PlanError: if another kind of state has this name.
        """
        before = self._declared.setdefault(descriptor.name, descriptor)
        if type(before) is not type(descriptor):
            names = f"{type(descriptor).__name__} and as {type(before).__name__}"
            raise PlanError(f"state '{descriptor.name}' is declared as {names}")
        handle = self._handles.get(descriptor)
        if handle is None:
            handle = self._handles[descriptor] = bound(descriptor, self)
        return handle

    def value(self, descriptor: KeyedState, default: Any) -> HashMapValue:
        """Return the handle of a value for each key."""
        return HashMapValue(self, self.table(descriptor.name), default)

    def map(self, descriptor: KeyedState) -> HashMapMap:
        """Return the handle of a dict for each key."""
        return HashMapMap(self, self.table(descriptor.name))

    def list(self, descriptor: KeyedState) -> HashMapList:
        """Return the handle of a list for each key."""
        return HashMapList(self, self.table(descriptor.name))

    def ages(self, descriptor: KeyedState, ttl: Ttl) -> Ages:
        """Return the clock of a state, which finds what has expired by a line."""
        table = self.table(descriptor.name)
        line = self._lines[descriptor.name] = expiry_line(descriptor, table, lambda: self.current_key)
        in_event_time = ttl.time == "event"
        clock = self._event_time if in_event_time else self.processing_time
        horizon = (lambda: self.watermark) if in_event_time else self.processing_time
        line.ages = Ages(ttl, clock, horizon, line)
        remember(descriptor, table, line)
        return line.ages

    def _event_time(self) -> int:
        return max(
            self.event_time(), self.watermark
        )  # looked up each time, because the stage sets it when states are bound already

    # --- everything ----------------------------------------------------------------------------------------------------------

    def keys(self) -> Collection[Any]:
        """Return the keys that have a value in any state, each once, in the order of states and insertion."""
        self._write_back()
        tables = [*self._tables.values(), *(table for tables in self._divided.values() for table in tables.values())]
        return tables[0].keys() if len(tables) == 1 else dict.fromkeys(key for table in tables for key in table)

    def values(self, key: Any) -> dict[str, object]:
        """Return copies of the values of one key, by state name."""
        for overlay in self._overlays.values():
            overlay.write_back_key(key)
        stored = {name: table[key] for name, table in self._tables.items() if key in table}
        found = presented(stored, self._declared, self._ages_of)
        for name, tables in self._divided.items():
            divided = {namespace: table[key] for namespace, table in tables.items() if key in table}
            if divided:
                found[name] = divided
        return found

    def _ages_of(self, name: str) -> Ages | None:
        line = self._lines.get(name)
        return None if line is None else line.ages

    def clear(self) -> None:
        """Forget all values and timers."""
        for overlay in self._overlays.values():
            overlay.release()
        for table in self._tables.values():
            table.clear()
        self._divided.clear()
        self._timers.clear()
        for line in self._lines.values():
            line.clear()

    def snapshot(self, group_of: Callable[[Any], int]) -> dict[int, KeyGroupState]:
        """Return everything by key group."""
        groups: dict[int, KeyGroupState] = {}
        known: dict[Any, int] = {}
        for name, key, value in self._all():
            group = known.get(key)
            if group is None:
                group = known[key] = group_of(key)
            groups.setdefault(group, {}).setdefault(name, {})[key] = value
        return groups

    def _all(self) -> Iterator[tuple[str, Any, Any]]:
        """Give every value with its state and key."""
        self._write_back()
        for name, table in self._tables.items():
            for key, value in table.items():
                yield name, key, _copied(value)
        for name, tables in self._divided.items():
            by_key: dict[Any, dict[Any, Any]] = {}
            for namespace, table in tables.items():
                for key, value in table.items():
                    by_key.setdefault(key, {})[namespace] = value
            for key, divided in by_key.items():
                yield name, key, divided
        yield from timers_as_states(self._timers)

    def restore(self, groups: Iterable[KeyGroupState]) -> None:
        """Add what snapshots hold."""
        for overlay in self._overlays.values():
            overlay.release()
        for group in groups:
            for name, values in group.items():
                if name.startswith(TIMERS_STATE):
                    restore_timers(self.timers(name.removeprefix(TIMERS_STATE)), values)
                elif name in self._divided:
                    self._restore_divided(self._divided[name], values)
                else:
                    self.table(name).update((key, _copied(value)) for key, value in values.items())
        for name, line in self._lines.items():
            remember(self._declared[name], self.table(name), line)

    @staticmethod
    def _restore_divided(division: dict[Hashable, dict[Any, Any]], values: dict[Any, Any]) -> None:
        for key, entries in values.items():
            for namespace, value in entries.items():
                division.setdefault(namespace, {})[key] = _copied(value)

    def close(self) -> None:
        """Nothing to free: memory goes with the object."""

    def _write_back(self) -> None:
        for overlay in self._overlays.values():
            overlay.write_back()


class HashMapValue:
    """A value for each key. See `state.handles.ValueHandle`."""

    __slots__ = ("_backend", "_default", "_entries")

    def __init__(self, backend: HashMapBackend, entries: dict[Any, Any], default: Any) -> None:
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

    def __init__(self, backend: HashMapBackend, entries: dict[Any, dict[Any, Any]]) -> None:
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

    def __init__(self, backend: HashMapBackend, entries: dict[Any, list[Any]]) -> None:
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


def _forget(entries: dict[Any, Any], key: Any) -> None:
    """Remove a key, if it is there."""
    if key in entries:  # an empty dict would `pop` without a look at the key, and so take `NO_KEY` for one
        del entries[key]  # noqa: RUF051


def _copied(value: Any) -> Any:
    """Return a dict or list copied, and any other value as it is: what a snapshot holds must not change under it."""
    return value.copy() if type(value) in {dict, list} else value
