"""The rows of a table as they were at one moment, read later, off the subtask's thread, while the table goes on.

    at the moment    rows  A=1  B=1  C=1        in memory, or gone  D
    since then                  B=2  C gone              E=1
    read             A=1 by a scan; B=1, C=1 one by one, from a snapshot; D and E not at all

What is in RocksDB's write buffer stands there in no order, and a scan sorts it first, with the interpreter held; to flush it takes as long, with
the interpreter free. So it is flushed where it is read. What a scan finds then is newer than the moment: the table tells which rows it has written
or deleted until the scan began, which are few, for the keys that leave memory are nearly always those that were there at the moment. They are read from a
snapshot. (Scans of snapshots, which would be all that is needed, are scans of what is there now in rocksdict 0.3.29.)
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress, islice
from typing import Any, Final

from actorflow.state.rocksdb.layout import encoded_value, encoded_values, keys_in
from actorflow.state.rocksdb.store import Family
from actorflow.state.rocksdb.values import ValueCodec
from actorflow.wire.key_bytes import grouped_bytes

_AT_ONCE: Final = 1024
"""Rows that are decoded together, so few that nobody waits long for the interpreter."""


class FrozenRows:
    """See the module's text.

    Args:
        family: where the rows are; the table's own.
        prefixes: what rows begin with, for each key group.
        codec: of their values.
        gone: keys that have no value any more, and a row, maybe.
    """

    def __init__(self, family: Family, prefixes: Sequence[bytes], codec: ValueCodec, gone: Iterable[Any]) -> None:
        self._pinned = family.pinned()
        self._prefixes = prefixes
        self._codec = codec
        self._gone = frozenset(gone)
        self._rewritten: list[Collection[Any]] = []
        self._rows: Iterator[tuple[bytes, bytes]] | None = None
        self._lock = threading.Lock()

    def rewritten(self, keys: Collection[Any]) -> None:
        """Note keys whose rows are going to be written or deleted. On the subtask's thread; they are not changed after it."""
        if self._rows is None:
            self._rewritten.append(keys)

    def fix(self) -> None:
        """Begin to read: from now on the table may do what it likes. On any thread; it waits for a flush."""
        with self._lock:
            if self._rows is None:
                self._rows = self._pinned.scan()

    def portions(self, held: Iterator[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
        """Give keys and values of all rows that count. To be called once, on any thread.

        Args:
            held: the keys that were in memory at the moment: what their rows say is void.
        """
        self.fix()
        rows = self._rows
        assert rows is not None, "it was fixed"
        void = set(self._gone)
        while some := list(islice(held, _AT_ONCE)):
            void.update(some)
        late = list(dict.fromkeys(key for keys in self._rewritten for key in keys if key not in void))
        void.update(late)
        yield from self._scanned(rows, void)
        for at in range(0, len(late), _AT_ONCE):
            yield self._pinned_values(late[at : at + _AT_ONCE])

    def _scanned(self, rows: Iterator[tuple[bytes, bytes]], void: set[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
        start = len(self._prefixes[0])
        while some := list(islice(rows, _AT_ONCE)):
            values = [value for _, value in some]
            keys = keys_in([row[start:] for row, _ in some], values)
            if not void.isdisjoint(keys):
                valid = [key not in void for key in keys]
                keys, values = list(compress(keys, valid)), list(compress(values, valid))
            yield keys, self._codec.decode_many(encoded_values(values))

    def _pinned_values(self, keys: list[Any]) -> tuple[list[Any], list[Any]]:
        found = [(key, self._pinned.get(row)) for key, row in zip(keys, grouped_bytes(keys, self._prefixes), strict=True)]
        there = [(key, encoded_value(value)) for key, value in found if value is not None]
        return [key for key, _ in there], self._codec.decode_many([value for _, value in there])
