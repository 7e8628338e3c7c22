"""One run of a job: from asking for slots, through deployment, to giving the slots back. A restart is a new run with a higher number.

    slots asked ─► workers starting ─► opening ─► deployed ─► finished ─► committing ─► committed
                        any of them, cancelled ─► ending ─► ended

- A lease is sent again and again until its worker is ready: TaskManagers answer each time, and remember. What is between the run and its
  workers is delivered reliably (see `delivery`): the run reports whom it begins to write to, and who is gone.
- All subtasks are built before one is started, so no batch meets a worker that does not know its channel.
- What has been written becomes visible only when every subtask has finished (see `commit`).
- A slot whose worker has ended is given back at once, the others when nothing of the run is left.

What the run wants its job to know it reports: `RunDeployed`, `RunFinished`, `RunCommitted`, `CommitFailed`, `RunFailed`, `RunEnded`.

Late rule: what carries another run's number, or an allocation that this run does not hold, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.topology import Topology
from actorflow.protocol.alignment import Member
from actorflow.protocol.checkpoint_plan import CheckpointPlan, EarlierLife, Restored
from actorflow.protocol.commit import PreparedOutput, RemoveBegun
from actorflow.protocol.correspondence import FIRST_LIFE
from actorflow.protocol.delivery import EnvelopeRefused, PeerLost, PeerStarted, Undelivered
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
    DeploymentOpened,
    DeploySubtask,
    LeaseSlot,
    NodeLost,
    OpenDeployment,
    OptionValue,
    ProgressReported,
    SlotEnded,
    SlotReady,
    WorkerFailed,
)
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, Start, TimerFired, ensure
from actorflow.protocol.placement import place
from actorflow.protocol.quarantine import Quarantined
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
from actorflow.protocol.workers import Worker, Workers


@dataclass(frozen=True, slots=True)
class JobDescription:
    """A job as its JobMaster is given it.

    Attributes:
        job: unique id.
        graph: what to run.
        sources: vertices that read from a source, with their parallelism.
        partitioned: those of them whose splits are read at the same time.
        aligned: readers that must not run ahead of each other in event time.
        plan: the graph with user code, as bytes, for the workers.
        options: effective options by name, for the workers.
        client: is told of every change.
        checkpoints: how it takes checkpoints.
        quarantine_after: operators that put records aside, with the number of failures after which they do.
        restored: what its first run goes on from: another job's savepoint, or nothing.
        earlier: what it has done under leaders before this one.
    """

    job: JobId
    graph: ExecutionGraph
    sources: Mapping[VertexId, int]
    plan: bytes
    options: Mapping[str, OptionValue]
    client: Address
    partitioned: frozenset[VertexId] = frozenset()
    aligned: tuple[Member, ...] = ()
    checkpoints: CheckpointPlan = field(default_factory=CheckpointPlan)
    quarantine_after: Mapping[str, int] = field(default_factory=dict)
    restored: Restored = field(default_factory=Restored)
    earlier: EarlierLife = field(default_factory=EarlierLife)

    def topology(self) -> Topology:
        """Return what runs, without its code."""
        return Topology.of(self.graph)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long things may take, in seconds.

    Attributes:
        deploy_s: a worker, to build its subtasks; then a subtask, to start.
        cancel_s: a subtask, to end, before its worker is killed.
        commit_s: a worker, to make its output visible, before it is killed.
        commit_again_s: a worker, to say that its output is visible, before it is asked again.
        lease_again_s: a TaskManager, to say that a worker is ready, before it is told again to start it.
    """

    deploy_s: float = 300.0
    cancel_s: float = 5.0
    commit_s: float = 300.0
    commit_again_s: float = 10.0
    lease_again_s: float = 5.0


# --- what a run reports to its job ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunDeployed:
    """Every subtask has started."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every subtask has finished; nothing is visible yet."""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """Something went wrong."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class RunEnded:
    """After a cancel: nothing of the run is left."""


class JobRun:
    """Decides for one run of a job.

    Args:
        number: 1 for the first; fences its messages.
        description: the job.
        address: the JobMaster's own.
        resource_manager: where slots come from.
        timeouts: how long things may take.
        previous: where the subtasks ran before.
        restored: what it goes on from.
        quarantined: records that operators are to put aside.

    Attributes:
        number: see above.
        placed: where the subtasks run, or ran before while this run has not placed them.
        attempts: one for each subtask, once all workers are ready.
        workers: which have their leases.
        output: what the subtasks have prepared.
        killed: whether a worker ended that was not told to, and may have left something.
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
        restored: Restored = Restored(),  # noqa: B008 - a frozen value
        quarantined: tuple[Quarantined, ...] = (),
    ) -> None:
        self.number = number
        self.placed: Mapping[SubtaskId, Slot] = previous
        self.attempts: dict[SubtaskId, Attempt] = {}
        self.workers = Workers()
        self.output = PreparedOutput(number, again_s=timeouts.commit_again_s, limit_s=timeouts.commit_s)
        self._description = description
        self._address = address
        self._resource_manager = resource_manager
        self._timeouts = timeouts
        self._restored = restored
        self._quarantined = quarantined
        self.killed = False
        self._ending = False
        self._leasing_timer = f"leasing:{number}"
        self._opening_timer = f"opening:{number}"
        # Whom to wait for in each step, so that no event has to look at all attempts.
        self._not_started: dict[SubtaskId, None] = {}
        self._alive: dict[SubtaskId, None] = {}
        self._by_timer: dict[str, Attempt] = {}

    # --- slots -----------------------------------------------------------------------------------------------------------------

    def begin(self) -> list[Effect]:
        """Ask for slots."""
        description = self._description
        request = SlotsRequested(description.job, self.number, description.graph.slots_needed(), self._address)
        return [Send(self._resource_manager, request)]

    def slot_news(
        self, news: SlotsGranted | SlotsRefused | SlotsLost | SlotReady | SlotEnded | WorkerFailed | DeploymentOpened, now: float
    ) -> list[Effect]:
        """Take what ResourceManager, TaskManagers and workers say about slots."""
        match news:
            case SlotsGranted(request=number, leases=leases):
                return self._granted(number, leases, now)
            case SlotsRefused(request=number, error=error):
                return [Report(RunFailed(error))] if number == self.number and not self._ending else []
            case SlotsLost(allocations=allocations, reason=reason):
                error = ErrorInfo("SlotLost", reason, domain=Domain.EXTERNAL, retry=Retry.BACKOFF)
                return [effect for allocation in allocations for effect in self._slot_gone(allocation, error, now)]
            case SlotReady():
                return self._ready(news, now)
            case SlotEnded():
                return self._slot_ended(news, now)
            case WorkerFailed():
                return self._worker_failed(news)
            case DeploymentOpened():
                return self._opened(news, now)

    def _granted(self, number: int, leases: tuple[Lease, ...], now: float) -> list[Effect]:
        if number != self.number or self._ending:
            return self._release(tuple(lease.allocation for lease in leases if lease.allocation not in self.workers))
        if self.workers or self.attempts:
            return []  # the answer was doubled
        self.workers.leased(leases)
        return self._lease(now)

    def _lease(self, now: float) -> list[Effect]:
        """Have those workers started that are not ready; a timer that fires leads here again."""
        if self._ending or self.workers.all_ready:
            return []
        effects: list[Effect] = [SetTimer(self._leasing_timer, now + self._timeouts.lease_again_s)]
        for lease in self.workers.not_ready():
            order = LeaseSlot(lease.allocation, lease.slot.index, self._description.job, self._address)
            effects.append(Send(lease.slot.task_manager, order))
        return effects

    def _ready(self, ready: SlotReady, now: float) -> list[Effect]:
        if not self.workers.ready(ready) or not self.workers.all_ready or self._ending:
            return []
        return [CancelTimer(self._leasing_timer), *self._open(now)]

    def _slot_ended(self, ended: SlotEnded, now: float) -> list[Effect]:
        """Give the slot of a worker that is gone back at once: the ResourceManager does not hear of it otherwise."""
        if ended.allocation not in self.workers:
            return []
        return [*self._release((ended.allocation,)), *self._slot_gone(ended.allocation, ended.error, now)]

    def _slot_gone(self, allocation: Allocation, error: ErrorInfo, now: float) -> list[Effect]:
        worker = self.workers.gone(allocation)
        if worker is None:
            return []
        effects = self._part_with((worker,))
        if self.output.committing:
            return [*effects, *self.output.worker_lost(allocation, now)]
        self.killed = True
        if not self._ending:
            effects.append(Report(RunFailed(error)))
        for subtask in worker.subtasks:
            effects += self._absorb(self.attempts[subtask].handle(SlotGone(error), now))
        return effects

    def _worker_failed(self, failed: WorkerFailed) -> list[Effect]:
        """Fail with a worker that still lives. Once the decision to commit is made, only its answer or its end counts."""
        if failed.attempt != self.number or failed.allocation not in self.workers or self._ending or self.output.committing:
            return []
        return [Report(RunFailed(failed.error))]

    def not_delivered(self, news: Undelivered | EnvelopeRefused) -> list[Effect]:
        """Fail with a worker that cannot be told something, or says what cannot be read: it would be waited for in vain."""
        address = news.to if isinstance(news, Undelivered) else news.sender
        worker = self.workers.at(address)
        if worker is None:
            return []
        what = (
            f"'{type(news.message).__name__}' cannot be sent to"
            if isinstance(news, Undelivered)
            else "there is no reading what came from"
        )
        error = ErrorInfo("TransportError", f"{what} {address}: {news.reason}", retry=Retry.NEVER)
        return self._worker_failed(WorkerFailed(self.number, worker.lease.allocation, error))

    def node_lost(self, lost: NodeLost) -> list[Effect]:
        """Fail with a worker that cannot be reached: its TaskManager, which may reach it, ends it."""
        error = ErrorInfo("SlotLost", f"node {lost.node} is lost: {lost.reason}", domain=Domain.EXTERNAL, retry=Retry.BACKOFF)
        there = [w.lease.allocation for w in self.workers if w.address is not None and w.node == lost.node]
        return [effect for allocation in there for effect in self._worker_failed(WorkerFailed(self.number, allocation, error))]

    @staticmethod
    def _part_with(workers: Iterable[Worker]) -> list[Effect]:
        """Write no more to workers that are gone, or will be."""
        return [Report(PeerLost(worker.address, FIRST_LIFE)) for worker in workers if worker.address is not None]

    def _release(self, allocations: tuple[Allocation, ...]) -> list[Effect]:
        return [Send(self._resource_manager, SlotsReleased(self._description.job, allocations))] if allocations else []

    # --- deployment ------------------------------------------------------------------------------------------------------------

    def _open(self, now: float) -> list[Effect]:
        """Place the subtasks, and have every worker build its own."""
        leases = place(self._description.graph, [worker.lease for worker in self.workers], previous=self.placed)
        self.placed = {subtask: lease.slot for subtask, lease in leases.items()}
        subtasks: dict[Allocation, list[SubtaskId]] = {}
        for subtask, lease in leases.items():
            subtasks.setdefault(lease.allocation, []).append(subtask)
            self.attempts[subtask] = self._attempt(subtask, lease)
        self._not_started = dict.fromkeys(self.attempts)
        self._alive = dict.fromkeys(self.attempts)
        self._by_timer = {attempt.timer: attempt for attempt in self.attempts.values()}
        addresses = tuple(self.workers[lease.allocation].reachable for lease in leases.values())
        endpoints = {worker.node: worker.endpoints for worker in self.workers}
        effects: list[Effect] = [SetTimer(self._opening_timer, now + self._timeouts.deploy_s)]
        for worker in self.workers:
            worker.subtasks = tuple(subtasks[worker.lease.allocation])
            effects.append(Report(PeerStarted(worker.reachable, FIRST_LIFE)))
            effects.append(Send(worker.reachable, self._opening(worker, addresses, endpoints)))
        return effects

    def _opening(self, worker: Worker, addresses: tuple[Address, ...], endpoints: dict[NodeId, tuple[str, ...]]) -> OpenDeployment:
        description = self._description
        vertices = dict.fromkeys(subtask.vertex for subtask in worker.subtasks)
        return OpenDeployment(
            description.job,
            self.number,
            worker.lease.allocation,
            self._address,
            description.plan,
            dict(description.options),
            worker.subtasks,
            addresses,
            endpoints,
            tuple((vertex, self._restored.parts[vertex]) for vertex in vertices if vertex in self._restored.parts),
            self._quarantined,
        )

    def _attempt(self, subtask: SubtaskId, lease: Lease) -> Attempt:
        return Attempt(
            subtask,
            self.number,
            self.workers[lease.allocation].reachable,
            lease.slot.task_manager,
            lease.allocation,
            DeploySubtask(subtask, self.number),
            deploy_timeout_s=self._timeouts.deploy_s,
            cancel_timeout_s=self._timeouts.cancel_s,
        )

    def _opened(self, opened: DeploymentOpened, now: float) -> list[Effect]:
        if opened.attempt != self.number or self._ending or not self.workers.opened(opened.allocation):
            return []
        if not self.workers.all_opened:
            return []
        effects: list[Effect] = [CancelTimer(self._opening_timer)]
        for attempt in self.attempts.values():
            effects += attempt.handle(Deploy(), now)
        return effects

    def _not_opened_in_time(self) -> list[Effect]:
        if self._ending:
            return []
        worker = self.workers.first_not_opened().reachable
        error = ErrorInfo(
            "DeploymentTimeout",
            f"{worker} did not build its subtasks within {self._timeouts.deploy_s:g} s",
            hint="look at the log of that slot worker; 'actorflow.subtask.start-timeout' says how long it may take",
            domain=Domain.EXTERNAL,
            retry=Retry.BACKOFF,
        )
        return [Report(RunFailed(error))]

    # --- running ---------------------------------------------------------------------------------------------------------------

    def subtask_news(self, news: SubtaskNews, now: float) -> list[Effect]:
        """Take what a worker says about one of its subtasks."""
        attempt = self.attempts.get(news.subtask)
        if attempt is None or news.attempt != self.number:
            return []
        if isinstance(news, SubtaskFinished):
            self.output.prepared(news, attempt.worker, attempt.task_manager, attempt.allocation)
        return self._absorb(attempt.handle(news, now))

    def timer(self, name: str, now: float) -> list[Effect]:
        """Take a timer of the run, of its output, or of one of its attempts."""
        if name == self.output.timer:
            return self.output.ask(now)
        if name == self._leasing_timer:
            return self._lease(now)
        if name == self._opening_timer:
            return self._not_opened_in_time()
        attempt = self._by_timer.get(name)
        return self._absorb(attempt.handle(TimerFired(name), now)) if attempt else []

    def progress(self, news: ProgressReported) -> bool:
        """Take a worker's counters; return whether they are of this run."""
        return news.attempt == self.number and self.workers.progress(news)

    def _absorb(self, effects: list[Effect]) -> list[Effect]:
        """Turn what an attempt reports into what the run reports; pass on the rest of its effects."""
        result: list[Effect] = []
        for effect in effects:
            match effect:
                case Report(AttemptRunning(subtask=subtask)):
                    result += self._attempt_started(subtask)
                case Report(AttemptEnded(subtask=subtask, error=error)):
                    result += self._attempt_ended(subtask, error)
                case _:
                    result.append(effect)
        return result

    def _attempt_started(self, subtask: SubtaskId) -> list[Effect]:
        if subtask not in self._not_started:
            return []
        del self._not_started[subtask]
        return [] if self._not_started or self._ending else [Report(RunDeployed())]

    def _attempt_ended(self, subtask: SubtaskId, error: ErrorInfo | None) -> list[Effect]:
        del self._alive[subtask]
        if self._ending:
            return [] if self._alive else [Report(RunEnded())]
        if error is not None:
            return [Report(RunFailed(error))]
        started = self._attempt_started(subtask)  # the news of its start may have been overtaken
        return started if self._alive else [*started, Report(RunFinished())]

    # --- ending ----------------------------------------------------------------------------------------------------------------

    def cancel(self, now: float) -> list[Effect]:
        """End every subtask; `RunEnded` is reported when that is done."""
        self._ending = True
        effects: list[Effect] = [CancelTimer(self._leasing_timer), CancelTimer(self._opening_timer)]
        if not self._alive:
            return [*effects, Report(RunEnded())]
        for attempt in self.attempts.values():
            effects += self._absorb(attempt.handle(Cancel(), now))
        return effects

    def remove_older(self) -> list[Effect]:
        """Remove what earlier runs have left: where there are checkpoints, what this run goes on from is committed once it is built."""
        left = self._runs_before(self.number)
        return [Start(RemoveBegun(left))] if left and self._description.checkpoints.active else []

    def _runs_before(self, number: int) -> tuple[int, ...]:
        earlier = self._description.earlier
        return (*earlier.runs, *range(earlier.last_number + 1, number))

    def give_back(self, *, keep: bool = False, over: bool = False, finished: bool = False) -> list[Effect]:
        """Release the slots, and remove what was prepared and not committed, and what killed workers have left.

        Args:
            keep: whether a savepoint may refer to what was prepared; a checkpoint always may.
            over: whether no run will follow, in this job or another that goes on from its checkpoints.
            finished: whether all that was prepared is committed.
        """
        self.attempts, self._by_timer = {}, {}
        released = [*self._part_with(self.workers), *self._release(self.workers.clear())]
        if keep or self._description.checkpoints.active:
            # What checkpoints may refer to is not removed: the next run commits it, if the checkpoint was completed.
            needed = not over or (self.output.committing and not finished)
            runs = self._runs_before(self.number + 1)
            left = () if needed or (finished and not self.killed and len(runs) == 1) else runs
            return [*released, Start(RemoveBegun(left))] if left else released
        removed: list[Effect] = [Start(RemoveBegun((self.number,)))] if self.killed else []
        self.killed = False
        return [*released, *self.output.abort(), *removed]

    def slots(self) -> tuple[str, ...]:
        """Return the slots it holds, as text."""
        return tuple(str(worker.lease.slot) for worker in self.workers)

    def check(self) -> None:
        """State what must hold between workers, attempts and output."""
        self.workers.check()
        self.output.check()
        for subtask, attempt in self.attempts.items():
            attempt.check()
            state = attempt.state
            ensure(attempt.attempt == self.number, f"run {self.number} has attempt {attempt.attempt} of {subtask}")
            ensure((subtask in self._alive) == (not state.final), f"{subtask} is {state.value}, and the run believes otherwise")
            ensure(state.final or attempt.allocation in self.workers, f"{subtask} runs in a slot that the run does not hold")
            finished = state is AttemptState.FINISHED
            ensure(finished or not self.output.committing, f"the run commits, and {subtask} is {state.value}")
