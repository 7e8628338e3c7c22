"""One RocksDB database: the states of one operator of one subtask, on a local disk.

It is made when the first row is written: state that fits into memory never touches the disk. There is no write-ahead log: after a failure,
state comes from a checkpoint, never from these files. Whatever RocksDB refuses becomes a `StateError` that names operator and directory.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actorflow.errors import StateError
from actorflow.state.rocksdb.memory import RocksDBMemory

if TYPE_CHECKING:
    from rocksdict import ColumnFamily, Rdict, RdictIter, WriteBatch, WriteOptions

_ROWS_AT_ONCE: Final = 256
"""Rows that a scan reads together."""

_NO_SUCH_ROW: Final = "key not found"
"""What rocksdict says of a row that a snapshot does not have."""

_FLUSHES: Final = 2
"""What is written during the first one goes with the second, so that little is left to be sorted."""


class Store:
    """The database.

    Args:
        directory: where; made when it is needed, and removed by `close`.
        memory: shared with the other databases of this worker.
        operator: whose states these are, for errors.
        on_close: called when it is closed.
    """

    def __init__(self, directory: Path, memory: RocksDBMemory, operator: str, on_close: Callable[[], None] = lambda: None) -> None:
        self.directory = directory
        self._on_close = on_close
        self._memory = memory
        self._operator = operator
        self._families: dict[str, Family] = {}
        self._database: Rdict | None = None

    def family(self, name: str, *, hashed: bool = False) -> Family:
        """Return a family of rows; it is made when it is first written to.

        Args:
            name: its name.
            hashed: whether rows are looked up one by one, and hardly ever in order.
        """
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(self, name, hashed=hashed)
        return family

    def open_family(self, name: str, *, hashed: bool) -> tuple[Rdict, ColumnFamily]:
        """Make a column family."""
        with self.reported("make a place for"):
            database = self._opened()
            family = database.create_column_family(name, self._memory.options(hashed=hashed))
            family.set_write_options(_write_options())
            return family, database.get_column_family_handle(name)

    def remove(self, family: Family) -> None:
        """Forget a family with all its rows."""
        self._families.pop(family.name, None)
        if not family.empty:
            family.close()
            with self.reported("remove"):
                self._opened().drop_column_family(family.name)

    def write(self, batch: WriteBatch) -> None:
        """Write a batch of changes to several families: all of them, or none."""
        with self.reported("write"):
            self._opened().write(batch, _write_options())

    def clear(self) -> None:
        """Forget all rows."""
        self._close()
        for family in self._families.values():
            family.forget()
        shutil.rmtree(self.directory, ignore_errors=True)

    def close(self) -> None:
        """Close the database and remove its files."""
        self._close()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._on_close()

    def _opened(self) -> Rdict:
        if self._database is None:
            from rocksdict import Rdict

            options = self._memory.options()
            options.set_max_background_jobs(2)
            options.set_keep_log_file_num(1)
            options.set_max_log_file_size(1 << 20)
            options.set_stats_dump_period_sec(0)
            options.set_use_fsync(False)
            self.directory.mkdir(parents=True, exist_ok=True)
            self._database = Rdict(str(self.directory), options)
        return self._database

    def _close(self) -> None:
        if self._database is None:
            return
        database, self._database = self._database, None
        for close in (*(family.close for family in self._families.values()), database.close):
            # RocksDB may not be able to write what it still holds: a damaged file, a full disk. All of it is removed anyway.
            with contextlib.suppress(Exception):
                close()

    @contextlib.contextmanager
    def reported(self, verb: str) -> Iterator[None]:
        """Turn what RocksDB or the file system raise into an error that says whose state could not be what."""
        try:
            yield
        except StateError:
            raise
        except Exception as error:  # RocksDB's errors have no class of their own
            raise StateError(
                f"cannot {verb} the state of '{self._operator}' in '{self.directory}': {error}",
                hint="state.backend.rocksdb.localdir names the directories; each needs space and the right to write",
            ) from error


def _write_options() -> WriteOptions:
    from rocksdict import WriteOptions

    made = WriteOptions()
    made.disable_wal = True  # type: ignore[assignment, method-assign]  # an attribute, whatever the stubs say
    return made


class Family:
    """The rows of one state: a column family, once there is something in it."""

    def __init__(self, store: Store, name: str, *, hashed: bool) -> None:
        self.name = name
        self._hashed = hashed
        self._ordered = True
        self._store = store
        self._rows: Rdict | None = None
        self._handle: ColumnFamily | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written to it."""
        return self._rows is None

    def forget(self) -> None:
        """Be empty again: the database is gone."""
        self._rows = self._handle = None

    def close(self) -> None:
        """Let go of the database."""
        rows = self._rows
        self.forget()
        if rows is not None:
            rows.close()

    def handle(self) -> ColumnFamily:
        """Return what names this family in a batch of changes; makes it if it does not exist."""
        if self._handle is None:
            self._rows, self._handle = self._store.open_family(self.name, hashed=self._hashed)
        self._ordered = not self._hashed
        return self._handle

    def get(self, row: bytes) -> bytes | None:
        """Return the value of a row, or None."""
        if self._rows is None:
            return None
        with self._store.reported("read"):
            value: bytes | None = self._rows.get(row)
            return value

    def get_many(self, rows: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of rows, None for those that do not exist."""
        if self._rows is None:
            return [None] * len(rows)
        with self._store.reported("read"):
            values: list[bytes | None] = self._rows.get(rows)  # type: ignore[assignment, arg-type]  # a list gives a list
            return values

    def scan(self, start: bytes, end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Give the rows from `start` on, up to but without `end`, in order. They are those of the moment of the call."""
        yield from self.frozen(start, end)

    def frozen(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Return what `scan` gives, fixed now and read later, on any thread, even if the store is closed by then."""
        if self._rows is None:
            return iter(())
        if not self._ordered:
            with self._store.reported("write"):
                self._rows.flush()  # what is found by hash would be sorted for this scan alone
            self._ordered = True
        return self.rows_of(self._rows, start, end)

    def pinned(self) -> PinnedRows:
        """Return the rows of now, for reading later, on any thread. There have to be some."""
        assert self._rows is not None, "a family without rows is not read later"
        with self._store.reported("read"):
            return PinnedRows(self, self._store, self._rows)

    def rows_of(self, opened: Rdict, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Return the rows of an open family as they are now, in order."""
        from rocksdict import ReadOptions

        options = ReadOptions()
        options.set_total_order_seek(True)
        if end is not None:
            options.set_iterate_upper_bound(end)
        with self._store.reported("read"):
            rows: Iterator[tuple[bytes, bytes]] = opened.items(from_key=start, read_opt=options)  # type: ignore[assignment]
            return self._read(rows, opened.iter(options), start)

    def _read(self, rows: Iterator[tuple[bytes, bytes]], ended: RdictIter, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        last = start
        with self._store.reported("read"):
            while some := list(islice(rows, _ROWS_AT_ONCE)):
                last = some[-1][0]
                yield from some
            ended.seek(last)  # `items` ends at what it cannot read, too, and does not say so
            if ended.valid():
                ended.next()
            ended.status()

    def estimated_rows(self) -> int:
        """Return about how many rows there are."""
        if self._rows is None:
            return 0
        with self._store.reported("read"):
            return self._rows.property_int_value("rocksdb.estimate-num-keys") or 0


class PinnedRows:
    """The rows of a family at one moment, one by one; and all rows of a later one. Used on any thread, until the store is closed.

    Args:
        family: whose rows.
        store: where they are.
        opened: the family's.
    """

    def __init__(self, family: Family, store: Store, opened: Rdict) -> None:
        self._family = family
        self._store = store
        self._opened = opened
        self._snapshot = opened.snapshot()

    def get(self, row: bytes) -> bytes | None:
        """Return the value that a row had at the moment, or None."""
        with self._store.reported("read"):
            try:
                value: bytes = self._snapshot[row]
            except Exception as error:  # RocksDB's errors have no class of their own
                if str(error) == _NO_SUCH_ROW:
                    return None
                raise
            return value

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Give all rows as they are when this is called. It takes as long as to write what is in the buffer, with the interpreter free."""
        with self._store.reported("write"):
            for _ in range(_FLUSHES):
                self._opened.flush()
        return self._family.rows_of(self._opened)


class Changes:
    """A batch of changes to the rows of a store: written at once, by `commit`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch: WriteBatch | None = None

    def put(self, family: Family, rows: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Set the values of rows."""
        put = self._of(family).put
        for row, value in zip(rows, values, strict=True):
            put(row, value)

    def delete(self, family: Family, rows: Sequence[bytes]) -> None:
        """Forget rows."""
        delete = self._of(family).delete
        for row in rows:
            delete(row)

    def delete_range(self, family: Family, start: bytes, end: bytes) -> None:
        """Forget the rows from `start` on, up to but without `end`."""
        self._of(family).delete_range(start, end, family.handle())  # which does not mind the batch's default family

    def commit(self) -> None:
        """Write what was collected."""
        if self._batch is not None:
            self._store.write(self._batch)
            self._batch = None

    def _of(self, family: Family) -> WriteBatch:
        """Return the batch, ready for changes to one family."""
        if self._batch is None:
            from rocksdict import WriteBatch

            self._batch = WriteBatch(raw_mode=True)
        self._batch.set_default_column_family(family.handle())
        return self._batch
