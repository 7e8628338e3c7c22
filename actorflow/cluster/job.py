"""The client's end of a job: what it is told, and what it can ask for."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol, get_args

from actorflow.actor import ActorDeadError, ActorRef, ActorSystem
from actorflow.cluster.job_news import JobNews, JobResult
from actorflow.config import options
from actorflow.config.values import Duration, duration_s
from actorflow.errors import ActorflowError, CheckpointError, ConfigError, JobCancelled, JobFailed, RescaleError, TimedOut
from actorflow.ids import Address, JobId, OperatorId, SubtaskId, unique_suffix
from actorflow.inspection.facts import JobFacts
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointsView
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointRequested, CheckpointTaken
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    JobRescaled,
    JobStatus,
    RescaleJob,
)
from actorflow.runtime.subtasks.operator_ref import OperatorRef
from actorflow.runtime.workers.directory import PREFIX, Directory
from actorflow.storage.files import as_uri, join
from actorflow.wire import pickling
from actorflow.wire.batch import SavepointFormat, SavepointOrder, SavepointThen

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 5.0
"""How long to wait before a request is repeated that another leader may not have heard."""


class Gateway(Protocol):
    """How handles reach the JobManager."""

    def dispatcher(self) -> ActorRef:
        """Return the Dispatcher of the leader.

        Raises:
            ActorflowError: if nobody leads, as far as is known.
        """
        ...

    def facts(self, job: JobId) -> JobFacts:
        """Return what the JobMaster of a job says, whose workers can be reached from here.

        Raises:
            ActorDeadError: if it has not begun yet, or is over.
        """
        ...


class Rescaled(NamedTuple):
    """How a job runs that was rescaled: the highest parallelism of an operator, and how long the job did not run for it."""

    parallelism: int
    paused_s: float


class Job:
    """A submitted job.

    Args:
        job: its id.
        name: the pipeline's name.
        news: what is known of it.
        gateway: where requests go.
        graph: what runs; None if the job was submitted by another program.
        client: hears of it.
        savepoints: where savepoints go if nothing else is said, or None.
        system: the node's actors.
        run_until: how to wait: runs the node until a condition holds or time is up, when nobody else runs it.
    """

    def __init__(
        self,
        job: JobId,
        name: str,
        news: JobNews,
        gateway: Gateway,
        graph: ExecutionGraph | None,
        *,
        client: Address,
        savepoints: str | None,
        system: ActorSystem,
        run_until: Callable[[Callable[[], bool], float | None], None],
    ) -> None:
        self.id = job
        self.name = name
        self._news = news
        self._gateway = gateway
        self.graph = graph
        self._run_until = run_until
        self._client = client
        self._savepoints = savepoints
        self._system = system
        self._now = system.clock.now
        self._submitted_s = self._now()
        self._ended_s: float | None = None

    def status(self) -> JobStatus:
        """Return where it is in its life."""
        return self._news.status

    def progress(self) -> tuple[int, int]:
        """Return the records read by its sources and written by its sinks so far."""
        return self._news.records_in, self._news.records_out

    @property
    def attempts(self) -> int:
        """The number of its present deployment: 1, 2 and so on; under each further leader they begin above the next million."""
        return self._news.attempt

    def payloads(self) -> Mapping[SubtaskId, Sequence[bytes]]:
        """Return what the sinks of its present attempt have sent by `ctx.send_result` so far, in order for each subtask."""
        return self._news.chunks

    def operator(self, name: str, index: int = 0) -> OperatorRef:
        """Return a running operator, to send it messages.

        Args:
            name: the operator's name.
            index: which of its subtasks.

        Raises:
            PlanError: if the job has no such operator, or not so many subtasks of it.
            ActorflowError: if the job does not run now.
        """
        facts = self._facts()
        if not facts.workers:
            raise self._not_running(JobStatus(facts.status))
        target, operator = Directory(facts.topology, facts.workers).find(f"{PREFIX}{facts.name}/{name}/{index}")
        return OperatorRef(self._system.resolve(target), operator)

    def checkpoints(self) -> CheckpointsView:
        """Return how its checkpoints go: duration, start delay, alignment, bytes in flight and more, for each subtask.

        Raises:
            ActorflowError: if the job has not begun, or is over.
        """
        return self._facts().checkpoints

    def _facts(self) -> JobFacts:
        if self.status().final:
            raise self._not_running(self.status())
        try:
            return self._gateway.facts(self.id)
        except ActorDeadError:  # its JobMaster has not begun yet, or the job is over
            raise self._not_running(self.status()) from None

    def _not_running(self, status: JobStatus) -> ActorflowError:
        return ActorflowError(f"job '{self.name}' does not run now: it is {status.value}")

    def cancel(self) -> None:
        """Ask the job to end; its sinks commit nothing. `wait` tells when it has."""
        self._gateway.dispatcher().tell_control(CancelJob(self.id))

    def savepoint(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        format: SavepointFormat = "canonical",  # noqa: A002 - the word for it
        timeout: Duration = "10min",
    ) -> str:
        """Take a savepoint; the job goes on. Return its path, for `af.run(pipeline, from_savepoint=path)`.

        Args:
            directory: where to make a directory for it; by default as `execution.checkpointing.savepoint-dir` says.
            format: `canonical`: open files, for every backend and tool. `native`: the checkpoints' own, which takes little more than a checkpoint.
            timeout: how long to wait.

        Raises:
            CheckpointError: if it cannot be taken.
            ConfigError: if nobody says where.
            TimedOut: a `TimeoutError`, if it has not been taken in time.
        """
        return self._request(directory, "go on", format, timeout)

    def stop(
        self,
        savepoint: str | os.PathLike[str] | None = None,
        *,
        drain: bool = False,
        format: SavepointFormat = "canonical",  # noqa: A002 - as above
        timeout: Duration = "10min",
    ) -> str:
        """End the job with a savepoint, and its output committed up to there. Return the savepoint's path once the job has ended.

        Args:
            savepoint: where to make a directory for it; by default as `execution.checkpointing.savepoint-dir` says.
            drain: bring event time to its end before, so that all windows and timers fire: for a job that is not to be continued.
                Without it they stay, and fire when a job goes on from the savepoint.
            format: see `savepoint`.
            timeout: how long to wait.

        Raises:
            CheckpointError: if the savepoint cannot be taken; the job goes on (fails, if it was to be drained).
            ConfigError: if nobody says where.
            JobFailed: if the job failed on the way.
            TimedOut: a `TimeoutError`, if it has not ended in time.
        """
        deadline = self._now() + duration_s(timeout)
        path = self._request(savepoint, "drain" if drain else "stop", format, timeout)
        self.wait(timedelta(seconds=max(0.0, deadline - self._now())))
        return path

    def _request(
        self, directory: str | os.PathLike[str] | None, then: SavepointThen, form: SavepointFormat, timeout: Duration
    ) -> str:
        if form not in get_args(SavepointFormat):
            raise ConfigError(f"a savepoint cannot be '{form}'", hint=f"choose one of {', '.join(get_args(SavepointFormat))}")
        parent = directory if directory is not None else self._savepoints
        if parent is None:
            raise ConfigError(
                f"cannot take a savepoint of job '{self.name}': nobody says where it goes",
                hint=f"give the directory, or set '{options.SAVEPOINT_DIRECTORY.name}'",
            )
        request = unique_suffix()
        order = SavepointOrder(join(as_uri(parent), f"savepoint-{self.id}-{request}"), then, form)
        self._system.send(self._master(), CheckpointRequested(request, self._client, order))
        taken = self._news.answers
        if not self.wait_until(lambda: request in taken or self._news.status.final, duration_s(timeout)):
            raise TimedOut(
                f"no savepoint of job '{self.name}' was taken within {timeout}: it is {self._news.status.value}",
                hint="it may still be taken; give it a longer timeout, or see what holds it up: why_slow(job) in `actorflow shell`",
            )
        if request not in taken:
            raise CheckpointError(f"no savepoint can be taken of job '{self.name}': it is {self._news.status.value}")
        answer = taken.pop(request)
        assert isinstance(answer, CheckpointTaken), "a savepoint was asked for"
        if answer.location is None:
            assert answer.error is not None, "a savepoint that was not taken has failed"
            raise CheckpointError(f"no savepoint of job '{self.name}': {answer.error.message}", hint=answer.error.hint)
        return answer.location

    def _master(self) -> Address:
        return Address(f"{self._gateway.dispatcher().address}/{self.id}")

    def rescale(
        self,
        parallelism: int | None = None,
        *,
        operators: Mapping[str, int] | None = None,
        at_least: int = 1,
        from_scratch: bool = False,
        timeout: Duration = "10min",
    ) -> Rescaled:
        """Have the job run with another parallelism: it goes on from a checkpoint that is taken for it. Return how it runs then.

        A job that takes the slots there are runs with what of it there is, and with more when more slots come. What was asked for before is forgotten. It outlives the leader: if that is lost meanwhile, the next one goes on with it.

        Args:
            parallelism: of operators that do not give their own; by default what they were submitted with.
            operators: of single operators, by `uid`.
            at_least: what each operator must have, or all that it wants: with less the job waits, or is not rescaled at all.
            from_scratch: whether a job that takes no checkpoints may begin anew.
            timeout: how long to wait; the job may still be rescaled after that.

        Raises:
            RescaleError: if it cannot run so; it goes on as it was.
            TimedOut: a `TimeoutError`, if it does not run so in time.
        """
        scale = Scale(parallelism, {OperatorId(uid): number for uid, number in (operators or {}).items()}, least=at_least)
        request = unique_suffix()
        deadline = self._now() + duration_s(timeout)
        while request not in self._news.answers and not self._news.status.final:
            left = deadline - self._now()
            if left <= 0:
                raise TimedOut(
                    f"job '{self.name}' was not rescaled within {timeout}: it is {self._news.status.value}",
                    hint="it may still be; give it a longer timeout, or see what holds up its checkpoint: why_slow(job) in `actorflow shell`",
                )
            with contextlib.suppress(ActorflowError):  # nobody leads: it is asked of the next one
                self._system.send(self._master(), RescaleJob(self.id, request, self._client, scale, from_scratch))
            self.wait_until(lambda: request in self._news.answers or self._news.status.final, min(left, _ASK_AGAIN_S))
        answer = self._news.answers.pop(request, None)
        error = answer.error if answer is not None else None
        if not isinstance(answer, JobRescaled) or error is not None:
            reason = f": {error.message}" if error is not None else f" cannot be rescaled: it is {self._news.status.value}"
            raise RescaleError(f"job '{self.name}'{reason}", hint=error.hint if error is not None else "")
        return Rescaled(answer.parallelism, answer.paused_s)

    def wait(self, timeout: object = None) -> JobResult:
        """Wait until the job has ended.

        Args:
            timeout: how long (`"30s"`, a timedelta, milliseconds), or None.

        Raises:
            JobFailed: if it failed.
            JobCancelled: if it was cancelled.
            TimedOut: a `TimeoutError`, if it has not ended in time; it goes on.
        """
        if not self.wait_until(lambda: self._news.status.final, None if timeout is None else duration_s(timeout)):
            raise TimedOut(
                f"job '{self.name}' has not ended within {timeout}: it is {self._news.status.value}",
                hint="it goes on; give it a longer timeout, or none",
            )
        return self.result()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until `condition()`, which is looked at whenever there is news; return whether it holds."""
        deadline = None if timeout_s is None else self._now() + timeout_s
        while not condition():
            left = None if deadline is None else deadline - self._now()
            if left is not None and left <= 0:
                return False
            self._run_until(condition, left)
        return True

    def result(self) -> JobResult:
        """Return the result of the job, which has ended.

        Raises:
            JobFailed: if it failed.
            JobCancelled: if it was cancelled.
        """
        news = self._news
        assert news.status.final, f"job '{self.name}' is {news.status.value}"
        if self._ended_s is None:
            self._ended_s = self._now()
        if news.status is JobStatus.FAILED:
            assert news.error is not None, "a failed job has an error"
            raise JobFailed(self.name, news.error)
        if news.status is JobStatus.CANCELLED:
            raise JobCancelled(f"job '{self.name}' was cancelled")
        chunks = [chunk for subtask in sorted(news.chunks) for chunk in news.chunks[subtask]]
        results = [record for chunk in chunks for records in pickling.loads_all(chunk) for record in records]
        duration_s = self._ended_s - self._submitted_s
        return JobResult(self.name, news.records_in, news.records_out, duration_s, news.attempt, results)
