"""Partitions: what a subtask has written for the subtasks of a later stage, in one file, and read back by each of them alone.

    frames of reader 0, of reader 1, …  (as many as fit into memory)    again, for as long as more comes
    index: where the extents of each reader are                         a frame, too
    where the index begins                                              8 bytes

A file is written under another name and gets its own when it is whole, so there is none that lacks an end. Every frame carries a checksum, the
index as well, and the frames of a reader are numbered: what is damaged or missing is noticed when it is read, and named (`PartitionLost`).
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from actorflow.errors import FrameRefused, PartitionLost, SpillError
from actorflow.wire.frame import HEADER_BYTES, Frame, FrameLimits, Kind, frame_bytes, pack, unpack

MEMORY_BYTES = 16 << 20
"""How much a writer collects before it goes to disk: the extents of a reader are read one after the other, so they should not be small."""

_EXTENT = struct.Struct("<IQQ")
"""Number of the reader, offset, length."""
_TRAILER = struct.Struct("<Q")
_ANY = 1 << 31
_HINT = "free some space there, or name directories on larger disks in io.tmp.dirs"


class PartitionWriter:
    """Writes one file.

    Args:
        path: where; what is not whole yet is beside it.
        readers: how many read it.
        subject: whose output it is, for errors.
        memory_bytes: see `MEMORY_BYTES`.
    """

    def __init__(self, path: Path, readers: int, subject: str, memory_bytes: int = MEMORY_BYTES) -> None:
        self.path = path
        self._begun = path.with_name(f"{path.name}.inprogress")
        self._subject = subject
        self._memory_bytes = memory_bytes
        self._frames: list[list[bytes]] = [[] for _ in range(readers)]
        self._held_bytes = 0
        self._written_bytes = 0
        self._extents: list[bytes] = []
        self._file: BinaryIO | None = None
        """Opened when there is something to write: the stage may have to wait."""

    def add(self, reader: int, frame: bytes) -> None:
        """Add a frame for a reader.

        Raises:
            SpillError: if it cannot be written to disk.
        """
        self._frames[reader].append(frame)
        self._held_bytes += len(frame)
        if self._held_bytes >= self._memory_bytes:
            self._write()

    def _write(self) -> BinaryIO:
        with self._reported():
            file = self._opened()
            for reader, frames in enumerate(self._frames):
                if frames:
                    length = sum(map(len, frames))
                    file.writelines(frames)
                    self._extents.append(_EXTENT.pack(reader, self._written_bytes, length))
                    self._written_bytes += length
                    frames.clear()
        self._held_bytes = 0
        return file

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # records are nobody else's to read
            self._file = os.fdopen(os.open(self._begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
        return self._file

    def finish(self) -> None:
        """Write what is left and the index, and give the file its name.

        Raises:
            SpillError: if it cannot be written.
        """
        file = self._write()
        with self._reported():
            file.write(pack(Kind.BLOB, b"".join(self._extents)))
            file.write(_TRAILER.pack(self._written_bytes))
            file.close()
            self._begun.rename(self.path)
        self._file = None

    def close(self) -> None:
        """Give up, and remove what was written, unless the file is whole."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._begun.unlink()
            self._file = None

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{error.strerror or error} after {self._written_bytes >> 20} MB"
            raise SpillError(f"cannot write {self._subject} in '{self.path.parent}': {reason}", hint=_HINT) from error


class PartitionReader:
    """Gives the frames that one reader finds in a file, in the order in which they were added.

    Args:
        path: the file.
        reader: which of its readers this is.
        producer: who has written it, as text.
        payload_bytes_max: of a frame.
    """

    def __init__(self, path: Path, reader: int, producer: str, payload_bytes_max: int) -> None:
        self._path = path
        self._reader = reader
        self._producer = producer
        self._limits = FrameLimits(data_bytes_max=payload_bytes_max, blob_chunk_bytes_max=_ANY)
        self._file: BinaryIO | None = None
        self._frames = self._read()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """Return the next frame.

        Raises:
            PartitionLost: if the file is gone, or damaged.
        """
        try:
            return next(self._frames)
        except (OSError, FrameRefused) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise PartitionLost(
                f"cannot read what {self._producer} has written to '{self._path}': {reason}",
                producer=self._producer,
                lost_with="" if self._path.parent.exists() else str(self._path.parent),
            ) from error

    def _read(self) -> Iterator[Frame]:
        self._file = file = self._path.open("rb")
        sequence = 0
        for offset, length in self._extents(file):
            file.seek(offset)
            while length > 0:
                frame = self._next_frame(file, length)
                length -= HEADER_BYTES + len(frame.payload)
                sequence += 1
                if frame.sequence != sequence:
                    raise FrameRefused(f"frame refused: it is number {frame.sequence}, not {sequence}")
                yield frame
        file.close()

    def _extents(self, file: BinaryIO) -> list[tuple[int, int]]:
        end = file.seek(0, 2) - _TRAILER.size
        if end < HEADER_BYTES:
            raise FrameRefused(f"it is cut off: {end + _TRAILER.size} bytes")
        file.seek(end)
        start = _TRAILER.unpack(file.read(_TRAILER.size))[0]
        if start > end:
            raise FrameRefused(f"its index is said to begin at {start} of {end} bytes")
        file.seek(start)
        index = unpack(file.read(end - start), self._limits).payload
        return [(offset, length) for reader, offset, length in _EXTENT.iter_unpack(index) if reader == self._reader]

    def _next_frame(self, file: BinaryIO, left: int) -> Frame:
        header = file.read(HEADER_BYTES)
        size = frame_bytes(header) if len(header) == HEADER_BYTES else left + 1
        if size > left:
            raise FrameRefused(f"frame refused: it is said to have {size} bytes, where {left} are left")
        return unpack(header + file.read(size - HEADER_BYTES), self._limits)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
