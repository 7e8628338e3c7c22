"""The blobs of jobs where the next leader finds them: `blobs/` in `high-availability.storageDir`.

    blobs/<epoch>-<digest of the job's id>-<digest of the blob>

They are written before the job is (see `durable_jobs`), and removed after its end is. Jobs share none of them, and a leader removes only what
earlier leaders or itself have written: so one that was deposed takes nothing away that the next one needs. All calls block; they are made on the
pool.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from contextlib import suppress

from actorflow.errors import ActorflowError, CheckpointError, Retry, SinkError, SourceError, TransportError
from actorflow.ids import JobId
from actorflow.protocol.blobs.blob import BlobRef
from actorflow.protocol.jobs.job_messages import SubmitJob
from actorflow.storage import files
from actorflow.storage.blob_files import BlobFiles
from actorflow.storage.room import not_stored

log = logging.getLogger(__name__)

_COPY_BYTES = 1 << 20


class DurableBlobs:
    """The blobs that one leader stores, and those it finds.

    Args:
        storage: URI of a directory that every JobManager reaches.
        epoch: of the leadership.
        here: the leader's own copies.
    """

    def __init__(self, storage: str, epoch: int, here: BlobFiles) -> None:
        self._directory = files.join(storage, "blobs")
        self._epoch = epoch
        self._here = here

    def keep(self, submission: SubmitJob) -> str:
        """Store what a job needs, all of it or nothing; return what its `kept_at` is to be.

        Raises:
            StorageError: if it cannot be stored.
        """
        kept_at = self.kept_at(submission.job)
        try:
            files.make_directory(self._directory, private=True)
            for blob in submission.blobs:
                self._store(self._uri(kept_at, blob), blob)
        except ActorflowError as error:
            with suppress(SinkError):
                self.remove(kept_at)
            needed = sum(blob.size for blob in submission.blobs)
            raise not_stored(f"the files of job '{submission.job}'", self._directory, needed, error) from error
        return kept_at

    def kept_at(self, job: JobId) -> str:
        """Return what names the blobs of a job that this leader stores."""
        return f"{self._epoch}-{key_of(job)}"

    def _store(self, uri: str, blob: BlobRef) -> None:
        with files.writing(uri), files.open_output(uri) as stored:
            for piece in self._here.pieces(blob.digest):
                stored.write(piece)
            files.sync(stored)

    def bring(self, submission: SubmitJob) -> None:
        """Have here what a leader has stored of a job.

        Raises:
            CheckpointError: if it is gone or damaged.
            SourceError: if it may be readable later.
        """
        for blob in submission.blobs:
            if self._here.path(blob.digest).exists():
                continue
            try:
                self._fetch(self._uri(submission.kept_at, blob), blob)
            except ActorflowError as error:
                if error.retry is Retry.BACKOFF and not isinstance(error, TransportError):
                    raise
                raise CheckpointError(f"a file that it needs is lost: {error.message}", hint=error.hint) from error

    def _fetch(self, uri: str, blob: BlobRef) -> None:
        incoming = self._here.incoming(blob)
        try:
            with files.reading(uri), files.open_input(uri) as stored:
                while piece := stored.read(_COPY_BYTES):
                    incoming.write(piece)
                incoming.finish()
        except BaseException:
            incoming.abandon()
            raise

    def read(self, blob: BlobRef) -> bytes:
        """Return a blob that was brought here.

        Raises:
            OSError: if it cannot be read.
        """
        return self._here.path(blob.digest).read_bytes()

    def remove(self, kept_at: str) -> None:
        """Remove the blobs of a job that is over.

        Raises:
            SinkError: if one cannot be removed.
        """
        if kept_at:
            files.remove_all(self._directory, f"{kept_at}-")

    def collect(self, needed: Collection[str]) -> None:
        """Remove what earlier leaders have stored of jobs that are over, or were never accepted.

        Args:
            needed: `kept_at` of the jobs to go on with.
        """
        with suppress(SourceError):  # nothing was ever stored
            for info in files.list_files(self._directory):
                kept_at, _, _ = info.uri.rpartition("/")[2].rpartition("-")
                epoch = kept_at.partition("-")[0]
                if epoch.isdecimal() and int(epoch) < self._epoch and kept_at not in needed:
                    self._discard(info.uri)

    @staticmethod
    def _discard(uri: str) -> None:
        try:
            files.remove(uri, missing_ok=True)
        except ActorflowError as error:
            log.warning("a blob that nobody needs is left: %s", error)

    def _uri(self, kept_at: str, blob: BlobRef) -> str:
        return files.join(self._directory, f"{kept_at}-{blob.digest}")


def key_of(job: JobId) -> str:
    """Return what stands for a job in file names: its id is whatever its client has said."""
    return hashlib.sha256(job.encode()).hexdigest()[:32]
