"""What has changed in keyed state: the part of a snapshot that is taken on the subtask's thread, and what it costs.

There are two ways to know which keys of a table have changed:

- *Noted*: whoever works on a table says with which keys (`load`, or a handle of its own accord). Values may be changed in place.
- *Compared* (`state.comparing`): where values are replaced and never changed in place or removed one by one, as running counts are, nobody notes anything. The
  values of now are put beside those of the last completed checkpoint, and what is not the same object has changed. To copy a
  million references takes a few milliseconds, the comparison is done off the thread, and the loop over records costs hardly more.

A capture holds everything that has changed since the last *confirmed* one: what was captured for a checkpoint that was declined or
aborted, or of which nothing was heard yet, is captured again. So no change depends on a file that may have been removed.

    changes ──capture 7──► changes ──capture 8 (holds those of 7, too)──► …
                               7 confirmed: later captures are those since 7

Values that could be changed in place become bytes at once, others off the thread, in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, repeat
from operator import is_
from typing import Any, Final, Protocol

from actorflow.state.comparing import MISSING, NOTHING, Comparison, Keys, Ordered, Values
from actorflow.state.layers import CHUNK_KEYS, Chunk, Place, payload
from actorflow.state.timers import TIMERS_STATE, Triples

IMMUTABLE: Final = frozenset({bool, bytes, complex, float, int, str, type(None)})
"""Types whose values nobody can change."""


class Fetched(Protocol):
    """A table of which not all values are in memory.

    Attributes:
        entries: those that are.
    """

    entries: dict[Any, Any]

    def compared(self) -> Ordered | None:
        """Return the table in its order, and what has left it since the last call; None if what changes has to be noted."""
        ...

    def fetch(self, keys: Collection[Any]) -> list[Any]:
        """Return the values of keys, `MISSING` for those that have none."""
        ...

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Give every key with its value."""
        ...

    def frozen(self) -> Rows | None:
        """Return the values of now that are not in memory; None if all are. For states without namespaces."""
        ...


