"""Copies of state files on the host that has written them, so that a restart there need not fetch them from where checkpoints are stored.

    <directory of the job>/<subtask>/<name of the file>       written beside the file itself; a subtask removes its own

A copy is as good as its checksum says, and never needed: one that cannot be written, is missing or damaged costs only the way to the file itself.
A subtask keeps copies of what its part of the last completed checkpoint names, and of what it has stored since.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from actorflow.storage.checkpoint_files import read_state
from actorflow.storage.local import LocalFileSystem
from actorflow.wire.manifest import InlineState, StoredFile, checksum

log = logging.getLogger(__name__)

_DISK = LocalFileSystem()


class LocalCopies:
    """The copies of one subtask. Its calls may come from any thread.

    Args:
        directory: of the job, on this host.
        subtask: its name.
        restored: the files that its state was restored from. Of what else earlier runs have left there nothing is needed.
    """

    def __init__(self, directory: Path, subtask: str, restored: Iterable[StoredFile] = ()) -> None:
        self._home = directory / _directory_of(subtask)
        self._named = {0: frozenset(map(_name, restored))}
        """The files that the part of a checkpoint names, by its number; 0 is what was restored."""
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):
            _DISK.make_directory(str(self._home), private=True)
            self._remove({path.name for path in self._home.iterdir()} - self._named[0])

    def write(self, file: StoredFile, data: bytes) -> None:
        """Keep a copy of a file, or of a segment of one."""
        name = _name(file)
        path = self._home / name
        try:
            with _DISK.open_output(str(path), private=True) as stream:
                stream.write(data)
        except OSError as error:
            log.warning("no local copy of '%s' in '%s': %s", name, self._home, error.strerror or error)
            self._remove([name])

    def withdraw(self, file: StoredFile) -> None:
        """Remove the copy of a file that no part names."""
        self._remove([_name(file)])

    def stored(self, checkpoint: int, files: Iterable[StoredFile]) -> None:
        """Note which files the part of a checkpoint names."""
        with self._lock:
            self._named[checkpoint] = frozenset(map(_name, files))

    def completed(self, checkpoint: int) -> None:
        """Remove what only parts of earlier checkpoints name."""
        with self._lock:
            if checkpoint in self._named:
                self._forget([number for number in self._named if number < checkpoint])

    def given_up(self, checkpoint: int) -> None:
        """Remove what only the part of this checkpoint names."""
        with self._lock:
            if checkpoint in self._named:
                self._forget([checkpoint])

    def _forget(self, checkpoints: Iterable[int]) -> None:
        names = frozenset[str]().union(*[self._named.pop(number) for number in checkpoints])
        self._remove(names.difference(*self._named.values()))

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                (self._home / name).unlink(missing_ok=True)


class StateReader:
    """Reads the state that a subtask goes on from: a copy, if there is one on this host, else the file itself.

    Args:
        directory: of the job, on this host; None for a job that keeps no copies, or does not use them.
        remote: reads the file itself, after a look whether it is the one that was written.

    Attributes:
        local_bytes: how much was read from copies.
        remote_bytes: how much from where checkpoints are stored.
    """

    def __init__(self, directory: Path | None, remote: Callable[[StoredFile], bytes] = read_state) -> None:
        self._directory = directory
        self._remote = remote
        self.local_bytes = self.remote_bytes = 0

    def __call__(self, state: StoredFile | InlineState) -> bytes:
        """Return the bytes of a state.

        Raises:
            CheckpointError: if there is no good copy, and the file is missing, truncated or damaged; it names the file.
        """
        if isinstance(state, InlineState):
            return state.data
        data = self._copy_of(state)
        if data is not None:
            self.local_bytes += len(data)
            return data
        data = self._remote(state)
        self.remote_bytes += len(data)
        return data

    def _copy_of(self, file: StoredFile) -> bytes | None:
        """Return the bytes of a copy, if they are those that were written. Any subtask of the job may have written it."""
        name = _name(file)
        with contextlib.suppress(OSError):
            for home in [] if self._directory is None else sorted(self._directory.iterdir()):
                path = home / name
                if path.is_file():
                    data = path.read_bytes()
                    return data if len(data) == file.size_bytes and checksum(data) == file.checksum else None
        return None


def _directory_of(subtask: str) -> str:
    """Return the directory of a subtask: a name that people recognise, and that no other has."""
    return f"{re.sub('[^A-Za-z0-9_.-]+', '-', subtask)[:64]}-{checksum(subtask.encode())}"


def _name(file: StoredFile) -> str:
    name = posixpath.basename(file.uri)
    return name if file.offset is None else f"{name}-{file.offset}"
