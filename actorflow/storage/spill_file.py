"""Space on local disks for what does not fit into memory: files without a name, that disappear with whoever holds them.

A spill file is unlinked as soon as it is open (where the system can, it never has a name). So nothing is left behind by a process that is
killed, and nothing needs to be cleaned up at the next start. Its space is given back when it is closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from actorflow.errors import SpillError

_HINT = "free some space there, or name directories on larger disks in io.tmp.dirs"


@dataclass(frozen=True, slots=True)
class Extent:
    """A piece of a spill file: `length` bytes from `offset` on."""

    offset: int
    length: int


def spill_directories(text: str | None) -> list[str]:
    """Return the directories that are listed in `text`, separated by commas or, as in a PATH, by colons; without any, the system's."""
    named = [name.strip() for name in re.split(f"[,{os.pathsep}]", text or "")]
    return [name for name in named if name] or [tempfile.gettempdir()]


class SpillFile:
    """A file that only this object can reach. Written at its end, read anywhere.

    Args:
        directory: where.
        subject: what is spilled, for errors: `the input of 'count'`.

    Raises:
        SpillError: if no file can be made there.
    """

    def __init__(self, directory: str, subject: str) -> None:
        self.bytes_written = 0
        self._directory = directory
        self._subject = subject
        with self._reported("spill"):
            self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=directory, buffering=0))  # noqa: SIM115 - closed in close

    def append(self, pieces: Sequence[bytes | memoryview]) -> Extent:
        """Write some pieces at the end, one behind the other; return where they are.

        Raises:
            SpillError: if they cannot be written.
        """
        start = self.bytes_written
        with self._reported("spill"):
            for piece in pieces:
                rest = memoryview(piece).cast("B")
                while rest:
                    written = self._file.write(rest)
                    self.bytes_written += written
                    rest = rest[written:]
        return Extent(start, self.bytes_written - start)

    def read(self, extent: Extent) -> bytes:
        """Return what was written at an extent.

        Raises:
            SpillError: if it cannot be read.
        """
        with self._reported("read back"):
            data = os.pread(self._file.fileno(), extent.length, extent.offset)
            while len(data) < extent.length:  # the system reads 2 GB at most at once
                more = os.pread(self._file.fileno(), extent.length - len(data), extent.offset + len(data))
                if not more:
                    raise OSError(errno.EIO, "the file ends too early")
                data += more
        return data

    def close(self) -> None:
        """Give its space back."""
        with contextlib.suppress(OSError):
            self._file.close()

    @contextlib.contextmanager
    def _reported(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, "unknown error")
            reason = f"{error.strerror or error} ({code}) after {self.bytes_written >> 20} MB"
            raise SpillError(f"cannot {verb} {self._subject} in '{self._directory}': {reason}", hint=_HINT) from error
