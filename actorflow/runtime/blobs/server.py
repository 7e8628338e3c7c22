"""The blob server of a leading JobManager: takes the files and the code of jobs from clients, and gives them to TaskManagers.

    /blob-server        answers clients and TaskManagers (`BlobDesk`); the Dispatcher beside it uses the same `BlobServer`

What it has lies in a directory of its own, for as long as it leads and a job needs it. Who leads next finds the blobs of jobs in
`high-availability.storageDir` (see `durable_blobs`). All of it happens on the node's dispatcher thread, a bounded piece at a time; only removing
takes longer.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from actorflow.actor import Actor, ActorRef, ActorSystem
from actorflow.errors import ErrorInfo, PlanError, StateError, TransportError, describe
from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.protocol.blobs.blob import BlobRef, BlobsWanted, BlobUnavailable, FetchBlob, JobBlobs, OfferBlobs
from actorflow.protocol.blobs.ledger import BlobLedger, LedgerState
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_messages import SubmitJob
from actorflow.runtime.blobs.intake import BlobIntake
from actorflow.state.directories import OwnedDirectory
from actorflow.storage.blob_files import BlobFiles
from actorflow.transport.blobs import BlobPiece
from actorflow.wire.message import Message

log = logging.getLogger(__name__)

SendBlob = Callable[[NodeId, str, Iterable[bytes], Callable[[bool], None]], None]
"""Sends a blob to a node, and says whether the node has taken it: `transport.endpoint.Endpoint.send_blob`."""

_MB = 1 << 20


class BlobServer:
    """The blobs of one leadership.

    Args:
        address: of its `BlobDesk`.
        parent: where it makes its directory.
        send: see `SendBlob`.
        bytes_max: what all blobs together may take.
        submit_work: does slow work on another thread.

    Raises:
        StateError: if it cannot make its directory.
    """

    def __init__(
        self,
        address: Address,
        parent: Path,
        send: SendBlob,
        *,
        bytes_max: int,
        submit_work: Callable[[Callable[[], None]], None],
    ) -> None:
        self.address = address
        self._directory = OwnedDirectory(parent, "blobs", hint="'blob.storage.directory' names another directory")
        self.files = BlobFiles(self._directory.path)
        self._send = send
        self._submit_work = submit_work
        self._ledger = BlobLedger(bytes_max)
        self._intake = BlobIntake(self.files, self._ledger.size_awaited, self._ended)
        self._refused: dict[tuple[NodeId, str], str] = {}
        """Why a client's blob was not taken, until it asks."""
        self._under_way: dict[tuple[NodeId, str], None] = {}

    # --- clients -------------------------------------------------------------------------------------------------------------------

    def offered(self, offer: OfferBlobs) -> BlobsWanted:
        """Answer a client that is about to submit a job."""
        refused = [self._refused.pop((offer.client, blob.digest), None) for blob in offer.blobs]
        reasons = [reason for reason in refused if reason is not None]
        try:
            self._check_space(offer)
            missing = self._ledger.offer(offer.job, offer.client, offer.blobs)
        except (PlanError, StateError) as error:
            return BlobsWanted(error=error.info())
        if not reasons:
            return BlobsWanted(missing)
        return BlobsWanted(
            missing, TransportError(f"the JobManager could not keep a file of job '{offer.job}': {reasons[0]}").info()
        )

    def _check_space(self, offer: OfferBlobs) -> None:
        needed = sum({blob.digest: blob.size for blob in offer.blobs if not self._ledger.has(blob.digest)}.values())
        try:
            free = shutil.disk_usage(self.files.directory).free
        except OSError as error:
            raise StateError(
                f"the JobManager cannot keep the files and code of job '{offer.job}' in {self.files.directory}: {error.strerror}",
                hint="it makes another directory when it is started again",
            ) from None
        if needed > free:
            raise PlanError(
                f"the files and code of job '{offer.job}' take {-(-needed // _MB)} MB, and the JobManager has {free // _MB} MB left for them",
                hint="'blob.storage.directory' names another disk",
            )

    def take(self, piece: BlobPiece) -> None:
        """Take a piece of a blob that a client sends; see `BlobIntake.take`."""
        self._intake.take(piece)

    def _ended(self, client: NodeId, digest: str, reason: str | None) -> None:
        if reason is not None:
            self._refused[client, digest] = reason
        elif not self._ledger.stored(digest):
            self._remove([digest])

    def lost(self, node: NodeId) -> None:
        """Forget what a client was about to submit."""
        self._remove(self._ledger.lost(node))
        for at in [at for at in self._refused if at[0] == node]:
            del self._refused[at]

    # --- jobs ----------------------------------------------------------------------------------------------------------------------

    def hold(self, submission: SubmitJob) -> None:
        """Keep what a job needs, until it is released.

        Raises:
            PlanError: if that is not here.
        """
        missing = self._ledger.hold(submission.job, submission.blobs)
        if missing:
            raise PlanError(
                f"the JobManager has {len(submission.blobs) - len(missing)} of the {len(submission.blobs)} files of job '{submission.job}'",
                hint="submit it again: another one led when they were sent",
            )

    def found(self, job: JobId, blobs: Iterable[BlobRef]) -> None:
        """Keep blobs of a job that were brought from where an earlier leader had left them."""
        for blob in blobs:
            self._ledger.put(job, blob)

    def code_of(self, submission: SubmitJob) -> bytes:
        """Return the plan of a job, with its code.

        Raises:
            OSError: if it cannot be read.
        """
        return submission.plan if submission.code is None else self.files.path(submission.code.digest).read_bytes()

    def shipped(self, description: JobDescription, files: tuple[BlobRef, ...], offload_bytes: int) -> JobDescription:
        """Return a description that tells TaskManagers which blobs they need: the job's files, and its code if that is large.

        Raises:
            OSError: if the code cannot be kept as a blob.
        """
        if len(description.plan) >= offload_bytes:
            ref = self.files.add(description.plan)
            self._ledger.put(description.job, ref)
            description, files = replace(description, plan=b"", code=ref.digest), (*files, ref)
        return replace(description, blobs=JobBlobs(self.address, files)) if files else description

    def release(self, job: JobId) -> None:
        """Remove what no other job needs, of one that is over."""
        self._remove(self._ledger.release(job))

    def _remove(self, digests: Iterable[str]) -> None:
        for digest in digests:
            with contextlib.suppress(FileNotFoundError):  # the directory is gone, with all that was in it
                gone = self.files.retire(digest)
                self._submit_work(gone.unlink)

    # --- TaskManagers --------------------------------------------------------------------------------------------------------------

    def fetch(self, wanted: FetchBlob) -> BlobUnavailable | None:
        """Send a blob to a TaskManager, unless that is under way; return why not, if it cannot be sent."""
        at = split_address(wanted.cache)[0], wanted.digest
        if not self._ledger.has(wanted.digest):
            return BlobUnavailable(wanted.digest, _not_here(wanted.digest))
        if at not in self._under_way:
            self._under_way[at] = None
            self._send(*at, self.files.pieces(wanted.digest), lambda _: self._sent(at))
        return None

    def _sent(self, at: tuple[NodeId, str]) -> None:
        self._under_way.pop(at, None)

    # --- the end -------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove everything."""
        self._intake.close()
        self._directory.close()

    def observe(self) -> LedgerState:
        """Return what it has, and for whom."""
        return self._ledger.observe()


