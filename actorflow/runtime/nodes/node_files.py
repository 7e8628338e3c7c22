"""The files that tell what a node has done: its log, what it has printed, and the other logs in the directory of its host.

Nothing else can be looked at: a file is found by its name among these, and links in the directory are left out.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actorflow.wire.message import Message

SHOWN_BYTES_MAX: Final = 1 << 20
"""How much of a file is shown: its end."""

FILES_MAX: Final = 1_000
"""How many files of the directory are listed: those that were written last."""

_STDOUT, _STDERR = 1, 2


class FileRequested(Message, frozen=True):
    """Asks a node for the end of one of its files, by name. Answered with text, or with nothing if there is no such file."""

    name: str


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file as lists show it: its size, and when it was written last, in ms since the Unix epoch."""

    name: str
    size_bytes: int
    written_ms: int


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of this process, and those of its host's directory.

    Attributes:
        directory: where the logs of this host go; None if each process logs to its standard error.
    """

    directory: str | None

    def log(self) -> str:
        """Return the name of this process's log, empty if it goes to no file."""
        return next(iter(_own_log()), "")

    def stdout(self) -> str:
        """Return the name of the file that has what this process prints, empty if there is none."""
        return next(iter(_behind(_STDOUT)), "")

    def listed(self) -> tuple[NodeFile, ...]:
        """Return all files, by name."""
        found = []
        for name, path in self._found().items():
            try:
                facts = path.stat()
            except OSError:  # rotated away meanwhile
                continue
            found.append(NodeFile(name, facts.st_size, facts.st_mtime_ns // 1_000_000))
        latest = sorted(found, key=lambda file: file.written_ms)[-FILES_MAX:]
        return tuple(sorted(latest, key=lambda file: file.name))

    def end_of(self, name: str) -> str | None:
        """Return the end of a file; None if there is no such file."""
        path = self._found().get(name)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - SHOWN_BYTES_MAX))
                return file.read(SHOWN_BYTES_MAX).decode("utf-8", "replace")
        except OSError:
            return None

    def _found(self) -> dict[str, Path]:
        in_directory = Path(self.directory).glob("*.log*") if self.directory is not None else ()
        logs = {path.name: path for path in in_directory if path.is_file() and not path.is_symlink()}
        return {**logs, **_own_log(), **_behind(_STDOUT), **_behind(_STDERR)}


def _own_log() -> dict[str, Path]:
    """Return the file that the logging of this process writes to, by its name: that of a handler, or what stands for standard error."""
    files = [Path(each.baseFilename) for each in logging.getLogger().handlers if isinstance(each, logging.FileHandler)]
    return {path.name: path for path in files[:1] if path.is_file()} or _behind(_STDERR)


def _behind(descriptor: int) -> dict[str, Path]:
    """Return the regular file that a descriptor of this process writes to, by its name; nothing for terminals and pipes."""
    path = Path(f"/proc/self/fd/{descriptor}")
    try:
        return {path.readlink().name: path} if stat.S_ISREG(path.stat().st_mode) else {}
    except OSError:
        return {}
