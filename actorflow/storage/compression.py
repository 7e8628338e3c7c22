"""Reading compressed files as if they were not: `.gz`, `.bz2` and `.xz`, by the end of the name.

A compressed file cannot be entered in the middle, so it is never cut into ranges; an offset is reached by decompressing up to it.
"""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from actorflow.storage.files import open_input, reading

_SUFFIXES = (".gz", ".bz2", ".xz")
_BUFFER_BYTES = 256 * 1024


def is_compressed(uri: str) -> bool:
    """Return whether the name says that the content is compressed."""
    return uri.endswith(_SUFFIXES)


def open_content(uri: str, offset: int = 0) -> BinaryIO:
    """Open a file for reading, decompressed if its name says so, `offset` bytes after the start of its content.

    Raises:
        SourceError: if it cannot be opened, or is not what its name says.
    """
    if not is_compressed(uri):
        return open_input(uri, offset)
    packed = open_input(uri)
    with reading(uri):
        content = _Decompressed(_decompressor(uri, packed), packed)
        if offset:
            content.seek(offset)
    return cast("BinaryIO", content)


class _Decompressed(io.BufferedReader):
    """Decompressed content that closes the file below with itself."""

    def __init__(self, content: io.RawIOBase, packed: BinaryIO) -> None:
        super().__init__(content, _BUFFER_BYTES)
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()


def _decompressor(uri: str, packed: BinaryIO) -> io.RawIOBase:
    # The three classes are typed as buffered, and are all that BufferedReader needs of a raw stream.
    if uri.endswith(".gz"):
        import gzip

        return cast("io.RawIOBase", gzip.GzipFile(fileobj=packed, mode="rb"))
    if uri.endswith(".bz2"):
        import bz2

        return cast("io.RawIOBase", bz2.BZ2File(packed, "rb"))
    import lzma

    return cast("io.RawIOBase", lzma.LZMAFile(packed, "rb"))
