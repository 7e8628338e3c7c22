"""Keyed state in Python dicts: the fastest backend, for state that fits in memory.

One dict a state, from key to value. A map state holds a dict for each key and a list state a list, which disappear with their last
entry, so that a key exists only while it holds something. A state with namespaces has one dict for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

from actorflow.clock import SystemClock
from actorflow.errors import PlanError
from actorflow.state.backend import NO_KEY, KeyGroupState, Overlay
from actorflow.state.binding import KeyedState, StateHandle, bound, presented
from actorflow.state.changes import ChangeLog
from actorflow.state.descriptors import StateDescriptor
from actorflow.state.expiry import ExpiryLine, expiry_line, remember
from actorflow.state.hashmap_handles import HashMapList, HashMapMap, HashMapValue, NotingList, NotingMap, NotingValue
from actorflow.state.layers import Chunk, Place
from actorflow.state.timers import TIMERS_STATE, HeapTimers, absorb_timers, restore_timers, timers_as_states
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
        wants_keys: see `KeyedBackend`.

    Args:
        processing_time: returns the wall clock in ms; by default this machine's.
    """

    __slots__ = (
        "_changes",
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
        "wants_keys",
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
        self._changes = ChangeLog(self)
        self.wants_keys = False

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
        """Note that these keys may change. The values are here."""
        if self.wants_keys:
            self._changes.note(Place(name, namespace is not None, namespace), keys)

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
        if self.wants_keys:
            self._changes.drop(Place(name, namespace is not None, namespace))

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
        queue = self._timers.get(name)
        if queue is None:
            queue = self._timers[name] = HeapTimers()
            if self.wants_keys:
                queue.changed()
        return queue

    # --- changes -----------------------------------------------------------------------------------------------------------

    def track(self) -> ChangeLog:
        """Note what changes, from now on. Called before states are bound, if at all."""
        assert not self._handles, "handles that exist do not tell what they change"
        self.wants_keys = True
        for queue in self._timers.values():
            queue.changed()
        return self._changes

    def replaced(self, name: str) -> None:
        """Find what has changed in a state by comparison."""
        self._changes.compare(name)

    def noting(self, name: str) -> Callable[[Any], object] | None:
        """Return what is to be told of each key whose value changes, if anybody wants to know."""
        return self._changes.noting(Place(name)) if self.wants_keys else None

    def places(self) -> Iterator[tuple[Place, dict[Any, Any]]]:
        """Give each table with its place, brought up to date."""
        self._write_back()
        for name, table in self._tables.items():
            yield Place(name), table
        for name, tables in self._divided.items():
            for namespace, table in tables.items():
                yield Place(name, True, namespace), table

    def queues(self) -> Mapping[str, HeapTimers]:
        """Return the timers by name."""
        return self._timers

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
        note, table = self.noting(descriptor.name), self.table(descriptor.name)
        return HashMapValue(self, table, default) if note is None else NotingValue(self, table, default, note)

    def map(self, descriptor: KeyedState) -> HashMapMap:
        """Return the handle of a dict for each key."""
        note, table = self.noting(descriptor.name), self.table(descriptor.name)
        return HashMapMap(self, table) if note is None else NotingMap(self, table, note)

    def list(self, descriptor: KeyedState) -> HashMapList:
        """Return the handle of a list for each key."""
        note, table = self.noting(descriptor.name), self.table(descriptor.name)
        return HashMapList(self, table) if note is None else NotingList(self, table, note)

    def ages(self, descriptor: KeyedState, ttl: Ttl) -> Ages:
        """Return the clock of a state, which finds what has expired by a line."""
        table = self.table(descriptor.name)
        note = self.noting(descriptor.name)
        line = self._lines[descriptor.name] = expiry_line(descriptor, table, lambda: self.current_key, note)
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
        if self.wants_keys:
            for place in [place for place, _ in self.places()]:
                self._changes.drop(place)
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

    def absorb(self, chunk: Chunk) -> None:
        """Take what a layer of a snapshot says of some keys."""
        assert not self._lines, "what expires is found when a state is bound"
        for overlay in self._overlays.values():
            overlay.release()
        place, keys, values, gone, dropped = chunk
        if place.name.startswith(TIMERS_STATE):
            absorb_timers(self.timers(place.name.removeprefix(TIMERS_STATE)), keys, gone)
            return
        table = self.table(place.name, place.namespace)
        if dropped:
            table.clear()
        table.update(zip(keys, values, strict=True))
        for key in gone:
            table.pop(key, None)

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


def _copied(value: Any) -> Any:
    """Return a dict or list copied, and any other value as it is: what a snapshot holds must not change under it."""
    return value.copy() if type(value) in {dict, list} else value
