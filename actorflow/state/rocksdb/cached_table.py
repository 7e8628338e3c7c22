"""The table of one state, or of one namespace of it: some of its values as Python objects, all others as rows.

    entries     a plain dict, which handles and compiled loops work on: what was read or written of late
    clean       keys of entries that are the same in the store
    gone        keys that have a row in the store, maybe, and no value any more

A key that is in none of them is as the store says. `arrived` tells the backend which keys have come into entries, in their order; when there
are too many it takes the oldest out by `evict`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import filterfalse, islice, repeat
from operator import is_
from typing import TYPE_CHECKING, Any, Final

from actorflow.errors import SerializationError
from actorflow.state.comparing import MISSING, Ordered
from actorflow.state.rocksdb.frozen_rows import FrozenRows
from actorflow.state.rocksdb.layout import GROUP_BYTES, encoded_value, encoded_values, key_in, row_values
from actorflow.state.rocksdb.store import Changes, Family, Store
from actorflow.state.rocksdb.values import ValueCodec
from actorflow.wire.key_bytes import grouped_bytes

if TYPE_CHECKING:
    from actorflow.state.changes import ChangeLog
    from actorflow.state.layers import Place

_SCATTERED_ROWS_MAX: Final = 4096
"""So many rows are deleted one by one; more, by ranges. A range is one mark that reads have to mind until it is compacted away."""

_ROWS_AT_ONCE: Final = 1024
"""Rows whose values are decoded together."""


class CachedTable:
    """See the module's text.

    Args:
        family: where its rows are.
        prefixes: what its rows begin with, for each key group.
        codec: of its values.
        arrived: told of a key that has come into `entries`.
        arrived_all: the same for several; the list is not changed after it.

    Attributes:
        entries: see the module's text.
        codec: of its values.
        noted: gets the keys whose values may have changed; None if nobody wants to know.
    """

    __slots__ = (
        "_arrived",
        "_arrived_all",
        "_at_work",
        "_clean",
        "_family",
        "_frozen",
        "_gone",
        "_groups",
        "_prefixes",
        "_rows_written",
        "codec",
        "entries",
        "noted",
    )

    def __init__(
        self,
        family: Family,
        prefixes: Sequence[bytes],
        codec: ValueCodec,
        arrived: Callable[[CachedTable, Any], None],
        arrived_all: Callable[[CachedTable, list[Any]], None],
    ) -> None:
        self.entries: dict[Any, Any] = {}
        self._family = family
        self._prefixes = prefixes
        self.codec = codec
        self.noted: set[Any] | None = None
        self._arrived = arrived
        self._arrived_all = arrived_all
        self._clean: set[Any] = set()
        self._gone: set[Any] = set()
        self._groups: set[bytes] = set()
        self._rows_written = 0
        self._at_work: list[list[Any]] = []
        self._frozen: weakref.WeakSet[FrozenRows] = weakref.WeakSet()

    # --- a batch at a time ---------------------------------------------------------------------------------------------------

    def load(self, keys: list[Any]) -> None:
        """Have the values of these keys in `entries`, if they have any. They count as changed, until `settle` or the next call even as removed."""
        if self._at_work:
            self.settle()  # what is asked for again may have been removed
        missing = list(filterfalse(self.entries.__contains__, keys))
        if missing:
            missing = list(dict.fromkeys(missing))
            if self._rows_written:
                self._read(missing)
            self._arrived_all(self, missing)
        if self._clean:
            self._clean.difference_update(keys)
        self._loaded(keys)

    def _loaded(self, keys: list[Any]) -> None:
        """Note that values of these keys may change, or be removed, until `settle`."""
        if self._rows_written:
            self._at_work.append(keys)
        if self.noted is not None:
            self.noted.update(keys)

    def settle(self) -> None:
        """Note which of the keys that were loaded have been removed."""
        for keys in self._at_work:
            self._gone.update(filterfalse(self.entries.__contains__, keys))
        self._at_work.clear()

    def _read(self, keys: list[Any]) -> None:
        """Bring the values of keys from the store, if they are there."""
        if self._gone:
            keys = list(filterfalse(self._gone.__contains__, keys))
        found = self._family.get_many(grouped_bytes(keys, self._prefixes))
        rows = [row for row in found if row is not None]
        if len(rows) < len(keys):
            keys = [key for key, row in zip(keys, found, strict=True) if row is not None]
        self.entries.update(zip(keys, self.codec.decode_many(encoded_values(rows)), strict=True))

    def bring(self, keys: Iterable[Any]) -> None:
        """Bring the values of keys that are going to be asked for, if they have any: at once they take a third of the time."""
        missing = list(dict.fromkeys(filterfalse(self.entries.__contains__, keys))) if self._rows_written else []
        if missing:
            self._read(missing)
            found = list(filter(self.entries.__contains__, missing))
            self._clean.update(found)
            self._arrived_all(self, found)

    # --- a key at a time -----------------------------------------------------------------------------------------------------

    def get(self, key: Any) -> Any:
        """Return the value of a key, or `MISSING`."""
        value = self.entries.get(key, MISSING)
        if value is not MISSING or not self._rows_written or key in self._gone:
            return value
        row = self._family.get(grouped_bytes([key], self._prefixes)[0])
        if row is None:
            return MISSING
        (value,) = self.codec.decode_many([encoded_value(row)])
        self.entries[key] = value
        self._clean.add(key)
        self._arrived(self, key)
        return value

    def put(self, key: Any, value: Any) -> None:
        """Set the value of a key."""
        entries = self.entries
        if key not in entries:
            self._arrived(self, key)
        elif self._clean:
            self._clean.discard(key)
        entries[key] = value
        if self.noted is not None:
            self.noted.add(key)

    def remove(self, key: Any) -> None:
        """Forget the value of a key."""
        if key in self.entries:  # asks for the hash of a key that there is none of
            del self.entries[key]
            self._clean.discard(key)
        elif self._rows_written:
            self._arrived(self, key)  # so that what is gone is written some day, too
        if self._rows_written:
            self._gone.add(key)
        if self.noted is not None:
            self.noted.add(key)

    # --- to and from the store -------------------------------------------------------------------------------------------------

    def evict(self, keys: list[Any], changes: Changes) -> None:
        """Take keys out of `entries`. What has changed is added to `changes`, which must be committed before anything is read."""
        # A key that went and came again is in the line twice.
        present = list(dict.fromkeys(filter(self.entries.__contains__, keys)))
        if self._gone:
            self._delete(changes)
        if self._clean:
            for key in self._clean.intersection(present):
                del self.entries[key]
                self._clean.discard(key)
            present = list(filter(self.entries.__contains__, present))
        if not present:
            return
        for frozen in self._frozen:
            frozen.rewritten(present)
        values = list(map(self.entries.pop, present))
        rows = grouped_bytes(present, self._prefixes)
        changes.put(self._family, rows, row_values(present, self._encoded(present, values)))
        self._rows_written += len(rows)
        if len(self._groups) < len(self._prefixes):
            self._groups.update({row[:GROUP_BYTES] for row in rows})

    def _delete(self, changes: Changes) -> None:
        removed = list(filterfalse(self.entries.__contains__, self._gone))
        self._gone.clear()
        for frozen in self._frozen:
            frozen.rewritten(removed)
        changes.delete(self._family, grouped_bytes(removed, self._prefixes))

    def _encoded(self, keys: list[Any], values: list[Any]) -> list[bytes]:
        try:
            return self.codec.encode_many(values)
        except SerializationError:
            for key, value in zip(keys, values, strict=True):
                try:
                    self.codec.encode_many([value])
                except SerializationError as error:
                    raise SerializationError(f"{error.message}, for key {key!r}", hint=error.hint) from None
            raise

    # --- for incremental snapshots ---------------------------------------------------------------------------------------------

    def track(self, changes: ChangeLog, place: Place) -> None:
        """Tell what changes from now on."""
        self.noted = changes.noted(place)

    def compared(self) -> Ordered | None:
        """Return what is found out by comparison: nothing here, what changes is noted."""
        return None

    # --- as a whole ----------------------------------------------------------------------------------------------------------

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Give every key with its value. The table is not changed on the way."""
        yield from self.entries.items()
        rows = ((key, value) for key, value in self._rows() if key not in self.entries and key not in self._gone)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            yield from zip([key for key, _ in chunk], self.codec.decode_many([value for _, value in chunk]), strict=True)

    def frozen(self) -> FrozenRows | None:
        """Return the rows of now, to be read later, on any thread; None if there are none. For tables that have their family for themselves."""
        if not self._rows_written:
            return None
        rows = FrozenRows(self._family, self._prefixes, self.codec, self._gone)
        self._frozen.add(rows)
        return rows

    def fetch(self, keys: Collection[Any]) -> list[Any]:
        """Return the values of keys, `MISSING` for those that have none. The table stays as it is."""
        values = list(map(self.entries.get, keys, repeat(MISSING)))
        if self._rows_written and any(map(is_, values, repeat(MISSING))):
            away = [
                (place, key)
                for place, (key, value) in enumerate(zip(keys, values, strict=True))
                if value is MISSING and key not in self._gone
            ]
            rows = self._family.get_many(grouped_bytes([key for _, key in away], self._prefixes))
            there = [(place, row) for (place, _), row in zip(away, rows, strict=True) if row is not None]
            decoded = self.codec.decode_many(encoded_values([row for _, row in there]))
            for (place, _), value in zip(there, decoded, strict=True):
                values[place] = value
        return values

    def all_keys(self) -> Iterator[Any]:
        """Give every key. The table is not changed on the way."""
        yield from self.entries
        yield from (key for key, _ in self._rows() if key not in self.entries and key not in self._gone)

    def stored(self) -> Iterator[tuple[Any, bytes]]:
        """Give the key and the encoded value of every row that is valid, a thousand at a time: the table may change on the way.

        What is in `entries` may have another value there.
        """
        for group in sorted(self._groups):
            prefix = self._prefixes[int.from_bytes(group, "big")]
            start, end = prefix, after(prefix)
            while chunk := list(islice(self._family.scan(start, end), _ROWS_AT_ONCE)):
                for row, value in chunk:
                    key = key_in(row[len(prefix) :], value)
                    if key not in self._gone:
                        yield key, encoded_value(value)
                start = chunk[-1][0] + b"\0"

    def _rows(self) -> Iterator[tuple[Any, bytes]]:
        """Give the key and the encoded value of every row."""
        for group in sorted(self._groups):
            prefix = self._prefixes[int.from_bytes(group, "big")]
            for row, value in self._family.scan(prefix, after(prefix)):
                yield key_in(row[len(prefix) :], value), encoded_value(value)

    def drop(self, changes: Changes) -> None:
        """Forget all values. What this means for the store is added to `changes`."""
        for group in sorted(self._groups):
            prefix = self._prefixes[int.from_bytes(group, "big")]
            if self._rows_written > _SCATTERED_ROWS_MAX:
                changes.delete_range(self._family, prefix, after(prefix))
            else:
                changes.delete(self._family, [row for row, _ in self._family.scan(prefix, after(prefix))])
        self.forget()

    def forget(self) -> None:
        """Be empty: the rows are gone, or are going to be."""
        for frozen in self._frozen:
            frozen.fix()
        self.entries.clear()
        self._clean.clear()
        self._gone.clear()
        self._groups.clear()
        self._at_work.clear()
        self._rows_written = 0

    @property
    def cached(self) -> bool:
        """Whether nothing is in the store."""
        return not self._rows_written

    @property
    def empty(self) -> bool:
        """Whether no key has a value."""
        return next(self.all_keys(), MISSING) is MISSING

    def move(self, family: Family, codec: ValueCodec, store: Store) -> None:
        """Have the rows in another family, and the values in them written by another codec."""
        assert family is not self._family, "rows that are read while they are written"
        rows = ((key, value) for key, value in self._rows() if key not in self._gone)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            keys = [key for key, _ in chunk]
            values = codec.encode_many(self.codec.decode_many([value for _, value in chunk]))
            changes = Changes(store)
            changes.put(family, grouped_bytes(keys, self._prefixes), row_values(keys, values))
            changes.commit()
        for frozen in self._frozen:
            frozen.fix()
        store.remove(self._family)
        self._family = family
        self.codec = codec

    def __len__(self) -> int:
        """Return the number of keys; about that number where some are in the store."""
        if not self._rows_written:
            return len(self.entries)
        return max(len(self.entries), min(self._rows_written, self._family.estimated_rows()) - len(self._gone))


def after(prefix: bytes) -> bytes:
    """Return the first bytes behind all that begin with `prefix`."""
    rest = prefix.rstrip(b"\xff")
    assert rest, "a prefix that nothing comes behind"
    return rest[:-1] + bytes([rest[-1] + 1])
