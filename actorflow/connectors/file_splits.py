"""How files become splits: big ones are cut into byte ranges, small ones are packed together.

A split is a tuple of file ranges, so that a tree of a thousand small files costs a few split assignments and not a thousand.
`RangesReader` reads the ranges of a split one after the other; each format only has to know how to read one range.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Reader, Reading
from actorflow.errors import PlanError
from actorflow.storage.compression import is_compressed
from actorflow.storage.contract import FileInfo
from actorflow.storage.files import as_uri, list_files

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

WHOLE = 2**63 - 1
"""The end of a range that reaches to the end of its file, wherever that is."""

_SPLITS_PER_READER = 8
_SPLIT_BYTES_MIN = 1 << 20
_SPLIT_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class FileRange:
    """A piece of a file.

    Attributes:
        uri: the file.
        start: first byte (or row group) of the piece.
        end: the one after the last; `WHOLE` for the rest of the file.
    """

    uri: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FileSplit:
    """What one reader reads: pieces of files, in order."""

    ranges: tuple[FileRange, ...]


def paths_of(paths: Paths) -> tuple[str, ...]:
    """Return what the user gave as URIs that mean the same in every process.

    Raises:
        PlanError: if it is not a path or several.
    """
    if isinstance(paths, (str, os.PathLike)):
        return (as_uri(paths),)
    found = tuple(paths)
    for path in found:
        if not isinstance(path, (str, os.PathLike)):
            raise PlanError(f"cannot read a path of type '{type(path).__name__}'", hint="give a str, a Path, or a list of them")
    return tuple(as_uri(path) for path in found)


def list_all(uris: Sequence[str]) -> list[FileInfo]:
    """Return the files that the URIs stand for, empty files left out.

    Raises:
        SourceError: if one of them stands for nothing.
    """
    return [info for uri in uris for info in list_files(uri) if info.size_bytes]


def split_size(total_bytes: int, parallelism: int, split_bytes: int | None) -> int:
    """Return how many bytes a split should have: the user's wish, or enough splits to balance the readers."""
    if split_bytes is not None:
        return split_bytes
    return min(max(total_bytes // (parallelism * _SPLITS_PER_READER), _SPLIT_BYTES_MIN), _SPLIT_BYTES_MAX)


def cut_files(files: Sequence[FileInfo], size_bytes: int, *, divisible: bool = True) -> Iterator[FileSplit]:
    """Return splits of about `size_bytes` that cover the files.

    Args:
        files: in the order in which they should be read.
        size_bytes: how many bytes a split should have.
        divisible: whether a file may be cut. A compressed one never is.
    """
    return pack(_pieces(files, size_bytes, divisible=divisible), size_bytes)


def pack(pieces: Iterable[tuple[FileRange, int]], size_bytes: int) -> Iterator[FileSplit]:
    """Put pieces (each with its bytes) together, in order, into splits of about `size_bytes`."""
    ranges: list[FileRange] = []
    filled = 0
    for piece, piece_bytes in pieces:
        if ranges and filled + piece_bytes > size_bytes:
            yield FileSplit(tuple(ranges))
            ranges, filled = [], 0
        if ranges and (ranges[-1].uri, ranges[-1].end) == (piece.uri, piece.start):
            ranges[-1] = FileRange(piece.uri, ranges[-1].start, piece.end)
        else:
            ranges.append(piece)
        filled += piece_bytes
    if ranges:
        yield FileSplit(tuple(ranges))


def _pieces(files: Sequence[FileInfo], size_bytes: int, *, divisible: bool) -> Iterator[tuple[FileRange, int]]:
    for info in files:
        if not divisible or is_compressed(info.uri):
            yield FileRange(info.uri, 0, WHOLE), info.size_bytes
            continue
        for start in range(0, info.size_bytes, size_bytes):
            end = min(start + size_bytes, info.size_bytes)
            yield FileRange(info.uri, start, end), end - start


class RangesReader:
    """Reads the ranges of a split in order. Its position is the index of a range, and the position of that range's own reader.

    Args:
        split: what to read.
        position: of another reader of the split, or None.
        open_range: opens one range, at its start or at a position.
    """

    def __init__(self, split: FileSplit, position: Any, open_range: Callable[[FileRange, Any], Reader]) -> None:
        self._ranges = split.ranges
        self._open_range = open_range
        at: tuple[int, object] = (0, None) if position is None else position
        self._index = at[0]
        self._reader = self._open(at[1])

    @property
    def position(self) -> object:
        """Index of the current range, and the position within."""
        return self._index, None if self._reader is None else self._reader.position

    def read(self, records_max: int) -> Reading:
        """Return the next batch of the first range that is not exhausted."""
        while self._reader is not None:
            got = self._reader.read(records_max)
            if not isinstance(got, EndOfSplit):
                return got
            self._reader.close()
            self._index += 1
            self._reader = self._open(None)
        return END_OF_SPLIT

    def close(self) -> None:
        """Close the open range."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self, position: object | None) -> Reader | None:
        return self._open_range(self._ranges[self._index], position) if self._index < len(self._ranges) else None
