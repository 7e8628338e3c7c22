"""CSV files as column batches, parsed by pyarrow: types are inferred from the first block of each file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Source
from actorflow.connectors.csv_files import CsvFormat
from actorflow.connectors.file_splits import FileRange, FileSplit, RangesReader, cut_files, list_all, split_size
from actorflow.errors import SourceError
from actorflow.plan.graph import DataPath
from actorflow.storage.compression import open_content
from actorflow.storage.files import reading
from actorflow.wire.batch import ColumnBatch

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv as pacsv

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class CsvColumnsSource(Source):
    """Records of CSV files, as columns. A file is one split.

    Attributes:
        uris: files, directories, globs.
        how: names, delimiters, encoding.
    """

    uris: tuple[str, ...]
    how: CsvFormat

    gives: ClassVar[DataPath] = DataPath.COLUMNS

    def splits(self, parallelism: int) -> Iterable[FileSplit]:
        """Return files, small ones packed together."""
        files = list_all(self.uris)
        size = split_size(sum(info.size_bytes for info in files), parallelism, None)
        return cut_files(files, size, divisible=False)

    def open(self, split: FileSplit, position: object | None) -> RangesReader:
        """Return a reader of a split's records."""
        return RangesReader(split, position, lambda piece, inner: CsvColumnsReader(piece, inner, self.how))


class CsvColumnsReader:
    """Reads one file. Its position is the number of rows given; going on from there parses the rows before once more.

    Args:
        piece: the file.
        rows_given: by another reader of the file, or None.
        how: names, delimiters, encoding.
    """

    def __init__(self, piece: FileRange, rows_given: Any, how: CsvFormat) -> None:
        self._uri = piece.uri
        self._given = 0
        self._stream = open_content(piece.uri)
        self._chunk: pa.RecordBatch | None = None
        self._taken = 0
        try:
            with _parsing(self._uri):
                self._batches = _parse(self._stream, how)
            while self._given < (rows_given or 0) and self._advance():
                self._take(rows_given - self._given)
        except BaseException:
            self.close()
            raise

    @property
    def position(self) -> object:
        """Number of rows given."""
        return self._given

    def read(self, records_max: int) -> ColumnBatch | EndOfSplit:
        """Return the next rows, a slice of one parsed block."""
        return ColumnBatch(self._take(records_max)) if self._advance() else END_OF_SPLIT

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _advance(self) -> bool:
        """Make the current chunk one with rows left; return False if there is none."""
        while self._chunk is None or self._taken >= self._chunk.num_rows:
            with _parsing(self._uri):
                self._chunk, self._taken = next(self._batches, None), 0
            if self._chunk is None:
                return False
        return True

    def _take(self, rows_max: int) -> pa.RecordBatch:
        assert self._chunk is not None, "advance found rows"
        rows = self._chunk.slice(self._taken, rows_max)
        self._taken += rows.num_rows
        self._given += rows.num_rows
        return rows


def _parse(stream: Any, how: CsvFormat) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv as pacsv

    encoding = how.lines.encoding.removesuffix("-sig")  # pyarrow drops a byte order mark by itself
    try:
        reader: pacsv.CSVStreamingReader = pacsv.open_csv(
            stream,
            pacsv.ReadOptions(block_size=_BLOCK_BYTES, column_names=how.columns, encoding=encoding),
            pacsv.ParseOptions(delimiter=how.delimiter, quote_char=how.quote, newlines_in_values=how.multiline),
        )
    except ValueError as error:
        if "Empty CSV file" in str(error):  # pyarrow refuses a file without rows if it has no line end either
            return iter(())
        raise
    return iter(reader)


@contextlib.contextmanager
def _parsing(uri: str) -> Iterator[None]:
    """Turn what pyarrow says about malformed content into a `SourceError`, too."""
    try:
        with reading(uri):
            yield
    except (ValueError, KeyError) as error:  # pyarrow's ArrowInvalid, ArrowKeyError
        reason = str(error).splitlines()[0].rstrip(".")
        raise SourceError(
            f"cannot read '{uri}' as CSV: {reason}",
            hint="column types come from the first megabyte; path='objects' reads every value as text",
        ) from error
