"""JSON Lines files as a source: one JSON value a line, blank lines skipped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import EndOfSplit, Pause
from actorflow.connectors.file_splits import FileRange, FileSplit, RangesReader
from actorflow.connectors.lines import LineFormat
from actorflow.connectors.text_files import LineReader, TextSource
from actorflow.errors import SourceError
from actorflow.wire.batch import ObjectBatch


@dataclass(frozen=True)
class JsonLinesSource(TextSource):
    """Values of JSON Lines files. Its splits are those of text files."""

    def open(self, split: FileSplit, position: object | None) -> RangesReader:
        """Return a reader of a split's values."""
        return RangesReader(split, position, lambda piece, inner: JsonLinesReader(piece, inner, self.how))


class JsonLinesReader:
    """Reads the values of one byte range. Positions are those of its lines.

    Args:
        piece: the range.
        position: of another reader of the range, or None.
        how: encoding and limits of the lines.
    """

    def __init__(self, piece: FileRange, position: Any, how: LineFormat) -> None:
        self._uri = piece.uri
        self._lines = LineReader(piece, position, how)

    @property
    def position(self) -> object:
        """The position of the line reader."""
        return self._lines.position

    def read(self, records_max: int) -> ObjectBatch | Pause | EndOfSplit:
        """Return the next values."""
        got = self._lines.read(records_max)
        if not isinstance(got, ObjectBatch):
            return got
        try:
            records = [json.loads(line) for line in got.records if line and not line.isspace()]
        except (ValueError, RecursionError):
            self._raise_first_error(got.records)
        return ObjectBatch(records) if records else Pause(0.0)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _raise_first_error(self, lines: list[str]) -> None:
        for index, line in enumerate(lines):
            try:
                if line and not line.isspace():
                    json.loads(line)
            except (ValueError, RecursionError) as error:
                offset = self._lines.offset_of(index)
                raise SourceError(
                    f"cannot read '{self._uri}': the line at byte {offset} is not JSON: {error}: {line[:80]!r}",
                    hint="JSON Lines has one whole JSON value on each line",
                ) from None
        raise AssertionError("the same lines failed a moment ago")
