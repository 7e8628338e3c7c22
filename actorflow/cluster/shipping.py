"""What a client sends before it submits a job: files that are on its own host, and code that is too large for a message.

    cached_file("model", "models/model.bin")        a path: read here, sent to the JobManager's blob server
    cached_file("model", "file:///mnt/model.bin")   a URI: every TaskManager reads it itself
    cached_file("model", "s3://models/model.bin")   the same

What the blob server has is not sent again. A file is read twice, once for its digest and once to be sent, and never more than a piece of it is in memory.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actorflow.api.submission import Submission
from actorflow.cluster.leader_link import LeaderLink
from actorflow.errors import ActorflowError, PlanError, TransportError
from actorflow.ids import JobId
from actorflow.protocol.blobs.blob import BlobRef, BlobsWanted, OfferBlobs, SentFile
from actorflow.storage.archives import pack
from actorflow.storage.blob_files import pieces_of, ref_of
from actorflow.wire.user_code import dumps_code

_ROUNDS_MAX = 3
"""How often what is missing is sent: a blob may be lost with a connection."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """How a job travels.

    Attributes:
        plan: with its message, or empty.
        code: the blob with the plan, if it is in one.
        files: blobs with its files.
    """

    plan: bytes
    code: BlobRef | None = None
    files: tuple[BlobRef, ...] = ()


def carried(job: JobId, submission: Submission) -> Shipped:  # noqa: ARG001 - as `Shipping` is called
    """Return a job that travels with its message, to a JobManager on the same host that reads the files itself."""
    return Shipped(submission.payload)


class Shipping:
    """Sends what jobs bring to the leader's blob server.

    Args:
        link: to the leader.
        offload_bytes: the size from which on code is sent as a blob.
    """

    def __init__(self, link: LeaderLink, offload_bytes: int) -> None:
        self._link = link
        self._offload_bytes = offload_bytes

    def __call__(self, job: JobId, submission: Submission) -> Shipped:
        """Send what a job brings; return how the rest of it travels.

        Raises:
            PlanError: if a file cannot be read, or is too large for the cluster.
            TransportError: if the leader does not take it.
        """
        with tempfile.TemporaryDirectory(prefix="actorflow-shipping-") as scratch:
            found = _Found(Path(scratch))
            execution, payload = submission.execution, submission.payload
            named = {name: found.sent(name, uri) for name, uri in execution.cached_files.items()}
            if named != execution.cached_files:
                payload = dumps_code(replace(execution, cached_files=named))
            files, code = found.refs(), None
            if len(payload) >= self._offload_bytes:
                payload, code = b"", found.code(payload)
            if found.paths:
                self._send(job, found.refs(), found.paths)
            return Shipped(payload, code, files)

    def _send(self, job: JobId, blobs: Sequence[BlobRef], paths: Mapping[str, Path]) -> None:
        offer = OfferBlobs(job, self._link.node, tuple(blobs))
        for _ in range(_ROUNDS_MAX):
            wanted: BlobsWanted = self._link.ask(offer)
            if wanted.error is not None:
                kind: type[ActorflowError] = PlanError if wanted.error.kind == "PlanError" else TransportError
                raise kind(wanted.error.message, hint=wanted.error.hint)
            if not wanted.missing:
                return
            for digest in wanted.missing:
                self._send_one(digest, paths[digest])
        raise TransportError(
            f"the files of job '{job}' did not arrive at the JobManager, {_ROUNDS_MAX} times", hint="its log says more"
        )

    def _send_one(self, digest: str, path: Path) -> None:
        ended = threading.Event()
        self._link.send_blob(digest, pieces_of(path), lambda _: ended.set())
        ended.wait()


class _Found:
    """What is to be sent: the blobs, and where each is on this host.

    Args:
        scratch: a directory for archives, and for code.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._refs: dict[str, BlobRef] = {}
        self.paths: dict[str, Path] = {}

    def refs(self) -> tuple[BlobRef, ...]:
        """Return the blobs."""
        return tuple(self._refs.values())

    def sent(self, name: str, uri: str) -> str:
        """Return what stands for a cached file in the plan: the same URI, or that of a blob if it is a path on this host."""
        if "://" in uri:
            return uri
        path = Path(uri)
        try:
            if not path.is_dir():
                return SentFile(self._add(path).digest, path.name, directory=False).uri
            archive = self._scratch / f"{len(self._refs)}.tar"
            with archive.open("wb") as file:
                pack(path, file)
            return SentFile(self._add(archive).digest, path.name, directory=True).uri
        except OSError as error:
            raise PlanError(
                f"cannot read cached file '{name}' at '{uri}': {error.strerror or error}",
                hint="a path is one on this host; write file:///… for a file that is on every host of the cluster",
            ) from error

    def code(self, payload: bytes) -> BlobRef:
        """Return the blob with the plan."""
        path = self._scratch / "code"
        path.write_bytes(payload)
        return self._add(path)

    def _add(self, path: Path) -> BlobRef:
        ref = ref_of(path)
        self._refs[ref.digest], self.paths[ref.digest] = ref, path
        return ref
