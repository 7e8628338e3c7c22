"""What coordination gives a cluster: one leader that everybody can find, and a memory that outlives it.

    JobManager      election.contend(granted, revoked) ─► granted(7) ─► publish(Leader) ── leads ──► revoked()
    everybody else  retrieval.watch(changed) ─► changed(Leader(epoch=7)) ─► changed(None) ─► changed(Leader(epoch=8))
    the leader      jobs.put(…, epoch), checkpoints.record(…, epoch), results.put(…, epoch)

**Callbacks come on any thread**: on the caller's before the call returns, or on one that coordination owns. They must not block, and must not
raise; an actor has them `tell_control` it a message. They come one after the other, and the last one is the truth.

**Calls of the stores block** on disks and servers: they belong on the pool (`Start` effects), never on an actor's thread. Every write names the
epoch on whose behalf it is made, and is refused with `Deposed` once another one is in force: a leader that was cut off, or stopped for a while,
cannot change anything, whatever it still believes. Reading is free for all.

Implementations: `single` (one JobManager, no server) and `zookeeper`. One suite of tests runs over both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actorflow.errors import CoordinationError
from actorflow.ids import JobId
from actorflow.protocol.nodes.leader import Leader
from actorflow.wire.message import Message

Granted = Callable[[int], None]
"""Called with the epoch when this contender has become the leader."""

Revoked = Callable[[], None]
"""Called when it is the leader no longer, or cannot be sure to be. It acts on nothing from now on, and contends on for the next grant."""

LeaderChanged = Callable[[Leader | None], None]
"""Called with the leader, or with None once there is none. While that cannot be found out the last one that was known stays: its epoch fences it."""

Cancel = Callable[[], None]
"""Ends a watch. A callback that is under way may still come."""


class LeaderElection(Protocol):
    """A JobManager's part in choosing the leader."""

    def contend(self, granted: Granted, revoked: Revoked) -> None:
        """Take part from now on, until `close`. To be called once.

        A grant is followed by `revoked()` before the next one, and the epochs of grants, of all contenders of a cluster together, only grow.
        """
        ...

    def publish(self, leader: Leader) -> None:
        """Tell everybody where the leader is reached. Blocks.

        Raises:
            Deposed: if the epoch that it names is in force no longer.
            CoordinationError: if that could not be found out; it may be tried again.
        """
        ...

    def close(self) -> None:
        """Leave: another contender may lead at once. Calls nobody back any more."""
        ...


class LeaderRetrieval(Protocol):
    """How everybody else finds the leader."""

    def watch(self, changed: LeaderChanged) -> Cancel:
        """Call back with the leader there is, if there is one, and whenever that changes; return what ends this."""
        ...

    def obstacle(self) -> CoordinationError | None:
        """Return what keeps it at present from finding out who leads; None if nothing is known to."""
        ...


@dataclass(frozen=True, slots=True)
class StoredJobs:
    """The jobs in a store.

    Attributes:
        submissions: what was put, by job, in order of the ids.
        damaged: the jobs that cannot be read back, with the reason.
    """

    submissions: Mapping[JobId, bytes]
    damaged: Mapping[JobId, str]


class JobStore(Protocol):
    """The jobs that are to run, whoever leads."""

    def put(self, job: JobId, submission: bytes, epoch: int) -> None:
        """Keep a job, in place of what was kept under its id. When this returns, the job survives the loss of every JobManager.

        Raises:
            Deposed: if the epoch is in force no longer.
            StorageError: if there is no room for it; what was kept under its id still is.
            CoordinationError: if it could not be stored; it may be tried again.
        """
        ...

    def remove(self, job: JobId, epoch: int) -> None:
        """Forget a job, if it is there.

        Raises:
            Deposed: see `put`.
            CoordinationError: see `put`.
        """
        ...

    def collect(self, epoch: int) -> None:
        """Remove what leaders before this one had begun to put when they were lost. Before this one puts anything itself.

        Raises:
            Deposed: see `put`.
            CoordinationError: see `put`.
        """
        ...

    def read(self) -> StoredJobs:
        """Return all jobs. One that is damaged does not keep the others from being read.

        Raises:
            CoordinationError: if the store cannot be reached.
        """
        ...


class CheckpointPointer(Message, frozen=True):
    """Where a completed checkpoint is.

    Attributes:
        checkpoint: its number.
        location: URI of its manifest.
    """

    checkpoint: int
    location: str


class CheckpointPointers(Protocol):
    """The completed checkpoints of each job that are kept: what a new leader goes on from."""

    def record(self, job: JobId, pointers: Sequence[CheckpointPointer], epoch: int) -> None:
        """Say which checkpoints of a job there are from now on, the oldest first.

        Raises:
            Deposed: if the epoch is in force no longer. The checkpoint did not happen: nothing may be committed because of it.
            CoordinationError: if it could not be found out whether they were recorded; it may be tried again.
        """
        ...

    def read(self, job: JobId) -> tuple[CheckpointPointer, ...]:
        """Return the checkpoints of a job, the oldest first; none if nothing was recorded.

        Raises:
            CheckpointError: if what was recorded cannot be read.
            CoordinationError: if the store cannot be reached.
        """
        ...

    def remove(self, job: JobId, epoch: int) -> None:
        """Forget the checkpoints of a job; the files are not touched.

        Raises:
            Deposed: see `record`.
            CoordinationError: see `record`.
        """
        ...


class JobResult(Message, frozen=True):
    """How a job ended.

    Attributes:
        outcome: what was put.
        dirty: whether something of the job is still to be cleaned up.
    """

    outcome: bytes
    dirty: bool = True


class JobResultStore(Protocol):
    """The jobs that are over: they are not run again, whoever leads. What is dirty, the next leader cleans up."""

    def put(self, job: JobId, outcome: bytes, epoch: int) -> None:
        """Say that a job is over; it is dirty.

        Raises:
            Deposed: if the epoch is in force no longer.
            CoordinationError: if it could not be stored; it may be tried again.
        """
        ...

    def clean(self, job: JobId, epoch: int) -> None:
        """Say that nothing of a job is left to be cleaned up. The oldest clean results beyond `jobstore.max-capacity` are forgotten.

        Raises:
            Deposed: see `put`.
            CoordinationError: see `put`.
        """
        ...

    def read(self) -> Mapping[JobId, JobResult]:
        """Return the results of the jobs that are over, the oldest first.

        Raises:
            CoordinationError: if the store cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class Coordination:
    """All of it, for one node.

    Attributes:
        election: for JobManagers.
        retrieval: for everybody.
        jobs: submitted jobs.
        checkpoints: their completed checkpoints.
        results: jobs that are over.
        close: leaves the election, ends all watches, and lets go of connections and threads.
        storage: URI of the directory that every JobManager of the cluster reaches, and has for itself; None if there is none.
    """

    election: LeaderElection
    retrieval: LeaderRetrieval
    jobs: JobStore
    checkpoints: CheckpointPointers
    results: JobResultStore
    close: Callable[[], None]
    storage: str | None = None
