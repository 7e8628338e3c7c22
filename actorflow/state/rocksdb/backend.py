"""Keyed state in RocksDB: for state that is larger than memory.

Every state, and every namespace of a state, has a table of what was used of late (`cached_table`), so that handles and compiled loops work
on Python objects. When these take more memory than this backend's share, the oldest are written and let go, after a batch (`key_line`).

`values` that are changed in place (a list in a value state) must be set again to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from actorflow.clock import SystemClock
from actorflow.errors import PlanError
from actorflow.state.backend import NO_KEY, KeyGroupState, Overlay
from actorflow.state.binding import KeyedState, StateHandle, bound, presented
from actorflow.state.changes import ChangeLog
from actorflow.state.comparing import MISSING
from actorflow.state.descriptors import StateDescriptor
from actorflow.state.layers import Chunk, Place
from actorflow.state.rocksdb.cached_table import CachedTable
from actorflow.state.rocksdb.expiry import ExpiryPasses
from actorflow.state.rocksdb.handles import RocksDBList, RocksDBMap, RocksDBValue
from actorflow.state.rocksdb.key_line import KeyLine
from actorflow.state.rocksdb.layout import group_prefixes, namespace_prefixes
from actorflow.state.rocksdb.memory import ObjectShares
from actorflow.state.rocksdb.ordered_table import OrderedTable
from actorflow.state.rocksdb.store import Changes, Family, Store
from actorflow.state.rocksdb.timers import RocksDBTimers
from actorflow.state.rocksdb.values import AnyCodec, ValueCodec, codec_of
from actorflow.state.timers import TIMERS_STATE, absorb_timers, restore_timers, timers_as_states
from actorflow.state.ttl import Ages, Ttl
from actorflow.wire.batch import MIN_TIMESTAMP

_LOOKS_PER_BATCH: Final = 256
"""At values that may have expired."""


class RocksDBBackend:
    """See `state.backend.KeyedBackend`.

    Args:
        store: where the rows are; closed with this backend.
        shares: the memory for Python objects, shared with the other backends of this worker.
        groups: number of key groups.
        processing_time: returns the wall clock in ms; by default this machine's.

    Attributes:
        current_key: see `KeyedBackend`.
        watermark: see `KeyedBackend`.
        processing_time: see `KeyedBackend`.
        event_time: see `KeyedBackend`.
        wants_keys: see `KeyedBackend`.
    """

    resident = False
    wants_keys = True

    def __init__(self, store: Store, shares: ObjectShares, groups: int, processing_time: Callable[[], int] | None = None) -> None:
        self.current_key: Any = NO_KEY
        self.watermark = MIN_TIMESTAMP
        self.processing_time = processing_time or SystemClock().wall_ms
        self.event_time: Callable[[], int] = lambda: self.watermark
        self._store = store
        self._groups = group_prefixes(groups)
        self._tables: dict[str, CachedTable] = {}
        self._divided: dict[str, dict[Hashable, CachedTable]] = {}
        self._declared: dict[str, StateDescriptor] = {}
        self._handles: dict[StateDescriptor, StateHandle] = {}
        self._codecs: dict[str, ValueCodec] = {}
        self._passes: dict[str, ExpiryPasses] = {}
        self._timers: dict[str, RocksDBTimers] = {}
        self._used: list[CachedTable] = []  # of declared states
        self._changes: ChangeLog | None = None
        self._replaced: set[str] = set()
        self._at_work: dict[CachedTable, None] = {}
        self._line = KeyLine(store, shares.join())

    def __len__(self) -> int:
        """Return the number of keys that have a value in any state; about that number where some are on disk."""
        tables = list(self._all_tables())
        if len(tables) == 1:
            return len(tables[0])
        if all(table.cached for table in tables):
            return len(self.keys())
        return max(map(len, tables), default=0)

    # --- tables ------------------------------------------------------------------------------------------------------------

    def table(self, name: str, namespace: Hashable = None) -> dict[Any, Any]:
        """Return the dict of a state, from key to value: compiled loops work on it between `load` and `settle`."""
        return self._table(name, namespace).entries

    def load(self, name: str, keys: Iterable[Any], namespace: Hashable = None) -> None:
        """Have the values of these keys in the table, if they have any, and take them for changed after it."""
        table = self._table(name, namespace)
        table.load(keys if type(keys) is list else list(keys))
        self._at_work[table] = None

    def settle(self) -> None:
        """Write the oldest values, if there are too many, and let them go; look for values that have expired."""
        for table in self._at_work:
            table.settle()
        self._at_work.clear()
        for passes in self._passes.values():
            passes.clean(_LOOKS_PER_BATCH)
        self._line.shorten()

    def namespaces(self, name: str) -> Collection[Any]:
        """Return the namespaces of a state that hold a value."""
        return [namespace for namespace, table in self._division(name).items() if not table.empty]

    def entries(self, name: str, namespace: Hashable = None) -> Iterable[tuple[Any, Any]]:
        """Give every key with its value."""
        table = self._tables.get(name) if namespace is None else self._division(name).get(namespace)
        return () if table is None else table.items()

    def drop(self, name: str, namespace: Hashable = None) -> None:
        """Forget a namespace of a state and all its values."""
        tables: dict[Any, CachedTable] = self._tables if namespace is None else self._division(name)
        table = tables.pop(name if namespace is None else namespace, None)
        if table is not None:
            self._drop(table)
            if self._changes is not None:
                self._changes.drop(Place(name, namespace is not None, namespace))

    def _drop(self, table: CachedTable) -> None:
        changes = Changes(self._store)
        table.drop(changes)
        changes.commit()

    def overlay(self, name: str, values: Overlay) -> None:  # noqa: ARG002 - there is nothing to do with them
        """Not possible here."""
        raise AssertionError(f"state '{name}' is on disk: it has no other form in memory")

    def track(self) -> ChangeLog:
        """Note what changes, from now on."""
        assert self._changes is None, "once is enough"
        self._changes = ChangeLog(self)
        for name in self._replaced:
            self._changes.compare(name)
        for place, table in self.places():
            table.track(self._changes, place)
        for timers in self._timers.values():
            timers.changed()
        return self._changes

    def places(self) -> Iterator[tuple[Place, CachedTable]]:
        """Give each table with its place."""
        for name, table in self._tables.items():
            yield Place(name), table
        for name, tables in self._divided.items():
            for namespace, table in tables.items():
                yield Place(name, True, namespace), table

    def queues(self) -> Mapping[str, RocksDBTimers]:
        """Return the timers by name."""
        return self._timers

    def replaced(self, name: str) -> None:
        """Have the tables of `name` compared, from the next one on."""
        self._replaced.add(name)
        if self._changes is not None:
            self._changes.compare(name)

    def noting(self, name: str) -> None:  # noqa: ARG002 - tables tell it themselves
        """Return None: nobody needs to tell."""
        return

    def timers(self, name: str) -> RocksDBTimers:
        """Return the timers of this name."""
        timers = self._timers.get(name)
        if timers is None:
            family = self._store.family(f"timers:{name}")
            timers = self._timers[name] = RocksDBTimers(self._store, family, self._groups, self._used)
            if self._changes is not None:
                timers.changed()
        return timers

    def _table(self, name: str, namespace: Hashable = None) -> CachedTable:
        if namespace is None:
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = self._made_table(Place(name), self._whole_family(name), self._groups)
            return table
        division = self._division(name)
        table = division.get(namespace)
        if table is None:
            prefixes = namespace_prefixes(self._groups, namespace)
            table = division[namespace] = self._made_table(
                Place(name, True, namespace), self._store.family(f"namespaces:{name}"), prefixes
            )
        return table

    def _made_table(self, place: Place, family: Family, prefixes: Sequence[bytes]) -> CachedTable:
        kind = OrderedTable if place.name in self._replaced and not place.divided else CachedTable
        table = kind(family, prefixes, self._codecs.get(place.name) or AnyCodec(), self._line.arrived, self._line.arrived_all)
        if self._changes is not None:
            table.track(self._changes, place)
        return table

    def _whole_family(self, name: str) -> Family:
        """Return the rows of a state; in order where it is looked through for what has expired."""
        expires = name in self._declared and self._declared[name].ttl is not None
        return self._store.family(name, hashed=not expires)

    def _restored_table(self, name: str) -> CachedTable:
        """Return the table for restored values of a state, whose type may not be known yet."""
        if name not in self._tables and name not in self._declared:
            self._tables[name] = self._made_table(Place(name), self._store.family(f"restored:{name}"), self._groups)
        return self._table(name)

    def _division(self, name: str) -> dict[Hashable, CachedTable]:
        """Return the namespaces of a state. What was restored before anybody divided it is divided now."""
        division = self._divided.get(name)
        if division is None:
            division = self._divided[name] = {}
            whole = self._tables.pop(name, None)
            if whole is not None:
                self._restore_divided(name, whole.items())
                self._drop(whole)
        return division

    def _all_tables(self) -> Iterator[CachedTable]:
        return (table for _, table in self.places())

    # --- handles -----------------------------------------------------------------------------------------------------------

    def bind(self, descriptor: StateDescriptor) -> StateHandle:
        """Return the handle of a declared state.

        Raises:
            PlanError: if another kind of state has this name.
            SerializationError: if values of its type cannot be written.
        """
        before = self._declared.setdefault(descriptor.name, descriptor)
        if type(before) is not type(descriptor):
            names = f"{type(descriptor).__name__} and as {type(before).__name__}"
            raise PlanError(f"state '{descriptor.name}' is declared as {names}")
        handle = self._handles.get(descriptor)
        if handle is None:
            handle = self._handles[descriptor] = bound(descriptor, self)
        return handle

    def value(self, descriptor: KeyedState, default: Any) -> RocksDBValue:
        """Return the handle of a value for each key."""
        return RocksDBValue(self, self._declared_table(descriptor), default)

    def map(self, descriptor: KeyedState) -> RocksDBMap:
        """Return the handle of a dict for each key."""
        return RocksDBMap(self, self._declared_table(descriptor))

    def list(self, descriptor: KeyedState) -> RocksDBList:
        """Return the handle of a list for each key."""
        return RocksDBList(self, self._declared_table(descriptor))

    def ages(self, descriptor: KeyedState, ttl: Ttl) -> Ages:
        """Return the clock of a state, which finds what has expired by passes over it."""
        in_event_time = ttl.time == "event"
        clock = self._event_time if in_event_time else self.processing_time
        horizon = (lambda: self.watermark) if in_event_time else self.processing_time
        passes = ExpiryPasses(descriptor, ttl, self._declared_table(descriptor), clock, horizon)
        passes.find_oldest()
        self._passes[descriptor.name] = passes
        return passes.ages

    def _declared_table(self, descriptor: KeyedState) -> CachedTable:
        """Return the table of a declared state; if values were restored before its type was known, they are in it."""
        name = descriptor.name
        if name not in self._codecs:
            codec = self._codecs[name] = codec_of(descriptor)
            restored = self._tables.get(name)
            if restored is not None:
                restored.move(self._whole_family(name), codec, self._store)
            self._used.append(self._table(name))
        return self._table(name)

    def _event_time(self) -> int:
        # Looked up each time, because the stage sets it when states are bound already.
        return max(self.event_time(), self.watermark)

    # --- everything ----------------------------------------------------------------------------------------------------------

    def keys(self) -> Collection[Any]:
        """Return the keys that have a value in any state, each once."""
        return dict.fromkeys(key for table in self._all_tables() for key in table.all_keys()).keys()

    def values(self, key: Any) -> dict[str, object]:
        """Return copies of the values of one key, by state name."""
        stored = {name: value for name, table in self._tables.items() if (value := table.get(key)) is not MISSING}
        found = presented(stored, self._declared, self._ages_of)
        for name, tables in self._divided.items():
            divided = {ns: value for ns, table in tables.items() if (value := table.get(key)) is not MISSING}
            if divided:
                found[name] = divided
        return found

    def _ages_of(self, name: str) -> Ages | None:
        passes = self._passes.get(name)
        return None if passes is None else passes.ages

    def clear(self) -> None:
        """Forget all values and timers."""
        if self._changes is not None:
            for place in [place for place, _ in self.places()]:
                self._changes.drop(place)
        for table in self._all_tables():
            table.forget()
        self._divided.clear()
        for timers in self._timers.values():
            timers.forget()
        for passes in self._passes.values():
            passes.forget()
        self._line.clear()
        self._store.clear()

    def snapshot(self, group_of: Callable[[Any], int]) -> dict[int, KeyGroupState]:
        """Return everything by key group."""
        groups: dict[int, KeyGroupState] = {}
        known: dict[Any, int] = {}
        for name, key, value in self._everything():
            group = known.get(key)
            if group is None:
                group = known[key] = group_of(key)
            groups.setdefault(group, {}).setdefault(name, {})[key] = value
        return groups

    def _everything(self) -> Iterator[tuple[str, Any, Any]]:
        """Give every value with its state and key."""
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
        for group in groups:
            for name, values in group.items():
                if name.startswith(TIMERS_STATE):
                    restore_timers(self.timers(name.removeprefix(TIMERS_STATE)), values)
                elif name in self._divided:
                    self._restore_divided(name, values.items())
                else:
                    table = self._restored_table(name)
                    for key, value in values.items():
                        table.put(key, _copied(value))
            self.settle()
        for passes in self._passes.values():
            passes.find_oldest()

    def absorb(self, chunk: Chunk) -> None:
        """Take what a layer of a snapshot says of some keys."""
        assert not self._passes, "what expires is found when a state is bound"
        place, keys, values, gone, dropped = chunk
        if place.name.startswith(TIMERS_STATE):
            absorb_timers(self.timers(place.name.removeprefix(TIMERS_STATE)), keys, gone)
            return
        table = self._table(place.name, place.namespace) if place.divided else self._restored_table(place.name)
        if dropped:
            self._drop(table)
        for key, value in zip(keys, values, strict=True):
            table.put(key, value)
        for key in gone:
            table.remove(key)
        self.settle()

    def _restore_divided(self, name: str, values: Iterable[tuple[Any, dict[Any, Any]]]) -> None:
        for key, entries in values:
            for namespace, value in entries.items():
                self._table(name, namespace).put(key, _copied(value))

    def close(self) -> None:
        """Remove the files."""
        self._line.leave()
        self._store.close()


def _copied(value: Any) -> Any:
    """Return a dict or list copied, and any other value as it is: what a snapshot holds must not change under it."""
    return value.copy() if type(value) in {dict, list} else value
