"""Files of this machine, by plain operating-system calls: nothing is imported for them."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from actorflow.storage.contract import FileInfo, is_hidden

_MISSING = (errno.ENOENT, errno.EEXIST, errno.ENOSPC)
"""What a copy would fail with as well."""


_OF_OWNER = 0o700


class LocalFileSystem:
    """The file system of the operating system."""

    __slots__ = ()

    def open_input(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return Path(path).open("rb")

    def open_output(self, path: str, *, private: bool = False) -> BinaryIO:
        """Create a file, or empty it, for writing."""
        return open(path, "wb", opener=_open_private if private else None)

    def find(self, path: str) -> Iterator[FileInfo]:
        """Return the file at `path`, or the regular files below it. Links to directories are not followed: they may form a loop."""
        top = Path(path)
        if top.is_dir():
            yield from _walk(path)
        elif top.is_file():
            yield FileInfo(path, top.stat().st_size)
        elif top.exists():
            raise OSError(None, "it is not a regular file")
        else:
            top.stat()  # raises what is wrong: missing, or a directory on the way without permission

    def names(self, path: str) -> Iterator[str]:
        """Return the names of the files in a directory."""
        with os.scandir(path) as entries:
            yield from [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]

    def glob(self, pattern: str) -> Iterator[str]:
        """Return the paths that match."""
        return glob.iglob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern

    def exists(self, path: str) -> bool:
        """Return whether there is something at `path`."""
        return os.path.lexists(path)

    def rename(self, path: str, target: str) -> None:
        """Give a file another name, atomically and durably."""
        os.replace(path, target)  # noqa: PTH105 - the same call, without two Path objects
        _sync_directory(os.path.dirname(target) or ".")  # noqa: PTH120 - as above

    def duplicate(self, path: str, target: str) -> None:
        """Link a file, or copy it onto another disk, or where there are no links."""
        try:
            os.link(path, target)
        except OSError as error:
            if error.errno in _MISSING:
                raise
            with Path(path).open("rb") as source, self.open_output(target, private=True) as copied:
                shutil.copyfileobj(source, copied)
                copied.flush()
                os.fsync(copied.fileno())

    def remove(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink()

    def make_directory(self, path: str, *, private: bool = False) -> None:
        """Make a directory and its parents, unless they exist."""
        directory = Path(path)
        missing = [parent for parent in directory.parents if not parent.exists()] if private else []
        for parent in reversed(missing):
            parent.mkdir(_OF_OWNER, exist_ok=True)
        directory.mkdir(_OF_OWNER if private else 0o777, parents=not private, exist_ok=True)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _walk(directory: str) -> Iterator[FileInfo]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif entry.is_file():
                yield FileInfo(entry.path, entry.stat().st_size)


def _sync_directory(directory: str) -> None:
    """Make a new name survive a power cut: the name is part of the directory, not of the file."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
