"""What a client does to follow one job: it submits it, hears of it, and goes where the leader goes.

    told of a leader ──► submits (a job that nobody has confirmed) or attaches ──status──► follows ──final status──► over
                              ▲                                                               │
                              └───────────── every few seconds, and under each new leader ────┘

Whatever is lost on the way is said again: the request is repeated while the job goes on, the Dispatcher answers it by the status, and results
are numbered. Each leader has numbers of its own for attempts, above those of the one before: with the first that it begins, results so far are void. A job that was confirmed, and that the leader does not know, has failed: it is not submitted twice.

Late rule: results of a number that was seen are acknowledged again, and dropped; those beyond the next one, which is on its way again, are
dropped; so is everything after the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, JobId, SubtaskId
from actorflow.protocol.jobs.job_messages import JobProgressed, JobStatus, JobStatusChanged, ResultChunk, SubmitJob
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.client_messages import AttachClient, JobUnknown, ResultsReceived, ResultsSent

_AGAIN = "again"


@dataclass(frozen=True, slots=True)
class DispatcherFound:
    """The leader's Dispatcher is there, in this epoch; the first event."""

    dispatcher: Address
    epoch: int


@dataclass(frozen=True, slots=True)
class JobFollowed:
    """What `JobFollower.observe` shows."""

    job: JobId
    dispatcher: Address | None
    status: JobStatus | None


class JobFollower:
    """Decides for one client of one job. What it hears it reports: `JobStatusChanged`, `JobProgressed`, `ResultChunk`.

    Args:
        job: which.
        address: the client's own.
        submission: submits this; None for a job that was submitted before.
        again_s: how long to wait before asking again; None where no message is lost: in the JobManager's own process.
    """

    def __init__(self, job: JobId, address: Address, submission: SubmitJob | None, again_s: float | None) -> None:
        self._job = job
        self.address = address
        self._submission = submission
        self._again_s = again_s
        self._dispatcher: Address | None = None
        self._epoch = 0
        self._status: JobStatus | None = None
        self._attempt = 0
        self._numbers: dict[SubtaskId, int] = {}

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the diagram above."""
        if self._over:
            return []
        match event:
            case DispatcherFound():
                return self._found(event, now)
            case TimerFired(name="again"):
                return self._ask(now)
            case JobStatusChanged():
                return self._changed(event)
            case JobProgressed():
                return [Report(event)]
            case ResultsSent():
                return self._results(event)
            case JobUnknown():
                return self._unknown(now)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    @property
    def _over(self) -> bool:
        return self._status is not None and self._status.final

    def _found(self, leader: DispatcherFound, now: float) -> list[Effect]:
        if leader.epoch < self._epoch:
            return []
        self._dispatcher, self._epoch = leader.dispatcher, leader.epoch
        return self._ask(now)

    def _ask(self, now: float) -> list[Effect]:
        if self._dispatcher is None:
            return []
        submits = self._submission is not None and self._status is None
        request = self._submission if submits else AttachClient(self._job, self.address)
        again: list[Effect] = [SetTimer(_AGAIN, now + self._again_s)] if self._again_s is not None else []
        return [Send(self._dispatcher, request), *again]

    def _changed(self, news: JobStatusChanged) -> list[Effect]:
        self._status = news.status
        if news.status.final and self._again_s is not None:
            return [Report(news), CancelTimer(_AGAIN)]
        return [Report(news)]

    def _results(self, results: ResultsSent) -> list[Effect]:
        assert self._dispatcher is not None, "who sends results was asked for them"
        if results.attempt < self._attempt:
            return []
        if results.attempt > self._attempt:
            self._attempt = results.attempt
            self._numbers.clear()
        seen = self._numbers.get(results.subtask, 0)
        new = results.number == seen + 1
        if new:
            self._numbers[results.subtask] = seen = results.number
        received = ResultsReceived(self._job, results.subtask, results.attempt, seen)
        chunk = ResultChunk(results.job, results.subtask, results.attempt, results.payload)
        return [*([Report(chunk)] if new else []), Send(self._dispatcher, received)]

    def _unknown(self, now: float) -> list[Effect]:
        if self._submission is not None and self._status is None:
            return self._ask(now)
        error = ErrorInfo(
            "JobLost",
            f"the JobManager does not know job '{self._job}'",
            hint="it may be over for long, or the JobManager was started anew; `actorflow list` shows the jobs there are",
            domain=Domain.EXTERNAL,
            retry=Retry.NEVER,
        )
        return self._changed(JobStatusChanged(self._job, JobStatus.FAILED, self._attempt, error))

    def observe(self) -> JobFollowed:
        """Return what is known as a value."""
        return JobFollowed(self._job, self._dispatcher, self._status)

    def check(self) -> None:
        """State that results are counted from 1, and only under a leader."""
        ensure(all(number > 0 for number in self._numbers.values()), f"results are counted from 1: {self._numbers}")
        ensure(self._dispatcher is not None or not self._numbers, "results came, and nobody leads")
