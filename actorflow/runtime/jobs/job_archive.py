"""How jobs looked at their end, for the leaders after the one that has seen it: `archive/` in `high-availability.storageDir`.

    archive/<digest of the job's id>        the job as JSON, compressed, so that a file that was torn is noticed

It is what people and REST are shown, and nothing depends on it: what cannot be stored or read is only logged. A record is stored when the end of its
job is written down, so no deposed leader stores one that is not true. All calls block; they are made on the pool.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator, Sequence

from actorflow.errors import ActorflowError
from actorflow.ids import JobId
from actorflow.runtime.blobs.durable import key_of
from actorflow.storage import files

log = logging.getLogger(__name__)


class JobArchive:
    """The records of a cluster's last jobs.

    Args:
        storage: URI of a directory that every JobManager reaches.
        records_max: how many are kept.
    """

    def __init__(self, storage: str, records_max: int) -> None:
        self._directory = files.join(storage, "archive")
        self._records_max = records_max
        self._kept: dict[str, None] = {}
        """Names of files, the oldest first."""
        self._lock = threading.Lock()

    def put(self, job: JobId, record: bytes) -> None:
        """Store a record; the oldest that are too many go."""
        name = key_of(job)
        with self._lock:
            self._kept[name] = None
            surplus = list(self._kept)[: max(0, len(self._kept) - self._records_max)]
            for old in surplus:
                del self._kept[old]
        try:
            if name not in surplus:
                files.make_directory(self._directory, private=True)
                files.write_whole(self._uri(name), zlib.compress(record, 1))
        except ActorflowError as error:
            log.warning("how job '%s' looked at its end is not stored for the next leader: %s", job, error)
        self._discard(surplus)

    def recall(self, jobs: Sequence[JobId]) -> Iterator[tuple[JobId, bytes]]:
        """Give the records there are of these jobs, the oldest first; those of others go."""
        try:
            there = [info.uri.rpartition("/")[2] for info in files.list_files(self._directory)]
        except ActorflowError:
            return  # nothing was ever stored
        with self._lock:
            known = dict.fromkeys(key_of(job) for job in jobs)
            forgotten = [name for name in there if name not in known and name not in self._kept]
            self._kept = {name: None for name in known if name in there} | self._kept
        self._discard(forgotten)
        for job in jobs:
            if key_of(job) in there:
                try:
                    with files.reading(self._uri(key_of(job))), files.open_input(self._uri(key_of(job))) as stream:
                        record = zlib.decompress(stream.read())
                except ActorflowError as error:
                    log.warning("how job '%s' looked at its end cannot be read: %s", job, error)
                else:
                    yield job, record

    def _discard(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                files.remove(self._uri(name), missing_ok=True)
            except ActorflowError as error:
                log.warning("a job's record that nobody asks for any more is left: %s", error)

    def _uri(self, name: str) -> str:
        return files.join(self._directory, name)
