"""CSV files as a source of dicts: `csv.reader` over the lines of a byte range.

A value in quotes may hold a line break, which cannot be told from the end of a record without reading the file from its start. So
a file is one split, unless the user says that no value does (`multiline=False`); then files are cut as text files are.
"""

from __future__ import annotations

import csv
import itertools
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Pause, Source
from actorflow.connectors.file_splits import WHOLE, FileRange, FileSplit, RangesReader, cut_files, list_all, split_size
from actorflow.connectors.lines import LineFormat
from actorflow.connectors.text_files import LineReader
from actorflow.errors import SourceError
from actorflow.wire.batch import ObjectBatch

_LINES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How lines are read as records.

    Attributes:
        columns: the names, for files without a header; None if the first record of each file has them.
        delimiter: one character between values.
        quote: one character around values that hold delimiters, quotes or line breaks.
        multiline: whether a value may hold a line break.
        lines: encoding and limits of the lines.
    """

    columns: tuple[str, ...] | None
    delimiter: str
    quote: str
    multiline: bool
    lines: LineFormat


@dataclass(frozen=True)
class CsvSource(Source):
    """Records of CSV files, as dicts of text.

    Attributes:
        uris: files, directories, globs.
        how: names, delimiters, encoding.
        split_bytes: size of a split, or None to choose by the size of the input.
    """

    uris: tuple[str, ...]
    how: CsvFormat
    split_bytes: int | None = None

    def splits(self, parallelism: int) -> Iterable[FileSplit]:
        """Return files, small ones packed together; byte ranges of files if no value spans lines."""
        files = list_all(self.uris)
        size = split_size(sum(info.size_bytes for info in files), parallelism, self.split_bytes)
        return cut_files(files, size, divisible=not self.how.multiline)

    def open(self, split: FileSplit, position: object | None) -> RangesReader:
        """Return a reader of a split's records."""
        return RangesReader(split, position, lambda piece, inner: CsvReader(piece, inner, self.how))


class CsvReader:
    """Reads the records of one range. Its position is that of the line where the next record starts.

    Args:
        piece: the range.
        position: of another reader of the range, or None.
        how: names, delimiters, encoding.
    """

    def __init__(self, piece: FileRange, position: Any, how: CsvFormat) -> None:
        # The csv module has one limit for the whole process; ours, for each line, is the one that counts.
        csv.field_size_limit(max(csv.field_size_limit(), how.lines.line_bytes_max))
        self._uri = piece.uri
        self._names = how.columns or _header(piece.uri, how)
        self._rows = _Rows(piece, position, how)
        self._header_due = how.columns is None and piece.start == 0 and position is None

    @property
    def position(self) -> object:
        """The position of the line where the next record starts."""
        return self._rows.position

    def read(self, records_max: int) -> ObjectBatch | Pause | EndOfSplit:
        """Return the next records."""
        if self._header_due:
            self._rows.header()
            self._header_due = False
        names, width = self._names, len(self._names)
        records: list[dict[str, str]] = []
        for row in itertools.islice(self._rows, records_max):
            if len(row) == width:
                records.append(dict(zip(names, row, strict=True)))
            elif row:  # a blank line is an empty row
                raise SourceError(
                    f"cannot read '{self._uri}': the record that ends before byte {self._rows.offset} has {len(row)} values, "
                    f"there are {width} columns: {reprlib.repr(row)}",
                    hint="check delimiter= and quote=, or give columns= if there is no header",
                )
        self._rows.settle()
        if records:
            return ObjectBatch(records)
        return END_OF_SPLIT if self._rows.exhausted else Pause(0.0)

    def close(self) -> None:
        """Close the file."""
        self._rows.close()


class _Rows:
    """The rows of a range: feeds `csv.reader` line by line, and knows which line the next row starts at."""

    def __init__(self, piece: FileRange, position: Any, how: CsvFormat) -> None:
        self._uri = piece.uri
        self._lines = LineReader(piece, position, how.lines)
        self._taken = 0
        self._rows = csv.reader(self._feed(), delimiter=how.delimiter, quotechar=how.quote, strict=True)
        self.exhausted = False
        self.position: object = position

    @property
    def offset(self) -> int:
        """Byte offset of the line after the last one that was taken."""
        return self._lines.offset_of(self._taken)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._rows)
        except StopIteration:
            self.exhausted = True
            raise
        except csv.Error as error:
            raise SourceError(
                f"cannot read '{self._uri}': malformed CSV before byte {self.offset}: {error}",
                hint="check delimiter= and quote=; with multiline=False no value may hold a line break",
            ) from None

    def header(self) -> list[str]:
        """Take the first row that is not blank; an empty one if there is none."""
        return next(filter(None, self), [])

    def settle(self) -> None:
        """Note that the last row was used: a reader may go on from here."""
        self.position = self._lines.position_at(self._taken)

    def close(self) -> None:
        self._lines.close()

    def _feed(self) -> Iterator[str]:
        while not isinstance(got := self._lines.read(_LINES_AT_ONCE), EndOfSplit):
            if isinstance(got, ObjectBatch):
                self._taken = 0
                for line in got.records:
                    self._taken += 1
                    yield line + "\n"


def _header(uri: str, how: CsvFormat) -> tuple[str, ...]:
    rows = _Rows(FileRange(uri, 0, WHOLE), None, how)
    try:
        names = rows.header()
    finally:
        rows.close()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"cannot read '{uri}': its header has the column '{twice[0]}' twice", hint="give columns= if there is no header"
        )
    return tuple(names)
