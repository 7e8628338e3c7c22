"""What a blob server has, for whom, and what it may be sent: who owns which blob, without a file or a socket.

    blob:  offered ──sent whole──► stored ──no job needs it──► dropped
              └──no job needs it──► dropped
    job:   offering ──submitted──► held ──over──► forgotten
              └──its client's node is lost──► forgotten

A blob is needed by each job that has offered it, until that job is over. Nothing that was not offered is taken, nor more of it than was said.

Late rule: a piece of what is not waited for, or from a node that has not offered it, is refused; a job that is over needs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from actorflow.errors import PlanError
from actorflow.ids import JobId, NodeId
from actorflow.protocol.blobs.blob import BLOBS_OF_JOB_MAX, BlobRef
from actorflow.protocol.machine import ensure

_MB = 1 << 20


@dataclass(slots=True)
class _Blob:
    size: int
    stored: bool = False
    jobs: dict[JobId, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What `BlobLedger.observe` shows: the sizes of the blobs that are stored, of those that are waited for, and how many blobs a job has."""

    stored: dict[str, int]
    awaited: dict[str, int]
    jobs: dict[JobId, int]


class BlobLedger:
    """Keeps the books of one blob server.

    Args:
        bytes_max: what all blobs together may take.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._blobs: dict[str, _Blob] = {}
        self._jobs: dict[JobId, dict[str, None]] = {}
        self._offering: dict[JobId, NodeId] = {}
        """The clients of jobs that are not submitted yet."""

    def offer(self, job: JobId, client: NodeId, blobs: Sequence[BlobRef]) -> tuple[str, ...]:
        """Let a client send what is missing for a job that it is going to submit; return the digests of that.

        Raises:
            PlanError: if that is too much, or contradicts itself. Nothing has changed then.
        """
        self._check_offer(job, blobs)
        if job not in self._jobs or job in self._offering:
            self._offering[job] = client
        for blob in blobs:
            self._need(job, blob)
        return tuple(dict.fromkeys(blob.digest for blob in blobs if not self._blobs[blob.digest].stored))

    def _check_offer(self, job: JobId, blobs: Sequence[BlobRef]) -> None:
        if len(blobs) > BLOBS_OF_JOB_MAX:
            raise PlanError(
                f"job '{job}' brings {len(blobs)} files, and may bring {BLOBS_OF_JOB_MAX}", hint="put them into a directory"
            )
        for blob in blobs:
            known = self._blobs.get(blob.digest)
            if not blob.well_formed or (known is not None and known.size != blob.size):
                raise PlanError(f"job '{job}' offers a blob that cannot be: '{blob.digest[:80]}' of {blob.size} bytes")
        new = {blob.digest: blob.size for blob in blobs if blob.digest not in self._blobs}
        used, asked = sum(blob.size for blob in self._blobs.values()), sum(new.values())
        if used + asked > self._bytes_max:
            raise PlanError(
                f"the files and code of job '{job}' take {-(-asked // _MB)} MB more, and the JobManager has {used // _MB} of at most "
                f"{self._bytes_max // _MB} MB of other jobs",
                hint="wait for them, raise 'actorflow.blob.storage-bytes-max', or name shared storage by URI",
            )

    def _need(self, job: JobId, blob: BlobRef) -> None:
        self._blobs.setdefault(blob.digest, _Blob(blob.size)).jobs[job] = None
        self._jobs.setdefault(job, {})[blob.digest] = None

    def size_awaited(self, node: NodeId, digest: str) -> int | None:
        """Return the size of a blob that a node may send; None if it may not."""
        blob = self._blobs.get(digest)
        if blob is None or blob.stored or all(self._offering.get(job) != node for job in blob.jobs):
            return None
        return blob.size

    def stored(self, digest: str) -> bool:
        """Note that a blob was sent whole; return whether it is still needed."""
        blob = self._blobs.get(digest)
        if blob is not None:
            blob.stored = True
        return blob is not None

    def put(self, job: JobId, blob: BlobRef) -> None:
        """Note a blob that is here already, and needed by a job."""
        self._need(job, blob)
        self._blobs[blob.digest].stored = True

    def hold(self, job: JobId, blobs: Iterable[BlobRef]) -> tuple[str, ...]:
        """Keep what a job needs that was submitted, whatever becomes of its client; return the digests of what is not here."""
        self._offering.pop(job, None)
        missing = []
        for blob in blobs:
            known = self._blobs.get(blob.digest)
            if known is None or not known.stored:
                missing.append(blob.digest)
            else:
                self._need(job, blob)
        return tuple(missing)

    def has(self, digest: str) -> bool:
        """Return whether a blob is here whole."""
        blob = self._blobs.get(digest)
        return blob is not None and blob.stored

    def release(self, job: JobId) -> tuple[str, ...]:
        """Forget a job that is over; return the digests of blobs that are stored, and nobody needs any more."""
        self._offering.pop(job, None)
        needless = []
        for digest in self._jobs.pop(job, {}):
            blob = self._blobs[digest]
            del blob.jobs[job]
            if not blob.jobs:
                del self._blobs[digest]
                needless += [digest] if blob.stored else []
        return tuple(needless)

    def lost(self, node: NodeId) -> tuple[str, ...]:
        """Forget the jobs that a client was about to submit, and will not; return as `release` does."""
        jobs = [job for job, client in self._offering.items() if client == node]
        return tuple(digest for job in jobs for digest in self.release(job))

    def observe(self) -> LedgerState:
        """Return the books as a value."""
        return LedgerState(
            {digest: blob.size for digest, blob in self._blobs.items() if blob.stored},
            {digest: blob.size for digest, blob in self._blobs.items() if not blob.stored},
            {job: len(digests) for job, digests in self._jobs.items()},
        )

    def check(self) -> None:
        """State that blobs and jobs name each other, that every blob is needed, and that they are not too many."""
        for digest, blob in self._blobs.items():
            ensure(bool(blob.jobs), f"blob {digest} is needed by nobody")
            for job in blob.jobs:
                ensure(digest in self._jobs[job], f"blob {digest} is needed by '{job}', which does not know of it")
        for job, digests in self._jobs.items():
            for digest in digests:
                ensure(job in self._blobs[digest].jobs, f"job '{job}' needs blob {digest}, which does not know of it")
