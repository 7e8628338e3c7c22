"""Other parallelisms that were asked for over REST.

An actor of the JobManager's node asks the JobMaster, and the server's thread waits for the answer a little: what cannot be is refused soon, and what
can be may take as long as a checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.actor import Actor, ActorSystem, AskTimeout
from actorflow.actor.signals import Reply
from actorflow.ids import Address, JobId, unique_suffix
from actorflow.plan.scale import Scale
from actorflow.protocol.jobs.job_messages import JobRescaled, RescaleJob

REQUESTS_MAX = 1_000
"""Requests whose answers are waited for; of more the oldest are forgotten."""


class RescaleRequests:
    """Asks jobs to run with another parallelism.

    Args:
        system: the JobManager's actors.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._asker = system.spawn(_Asker, name=f"rest-{unique_suffix()}")

    def ask(self, job: JobId, master: Address, scale: Scale, timeout_s: float) -> JobRescaled | None:
        """Ask a job to run as wide as this; return the answer, or None if there is none within the time: it is under way."""
        try:
            answer: JobRescaled = self._asker.ask(_Wanted(job, master, scale), timeout=timeout_s)
        except AskTimeout:
            return None
        return answer

    def close(self) -> None:
        """Hear no more answers."""
        self._asker.stop(block=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    job: JobId
    master: Address
    scale: Scale


class _Asker(Actor):
    """Passes requests on to JobMasters, and their answers to who waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[str, Reply] = {}

    def on_receive(self, message: _Wanted | JobRescaled) -> None:
        """Take a request, or an answer."""
        if isinstance(message, JobRescaled):
            waiting = self._waiting.pop(message.request, None)
            if waiting is not None:
                waiting.set(message)
            return
        request, reply = unique_suffix(), self.ctx.reply_to
        assert reply is not None, "a thread waits for the answer"
        self._waiting[request] = reply
        if len(self._waiting) > REQUESTS_MAX:
            del self._waiting[next(iter(self._waiting))]
        self.ctx.system.send(message.master, RescaleJob(message.job, request, self.ctx.address, message.scale))
