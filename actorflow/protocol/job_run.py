"""One run of a job: from asking for slots, through deployment, to giving the slots back. A restart is a new run with a higher number.

    slots asked ─► workers starting ─► opening ─► deployed ─► finished ─► committing ─► committed
                        any of them, cancelled ─► ending ─► ended

- All subtasks are built before one is started, so no batch meets a worker that does not know its channel.
- What has been written becomes visible only when every subtask has finished, by the workers, or, for a worker that is lost meanwhile, by
  the JobMaster itself: committing is idempotent.

What the run wants its job to know it reports: `RunDeployed`, `RunFinished`, `RunCommitted`, `RunFailed`, `RunEnded`.

Late rule: what carries another run's number, or an allocation that this run does not hold, is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId, split_address
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.deployment import (
    Attempt,
    AttemptEnded,
    AttemptRunning,
    AttemptState,
    Cancel,
    Deploy,
    SlotGone,
    SubtaskFinished,
    SubtaskNews,
)
from actorflow.protocol.job_messages import (
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    LeaseSlot,
    OpenDeployment,
    OptionValue,
    OutputCommitted,
    ProgressReported,
    SlotEnded,
    SlotReady,
)
from actorflow.protocol.machine import Effect, Report, Send, Start, TimerFired, WorkDone, WorkFailed, ensure
from actorflow.protocol.placement import place
from actorflow.protocol.slots import (
    Allocation,
    Lease,
    Slot,
    SlotsGranted,
    SlotsLost,
    SlotsRefused,
    SlotsReleased,
    SlotsRequested,
)


@dataclass(frozen=True, slots=True)
class JobDescription:
    """A job as its JobMaster is given it.

    Attributes:
        job: unique id.
        graph: what to run.
        sources: vertices that read from a source, with their parallelism.
        plan: the graph with user code, as bytes, for the workers.
        options: effective options by name, for the workers.
        client: is told of every change.
    """

    job: JobId
    graph: ExecutionGraph
    sources: Mapping[VertexId, int]
    plan: bytes
    options: Mapping[str, OptionValue]
    client: Address


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long things may take, in seconds.

    Attributes:
        deploy_s: a subtask, to start.
        cancel_s: a subtask, to end, before its worker is killed.
    """

    deploy_s: float = 60.0
    cancel_s: float = 5.0


# --- slow work, and what a run reports to its job ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommitLeft:
    """Slow work: commit the prepared output of subtasks whose worker was lost after the decision to commit."""

    run: int
    allocation: Allocation
    committables: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AbortLeft:
    """Slow work: remove the prepared output of a run that failed or was cancelled."""

    committables: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RunDeployed:
    """Every subtask has started."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every subtask has finished; nothing is visible yet."""


@dataclass(frozen=True, slots=True)
class RunCommitted:
    """All output is visible."""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """Something went wrong; `final` if it must not be tried again."""

    error: ErrorInfo
    final: bool = False


@dataclass(frozen=True, slots=True)
class RunEnded:
    """After a cancel: nothing of the run is left."""


@dataclass(slots=True)
class _Worker:
    """A lease, and the worker that holds it."""

    lease: Lease
    address: Address | None = None
    endpoints: tuple[str, ...] = ()
    opened: bool = False
    committed: bool = False
    records_in: int = 0
    records_out: int = 0


