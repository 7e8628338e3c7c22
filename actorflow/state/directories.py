"""Directories for the files of one process, on local disks, that do not outlive it for long.

A process owns a directory by a lock on a file beside it, which the kernel gives up when the process ends, however it ends. Whoever makes
a directory first removes those that nobody owns any more; what a living process owns, of this job or another, is never touched.

    <parent>/actorflow-state-<owner>-<random>.lock      held by its owner
    <parent>/actorflow-state-<owner>-<random>/          removed with its lock
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from actorflow.errors import StateError
from actorflow.ids import unique_suffix

_PREFIX = "actorflow-state-"
_LOCK = ".lock"
_HINT = "state.backend.rocksdb.localdir names the directories; each needs space and the right to write"


class OwnedDirectory:
    """A directory that this process owns.

    Args:
        parent: where to make it; made, too, if it does not exist.
        owner: for people who look there; not all characters are kept.
        hint: what to do if it cannot be made.

    Attributes:
        path: the directory.

    Raises:
        StateError: if it cannot be made.
    """

    def __init__(self, parent: Path, owner: str, *, hint: str = _HINT) -> None:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(parent)
            self.path = parent / f"{_PREFIX}{re.sub('[^A-Za-z0-9_-]+', '-', owner)[:64]}-{unique_suffix()}"
            self._lock: int | None = _locked(_lock_of(self.path))
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise StateError(f"cannot keep state in '{parent}': {error.strerror or error}", hint=hint) from error

    def close(self) -> None:
        """Remove it."""
        if self._lock is not None:
            _remove(self.path)
            os.close(self._lock)
            self._lock = None


def remove_leftovers(parent: Path) -> list[Path]:
    """Remove the directories in `parent` whose owners have ended; return which. What cannot be removed stays."""
    removed = []
    for path in _abandoned(parent):
        _remove(path)
        removed.append(path)
    return removed


def _abandoned(parent: Path) -> Iterator[Path]:
    """Give each directory that nobody owns, holding its lock meanwhile."""
    for lock in sorted(parent.glob(f"{_PREFIX}*{_LOCK}")):
        with contextlib.suppress(OSError):  # it is gone, or somebody holds it, or it belongs to another user
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield lock.with_suffix("")
            finally:
                os.close(descriptor)


def _locked(lock: Path) -> int:
    """Make a file and lock it; return its descriptor.

    Somebody who cleans up may take it for a leftover between these two steps, and remove it: then make it again.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        with contextlib.suppress(OSError):
            _lock_of(path).unlink()
