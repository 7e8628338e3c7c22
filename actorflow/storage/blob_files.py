"""Blobs as files of a directory, each named by the SHA-256 of what is in it.

    <directory>/<digest>            whole: it was checked before it got this name
    <directory>/<random>.part       on its way
    <directory>/<random>.gone       on its way out

They are read-only: several jobs may share one. A name that is no digest is refused before it becomes a part of a path.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from actorflow.errors import TransportError
from actorflow.ids import unique_suffix
from actorflow.protocol.blobs.blob import BlobRef, is_digest

_READ_BYTES = 1 << 20


class IncomingBlob:
    """A blob that is being written, piece by piece. It appears in its directory when it is finished, or not at all.

    Args:
        directory: where.
        expected: what it is to become.

    Raises:
        OSError: if it cannot be written.
    """

    def __init__(self, directory: Path, expected: BlobRef) -> None:
        self._path = directory / expected.digest
        self._expected = expected
        self._part = directory / f"{unique_suffix()}{unique_suffix()}.part"
        self._file = self._part.open("xb")
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Add a piece.

        Raises:
            TransportError: if that is more than was expected.
            OSError: if it cannot be written.
        """
        self._size += len(piece)
        if self._size > self._expected.size:
            raise TransportError(f"blob {self._expected.digest} has more than the {self._expected.size} bytes that were announced")
        self._file.write(piece)
        self._hash.update(piece)

    def finish(self) -> None:
        """Give it its name.

        Raises:
            TransportError: if it is not what was expected.
            OSError: if it cannot be written.
        """
        self._file.close()
        if self._hash.hexdigest() != self._expected.digest:
            raise TransportError(f"blob {self._expected.digest} has arrived with other contents: was its file changed meanwhile?")
        self._part.chmod(0o400)
        self._part.rename(self._path)

    def abandon(self) -> None:
        """Remove what there is of it."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


class BlobFiles:
    """The blobs in one directory.

    Args:
        directory: exists, and is this process's alone.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        """Return where a blob is.

        Raises:
            TransportError: if its name is none.
        """
        if not is_digest(digest):
            raise TransportError(f"'{digest[:80]}' cannot be the digest of a blob")
        return self.directory / digest

    def incoming(self, expected: BlobRef) -> IncomingBlob:
        """Begin to write a blob; see `IncomingBlob`."""
        self.path(expected.digest)
        return IncomingBlob(self.directory, expected)

    def add(self, data: bytes) -> BlobRef:
        """Keep some bytes as a blob, and name it.

        Raises:
            OSError: if it cannot be written.
        """
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data))
        if not self.path(ref.digest).exists():
            incoming = self.incoming(ref)
            try:
                incoming.write(data)
                incoming.finish()
            except BaseException:
                incoming.abandon()
                raise
        return ref

    def pieces(self, digest: str) -> Iterator[bytes]:
        """Read a blob, a bounded piece at a time. The file is opened with the first one."""
        return pieces_of(self.path(digest))

    def retire(self, digest: str) -> Path:
        """Take a blob away at once, under another name, for whoever calls to unlink: that takes its time."""
        gone = self.directory / f"{unique_suffix()}{unique_suffix()}.gone"
        self.path(digest).rename(gone)
        return gone


def ref_of(path: Path) -> BlobRef:
    """Return the name of a file as a blob; it is read once, in pieces.

    Raises:
        OSError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    for piece in pieces_of(path):
        digest.update(piece)
        size += len(piece)
    return BlobRef(digest.hexdigest(), size)


def pieces_of(path: Path) -> Iterator[bytes]:
    """Read a file, a bounded piece at a time. It is opened with the first one."""
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece
