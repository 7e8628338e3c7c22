"""Text files as a source: records are lines.

Splits are byte ranges (`file_splits`), owned line by line as `lines` says. `LineReader` is also what line-based formats build on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Pause, Source
from actorflow.connectors.file_splits import FileRange, FileSplit, RangesReader, cut_files, list_all, split_size
from actorflow.connectors.lines import LineBlocks, LineFormat, TextDecoder, line_offset
from actorflow.storage.compression import open_content
from actorflow.storage.files import reading
from actorflow.wire.batch import ObjectBatch

_AGAIN = Pause(0.0)
"""A block was read and no line ended in it: nothing to give, but no reason to wait."""


@dataclass(frozen=True)
class TextSource(Source):
    """Lines of text files.

    Attributes:
        uris: files, directories, globs.
        how: encoding and limits.
        split_bytes: size of a split, or None to choose by the size of the input.
    """

    uris: tuple[str, ...]
    how: LineFormat
    split_bytes: int | None = None

    def splits(self, parallelism: int) -> Iterable[FileSplit]:
        """Return byte ranges of the files, small files packed together."""
        files = list_all(self.uris)
        size = split_size(sum(info.size_bytes for info in files), parallelism, self.split_bytes)
        return cut_files(files, size)

    def open(self, split: FileSplit, position: object | None) -> RangesReader:
        """Return a reader of a split's lines."""
        return RangesReader(split, position, lambda piece, inner: LineReader(piece, inner, self.how))


class LineReader:
    """Reads the lines of one byte range of a file.

    Its position is the offset of a block (always a line start) and the number of lines of that block that were given.

    Args:
        piece: the range.
        position: of another reader of the range, or None.
        how: encoding and limits.
    """

    def __init__(self, piece: FileRange, position: Any, how: LineFormat) -> None:
        mid_line = position is None and piece.start > 0
        at: tuple[int, int] = (piece.start - mid_line, 0) if position is None else position
        offset, self._skip = at
        self._uri = piece.uri
        self._decoder = TextDecoder(piece.uri, how)
        # A piece is no longer than a line may be, so that only a line that began in an earlier piece can be too long.
        self._read_bytes = min(how.block_bytes, how.line_bytes_max)
        self._blocks = LineBlocks(piece.uri, offset, piece.end, mid_line=mid_line, line_bytes_max=how.line_bytes_max)
        self._stream = open_content(piece.uri, offset)
        self._position: object = position
        self._block = b""
        self._block_at = offset
        self._lines: list[str] = []
        self._batch_from = 0
        self._next = 0

    @property
    def position(self) -> object:
        """Offset of a block, and number of its lines that were given. What was given to the reader before the first batch."""
        return self._position

    def read(self, records_max: int) -> ObjectBatch | Pause | EndOfSplit:
        """Return the next lines, at most one block's. Reads at most one block from the file."""
        if self._next >= len(self._lines):
            if self._blocks.ended:
                return END_OF_SPLIT
            if not self._read_block():
                return _AGAIN
        lines = self._lines
        self._batch_from = first = self._next
        self._next = min(first + records_max, len(lines))
        self._position = self.position_at(self._next - first)
        return ObjectBatch(lines[first : self._next])

    def position_at(self, index: int) -> object:
        """Return the position before the line with this index in the last batch."""
        return self._block_at, self._batch_from + index

    def offset_of(self, index: int) -> int:
        """Return the byte offset of a line of the last batch, or of the one after it, for errors."""
        if not self._block:  # the file has ended
            return self._blocks.at
        return self._block_at + line_offset(self._block, self._batch_from + index)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _read_block(self) -> bool:
        """Read on; return whether there are lines to give now."""
        self._block, self._lines, self._next = b"", [], 0  # so that no two long lines are held at once
        with reading(self._uri):
            data = self._stream.read(self._read_bytes)
        block = self._blocks.feed(data) if data else self._blocks.finish()
        if not block:
            return False
        block_at = self._blocks.at - len(block)
        lines = self._decoder.lines(block, block_at)
        if self._skip >= len(lines):
            self._skip -= len(lines)
            return False
        self._block, self._block_at, self._lines = block, block_at, lines
        self._next, self._skip = self._skip, 0
        return True
