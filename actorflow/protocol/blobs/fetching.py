"""Which blobs a TaskManager fetches, for which jobs, and when a job has all of its own.

    job:   NeedBlobs ──all are here──► BlobsHere      ──one cannot be had──► BlobsHere(error), and the next NeedBlobs tries again
    blob:  asked for (FetchBlob) ──BlobArrived──► here ──no job needs it──► dropped (BlobNeedless)
                 └──BlobBroken, `retries` times──► asked for again, then failed

Each blob is fetched once, however many jobs and slots need it. What it asks may be lost, so a job whose slots are leased again asks again: the blob
server sends nothing twice at a time.

Late rule: a blob that nobody waits for is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.protocol.blobs.blob import BlobRef, BlobUnavailable, FetchBlob, JobBlobs
from actorflow.protocol.machine import Effect, Report, Send, ensure
from actorflow.protocol.nodes.slot_messages import JobReleased


@dataclass(frozen=True, slots=True)
class NeedBlobs:
    """A slot was leased to this job, whose worker must not be used before these blobs are here."""

    job: JobId
    needed: JobBlobs


@dataclass(frozen=True, slots=True)
class BlobArrived:
    """A blob is here, whole."""

    digest: str


@dataclass(frozen=True, slots=True)
class BlobBroken:
    """A blob did not arrive, or not as it should be."""

    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class BlobsHere:
    """Reported when a job has all of its blobs, or cannot have them."""

    job: JobId
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class BlobNeedless:
    """Reported of a blob that is here, and no job needs any more."""

    digest: str


@dataclass(slots=True)
class _Blob:
    size: int
    server: Address
    here: bool = False
    failures: int = 0


@dataclass(frozen=True, slots=True)
class FetchingState:
    """What `BlobFetching.observe` shows: blobs by whether they are here, and how many each job needs."""

    blobs: Mapping[str, bool]
    jobs: Mapping[JobId, int]


class BlobFetching:
    """Decides for one TaskManager.

    Args:
        address: of the actor that the blob server is to tell what it cannot send.
        retries: how often a blob is asked for again that did not arrive whole.
    """

    def __init__(self, address: Address, *, retries: int) -> None:
        self._address = address
        self._retries = retries
        self._blobs: dict[str, _Blob] = {}
        self._jobs: dict[JobId, tuple[BlobRef, ...]] = {}

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - a machine is told the time
        """Take one event; see the diagram above."""
        match event:
            case NeedBlobs(job=job, needed=needed):
                return self._need(job, needed)
            case BlobArrived(digest=digest):
                return self._arrived(digest)
            case BlobBroken(digest=digest, reason=reason):
                return self._broken(digest, reason)
            case BlobUnavailable(digest=digest, error=error):
                return self._failed(digest, error)
            case JobReleased(job=job):
                return self._release(job)
            case _:
                return []  # whoever can reach this node can send it any message

    def size_awaited(self, node: NodeId, digest: str) -> int | None:
        """Return the size of a blob that a node was asked for; None if it was not."""
        blob = self._blobs.get(digest)
        if blob is None or blob.here or split_address(blob.server)[0] != node:
            return None
        return blob.size

    def _need(self, job: JobId, needed: JobBlobs) -> list[Effect]:
        if not all(blob.well_formed for blob in needed.blobs):
            return [Report(BlobsHere(job, _unusable("the JobManager names one that cannot be")))]
        self._jobs[job] = needed.blobs
        asked: list[Effect] = []
        for ref in needed.blobs:
            blob = self._blobs.setdefault(ref.digest, _Blob(ref.size, needed.server))
            if not blob.here:
                blob.server, blob.failures = needed.server, 0
                asked.append(self._ask(ref.digest))
        return asked or [Report(BlobsHere(job))]

    def _ask(self, digest: str) -> Effect:
        return Send(self._blobs[digest].server, FetchBlob(digest, self._address))

    def _arrived(self, digest: str) -> list[Effect]:
        blob = self._blobs.get(digest)
        if blob is None:
            return [Report(BlobNeedless(digest))]  # the job has ended meanwhile
        blob.here = True
        return [Report(BlobsHere(job)) for job in self._waiting_for(digest) if self._has_all(job)]

    def _has_all(self, job: JobId) -> bool:
        return all(self._blobs[ref.digest].here for ref in self._jobs[job])

    def _waiting_for(self, digest: str) -> list[JobId]:
        return [job for job, refs in self._jobs.items() if any(ref.digest == digest for ref in refs)]

    def _broken(self, digest: str, reason: str) -> list[Effect]:
        blob = self._blobs.get(digest)
        if blob is None or blob.here:
            return []
        blob.failures += 1
        if blob.failures <= self._retries:
            return [self._ask(digest)]
        return self._failed(digest, _unusable(f"{reason}, {blob.failures} times"))

    def _failed(self, digest: str, error: ErrorInfo) -> list[Effect]:
        blob = self._blobs.get(digest)
        if blob is None or blob.here:
            return []
        return [Report(BlobsHere(job, error)) for job in self._waiting_for(digest)]

    def _release(self, job: JobId) -> list[Effect]:
        gone = self._jobs.pop(job, ())
        needed = {ref.digest for refs in self._jobs.values() for ref in refs}
        needless = [digest for digest in dict.fromkeys(ref.digest for ref in gone) if digest not in needed]
        dropped = [(digest, self._blobs.pop(digest)) for digest in needless]
        return [Report(BlobNeedless(digest)) for digest, blob in dropped if blob.here]

    def observe(self) -> FetchingState:
        """Return what is here, and for whom."""
        return FetchingState(
            {digest: blob.here for digest, blob in self._blobs.items()}, {job: len(refs) for job, refs in self._jobs.items()}
        )

    def check(self) -> None:
        """State that there is exactly what jobs need."""
        needed = {ref.digest for refs in self._jobs.values() for ref in refs}
        ensure(needed == set(self._blobs), f"{sorted(needed)} are needed, and {sorted(self._blobs)} are kept")


def _unusable(reason: str) -> ErrorInfo:
    return ErrorInfo(
        "TransportError", f"cannot have the job's files and code: {reason}", domain=Domain.EXTERNAL, retry=Retry.BACKOFF
    )
