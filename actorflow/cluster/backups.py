"""Directories of this host in which jobs keep copies of their state: owned by the process of the TaskManagers, which outlives slot workers.

Each goes when its job is over; those of a process that was killed are leftovers (see `state.directories`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actorflow.ids import JobId
from actorflow.state.directories import OwnedDirectory


@dataclass(frozen=True, slots=True)
class _Backup:
    directory: OwnedDirectory
    over: Callable[[], bool]


class Backups:
    """The directories of a cluster's jobs."""

    def __init__(self) -> None:
        self._backups: dict[JobId, _Backup] = {}
        self._removing = threading.Lock()
        """Who closes waits for what another thread still removes."""

    def open(self, job: JobId, parent: Path, over: Callable[[], bool]) -> None:
        """Make the directory of a job.

        Args:
            job: its id.
            parent: where.
            over: whether it has ended; called from any thread.

        Raises:
            StateError: if it cannot be made.
        """
        self._backups[job] = _Backup(OwnedDirectory(parent, f"backup-{job}"), over)

    def path_of(self, job: JobId) -> Path | None:
        """Return the directory of a job; None if it keeps no copies."""
        backup = self._backups.get(job)
        return None if backup is None else backup.directory.path

    def sweep(self) -> None:
        """Remove the directories of jobs that are over. May be called from any thread, and from several."""
        with self._removing:
            for job, backup in list(self._backups.items()):
                if backup.over():
                    self._close(job)

    def close(self) -> None:
        """Remove them all."""
        with self._removing:
            for job in list(self._backups):
                self._close(job)

    def _close(self, job: JobId) -> None:
        self._backups.pop(job).directory.close()
