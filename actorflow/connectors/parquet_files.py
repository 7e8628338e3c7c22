"""Parquet files as a source: splits are row groups, records travel as columns unless asked otherwise."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, ReaderContext, Source
from actorflow.connectors.file_splits import FileRange, FileSplit, RangesReader, list_all, pack, split_size
from actorflow.connectors.parquet_frames import FrameDecoder
from actorflow.connectors.read_ahead import ReadAhead
from actorflow.errors import SourceError
from actorflow.plan.graph import DataPath
from actorflow.storage.contract import FileInfo
from actorflow.storage.files import local_path, open_input, reading
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    from pyarrow import parquet as pq

_DECODED_ROWS_MAX = 1 << 20
"""How many rows are decoded at once, of one row group or of several small ones; batches are slices of them."""

_FRAME_ROWS_MAX = 1 << 21
"""How many that are as a frame. What is grouped costs less a row the more rows there are: keys that come again come once."""

_DECODED_BYTES_MAX = 32 << 20
"""How many bytes that may be: wide rows are decoded fewer at once."""

_FRAMES_OF_RUN_MAX = 8
"""In how many frames a row group is decoded at most: for each of them it is gone through from its start."""


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
        return self._open(split, position, as_frames=False)

    def open_reader(self, split: FileSplit, position: object | None, ctx: ReaderContext) -> RangesReader:
        """Return a reader of a split's rows, as frames if that is what the operators behind it work on."""
        return self._open(split, position, as_frames=ctx.frames)

    def _open(self, split: FileSplit, position: object | None, *, as_frames: bool) -> RangesReader:
        def open_range(piece: FileRange, position: Any) -> ParquetReader:
            return ParquetReader(piece, position, self.columns, self.dictionary, self.form, as_frames=as_frames)

        return RangesReader(split, position, open_range)


class ParquetReader:
    """Reads a run of row groups. Its position is a row group and a number of rows in it.

    Args:
        piece: the file, first row group, and the one after the last.
        position: of another reader of the run, or None.
        columns: the columns to read, or None for all.
        dictionary: those to give as dictionaries.
        form: column batches, or dicts.
        as_frames: whether columns should be polars frames, where they can.
    """

    def __init__(
        self,
        piece: FileRange,
        position: Any,
        columns: Sequence[str] | None,
        dictionary: Sequence[str],
        form: DataPath,
        *,
        as_frames: bool = False,
    ) -> None:
        self._piece = piece
        self._file = _open_file(piece.uri, dictionary)
        names = self._file.schema_arrow.names
        self._columns = None if columns is None else _checked(columns, names, piece.uri)
        _checked(dictionary, names, piece.uri)
        self._form = form
        self._frames = _frame_decoder(self._file, self._columns, piece.uri) if as_frames else None
        at: tuple[int, int] = position or (piece.start, 0)
        self._group, self._row = at
        self._chunks = ReadAhead(self._decoded(self._group, self._row))
        self._chunk: ColumnBatch | None = None
        self._taken = 0

    @property
    def position(self) -> object:
        """Row group, and number of its rows that were given."""
        return self._group, self._row

    def read(self, records_max: int) -> Batch | EndOfSplit:
        """Return the next rows, a slice of what is decoded already or of what is decoded next."""
        while self._chunk is None or self._taken >= len(self._chunk):
            with _decoding(self._piece.uri):
                self._chunk, self._taken = next(self._chunks, None), 0
            if self._chunk is None:
                return END_OF_SPLIT
        rows = self._chunk.slice(self._taken, records_max)
        self._taken += len(rows)
        self._row += len(rows)
        while self._row > (group_rows := self._file.metadata.row_group(self._group).num_rows):
            self._group, self._row = self._group + 1, self._row - group_rows
        return rows if self._form is DataPath.COLUMNS else ObjectBatch(rows.columns.to_pylist())

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()
        self._file.close(force=True)

    def _decoded(self, group: int, skip_rows: int) -> Iterator[ColumnBatch]:
        """Decode from a row of a row group on. Runs on the thread that reads ahead."""
        while group < self._piece.end:
            stop, rows, rows_max = self._run_of_groups(group)
            while self._frames is not None and skip_rows < rows <= _FRAMES_OF_RUN_MAX * rows_max:
                frame = self._frames.rows(group, stop, skip_rows, min(rows_max, rows - skip_rows))
                if frame is None:
                    break
                yield frame
                skip_rows += len(frame)
            if skip_rows < rows:
                yield from self._decoded_by_arrow(group, stop, skip_rows, rows_max)
            group, skip_rows = stop, max(0, skip_rows - rows)

    def _decoded_by_arrow(self, group: int, stop: int, skip_rows: int, rows_max: int) -> Iterator[ColumnBatch]:
        for chunk in self._file.iter_batches(rows_max, row_groups=list(range(group, stop)), columns=self._columns):
            if skip_rows < chunk.num_rows:
                yield ColumnBatch(chunk.slice(skip_rows))
            skip_rows = max(0, skip_rows - chunk.num_rows)

    def _run_of_groups(self, group: int) -> tuple[int, int, int]:
        """Return the end of the row groups to decode together from this one on, their rows, and how many rows at once."""
        metadata = self._file.metadata
        first = metadata.row_group(group)
        stop, rows, rows_max = group + 1, first.num_rows, self._rows_at_once(first)
        while stop < self._piece.end:
            following = metadata.row_group(stop)
            if rows + following.num_rows > min(rows_max, self._rows_at_once(following)):
                break
            stop, rows, rows_max = stop + 1, rows + following.num_rows, min(rows_max, self._rows_at_once(following))
        return stop, rows, rows_max

    def _rows_at_once(self, group: pq.RowGroupMetaData) -> int:
        """Return how many rows of a row group to decode at once."""
        rows_max, size = _DECODED_ROWS_MAX, max(1, group.total_byte_size)
        if self._frames is not None:
            rows_max, size = _FRAME_ROWS_MAX, max(size, self._frames.row_bytes * group.num_rows)
        fitting: int = _DECODED_BYTES_MAX * group.num_rows // size
        return max(1, min(rows_max, fitting))


def _frame_decoder(file: pq.ParquetFile, columns: Sequence[str] | None, uri: str) -> FrameDecoder | None:
    """Return what decodes a file as frames, if it is one of those that are read so."""
    import pyarrow as pa

    path, schema = local_path(uri), file.schema_arrow
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in dict.fromkeys(columns)], schema.metadata)
    if path is None or not FrameDecoder.fits(file.metadata, schema):
        return None
    return FrameDecoder(path, file, schema)


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