def _not_here(digest: str) -> ErrorInfo:
    return describe(TransportError(f"the JobManager has no blob '{digest[:80]}'", hint="the job that it belongs to is over"))


class BlobDesk(Actor):
    """Answers for a `BlobServer`, which goes when this actor ends.

    Args:
        server: does the work.
        receive: has pieces of blobs handed to a function: `transport.endpoint.Endpoint.receive_blobs`.
    """

    def __init__(self, server: BlobServer, receive: Callable[[Callable[[BlobPiece], None]], None]) -> None:
        super().__init__()
        self._server = server
        self._receive = receive

    def on_start(self) -> None:
        """Take what clients send."""
        self._receive(self._server.take)

    def on_receive(self, message: Any) -> Message | None:
        """Answer a client, or serve a TaskManager."""
        match message:
            case OfferBlobs():
                return self._server.offered(message)
            case FetchBlob():
                refusal = self._server.fetch(message)
                if refusal is not None:
                    self.ctx.system.send(message.cache, refusal)
            case _:  # whoever can reach this node can send it any message
                log.warning("the blob server dropped a message that is not for it: '%s'", type(message).__name__)
        return None

    def on_stop(self) -> None:
        """Remove everything."""
        self._server.close()

    def observe(self) -> LedgerState:
        """Return what it has, and for whom."""
        return self._server.observe()


def spawn_blob_desk(system: ActorSystem, server: BlobServer, receive: Callable[[Callable[[BlobPiece], None]], None]) -> ActorRef:
    """Start the actor of a blob server, at its address; return its ref."""
    return system.spawn(BlobDesk, server, receive, name=split_address(server.address)[1][1:])
