"""What was asked of jobs over REST: each request has an id, and an answer to come back for, or to wait for a little.

An actor of the JobManager's node asks JobMasters, hears their answers, and is asked for them by the server's threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from actorflow.actor import Actor, ActorSystem, AskTimeout
from actorflow.actor.signals import Reply
from actorflow.ids import Address, JobId, unique_suffix
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointRequested, CheckpointTaken
from actorflow.protocol.jobs.job_messages import JobRescaled, RescaleJob
from actorflow.storage.files import as_uri, join
from actorflow.wire.batch import SavepointFormat, SavepointOrder, SavepointThen

REQUESTS_MAX = 1_000
"""Requests that are remembered; of more the oldest are forgotten."""

_ANSWER_WITHIN_S = 5.0


class JobRequests:
    """Asks jobs for savepoints, and to run with another parallelism.

    Args:
        system: the JobManager's actors.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._desk = system.spawn(_Desk, name=f"rest-{unique_suffix()}")

    def savepoint(self, job: JobId, master: Address, directory: str, then: SavepointThen, form: SavepointFormat) -> str:
        """Ask for a savepoint below a directory; return the id of the request.

        Raises:
            ActorflowError: if there is no file system for that directory.
        """
        request = unique_suffix()
        order = SavepointOrder(join(as_uri(directory), f"savepoint-{job}-{request}"), then, form)
        self._desk.tell(_Asked(job, master, CheckpointRequested(request, self._desk.address, order)))
        return request

    def savepoint_taken(self, job: JobId, request: str) -> CheckpointTaken | None:
        """Return what has become of a request for a savepoint; None if that is not known yet.

        Raises:
            KeyError: if there was no such request for this job.
            AskTimeout: if the node does not get to say so.
        """
        known: _Known | None = self._desk.ask(_Lookup(request), timeout=_ANSWER_WITHIN_S)
        if known is None or known.job != job:
            raise KeyError(request)
        return known.answer if isinstance(known.answer, CheckpointTaken) else None

    def rescale(self, job: JobId, master: Address, scale: Scale, timeout_s: float) -> JobRescaled | None:
        """Ask a job to run as wide as this; return the answer, or None if there is none within the time: it is under way."""
        try:
            answer: JobRescaled = self._desk.ask(
                _Asked(job, master, RescaleJob(job, unique_suffix(), self._desk.address, scale)), timeout=timeout_s
            )
        except AskTimeout:
            return None
        return answer

    def close(self) -> None:
        """Hear no more answers."""
        self._desk.stop(block=False)


@dataclass(frozen=True, slots=True)
class _Asked:
    job: JobId
    master: Address
    message: CheckpointRequested | RescaleJob


@dataclass(frozen=True, slots=True)
class _Lookup:
    request: str


@dataclass(slots=True)
class _Known:
    """A request: of which job, who waits for its answer, if anybody does, and the answer, if there is one."""

    job: JobId
    waiting: Reply | None
    answer: CheckpointTaken | JobRescaled | None = None


class _Desk(Actor):
    """Passes requests on to JobMasters, and keeps their answers."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: dict[str, _Known] = {}

    def on_receive(self, message: _Asked | _Lookup | CheckpointTaken | JobRescaled) -> None:
        """Take a request, a question for its answer, or the answer."""
        match message:
            case _Asked():
                self._requests[message.message.request] = _Known(message.job, self.ctx.reply_to)
                if len(self._requests) > REQUESTS_MAX:
                    del self._requests[next(iter(self._requests))]
                self.ctx.system.send(message.master, message.message)
            case _Lookup(request=request):
                self.ctx.reply(self._requests.get(request))
            case CheckpointTaken() | JobRescaled():
                self._heard(message)
            case _:
                assert_never(message)

    def _heard(self, answer: CheckpointTaken | JobRescaled) -> None:
        known = self._requests.get(answer.request)
        if known is None or known.answer is not None:
            return
        known.answer = answer
        if known.waiting is not None:
            known.waiting.set(answer)
