"""What jobs have on the host of a TaskManager: which jobs that may be, whether all that they have brought is here, and when it goes.

    job:  leased ──has blobs──► fetched (NeedBlobs is reported) ──BlobsHere──► complete        any ──JobReleased──► forgotten
             └──has none──► complete                                              └──no leader for `keep_s`──┘

That a job is over may be said in vain. So the jobs are named to whoever leads, again and again (`JobsKept`), and it says again which are over. When
there is no leader for long, nobody will.

Late rule: blobs of a job that was forgotten are dropped by who has fetched them.
"""

from __future__ import annotations

from typing import Final

from actorflow.ids import Address, JobId
from actorflow.protocol.blobs.fetching import NeedBlobs
from actorflow.protocol.jobs.job_messages import JobsKept, LeaseSlot
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer
from actorflow.protocol.nodes.slot_messages import JobReleased

ABANDONED: Final = "abandoned"
"""The timer that runs while there is no leader."""


class JobFiles:
    """Part of a `TaskManagerMachine`.

    Args:
        task_manager: its address.
        keep_s: how long files are kept when there is no leader.
    """

    def __init__(self, task_manager: Address, keep_s: float) -> None:
        self._task_manager = task_manager
        self._keep_s = keep_s
        self._complete: dict[JobId, bool] = {}
        """The jobs that may have files here; whether a worker of theirs can be used."""

    def complete(self, job: JobId) -> bool:
        """Return whether all that a job has brought is here."""
        return self._complete.get(job, False)

    def leased(self, lease: LeaseSlot) -> list[Effect]:
        """Have what the job of a lease needs fetched, unless it is here."""
        if self._complete.setdefault(lease.job, lease.blobs is None) or lease.blobs is None:
            return []
        return [Report(NeedBlobs(lease.job, lease.blobs))]

    def arrived(self, job: JobId) -> None:
        """Note that all that a job has brought is here."""
        if job in self._complete:
            self._complete[job] = True

    def told_to(self, dispatcher: Address | None) -> list[Effect]:
        """Name the jobs to who leads, if anybody does."""
        return [Send(dispatcher, JobsKept(self._task_manager, tuple(self._complete)))] if dispatcher and self._complete else []

    def leader_lost(self, now: float) -> list[Effect]:
        """Wait for another leader, but not for ever."""
        return [SetTimer(ABANDONED, now + self._keep_s)] if self._complete else []

    def led(self) -> list[Effect]:
        """Note that there is a leader."""
        return [CancelTimer(ABANDONED)] if self._complete else []

    def released(self, job: JobId) -> list[Effect]:
        """Have what a job has here removed."""
        self._complete.pop(job, None)
        return [Report(JobReleased(job))]

    def abandoned(self) -> list[Effect]:
        """Have everything removed."""
        return [effect for job in list(self._complete) for effect in self.released(job)]
