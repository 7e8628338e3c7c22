"""What a leader writes down of its jobs, so that the next one can go on with them; and what it finds of the one before.

    submitted ─► put ─► accepted      checkpoint whole ─► recorded ─► committed      over ─► result put ─► files and entries removed ─► told
    finished without a checkpoint ─► put with what is to be committed ─► committed ─► over

Each step is written before it is acted upon, on behalf of the leader's epoch. So what a deposed leader does has no effect that matters: it cannot accept a job,
complete a checkpoint, end a job, or remove anything that the next one may need. Nothing is removed before it is written down that nobody needs it.

All calls block; they are made on the pool.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from actorflow.config import Config
from actorflow.coordination import CheckpointPointer, Coordination
from actorflow.errors import ActorflowError, CheckpointError, CoordinationError, Deposed, Retry, SinkError, StorageError, describe
from actorflow.ids import JobId, SubtaskId, VertexId
from actorflow.protocol.checkpoints.checkpoint_events import CompletedCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife, Restored
from actorflow.protocol.jobs.job_board import JobRemembered
from actorflow.protocol.jobs.job_messages import JobStatus, JobStatusChanged, SubmitJob
from actorflow.protocol.jobs.run_numbers import NUMBERS_OF_EPOCH
from actorflow.runtime.blobs.durable import DurableBlobs
from actorflow.runtime.jobs.durable_job import DurableJob, JobOutcome, forget
from actorflow.runtime.jobs.job_checkpoint_work import checkpoint_files, is_checkpoint, retains
from actorflow.runtime.messages import control_codec
from actorflow.storage.manifest_files import read_manifest
from actorflow.wire import pickling
from actorflow.wire.manifest import Manifest, encode_part
from actorflow.wire.message import MessageCodec
from actorflow.wire.user_code import loads_code

log = logging.getLogger(__name__)

WRITE_AGAIN_S: Final = 1.0
"""How long to wait before what could not be written is tried again."""

STORAGE_TRIES: Final = 3
"""How often the shared directory may refuse a job before its client is told. A file system may stumble; a disk that is full stays so."""

NUMBERS_LOOKED_AT: Final = 16
"""How many numbers behind that of a run are cleaned up behind a lost leader: regions that came back have some of them. What has more stays hidden."""

FRUITLESS_EPOCHS, FRUITLESS_RUNS = 32, 4
"""How many of the last leaders that have completed no checkpoint of a job are cleaned up behind, and how many runs of each. What has more stays hidden."""


@dataclass(frozen=True, slots=True)
class SurvivingJob:
    """A job that a leader before this one has left unfinished.

    Attributes:
        submission: as it was submitted; its splits are those that were listed.
        earlier: what it has done.
    """

    submission: SubmitJob
    earlier: EarlierLife


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a new leader finds.

    Attributes:
        jobs: to go on with.
        over: to be remembered: those that have ended, and those that cannot go on.
    """

    jobs: tuple[SurvivingJob, ...] = ()
    over: tuple[JobRemembered, ...] = ()


