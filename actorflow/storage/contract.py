"""What a file system must be able to do for actorflow: one small contract, kept by local disks and by remote stores alike.

Paths here are the file system's own (without a scheme); `files.py` goes from URIs to paths and from `OSError` to actorflow's errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file that was found.

    Attributes:
        uri: opens it.
        size_bytes: its length when it was listed.
    """

    uri: str
    size_bytes: int


class FileSystem(Protocol):
    """A tree of files. Every method raises `OSError` when it cannot do its work."""

    def open_input(self, path: str) -> BinaryIO:
        """Open a file for reading. The stream can seek."""
        ...

    def open_output(self, path: str, *, private: bool = False) -> BinaryIO:
        """Create a file, or empty it, for writing; where files have owners, a private one is its owner's alone."""
        ...

    def find(self, path: str) -> Iterator[FileInfo]:
        """Return the file at `path`, or the files below the directory at `path`, in no particular order.

        Below a directory, names that start with a dot or an underscore are skipped, with all that is below them.
        """
        ...

    def names(self, path: str) -> Iterator[str]:
        """Return the names of the files in the directory at `path`, hidden ones too, in no particular order."""
        ...

    def glob(self, pattern: str) -> Iterator[str]:
        """Return the paths that match, in no particular order. `**` crosses directories; a wildcard matches no leading dot."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a directory."""
        ...

    def rename(self, path: str, target: str) -> None:
        """Give a file another name, in place of what had it. Atomic on local disks; a copy and a removal on object stores."""
        ...

    def duplicate(self, path: str, target: str) -> None:
        """Make `target` a file with the same bytes: by a hard link where there are such, else a copy. It survives a power cut once its directory does."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    def make_directory(self, path: str, *, private: bool = False) -> None:
        """Make a directory and its parents, unless they exist; where these have owners, private ones are made for their owner alone."""
        ...


def is_hidden(name: str) -> bool:
    """Return whether a file name marks something that readers of a directory skip: unfinished output, metadata."""
    return name.startswith((".", "_"))
