"""What a client knows of its job: the actor that hears of it, and what is shared with the threads that wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

from actorflow.actor import MachineActor
from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointTaken
from actorflow.protocol.jobs.job_follower import JobFollower
from actorflow.protocol.jobs.job_messages import JobProgressed, JobRescaled, JobStatus, JobStatusChanged, ResultChunk

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job went.

    Attributes:
        name: the pipeline's name.
        records_in: records read by its sources.
        records_out: records written by its sinks.
        duration_s: from submission to the end, in seconds.
        attempts: deployments it took; 1 if nothing failed.
        results: records of `collect` sinks, and what other sinks have sent with `ctx.send_result` (pickled lists), subtask by subtask.
    """

    name: str
    records_in: int
    records_out: int
    duration_s: float
    attempts: int
    results: list[Any] = field(repr=False)


class JobNews:
    """What is known of a job, shared between the actor that hears it and the threads that wait for it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.status = JobStatus.CREATED
        self.heard = False
        """Whether the cluster has said anything of it."""
        self.attempt = 0
        self.error: ErrorInfo | None = None
        self.records_in = 0
        self.records_out = 0
        self.chunks: dict[SubtaskId, list[bytes]] = {}
        self.answers: dict[str, CheckpointTaken | JobRescaled] = {}
        """Answers to requests, by the request."""

    def wait(self, condition: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until there is news, unless `condition()` holds."""
        with self.changed:
            if not condition():
                self.changed.wait(timeout_s)

    def answer(self, message: CheckpointTaken | JobRescaled) -> None:
        """Take in the answer to a request."""
        with self.changed:
            self.answers[message.request] = message
            self.changed.notify_all()

    def take(self, message: JobStatusChanged | JobProgressed | ResultChunk) -> None:
        """Take in one message. Results of an earlier attempt are dropped when a new one begins."""
        with self.changed:
            if message.attempt > self.attempt:
                self.attempt = message.attempt
                self.chunks.clear()
            match message:
                case JobStatusChanged():
                    self.heard = True
                    self.status, self.error = message.status, message.error
                    self.records_in, self.records_out = message.records_in, message.records_out
                case JobProgressed():
                    self.records_in, self.records_out = message.records_in, message.records_out
                case ResultChunk():
                    self.chunks.setdefault(message.subtask, []).append(message.payload)
                case _:
                    assert_never(message)
            self.changed.notify_all()


class JobClient(MachineActor):
    """Follows one job on behalf of the client, until the job is over. Shell of a `JobFollower`.

    Args:
        follower: decides.
        news: where it keeps what it hears; outlives it.
    """

    def __init__(self, follower: JobFollower, news: JobNews) -> None:
        super().__init__(follower, on_report=self._take)
        self._news = news

    def on_receive(self, message: object) -> None:
        """Take in a message of the cluster."""
        if isinstance(message, CheckpointTaken | JobRescaled):
            self._news.answer(message)
        else:
            super().on_receive(message)

    def _take(self, news: JobStatusChanged | JobProgressed | ResultChunk) -> None:
        again = isinstance(news, JobStatusChanged) and (news.status, news.attempt) == (self._news.status, self._news.attempt)
        self._news.take(news)
        if isinstance(news, JobStatusChanged):
            if (
                news.status is JobStatus.RESTARTING and news.error is not None and not again
            ):  # or a job that always fails would do so in silence
                place = "".join(f", {name} {value}" for name, value in news.error.context.items())
                log.warning("attempt %d of job %s has failed, and it runs again: %s%s", news.attempt, news.job, news.error, place)
            if news.status.final:
                self.ctx.finish()
