"""Parquet files as a source: splits are row groups, records travel as columns unless asked otherwise."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Source
from actorflow.connectors.file_splits import FileRange, FileSplit, RangesReader, list_all, pack, split_size
from actorflow.connectors.read_ahead import ReadAhead
from actorflow.errors import SourceError
from actorflow.plan.graph import DataPath
from actorflow.storage.contract import FileInfo
from actorflow.storage.files import local_path, open_input, reading
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq

_DECODED_ROWS_MAX = 1 << 20
"""How many rows are decoded at once, of one row group or of several small ones; batches are slices of them."""

_DECODED_BYTES_MAX = 32 << 20
"""How many bytes that may be: wide rows are decoded fewer at once."""


@dataclass(frozen=True)
class ParquetSource(Source):
    """Rows of Parquet files.

    Attributes:
        uris: files, directories, globs.
        columns: the columns to read, or None for all.
        form: column batches, or dicts.
        split_bytes: size of a split (whole row groups), or None to choose by the size of the input.
        dictionary: text columns to give as dictionaries: codes, and each text once.
    """

    uris: tuple[str, ...]
    columns: tuple[str, ...] | None
    form: DataPath
    split_bytes: int | None = None
    dictionary: tuple[str, ...] = ()

    @property
    def gives(self) -> DataPath:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Column batches, or dicts."""
        return self.form

    def splits(self, parallelism: int) -> Iterable[FileSplit]:
        """Return runs of row groups."""
        files = list_all(self.uris)
        size = split_size(sum(info.size_bytes for info in files), parallelism, self.split_bytes)
        return pack(_row_groups(files), size)

    def open(self, split: FileSplit, position: object | None) -> RangesReader:
        """Return a reader of a split's rows."""
        return RangesReader(split, position, self._open_range)

    def _open_range(self, piece: FileRange, position: Any) -> ParquetReader:
        return ParquetReader(piece, position, self.columns, self.dictionary, as_columns=self.form is DataPath.COLUMNS)


class ParquetReader:
    """Reads a run of row groups. Its position is a row group and a number of rows in it.

    Args:
        piece: the file, first row group, and the one after the last.
        position: of another reader of the run, or None.
        columns: the columns to read, or None for all.
        dictionary: those to give as dictionaries.
        as_columns: whether to give column batches, or dicts.
    """

    def __init__(
        self, piece: FileRange, position: Any, columns: Sequence[str] | None, dictionary: Sequence[str], *, as_columns: bool
    ) -> None:
        self._piece = piece
        self._file = _open_file(piece.uri, dictionary)
        names = self._file.schema_arrow.names
        self._columns = None if columns is None else _checked(columns, names, piece.uri)
        _checked(dictionary, names, piece.uri)
        self._as_columns = as_columns
        at: tuple[int, int] = position or (piece.start, 0)
        self._group, self._row = at
        self._chunks = ReadAhead(self._decoded(self._group, self._row))
        self._chunk: pa.RecordBatch | None = None
        self._taken = 0

    @property
    def position(self) -> object:
        """Row group, and number of its rows that were given."""
        return self._group, self._row

    def read(self, records_max: int) -> Batch | EndOfSplit:
        """Return the next rows, a slice of what is decoded already or of what is decoded next."""
        while self._chunk is None or self._taken >= self._chunk.num_rows:
            with _decoding(self._piece.uri):
                self._chunk, self._taken = next(self._chunks, None), 0
            if self._chunk is None:
                return END_OF_SPLIT
        rows = self._chunk.slice(self._taken, records_max)
        self._taken += rows.num_rows
        self._row += rows.num_rows
        while self._row > (group_rows := self._file.metadata.row_group(self._group).num_rows):
            self._group, self._row = self._group + 1, self._row - group_rows
        return ColumnBatch(rows) if self._as_columns else ObjectBatch(rows.to_pylist())

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()
        self._file.close(force=True)

    def _decoded(self, group: int, skip_rows: int) -> Iterator[pa.RecordBatch]:
        """Decode from a row of a row group on. Runs on the thread that reads ahead."""
        while group < self._piece.end:
            stop, rows_max = self._run_of_groups(group)
            for chunk in self._file.iter_batches(rows_max, row_groups=list(range(group, stop)), columns=self._columns):
                if skip_rows < chunk.num_rows:
                    yield chunk.slice(skip_rows)
                skip_rows = max(0, skip_rows - chunk.num_rows)
            group = stop

    def _run_of_groups(self, group: int) -> tuple[int, int]:
        """Return the end of the row groups to decode together from this one on, and how many rows at once."""
        metadata = self._file.metadata
        first = metadata.row_group(group)
        stop, rows, rows_max = group + 1, first.num_rows, _rows_at_once(first)
        while stop < self._piece.end:
            following = metadata.row_group(stop)
            rows += following.num_rows
            if rows > min(rows_max, _rows_at_once(following)):
                break
            stop, rows_max = stop + 1, min(rows_max, _rows_at_once(following))
        return stop, rows_max


def _rows_at_once(group: pq.RowGroupMetaData) -> int:
    """Return how many rows of a row group to decode at once."""
    fitting: int = _DECODED_BYTES_MAX * group.num_rows // max(1, group.total_byte_size)
    return max(1, min(_DECODED_ROWS_MAX, fitting))


def _row_groups(files: Sequence[FileInfo]) -> Iterator[tuple[FileRange, int]]:
    """Give every row group that has rows, with its share of the file's bytes."""
    for info in files:
        file = _open_file(info.uri)
        try:
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        finally:
            file.close(force=True)
        for index, group in enumerate(groups):
            if group.num_rows:
                yield FileRange(info.uri, index, index + 1), group.total_byte_size


def _open_file(uri: str, dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    from pyarrow import parquet as pq

    path = local_path(uri)
    stream = None if path is not None else open_input(uri)
    with _decoding(uri):
        return pq.ParquetFile(path if stream is None else stream, read_dictionary=list(dictionary))


def _checked(columns: Sequence[str], names: Sequence[str], uri: str) -> list[str]:
    for column in columns:
        if column not in names:
            near = difflib.get_close_matches(column, names, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"its columns are {', '.join(names)}"
            raise SourceError(f"cannot read '{uri}': it has no column '{column}'", hint=hint)
    return list(columns)


@contextlib.contextmanager
def _decoding(uri: str) -> Iterator[None]:
    """Turn what pyarrow says about damaged content into a `SourceError`, too."""
    try:
        with reading(uri):
            yield
    except ValueError as error:  # pyarrow's ArrowInvalid
        reason = str(error).splitlines()[0].rstrip(".")
        raise SourceError(f"cannot read '{uri}' as Parquet: {reason}", hint="is it a whole Parquet file?") from error