class DurableJobs:
    """The jobs of one leadership.

    Args:
        coordination: where they are written down.
        epoch: of the leadership.
        blobs: where their files and their code are stored, if they may have any.
    """

    def __init__(self, coordination: Coordination, epoch: int, blobs: DurableBlobs | None = None) -> None:
        self._coordination = coordination
        self._epoch = epoch
        self._blobs = blobs
        self._submissions = control_codec()
        self._outcomes = MessageCodec((JobOutcome,))

    @property
    def last_number(self) -> int:
        """The highest number that the runs and checkpoints of earlier leaders can have."""
        return (self._epoch - 1) * NUMBERS_OF_EPOCH

    @property
    def storage(self) -> str | None:
        """URI of the directory that every JobManager reaches; None if there is none."""
        return self._coordination.storage

    def put(self, submission: SubmitJob) -> None:
        """Keep a job, behind its blobs. Then it may be accepted.

        Raises:
            Deposed: if this leader leads no longer.
            StorageError: if there is no room for it; then nothing is left of it.
            CoordinationError: if it could not be stored.
        """
        kept_at = self._blobs.keep(submission) if submission.blobs and self._blobs is not None else ""
        stored = submission.replaced(kept_at=kept_at)
        try:
            self._coordination.jobs.put(submission.job, self._submissions.encode(stored), self._epoch)
        except StorageError:
            if self._blobs is not None:
                with suppress(SinkError):
                    self._blobs.remove(kept_at)
            raise

    def job(self, submission: SubmitJob, earlier: EarlierLife | None) -> DurableJob:
        """Return what is written down of one job.

        Args:
            submission: the job.
            earlier: what it has done under leaders before; None if this one has accepted it.
        """
        found = earlier or EarlierLife(last_number=self.last_number)
        return DurableJob(self._coordination, self._epoch, submission, found, self._blobs)

    def inherit(self) -> Inheritance:
        """Return what earlier leaders have left. Entries of jobs that are over are removed.

        Raises:
            Deposed: if this leader leads no longer.
            CoordinationError: if it cannot be read; it may be tried again.
        """
        self._coordination.jobs.collect(self._epoch)
        stored, results = self._coordination.jobs.read(), self._coordination.results.read()
        over = [self._remembered(job, result.outcome) for job, result in results.items()]
        for remembered in (one for one in over if results[one.news.job].dirty):
            self._clean(remembered.news, stored.submissions.get(remembered.news.job))
        jobs: list[SurvivingJob] = []
        for job, reason in stored.damaged.items():
            log.error("job '%s' cannot go on: %s", job, reason)
            over.append(_lost(job, job, reason))
        for job, data in stored.submissions.items():
            if job not in results:
                found = self._surviving(job, data)
                if isinstance(found, SurvivingJob):
                    jobs.append(found)
                else:
                    over.append(found)
        if self._blobs is not None:
            self._blobs.collect({job.submission.kept_at for job in jobs})
        return Inheritance(tuple(jobs), tuple(over))

    def _clean(self, news: JobStatusChanged, stored: bytes | None) -> None:
        """Remove what is left of a job whose leader was lost when it had written down its end."""
        if stored is not None:
            try:
                submission = self._submission(stored)
                config = Config.of(submission.options, "job")
                files = checkpoint_files(config, submission.job)
                if files is not None and (news.status is JobStatus.FINISHED or not retains(config)):
                    files.discard_all()
            except ActorflowError as error:
                log.warning("files of job '%s', which is over, are left: %s", news.job, error)
        forget(self._coordination, news.job, self._epoch)

    def _submission(self, data: bytes) -> SubmitJob:
        submission = self._submissions.decode(data)
        assert isinstance(submission, SubmitJob), "nothing else is stored"
        return submission

    def _remembered(self, job: JobId, outcome: bytes) -> JobRemembered:
        try:
            found = self._outcomes.decode(outcome)
        except ActorflowError as error:
            return _lost(job, job, f"how it ended cannot be read: {error.message}")
        assert isinstance(found, JobOutcome), "the codec knows nothing else"
        return JobRemembered(found.name, found.news)

    def _surviving(self, job: JobId, data: bytes) -> SurvivingJob | JobRemembered:
        try:
            submission = self._submission(data)
            if submission.blobs and self._blobs is not None:
                self._blobs.bring(submission)
            if submission.ended is not None:
                return SurvivingJob(submission, EarlierLife(last_number=self.last_number, ended=submission.ended))
            pointers = self._coordination.checkpoints.read(job)
            if pointers and not is_checkpoint(pointers[-1].location):
                return self._stopped(submission, pointers[-1].location)
            checkpoints = _readable(job, [pointer for pointer in pointers if is_checkpoint(pointer.location)])
        except ActorflowError as error:
            if error.retry is Retry.BACKOFF:
                raise CoordinationError(f"cannot go on with job '{job}': {error.message}", hint=error.hint) from error
            log.error("job '%s' cannot go on: %s", job, error)
            return _lost(job, job, error.message)
        if not checkpoints:
            return SurvivingJob(submission, EarlierLife(runs=_runs_after(0, self._epoch), last_number=self.last_number))
        last = checkpoints[-1][1]
        completed = tuple(_completed(manifest, location) for location, manifest in checkpoints)
        runs = (*_runs_until(last.epoch), *_runs_after(_epoch_of(last.epoch), self._epoch))
        earlier = EarlierLife(completed, runs, self.last_number)
        return SurvivingJob(submission.replaced(restored=_as_listed(submission.restored, last)), earlier)

    def _stopped(self, submission: SubmitJob, savepoint: str) -> SurvivingJob:
        """Return a job that had stopped with a savepoint, when nobody had written down its end yet: it goes on from there."""
        from actorflow.savepoint.matching import restored_from  # brings Parquet, which few jobs need

        plan = submission.plan
        if submission.code is not None:
            assert self._blobs is not None, "it was brought here"
            plan = self._blobs.read(submission.code)
        restored = restored_from(savepoint, loads_code(plan))  # as submitted: what it is planned for anew takes its own of that
        return SurvivingJob(submission.replaced(restored=restored), EarlierLife(last_number=self.last_number))


