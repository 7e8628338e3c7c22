"""What outlives a leader: pointers in ZooKeeper, written through the fence, and the bytes of jobs in `high-availability.storageDir`.

A job's bytes are a file that is never written over, and there before the pointer is; the pointer says how many they are and what their checksum
is. So a file that was torn or lost is noticed, named, and none of the other jobs' business.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import TypeVar

from actorflow.coordination.contract import CheckpointPointer, JobResult, StoredJobs
from actorflow.coordination.remembered import surplus
from actorflow.coordination.zookeeper.connection import Connection
from actorflow.coordination.zookeeper.fence import Fence
from actorflow.errors import ActorflowError, CheckpointError, CoordinationError, FrameRefused, Retry
from actorflow.ids import JobId
from actorflow.storage import files
from actorflow.storage.room import not_stored
from actorflow.wire.manifest import checksum
from actorflow.wire.message import Message, MessageCodec

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


class StoredJob(Message, frozen=True):
    """Where the bytes of a submitted job are."""

    uri: str
    size_bytes: int
    checksum: str


class RecordedPointers(Message, frozen=True):
    """The completed checkpoints of a job, the oldest first."""

    pointers: tuple[CheckpointPointer, ...]


def _decoded(data: bytes, kind: type[M]) -> M:
    message = MessageCodec((kind,)).decode(data)
    assert isinstance(message, kind), "the codec knows nothing else"
    return message


def _file_name(uri: str) -> str:
    return uri.rpartition("/")[2]


def _encoded(message: Message) -> bytes:
    return MessageCodec((type(message),)).encode(message)


class ZooKeeperJobs:
    """A `JobStore`.

    Args:
        connection: to the ensemble.
        fence: around what is written.
        directory: URI below which the bytes go.
    """

    def __init__(self, connection: Connection, fence: Fence, directory: str) -> None:
        self._connection = connection
        self._fence = fence
        self._directory = directory

    def put(self, job: JobId, submission: bytes, epoch: int) -> None:
        """Store the bytes, then the pointer; then remove what the pointer named before."""
        self._fence.check(epoch)
        before = self._pointer(job)
        stored = StoredJob(files.join(self._directory, f"{job}-{uuid.uuid4().hex}"), len(submission), checksum(submission))
        try:
            files.make_directory(self._directory, private=True)
            files.write_whole(stored.uri, submission)
        except ActorflowError as error:
            raise not_stored(f"job '{job}'", self._directory, len(submission), error) from error
        try:
            self._fence.put(self._path(job), _encoded(stored), epoch)
        except ActorflowError as error:
            if error.retry is Retry.NEVER:  # else the pointer may have been written
                self._discard(stored.uri)
            raise
        if before is not None:
            self._discard(before.uri)

    def remove(self, job: JobId, epoch: int) -> None:
        """Remove the pointer, then the bytes."""
        self._fence.check(epoch)
        stored = self._pointer(job)
        self._fence.delete(self._path(job), epoch)
        if stored is not None:
            self._discard(stored.uri)

    def collect(self, epoch: int) -> None:
        """Remove the files that no pointer names.

        They are listed first: what a later leader writes is not among them, or the fence is closed by then. If ZooKeeper knows of no job that ever
        was, it has probably lost what it knew, and the files are all that is left of them.
        """
        self._fence.check(epoch)
        there = self._files()
        names = self._connection.again(lambda: self._connection.children(self._connection.paths.jobs))
        pointers = {name: self._pointer(JobId(name)) for name in names}
        named = {_file_name(stored.uri) for stored in pointers.values() if stored is not None}
        damaged = tuple(f"{name}-" for name, stored in pointers.items() if stored is None)
        orphans = [uri for uri in there if _file_name(uri) not in named and not _file_name(uri).startswith(damaged)]
        if orphans and not names and not self._connection.again(lambda: self._connection.children(self._connection.paths.results)):
            log.error(
                "ZooKeeper knows of no job; %d are in '%s' that do not go on: it has lost them", len(orphans), self._directory
            )
            return
        self._fence.confirm(epoch)
        for uri in orphans:
            self._discard(uri)

    def _files(self) -> list[str]:
        try:
            return [info.uri for info in files.list_files(self._directory)] if files.exists(self._directory) else []
        except ActorflowError as error:
            log.warning("what is left in '%s' stays: %s", self._directory, error)
            return []

    def read(self) -> StoredJobs:
        """Return all jobs; those that are damaged by name."""
        submissions, damaged = {}, {}
        for name in sorted(self._connection.again(lambda: self._connection.children(self._connection.paths.jobs))):
            job = JobId(name)
            try:
                submission = self._submission(job)
            except FrameRefused as error:
                damaged[job] = f"its pointer in ZooKeeper cannot be read: {error.message}"
                continue
            except ActorflowError as error:
                if error.retry is Retry.BACKOFF:  # it may be whole: who took it for damaged would forget it
                    raise CoordinationError(f"cannot read job '{job}': {error.message}", hint=error.hint) from error
                damaged[job] = error.message
                continue
            if isinstance(submission, str):
                damaged[job] = submission
            elif submission is not None:
                submissions[job] = submission
        return StoredJobs(submissions, damaged)

    def _submission(self, job: JobId) -> bytes | str | None:
        """Return the bytes of a job, or what is wrong with them; None if it was removed meanwhile."""
        found = self._connection.again(lambda: self._connection.get(self._path(job)))
        if found is None:
            return None
        stored = _decoded(found[0], StoredJob)
        with files.open_input(stored.uri) as stream:
            data = stream.read()
        if len(data) != stored.size_bytes:
            return f"'{stored.uri}' has {len(data)} bytes, {stored.size_bytes} were written"
        return (
            data
            if checksum(data) == stored.checksum
            else f"'{stored.uri}' is damaged: its checksum is not that of what was written"
        )

    def _pointer(self, job: JobId) -> StoredJob | None:
        found = self._connection.again(lambda: self._connection.get(self._path(job)))
        if found is None:
            return None
        with contextlib.suppress(FrameRefused):
            return _decoded(found[0], StoredJob)
        return None

    @staticmethod
    def _discard(uri: str) -> None:
        try:
            files.remove(uri, missing_ok=True)
        except ActorflowError as error:  # nothing refers to it
            log.warning("what was stored of a job stays: %s", error)

    def _path(self, job: JobId) -> str:
        return f"{self._connection.paths.jobs}/{job}"


class ZooKeeperPointers:
    """`CheckpointPointers`.

    Args:
        connection: to the ensemble.
        fence: around what is written.
    """

    def __init__(self, connection: Connection, fence: Fence) -> None:
        self._connection = connection
        self._fence = fence

    def record(self, job: JobId, pointers: Sequence[CheckpointPointer], epoch: int) -> None:
        """Write which checkpoints a job has."""
        self._fence.put(self._path(job), _encoded(RecordedPointers(tuple(pointers))), epoch)

    def read(self, job: JobId) -> tuple[CheckpointPointer, ...]:
        """Return the checkpoints of a job."""
        found = self._connection.again(lambda: self._connection.get(self._path(job)))
        if found is None:
            return ()
        try:
            return _decoded(found[0], RecordedPointers).pointers
        except FrameRefused as error:
            raise CheckpointError(f"which checkpoints job '{job}' has cannot be read from ZooKeeper: {error.message}") from error

    def remove(self, job: JobId, epoch: int) -> None:
        """Remove what was recorded."""
        self._fence.delete(self._path(job), epoch)

    def _path(self, job: JobId) -> str:
        return f"{self._connection.paths.checkpoints}/{job}"


class ZooKeeperResults:
    """A `JobResultStore`.

    Args:
        connection: to the ensemble.
        fence: around what is written.
        results_max: how many clean results are kept.
    """

    def __init__(self, connection: Connection, fence: Fence, results_max: int) -> None:
        self._connection = connection
        self._fence = fence
        self._results_max = results_max
        self._lock = threading.Lock()
        self._dirty: dict[JobId, bool] | None = None
        """Whether each result is dirty, the oldest first; a leader is the only one that writes, and reads them when it begins."""

    def put(self, job: JobId, outcome: bytes, epoch: int) -> None:
        """Write the result of a job."""
        self._fence.put(self._path(job), _encoded(JobResult(outcome)), epoch)
        with self._lock:
            if self._dirty is not None:
                self._dirty[job] = True

    def clean(self, job: JobId, epoch: int) -> None:
        """Write that a result is clean, and remove the oldest that are too many."""
        self._fence.check(epoch)
        found = self._connection.again(lambda: self._connection.get(self._path(job)))
        if found is not None:
            self._fence.put(self._path(job), _encoded(JobResult(_decoded(found[0], JobResult).outcome, dirty=False)), epoch)
        if self._dirty is None:
            self.read()
        with self._lock:
            assert self._dirty is not None, "they were read"
            if found is not None:
                self._dirty[job] = False
            old = surplus(self._dirty, self._results_max)
        for each in old:
            self._fence.delete(self._path(each), epoch)
            with self._lock:
                self._dirty.pop(each, None)

    def read(self) -> Mapping[JobId, JobResult]:
        """Return all results that can be read, in the order in which the jobs ended."""
        found: dict[int, tuple[JobId, JobResult]] = self._connection.again(self._read)
        results = dict(found[created] for created in sorted(found))
        with self._lock:
            self._dirty = {job: result.dirty for job, result in results.items()}
        return results

    def _read(self) -> dict[int, tuple[JobId, JobResult]]:
        results = {}
        for name in self._connection.children(self._connection.paths.results):
            found = self._connection.get(self._path(JobId(name)))
            if found is not None:
                try:
                    results[found[1].czxid] = (JobId(name), _decoded(found[0], JobResult))
                except FrameRefused as error:
                    log.warning("the result of job '%s' in ZooKeeper cannot be read: %s", name, error)
        return results

    def _path(self, job: JobId) -> str:
        return f"{self._connection.paths.results}/{job}"
