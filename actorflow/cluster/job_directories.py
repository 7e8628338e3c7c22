"""Directories of this host in which jobs keep copies of their state, or of cached files, beyond the life of a slot worker.

They belong to the process of the TaskManagers. Each goes when its job is over; those of a process that was killed are leftovers (see `state.directories`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actorflow.ids import JobId
from actorflow.state.directories import OwnedDirectory


@dataclass(frozen=True, slots=True)
class _JobDirectory:
    directory: OwnedDirectory
    over: Callable[[], bool]


class JobDirectories:
    """The directories of a TaskManager's jobs for one purpose.

    Args:
        purpose: for people who look there.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._directories: dict[JobId, _JobDirectory] = {}
        self._removing = threading.Lock()
        """Who closes waits for what another thread still removes."""

    def open(self, job: JobId, parent: Path, over: Callable[[], bool] = lambda: False) -> None:
        """Make the directory of a job.

        Args:
            job: its id.
            parent: where.
            over: whether it has ended; called from any thread. By default `release` tells.

        Raises:
            StateError: if it cannot be made.
        """
        self._directories[job] = _JobDirectory(OwnedDirectory(parent, f"{self._purpose}-{job}"), over)

    def path_of(self, job: JobId) -> Path | None:
        """Return the directory of a job; None if it keeps no copies."""
        found = self._directories.get(job)
        return None if found is None else found.directory.path

    def sweep(self) -> None:
        """Remove the directories of jobs that are over. May be called from any thread, and from several."""
        with self._removing:
            for job, found in list(self._directories.items()):
                if found.over():
                    self._close(job)

    def release(self, job: JobId) -> None:
        """Remove the directory of a job that is over. May be called from any thread."""
        with self._removing:
            if job in self._directories:
                self._close(job)

    def close(self) -> None:
        """Remove them all."""
        with self._removing:
            for job in list(self._directories):
                self._close(job)

    def _close(self, job: JobId) -> None:
        self._directories.pop(job).directory.close()