def until_written(write: Callable[[], None], what: str, *, storage_tries: float = math.inf) -> bool:
    """Write, for as long as it takes; return whether it was written, and not refused because this leader leads no longer.

    Args:
        write: does it.
        what: is written.
        storage_tries: how often the shared directory may refuse it.

    Raises:
        CoordinationError: if there is no use in trying again.
    """
    while True:
        try:
            write()
        except Deposed as error:
            log.info("%s: not written: %s", what, error)
            return False
        except CoordinationError as error:
            storage_tries -= isinstance(error, StorageError)
            if error.retry is Retry.NEVER or storage_tries <= 0:
                raise
            log.warning("%s: not written yet: %s", what, error)
            time.sleep(WRITE_AGAIN_S)
        else:
            return True


def _lost(job: JobId, name: str, reason: str) -> JobRemembered:
    error = describe(CheckpointError(f"job '{job}' was lost with the leader that ran it: {reason}"))
    return JobRemembered(name, JobStatusChanged(job, JobStatus.FAILED, error=error))


def _completed(manifest: Manifest, location: str) -> CompletedCheckpoint:
    states = {
        SubtaskId(VertexId(vertex.id), part.index): encode_part(part) for vertex in manifest.vertices for part in vertex.parts
    }
    chains = {VertexId(vertex.id): vertex.operators for vertex in manifest.vertices}
    return CompletedCheckpoint(manifest.checkpoint, manifest.timestamp, location, states, chains=chains)


def _readable(job: JobId, pointers: Sequence[CheckpointPointer]) -> list[tuple[str, Manifest]]:
    """Return the locations and manifests of the checkpoints that can be read, the oldest first.

    Raises:
        CheckpointError: if the last cannot be read: what was committed with it would be written again.
        SourceError: if it may be readable later.
    """
    found = []
    for pointer in pointers:
        try:
            found.append((pointer.location, read_manifest(pointer.location)))
        except CheckpointError as error:
            if isinstance(error.__cause__, ActorflowError) and error.__cause__.retry is Retry.BACKOFF:
                raise error.__cause__ from None
            if pointer is pointers[-1]:
                raise CheckpointError(f"its last checkpoint cannot be read: {error.message}", hint=error.hint) from error
            log.warning("checkpoint %d of job '%s' is left out: %s", pointer.checkpoint, job, error)
    return found


def _as_listed(first: Restored, manifest: Manifest) -> Restored:
    """Return where a job began, with the splits of its sources as they were listed for a checkpoint."""
    listed = {VertexId(vertex): tuple(pickling.loads(splits)) for vertex, splits in manifest.splits.items()}
    return replace(first, listed=listed, listed_for={VertexId(vertex.id): vertex.parallelism for vertex in manifest.vertices})


def _runs_until(run: int) -> tuple[int, ...]:
    """Return the numbers of the runs of one epoch until this one, and those of regions that came back in it and of the next, as far as one looks."""
    return tuple(range(_first_run(_epoch_of(run)), run + 1 + NUMBERS_LOOKED_AT))


def _runs_after(epoch: int, own: int) -> tuple[int, ...]:
    """Return the numbers of the runs that leaders between two epochs may have begun: they have completed no checkpoint."""
    fruitless = range(max(epoch + 1, own - FRUITLESS_EPOCHS), own)
    return tuple(_first_run(each) + run for each in fruitless for run in range(FRUITLESS_RUNS))


def _epoch_of(run: int) -> int:
    return (run - 1) // NUMBERS_OF_EPOCH + 1


def _first_run(epoch: int) -> int:
    return (epoch - 1) * NUMBERS_OF_EPOCH + 1