class JobRun:
    """Decides for one run of a job.

    Args:
        number: 1 for the first; fences its messages.
        description: the job.
        address: the JobMaster's own.
        resource_manager: where slots come from.
        timeouts: how long things may take.
        previous: where the subtasks ran before.
    """

    def __init__(
        self,
        number: int,
        description: JobDescription,
        *,
        address: Address,
        resource_manager: Address,
        timeouts: Timeouts,
        previous: Mapping[SubtaskId, Slot],
    ) -> None:
        self.number = number
        self.placed: Mapping[SubtaskId, Slot] = previous
        self.attempts: dict[SubtaskId, Attempt] = {}
        self._description = description
        self._address = address
        self._resource_manager = resource_manager
        self._timeouts = timeouts
        self._workers: dict[Allocation, _Worker] = {}
        self._committables: dict[SubtaskId, bytes] = {}
        self._ending = False
        self._committing = False

    # --- slots -----------------------------------------------------------------------------------------------------------------

    def begin(self) -> list[Effect]:
        """Ask for slots."""
        description = self._description
        request = SlotsRequested(description.job, self.number, description.graph.slots_needed(), self._address)
        return [Send(self._resource_manager, request)]

    def slot_news(
        self, news: SlotsGranted | SlotsRefused | SlotsLost | SlotReady | SlotEnded | DeploymentOpened, now: float
    ) -> list[Effect]:
        """Take what ResourceManager, TaskManagers and workers say about slots."""
        match news:
            case SlotsGranted(request=number, leases=leases):
                return self._granted(number, leases)
            case SlotsRefused(request=number, error=error):
                return [Report(RunFailed(error))] if number == self.number and not self._ending else []
            case SlotsLost(allocations=allocations, reason=reason):
                error = ErrorInfo("SlotLost", reason, domain=Domain.EXTERNAL, retry=Retry.BACKOFF)
                return [effect for allocation in allocations for effect in self._slot_gone(allocation, error, now)]
            case SlotReady():
                return self._slot_ready(news)
            case SlotEnded(allocation=allocation, error=error):
                return self._slot_gone(allocation, error, now)
            case DeploymentOpened():
                return self._opened(news, now)

    def _granted(self, number: int, leases: tuple[Lease, ...]) -> list[Effect]:
        if number != self.number or self._ending:
            stale = tuple(lease.allocation for lease in leases if lease.allocation not in self._workers)
            return [Send(self._resource_manager, SlotsReleased(self._description.job, stale))] if stale else []
        if self._workers:
            return []  # the answer was doubled
        self._workers = {lease.allocation: _Worker(lease) for lease in leases}
        job = self._description.job
        return [
            Send(lease.slot.task_manager, LeaseSlot(lease.allocation, lease.slot.index, job, self._address)) for lease in leases
        ]

    def _slot_ready(self, ready: SlotReady) -> list[Effect]:
        worker = self._workers.get(ready.allocation)
        if worker is None or worker.address is not None or self._ending:
            return []
        worker.address, worker.endpoints = ready.worker, ready.endpoints
        return self._open() if all(other.address is not None for other in self._workers.values()) else []

    def _slot_gone(self, allocation: Allocation, error: ErrorInfo, now: float) -> list[Effect]:
        worker = self._workers.pop(allocation, None)
        if worker is None:
            return []
        if self._committing:
            return self._commit_for(allocation, worker)
        effects: list[Effect] = [] if self._ending else [Report(RunFailed(error))]
        for attempt in self.attempts.values():
            if attempt.allocation == allocation:
                effects += self._absorb(attempt.handle(SlotGone(error), now))
        return effects

    # --- deployment ------------------------------------------------------------------------------------------------------------

    def _open(self) -> list[Effect]:
        """Place the subtasks, and have every worker build its own."""
        leases = place(self._description.graph, [worker.lease for worker in self._workers.values()], previous=self.placed)
        self.placed = {subtask: lease.slot for subtask, lease in leases.items()}
        nodes = tuple(self._node(lease.allocation) for lease in leases.values())
        endpoints = {self._node(allocation): worker.endpoints for allocation, worker in self._workers.items()}
        effects: list[Effect] = []
        for allocation, worker in self._workers.items():
            mine = tuple(subtask for subtask, lease in leases.items() if lease.allocation == allocation)
            assert worker.address is not None, "a deployment is opened when all workers are ready"
            for subtask in mine:
                self.attempts[subtask] = self._attempt(subtask, worker.address, worker.lease)
            effects.append(Send(worker.address, self._opening(allocation, mine, nodes, endpoints)))
        return effects

    def _opening(
        self,
        allocation: Allocation,
        mine: tuple[SubtaskId, ...],
        nodes: tuple[NodeId, ...],
        endpoints: dict[NodeId, tuple[str, ...]],
    ) -> OpenDeployment:
        description = self._description
        return OpenDeployment(
            description.job,
            self.number,
            allocation,
            self._address,
            description.plan,
            dict(description.options),
            mine,
            nodes,
            endpoints,
        )

    def _attempt(self, subtask: SubtaskId, worker: Address, lease: Lease) -> Attempt:
        return Attempt(
            subtask,
            self.number,
            worker,
            lease.slot.task_manager,
            lease.allocation,
            DeploySubtask(subtask, self.number),
            deploy_timeout_s=self._timeouts.deploy_s,
            cancel_timeout_s=self._timeouts.cancel_s,
        )

    def _node(self, allocation: Allocation) -> NodeId:
        address = self._workers[allocation].address
        assert address is not None, "the worker has reported"
        return split_address(address)[0]

    def _opened(self, opened: DeploymentOpened, now: float) -> list[Effect]:
        worker = self._workers.get(opened.allocation)
        if worker is None or opened.attempt != self.number or worker.opened or self._ending:
            return []
        worker.opened = True
        if not all(other.opened for other in self._workers.values()):
            return []
        return [effect for attempt in self.attempts.values() for effect in self._absorb(attempt.handle(Deploy(), now))]

    # --- running ---------------------------------------------------------------------------------------------------------------

    def subtask_news(self, news: SubtaskNews, now: float) -> list[Effect]:
        """Take what a worker says about one of its subtasks."""
        attempt = self.attempts.get(news.subtask)
        if attempt is None or news.attempt != self.number:
            return []
        if isinstance(news, SubtaskFinished) and news.committables and not attempt.state.final:
            self._committables[news.subtask] = news.committables
        return self._absorb(attempt.handle(news, now))

    def timer(self, name: str, now: float) -> list[Effect]:
        """Take a timer of one of the attempts."""
        for attempt in self.attempts.values():
            if attempt.timer == name:
                return self._absorb(attempt.handle(TimerFired(name), now))
        return []

    def progress(self, news: ProgressReported) -> bool:
        """Take a worker's counters; return whether they are of this run."""
        worker = self._workers.get(news.allocation)
        if worker is None or news.attempt != self.number:
            return False
        worker.records_in, worker.records_out = news.records_in, news.records_out
        return True

    def records(self) -> tuple[int, int]:
        """Return the records that were read by sources and written by sinks."""
        workers = self._workers.values()
        return sum(worker.records_in for worker in workers), sum(worker.records_out for worker in workers)

    def _absorb(self, effects: list[Effect]) -> list[Effect]:
        """Turn what an attempt reports into what the run reports; pass on the rest of its effects."""
        result: list[Effect] = []
        for effect in effects:
            match effect:
                case Report(AttemptRunning()):
                    started = {AttemptState.RUNNING, AttemptState.FINISHED}
                    if all(attempt.state in started for attempt in self.attempts.values()):
                        result.append(Report(RunDeployed()))
                case Report(AttemptEnded(error=error)):
                    result += self._attempt_ended(error)
                case _:
                    result.append(effect)
        return result

    def _attempt_ended(self, error: ErrorInfo | None) -> list[Effect]:
        if self._ending:
            return self._ended_when_all_are()
        if error is not None:
            return [Report(RunFailed(error))]
        if all(attempt.state is AttemptState.FINISHED for attempt in self.attempts.values()):
            return [Report(RunFinished())]
        return []

    # --- committing ------------------------------------------------------------------------------------------------------------

    def commit(self) -> list[Effect]:
        """Make the output of all subtasks visible."""
        self._committing = True
        writers = {self.attempts[subtask].allocation: None for subtask in self._committables}
        effects: list[Effect] = []
        for allocation, worker in self._workers.items():
            worker.committed = allocation not in writers
            if not worker.committed and worker.address is not None:
                effects.append(Send(worker.address, CommitOutput(self.number)))
        return effects + self._committed_when_all_are()

    def committed(self, committed: OutputCommitted) -> list[Effect]:
        """Take a worker's word that its output is visible."""
        worker = self._workers.get(committed.allocation)
        if worker is None or committed.attempt != self.number or worker.committed or not self._committing:
            return []
        if committed.error is not None:
            return [Report(RunFailed(committed.error, final=True))]
        worker.committed = True
        return self._committed_when_all_are()

    def _commit_for(self, allocation: Allocation, worker: _Worker) -> list[Effect]:
        """Commit for a worker that was lost after the decision."""
        if worker.committed:
            return []
        self._workers[allocation] = worker  # stays until its output is committed
        left = tuple(payload for subtask, payload in self._committables.items() if self.attempts[subtask].allocation == allocation)
        return [Start(CommitLeft(self.number, allocation, left))]

    def committed_left(self, news: WorkDone | WorkFailed, work: CommitLeft) -> list[Effect]:
        """Take the end of the slow work that commits for a lost worker."""
        worker = self._workers.get(work.allocation)
        if worker is None or work.run != self.number:
            return []
        if isinstance(news, WorkFailed):
            return [Report(RunFailed(news.error, final=True))]
        worker.committed = True
        return self._committed_when_all_are()

    def _committed_when_all_are(self) -> list[Effect]:
        return [Report(RunCommitted())] if all(worker.committed for worker in self._workers.values()) else []

    # --- ending ----------------------------------------------------------------------------------------------------------------

    def cancel(self, now: float) -> list[Effect]:
        """End every subtask; `RunEnded` is reported when that is done."""
        self._ending = True
        effects: list[Effect] = []
        for attempt in self.attempts.values():
            effects += [effect for effect in attempt.handle(Cancel(), now) if not isinstance(effect, Report)]
        return effects + self._ended_when_all_are()

    def _ended_when_all_are(self) -> list[Effect]:
        return [Report(RunEnded())] if all(attempt.state.final for attempt in self.attempts.values()) else []

    def give_back(self) -> list[Effect]:
        """Release the slots, and remove what was prepared and not committed."""
        effects: list[Effect] = []
        if self._workers:
            effects.append(Send(self._resource_manager, SlotsReleased(self._description.job, tuple(self._workers))))
        if self._committables and not self._committing:
            effects.append(Start(AbortLeft(tuple(self._committables.values()))))
        self._workers = {}
        self.attempts = {}
        return effects

    def slots(self) -> tuple[str, ...]:
        """Return the slots it holds, as text."""
        return tuple(str(worker.lease.slot) for worker in self._workers.values())

    def check(self) -> None:
        """State what must hold between workers and attempts."""
        for attempt in self.attempts.values():
            attempt.check()
            ensure(attempt.attempt == self.number, f"run {self.number} has attempt {attempt.attempt} of {attempt.subtask}")
            if not attempt.state.final and not self._ending:
                ensure(attempt.allocation in self._workers, f"{attempt.subtask} runs in a slot that the run does not hold")
        if self._committing:
            finished = all(attempt.state is AttemptState.FINISHED for attempt in self.attempts.values())
            ensure(finished, "the run commits before all subtasks have finished")
