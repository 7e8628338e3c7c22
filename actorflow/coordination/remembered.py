"""Stores in memory, for a cluster with one JobManager: nothing outlives it, so there is nobody to remember for.

They refuse the same as those on a server, so that whatever runs on the one runs on the other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from actorflow.coordination.contract import CheckpointPointer, JobResult, StoredJobs
from actorflow.errors import Deposed
from actorflow.ids import JobId


class Fence:
    """Lets through what is done on behalf of the epoch that is in force; there is one thread at a time behind it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.epoch = 0

    def check(self, epoch: int) -> None:
        """Refuse any other epoch.

        Raises:
            Deposed: naming both.
        """
        if epoch != self.epoch:
            raise Deposed(f"epoch {epoch} is over: it is {self.epoch} that is in force")


class RememberedJobs:
    """A `JobStore`."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._submissions: dict[JobId, bytes] = {}

    def put(self, job: JobId, submission: bytes, epoch: int) -> None:
        """Keep a job."""
        with self._fence.lock:
            self._fence.check(epoch)
            self._submissions[job] = submission

    def remove(self, job: JobId, epoch: int) -> None:
        """Forget a job."""
        with self._fence.lock:
            self._fence.check(epoch)
            self._submissions.pop(job, None)

    def collect(self, epoch: int) -> None:
        """Do nothing: what is put here is put at once."""
        with self._fence.lock:
            self._fence.check(epoch)

    def read(self) -> StoredJobs:
        """Return all jobs."""
        with self._fence.lock:
            return StoredJobs(dict(sorted(self._submissions.items())), {})


class RememberedPointers:
    """`CheckpointPointers`."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._pointers: dict[JobId, tuple[CheckpointPointer, ...]] = {}

    def record(self, job: JobId, pointers: Sequence[CheckpointPointer], epoch: int) -> None:
        """Keep the checkpoints of a job."""
        with self._fence.lock:
            self._fence.check(epoch)
            self._pointers[job] = tuple(pointers)

    def read(self, job: JobId) -> tuple[CheckpointPointer, ...]:
        """Return the checkpoints of a job."""
        with self._fence.lock:
            return self._pointers.get(job, ())

    def remove(self, job: JobId, epoch: int) -> None:
        """Forget the checkpoints of a job."""
        with self._fence.lock:
            self._fence.check(epoch)
            self._pointers.pop(job, None)


class RememberedResults:
    """A `JobResultStore`.

    Args:
        fence: shared by all stores of a cluster.
        results_max: how many clean results are kept.
    """

    def __init__(self, fence: Fence, results_max: int) -> None:
        self._fence = fence
        self._results_max = results_max
        self._results: dict[JobId, JobResult] = {}

    def put(self, job: JobId, outcome: bytes, epoch: int) -> None:
        """Keep the result of a job."""
        with self._fence.lock:
            self._fence.check(epoch)
            self._results[job] = JobResult(outcome)

    def clean(self, job: JobId, epoch: int) -> None:
        """Mark a result as clean, and forget the oldest that are too many."""
        with self._fence.lock:
            self._fence.check(epoch)
            if job in self._results:
                self._results[job] = JobResult(self._results[job].outcome, dirty=False)
            for old in surplus({job: result.dirty for job, result in self._results.items()}, self._results_max):
                del self._results[old]

    def read(self) -> Mapping[JobId, JobResult]:
        """Return all results."""
        with self._fence.lock:
            return dict(self._results)


def surplus(dirty: Mapping[JobId, bool], results_max: int) -> list[JobId]:
    """Return which clean results are too many.

    Args:
        dirty: whether each result is dirty, the oldest first.
        results_max: how many clean ones are kept.
    """
    clean = [job for job, still in dirty.items() if not still]
    return clean[: max(0, len(clean) - results_max)]
