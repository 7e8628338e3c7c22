"""The Dispatcher of a cluster with several JobManagers: what it tells its clients outlives it.

    submitted ─► written down ─► accepted          last status ─► written down ─► told

What is being written is not known yet: a client that asks again meanwhile is answered when it is. If this Dispatcher's leadership ends first, the client
submits its job to the next one, and a job that had come to its end is brought there again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actorflow.actor import ActorRef
from actorflow.errors import ActorflowError, ErrorInfo, describe
from actorflow.ids import JobId
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.jobs.job_board import BoardEvent, JobBroke, JobRecorded, JobRemembered, Memory
from actorflow.protocol.jobs.job_events import JobOver
from actorflow.protocol.jobs.job_messages import JobStatus, JobStatusChanged, SubmitJob
from actorflow.protocol.nodes.client_messages import AttachClient
from actorflow.runtime.blobs.server import BlobServer
from actorflow.runtime.jobs.durable_job import DurableJob
from actorflow.runtime.jobs.durable_jobs import STORAGE_TRIES, DurableJobs, Inheritance, until_written
from actorflow.runtime.jobs.job_archive import JobArchive
from actorflow.runtime.jobs.job_manager import Dispatcher, Learn
from actorflow.wire.message import Message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """This can be told now; or it cannot be written, for a reason that does not pass."""

    news: SubmitJob | JobStatusChanged
    error: ErrorInfo | None = None


class DurableDispatcher(Dispatcher):
    """A Dispatcher that writes down what the next leader needs.

    Args:
        resource_manager: see `Dispatcher`.
        message_bytes_max: see `Dispatcher`.
        learn: see `Dispatcher`.
        memory: see `Dispatcher`.
        jobs: where it is written down.
        blobs: see `Dispatcher`.
    """

    def __init__(
        self,
        resource_manager: ActorRef,
        message_bytes_max: int,
        learn: Learn,
        memory: Memory,
        jobs: DurableJobs,
        blobs: BlobServer | None = None,
    ) -> None:
        super().__init__(resource_manager, message_bytes_max, learn, memory, blobs)
        self._jobs = jobs
        self._durable: dict[JobId, DurableJob] = {}
        """Of the jobs that are being accepted or under way."""
        self._archive = JobArchive(jobs.storage, memory.jobs_max) if jobs.storage is not None else None

    def on_receive(self, message: Any) -> Message | None:
        """Handle what concerns the store; the rest as any Dispatcher."""
        match message:
            case Inheritance():
                self._inherit(message)
            case SubmitJob() if not self._board.knows(message.job):
                self._keep(message)
            case JobStatusChanged() if message.status.final:
                self._conclude(message)
            case _Written(news=SubmitJob() as submission, error=ErrorInfo() as error):
                self._refuse(submission, error)
            case _Written(news=news):
                super()._note(news)
                self._store_record(news.job)
            case JobOver(job=job):
                super().on_receive(message)
                self._store_record(job)
            case JobRecorded():
                super()._note(message)
            case _:
                return super().on_receive(message)
        return None

    def _note(self, news: BoardEvent) -> None:
        if isinstance(news, JobBroke):
            self._conclude(self._board.last_status(news))
        else:
            super()._note(news)

    def _inherit(self, inheritance: Inheritance) -> None:
        for remembered in inheritance.over:
            super()._note(remembered)
        for job in inheritance.jobs:
            if self._blobs is not None:
                self._blobs.found(job.submission.job, job.submission.blobs)
            self._durable[job.submission.job] = self._jobs.job(job.submission, job.earlier)
            super()._note(job.submission)
        self._recall([remembered.news.job for remembered in inheritance.over])

    def _recall(self, jobs: list[JobId]) -> None:
        """Have it known how jobs looked at their end that were over before this leader began. Nobody waits for it."""
        me, archive = self.ctx.ref, self._archive
        if archive is None:
            return

        def recalled() -> None:
            for job, record in archive.recall(jobs):
                me.tell_control(JobRecorded(job, record))

        self.ctx.system.submit_work(recalled)

    def _store_record(self, job: JobId) -> None:
        """Keep how a job looked at its end, once that is known, and that it has ended is written down."""
        archive, record = self._archive, self._board.record(job)
        if archive is not None and record and not self._board.is_under_way(job):
            self.ctx.system.submit_work(lambda: archive.put(job, record))

    def _keep(self, submission: SubmitJob) -> None:
        if submission.job in self._durable:
            return
        try:
            self._hold(submission)
        except ActorflowError as error:
            self._refuse(submission, describe(error))
            return
        self._durable[submission.job] = self._jobs.job(submission, None)
        self._write(lambda: self._jobs.put(submission), submission)

    def _refuse(self, submission: SubmitJob, error: ErrorInfo) -> None:
        self._durable.pop(submission.job, None)
        self._release(submission.job)
        failed = JobStatusChanged(submission.job, JobStatus.FAILED, error=error)
        super()._note(JobRemembered(submission.name, failed))
        super()._note(AttachClient(submission.job, submission.client))

    def _conclude(self, news: JobStatusChanged) -> None:
        durable = self._durable.pop(news.job, None)
        if durable is not None:
            self._write(lambda: durable.end(news), news)

    def _write(self, write: Callable[[], None], news: SubmitJob | JobStatusChanged) -> None:
        me = self.ctx.ref

        def written() -> None:
            try:
                done = until_written(write, f"job '{news.job}'", storage_tries=STORAGE_TRIES)
            except ActorflowError as error:
                log.error("job '%s': %s", news.job, error)
                me.tell_control(_Written(news, describe(error)))
            else:
                if done:
                    me.tell_control(_Written(news))

        self.ctx.system.submit_work(written)

    def _lives(self, job: JobId) -> tuple[EarlierLife, DurableJob | None]:
        durable = self._durable[job]
        return durable.earlier, durable