class Rows(Protocol):
    """Keys and values that are read when they are wanted."""

    def portions(self, held: Iterator[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
        """Give them, without those of some keys, which were in memory. May be called on another thread, once."""
        ...


class NotedTimers(Protocol):
    """Timers that tell what changes."""

    def changed(self) -> Triples:
        """Return the timers that were set or taken away since the last call."""
        ...

    def holds(self, timestamp: int, key: Any, namespace: Hashable) -> bool:
        """Return whether a timer is set."""
        ...

    def triples(self) -> Iterable[tuple[int, Any, Hashable]]:
        """Give all timers."""
        ...


Table = dict[Any, Any] | Fetched


class Piece(Protocol):
    """What was captured of one table."""

    def payloads(self) -> Iterator[bytes]:
        """Give it as payloads of chunks (see `state.layers`). May be called on another thread, once."""
        ...


class Tables(Protocol):
    """The tables of a backend."""

    def places(self) -> Iterable[tuple[Place, Table]]:
        """Give each table with its place, brought up to date."""
        ...

    def queues(self) -> Mapping[str, NotedTimers]:
        """Return the timers by name."""
        ...


@dataclass(slots=True)
class _Changes:
    """What happened between two captures."""

    noted: dict[Place, set[Any]] = field(default_factory=dict)
    dropped: dict[Place, None] = field(default_factory=dict)
    timers: dict[str, Triples] = field(default_factory=dict)
    values: dict[Place, Values] = field(default_factory=dict)
    """Of compared tables, at the capture that ended it."""
    left: dict[Place, dict[Any, Any]] = field(default_factory=dict)
    """Keys that have left compared tables, with their values."""

    def follow(self, earlier: _Changes) -> None:
        """Add what happened before, in an interval whose capture nobody builds upon."""
        for place, keys in earlier.noted.items():
            self.noted.setdefault(place, set()).update(keys)
        for name, triples in earlier.timers.items():
            self.timers.setdefault(name, set()).update(triples)
        self.left = {place: earlier.left.get(place, {}) | self.left.get(place, {}) for place in {**earlier.left, **self.left}}
        self.dropped = {**earlier.dropped, **self.dropped}


class ChangeLog:
    """Notes what changes in the tables of one backend. Used on the subtask's thread.

    Args:
        tables: the backend's.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._compared: set[str] = set()
        self._live: dict[Place, set[Any]] = {}
        self._now = _Changes()
        self._unconfirmed: list[tuple[int, _Changes]] = []
        self._confirmed: dict[Place, Values] = {}
        self._keys: dict[Place, Keys] = {}
        self._has_base = False

    def resume(self) -> None:
        """Take the state as it is for that of a confirmed capture: it was restored from one. What that noted is void."""
        self._has_base = True
        self._now = _Changes()
        for live in self._live.values():
            live.clear()
        for queue in self._tables.queues().values():
            queue.changed()
        for place, table in self._tables.places():
            ordered = self._ordered(place, table)
            if ordered is not None and ordered.in_order:
                keys = self._keys[place] = Keys(ordered.first)
                self._confirmed[place] = keys.values(ordered, ordered.first)

    # --- noting ------------------------------------------------------------------------------------------------------------------

    def compare(self, name: str) -> None:
        """Find out what has changed in a state by comparison, from now on."""
        self._compared.add(name)

    @property
    def begun(self) -> bool:
        """Whether anything was captured, or restored from a capture, so that later ones may be built upon it."""
        return self._has_base or bool(self._unconfirmed)

    @property
    def compares_all(self) -> bool:
        """Whether all tables are in memory and compared: then everything is captured as quickly as what has changed."""
        return all(isinstance(table, dict) and place.name in self._compared for place, table in self._tables.places())

    def note(self, place: Place, keys: Iterable[Any]) -> None:
        """Note that the values of these keys may change before the next capture."""
        if place.name not in self._compared:
            self.noted(place).update(keys)

    def noting(self, place: Place) -> Callable[[Any], object]:
        """Return what notes one key. It stays valid; for states without namespaces."""
        return self.noted(place).add

    def noted(self, place: Place) -> set[Any]:
        """Return the set that takes the keys of one table. It stays valid until the table is dropped."""
        found = self._live.get(place)
        if found is None:
            found = self._live[place] = set()
        return found

    def drop(self, place: Place) -> None:
        """Note that a table was dropped as a whole."""
        self._now.dropped[place] = None
        self._now.noted.pop(place, None)
        live = self._live.pop(place, None) if place.divided else self._live.get(place)
        if live is not None:
            live.clear()
        self._keys.pop(place, None)
        self._confirmed.pop(place, None)
        self._now.left.pop(place, None)
        for _, changes in self._unconfirmed:
            changes.values.pop(place, None)
            changes.left.pop(place, None)

    # --- capturing ---------------------------------------------------------------------------------------------------------------

    def capture(self, checkpoint: int, *, whole: bool) -> list[Piece]:
        """Return what has changed since the last confirmed capture, or everything.

        Raises:
            CheckpointError: if a value that could be changed in place cannot be pickled.
        """
        now, queues = self._now, self._tables.queues()
        for place, live in self._live.items():
            if live:
                if self.begun:  # else everything is captured
                    now.noted.setdefault(place, set()).update(live)
                live.clear()
        for name, queue in queues.items():
            now.timers.setdefault(name, set()).update(queue.changed())
        since = [*(changes for _, changes in self._unconfirmed), now]
        dropped = dict.fromkeys(place for changes in since for place in changes.dropped)
        pieces: list[Piece] = [] if whole else [_Chunks([Chunk(place, [], [], [], dropped=True)]) for place in dropped]
        for place, table in self._tables.places():
            ordered = self._ordered(place, table)
            if ordered is not None:
                pieces.append(self._compare(place, table, ordered, whole=whole))
            else:
                noted = None if whole else set().union(*(changes.noted.get(place, ()) for changes in since))
                pieces.append(_taken(place, table, noted))
        for name, queue in queues.items():
            triples = set().union(*(changes.timers.get(name, ()) for changes in since))
            pieces.append(_timers(name, queue, None if whole else triples))
        self._unconfirmed.append((checkpoint, now))
        self._now = _Changes()
        self._forget_needless()
        return pieces

    def _ordered(self, place: Place, table: Table) -> Ordered | None:
        """Return a table that is compared; None for others."""
        if place.name not in self._compared:
            return None
        return Ordered(table) if isinstance(table, dict) else table.compared()

    def _compare(self, place: Place, table: Table, ordered: Ordered, *, whole: bool) -> Piece:
        now = self._now
        earlier = now.left.get(place)
        left = now.left[place] = earlier | ordered.left if earlier else ordered.left
        if not ordered.in_order:
            for values in (self._confirmed, now.values):
                values.pop(place, None)
            return _taken(place, table, None)
        keys = self._keys.setdefault(place, Keys(ordered.first))
        before = self._confirmed.get(place, NOTHING)
        now.values[place] = keys.values(ordered, before.first if before.values else ordered.first)
        if not whole:
            for _, changes in reversed(self._unconfirmed):
                earlier = changes.left.get(place)
                left = earlier | left if earlier else left
            return Comparison(place, keys, before, now.values[place], left)
        held = Comparison(place, keys, NOTHING, now.values[place], {})
        rows = None if isinstance(table, dict) else table.frozen()
        if rows is None:
            return held
        first = ordered.first - keys.first
        return _Frozen(place, held, islice(keys.keys, first, first + len(now.values[place].values)), rows)

    # --- what became of it -------------------------------------------------------------------------------------------------------

    def confirm(self, checkpoint: int) -> None:
        """Note that what was captured for a checkpoint, and before, is stored, and stays."""
        captured = next((changes for number, changes in self._unconfirmed if number == checkpoint), None)
        if captured is not None:
            self._confirmed.update(captured.values)
            self._unconfirmed = [(number, changes) for number, changes in self._unconfirmed if number > checkpoint]
            self._has_base = True

    def decline(self, checkpoint: int) -> None:
        """Note that what was captured for a checkpoint will not be built upon: it belongs to the next capture as well."""
        for place, (number, changes) in enumerate(self._unconfirmed):
            if number == checkpoint:
                del self._unconfirmed[place]
                rest = [changes for _, changes in self._unconfirmed[place:]]
                (rest[0] if rest else self._now).follow(changes)
                self._forget_needless()
                return

    def _forget_needless(self) -> None:
        """Forget what changed before the first capture that can be built upon, while there is none that is."""
        if not self._has_base and self._unconfirmed:
            first = self._unconfirmed[0][1]
            first.noted.clear()
            first.timers.clear()
            first.dropped.clear()
            first.left.clear()


class _Chunks:
    """Chunks whose values nobody can change."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = chunks

    def payloads(self) -> Iterator[bytes]:
        return map(payload, self._chunks)


class _Encoded:
    """Chunks that are bytes."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._payloads = list(map(payload, chunks))

    def payloads(self) -> Iterator[bytes]:
        return iter(self._payloads)


class _Frozen:
    """A table of which some values are in memory, and the others are read when they are wanted."""

    def __init__(self, place: Place, held: Piece, keys: Iterator[Any], rows: Rows) -> None:
        self._place = place
        self._held = held
        self._keys = keys
        self._rows = rows

    def payloads(self) -> Iterator[bytes]:
        yield from self._held.payloads()
        for keys, values in self._rows.portions(self._keys):
            yield payload(Chunk(self._place, keys, values, []))


def _taken(place: Place, table: Table, noted: Collection[Any] | None) -> Piece:
    """Return what a table holds of the noted keys, or all of it."""
    gone: list[Any] = []
    if noted is None and not isinstance(table, dict) and not place.divided:
        keys, values = list(table.entries), list(table.entries.values())
        in_memory, rows = _made(_cut(place, keys, values, gone), values), table.frozen()
        return in_memory if rows is None else _Frozen(place, in_memory, iter(keys), rows)
    if noted is None:
        held = table if isinstance(table, dict) else dict(table.items())
        keys, values = list(held), list(held.values())
    else:
        keys = list(noted)
        values = list(map(table.get, keys, repeat(MISSING))) if isinstance(table, dict) else table.fetch(keys)
        if any(map(is_, values, repeat(MISSING))):
            gone = [key for key, value in zip(keys, values, strict=True) if value is MISSING]
            keys = [key for key, value in zip(keys, values, strict=True) if value is not MISSING]
            values = [value for value in values if value is not MISSING]
    return _made(_cut(place, keys, values, gone), values)


def _made(chunks: Iterable[Chunk], values: Iterable[Any]) -> Piece:
    return _Chunks(chunks) if IMMUTABLE.issuperset(map(type, values)) else _Encoded(chunks)


def _timers(name: str, queue: NotedTimers, triples: Iterable[tuple[int, Any, Hashable]] | None) -> Piece:
    """Return these timers, those that are set and those that are gone; or all that are set."""
    keys: list[Any] = list(queue.triples()) if triples is None else []
    gone: list[Any] = []
    for triple in triples or ():
        (keys if queue.holds(*triple) else gone).append(triple)
    return _Chunks(list(_cut(Place(f"{TIMERS_STATE}{name}"), keys, [None] * len(keys), gone)))


def _cut(place: Place, keys: list[Any], values: list[Any], gone: list[Any]) -> Iterator[Chunk]:
    for start in range(0, len(keys), CHUNK_KEYS):
        end = start + CHUNK_KEYS
        yield Chunk(place, keys[start:end], values[start:end], [])
    for start in range(0, len(gone), CHUNK_KEYS):
        yield Chunk(place, [], [], gone[start : start + CHUNK_KEYS])
