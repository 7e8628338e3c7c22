"""What a Dispatcher knows of its jobs, and whom it tells: clients come and go, jobs stay.

    job:     submitted ──► under way ──final status──► over ──older than `Memory` allows──► forgotten
    client:  attached (by submitting the job, or later) ──its node is lost──► gone

JobMasters tell the board; it tells every client that is attached. A client that may have missed something attaches again, and is answered
by the status. Results go to the first client of a job only, numbered, and are kept until it has acknowledged them; the window of the
sinks bounds how many that are. It hears of the job's end behind the last of them. When that client is gone, results are for nobody: they are
acknowledged in its place, and dropped.

Late rule: news of a job that is not known, of an attempt before the last one seen, or after its end, is dropped; so are acknowledgements
of what is not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, SubtaskId, split_address
from actorflow.protocol.jobs.job_messages import (
    JobProgressed,
    JobStatus,
    JobStatusChanged,
    NodeLost,
    ResultChunk,
    ResultTaken,
    SubmitJob,
)
from actorflow.protocol.machine import Effect, Report, Send, ensure
from actorflow.protocol.nodes.client_messages import AttachClient, JobsListed, JobSummary, JobUnknown, ResultsReceived, ResultsSent


@dataclass(frozen=True, slots=True)
class Memory:
    """How many jobs that are over are remembered, and for how long: a cluster may run jobs for years."""

    jobs_max: int = 1_000
    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """Reported when a job was submitted that was not known."""

    submission: SubmitJob


@dataclass(frozen=True, slots=True)
class JobRemembered:
    """A job that was over before this Dispatcher began: how it ended."""

    name: str
    news: JobStatusChanged


@dataclass(frozen=True, slots=True)
class JobRecorded:
    """How a job looked at its end, as JSON: kept for as long as the job is remembered."""

    job: JobId
    record: bytes


@dataclass(slots=True)
class _Results:
    """What one subtask has sent in this attempt, and the client has not acknowledged."""

    number: int = 0
    unread: list[ResultsSent] = field(default_factory=list)


@dataclass(slots=True)
class _Job:
    name: str
    master: Address
    submitted_at: float
    news: JobStatusChanged
    clients: dict[Address, None]
    reader: Address | None
    """Who gets the results."""
    results: dict[SubtaskId, _Results] = field(default_factory=dict)
    ended_at: float | None = None
    waits_for: ErrorInfo | None = None
    """What it lacks while it waits for slots."""
    record: bytes = b""


@dataclass(frozen=True, slots=True)
class JobWaits:
    """A job waits for slots; `error` says for how many, and what there is."""

    job: JobId
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class JobBroke:
    """A job has no JobMaster, or none that could go on: it has failed."""

    job: JobId
    error: ErrorInfo


BoardEvent = (
    JobRemembered
    | JobRecorded
    | JobBroke
    | SubmitJob
    | AttachClient
    | ResultsReceived
    | JobStatusChanged
    | JobProgressed
    | ResultChunk
    | JobWaits
    | NodeLost
)


class JobBoard:
    """Keeps the jobs of one Dispatcher.

    Args:
        address: the Dispatcher's own; its JobMasters are below it, by the ids of their jobs.
        memory: of jobs that are over.
    """

    def __init__(self, address: Address, memory: Memory = Memory()) -> None:
        self._address = address
        self._memory = memory
        self._jobs: dict[JobId, _Job] = {}
        self._over: dict[JobId, None] = {}

    def handle(self, event: BoardEvent, now: float) -> list[Effect]:
        """Take one event; see the messages."""
        self._forget_oldest(now)
        match event:
            case SubmitJob():
                return self._submitted(event, now)
            case JobRemembered(name=name, news=news):
                self._remember(name, news, now)
                return []
            case JobRecorded(job=job, record=record):
                if job in self._jobs:
                    self._jobs[job].record = record
                return []
            case AttachClient(job=job, client=client):
                return self._attached(job, client)
            case NodeLost(node=node):
                return [effect for job in self._jobs.values() for effect in self._lost(job, node)]
            case JobStatusChanged() | JobProgressed() | ResultChunk() | ResultsReceived() | JobWaits() | JobBroke():
                job_known = self._jobs.get(event.job)
                return self._news(job_known, event, now) if job_known is not None else []
            case _:
                assert_never(event)

    def under_way(self) -> tuple[JobId, ...]:
        """Return the jobs that are not over, oldest first."""
        return tuple(job for job in self._jobs if job not in self._over)

    def is_under_way(self, job: JobId) -> bool:
        """Return whether a job is known, and not over."""
        return job in self._jobs and job not in self._over

    def knows(self, job: JobId) -> bool:
        """Return whether a job is under way, or over and remembered."""
        return job in self._jobs

    def last_status(self, broke: JobBroke) -> JobStatusChanged:
        """Return how a job that is known has ended with its JobMaster: in the attempt that was seen last, or it would be late."""
        news = self._jobs[broke.job].news
        return JobStatusChanged(broke.job, JobStatus.FAILED, news.attempt, broke.error, news.records_in, news.records_out)

    def listed(self, now: float) -> JobsListed:
        """Return all jobs, as they are shown."""
        self._forget_oldest(now)
        return JobsListed(tuple(_summary(name, job, now) for name, job in self._jobs.items()))

    def record(self, job: JobId) -> bytes:
        """Return how a job looked at its end; nothing if it is not over, or that is not known."""
        known = self._jobs.get(job)
        return known.record if known is not None else b""

    def _submitted(self, submission: SubmitJob, now: float) -> list[Effect]:
        job = submission.job
        if job in self._jobs:
            return self._attached(job, submission.client)
        client = submission.client
        created = JobStatusChanged(job, JobStatus.CREATED)
        master = Address(f"{self._address}/{job}")
        self._jobs[job] = _Job(submission.name, master, now, created, {client: None}, client)
        return [Send(client, created), Report(JobAccepted(submission))]

    def _remember(self, name: str, news: JobStatusChanged, now: float) -> None:
        job = news.job
        if job not in self._jobs:
            self._jobs[job] = _Job(name, Address(f"{self._address}/{job}"), now, news, {}, None, ended_at=now)
            self._over[job] = None
            self._forget_oldest(now)

    def _forget_oldest(self, now: float) -> None:
        while self._over:
            oldest = next(iter(self._over))
            ended_at = self._jobs[oldest].ended_at
            assert ended_at is not None, "who is over has ended"
            if len(self._over) <= self._memory.jobs_max and now - ended_at <= self._memory.seconds:
                return
            del self._over[oldest], self._jobs[oldest]

    def _attached(self, name: JobId, client: Address) -> list[Effect]:
        job = self._jobs.get(name)
        if job is None:
            return [Send(client, JobUnknown(name))]
        job.clients[client] = None
        unread: list[Effect] = [Send(client, chunk) for chunk in _unread(job)] if client == job.reader else []
        return unread if unread and job.news.status.final else [*unread, Send(client, job.news)]

    def _lost(self, job: _Job, node: str) -> list[Effect]:
        for client in [client for client in job.clients if split_address(client)[0] == node]:
            del job.clients[client]
        if job.reader is None or split_address(job.reader)[0] != node:
            return []
        job.reader = None
        taken: list[Effect] = [Send(job.master, ResultTaken(chunk.subtask, chunk.attempt)) for chunk in _unread(job)]
        job.results.clear()
        return [] if job.news.status.final else taken

    def _news(
        self, job: _Job, event: JobStatusChanged | JobProgressed | ResultChunk | ResultsReceived | JobWaits | JobBroke, now: float
    ) -> list[Effect]:
        if isinstance(event, ResultsReceived):
            return self._received(job, event)
        if job.news.status.final:
            return []
        if isinstance(event, JobWaits):
            job.waits_for = event.error
            return []
        if isinstance(event, JobBroke):
            return self._changed(job, self.last_status(event), now)
        if event.attempt < job.news.attempt:
            return []
        match event:
            case JobStatusChanged():
                return self._changed(job, event, now)
            case JobProgressed():
                job.news = _with_records(job.news, event)
                return [Send(client, event) for client in job.clients]
            case ResultChunk():
                return self._result(job, event)

    def _changed(self, job: _Job, news: JobStatusChanged, now: float) -> list[Effect]:
        if news.attempt > job.news.attempt:
            job.results.clear()
        job.news, job.waits_for = news, None
        if news.status.final:
            job.ended_at = now
            self._over[news.job] = None
        waits = job.reader if news.status.final and _unread(job) else None
        told: list[Effect] = [Send(client, news) for client in job.clients if client != waits]
        self._forget_oldest(now)
        return told

    def _result(self, job: _Job, chunk: ResultChunk) -> list[Effect]:
        if job.reader is None:
            return [Send(job.master, ResultTaken(chunk.subtask, chunk.attempt))]
        if chunk.attempt != job.news.attempt:
            return []
        results = job.results.setdefault(chunk.subtask, _Results())
        results.number += 1
        sent = ResultsSent(chunk.job, chunk.subtask, chunk.attempt, results.number, chunk.payload)
        results.unread.append(sent)
        return [Send(job.reader, sent)]

    @staticmethod
    def _received(job: _Job, received: ResultsReceived) -> list[Effect]:
        results = job.results.get(received.subtask)
        if results is None or received.attempt != job.news.attempt:
            return []
        read = [chunk for chunk in results.unread if chunk.number <= received.number]
        del results.unread[: len(read)]
        if not job.news.status.final:
            return [Send(job.master, ResultTaken(chunk.subtask, chunk.attempt)) for chunk in read]
        assert job.reader is not None, "results are kept for a reader"
        return [Send(job.reader, job.news)] if read and not _unread(job) else []

    def observe(self) -> dict[str, str]:
        """Return the status of every job."""
        return {name: job.news.status.value for name, job in self._jobs.items()}

    def check(self) -> None:
        """State that who reads is attached, that what is unread is in order, and that who is over has ended."""
        for name, job in self._jobs.items():
            over = job.news.status.final
            ensure((name in self._over) == over == (job.ended_at is not None), f"job '{name}' is {job.news.status.value}")
            ensure(job.reader is None or job.reader in job.clients, f"{job.reader} reads of '{name}', and is not attached")
            ensure(job.reader is not None or not job.results, f"results of '{name}' are kept for nobody")
            for subtask, results in job.results.items():
                numbers = [chunk.number for chunk in results.unread]
                last = list(range(results.number - len(numbers) + 1, results.number + 1))
                ensure(numbers == last, f"results {numbers} of {subtask} are unread, of {results.number}")
        ensure(len(self._over) <= self._memory.jobs_max, f"{len(self._over)} jobs that are over are remembered")


def _unread(job: _Job) -> list[ResultsSent]:
    return [chunk for results in job.results.values() for chunk in results.unread]


def _with_records(news: JobStatusChanged, progress: JobProgressed) -> JobStatusChanged:
    return JobStatusChanged(news.job, news.status, news.attempt, news.error, progress.records_in, progress.records_out)


def _summary(name: JobId, job: _Job, now: float) -> JobSummary:
    news = job.news
    duration_s = (job.ended_at if job.ended_at is not None else now) - job.submitted_at
    error = news.error or job.waits_for
    age_s = now - job.submitted_at
    return JobSummary(name, job.name, news.status, news.attempt, news.records_in, news.records_out, duration_s, error, age_s)
