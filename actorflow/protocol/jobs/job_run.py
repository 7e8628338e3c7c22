"""One run of a job: from asking for slots, through deployment, to giving the slots back. A restart is a new run with a higher number.

    slots asked ─► workers starting ─► opening ─► deployed ─► finished ─► committing ─► committed
                        any of them, cancelled ─► ending ─► ended

- A lease is sent again and again until its worker is ready: TaskManagers answer each time, and remember. What is between the run and its
  workers is delivered reliably (see `delivery`): the run reports whom it begins to write to, and who is gone.
- All subtasks are built before one is started, so no batch meets a worker that does not know its channel.
- A subtask starts when its turn has come: at once, or, in a job of stages, when all that it reads is written (see `stages`).
- What has been written becomes visible only when every subtask has finished (see `commit`).
- A slot whose worker has ended is given back at once, the others when nothing of the run is left.

A failover region that has failed alone goes the way from opening to deployed again, in the workers that it had (see `failover`).

What the run wants its job to know it reports: `RunDeployed`, `RunFinished`, `RunCommitted`, `CommitFailed`, `RunFailed`, `RunEnded`, and of regions.

Late rule: what carries another run's number, or an allocation that this run does not hold, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId
from actorflow.plan.topology import Topology
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.checkpoints.commit import PreparedOutput
from actorflow.protocol.checkpoints.leftovers import left_with_checkpoints, remove, runs_before
from actorflow.protocol.jobs.attempts import Attempts
from actorflow.protocol.jobs.building import BuildingOrders, attempt_in, by_allocation, lease_orders
from actorflow.protocol.jobs.deployment import (
    AttemptEnded,
    AttemptRunning,
    AttemptState,
    Cancel,
    SlotGone,
    SubtaskFinished,
    SubtaskNews,
    SubtaskStarted,
    SubtaskTotals,
)
from actorflow.protocol.jobs.failover import RegionEnded, RegionFailed, RegionFailover, RegionReturned
from actorflow.protocol.jobs.job_description import JobDescription, Timeouts
from actorflow.protocol.jobs.job_messages import (
    DeploymentOpened,
    DeploySubtask,
    NodeLost,
    ProgressReported,
    SlotEnded,
    SlotReady,
    WorkerFailed,
)
from actorflow.protocol.jobs.placement import place
from actorflow.protocol.jobs.quarantine import Quarantined
from actorflow.protocol.jobs.run_failures import no_talking_to, not_built_in_time, slot_lost
from actorflow.protocol.jobs.run_reports import RunDeployed, RunEnded, RunFailed, RunFinished
from actorflow.protocol.jobs.stages import Stages
from actorflow.protocol.jobs.workers import Worker, Workers, with_what_ran
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired
from actorflow.protocol.nodes.slot_messages import (
    Allocation,
    Lease,
    Slot,
    SlotsGranted,
    SlotsLost,
    SlotsRefused,
    SlotsReleased,
    SlotsRequested,
)
from actorflow.protocol.transfer.correspondence import FIRST_LIFE
from actorflow.protocol.transfer.delivery import EnvelopeRefused, PeerLost, PeerStarted, Undelivered

SlotNews = SlotsGranted | SlotsRefused | SlotsLost | SlotReady | SlotEnded | WorkerFailed | DeploymentOpened
"""What ResourceManager, TaskManagers and workers say about slots."""


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
        stages: of the job, over all of its runs.

    Attributes:
        number: see above.
        placed: where the subtasks run, or ran before while this run has not placed them.
        attempts: one for each subtask, once all workers are ready.
        workers: which have their leases.
        output: what the subtasks have prepared.
        failover: the region that has failed alone, if one has.
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
        stages: Stages | None = None,
    ) -> None:
        self.number = number
        self.placed: Mapping[SubtaskId, Slot] = previous
        self.attempts = Attempts()
        self._stages = stages or Stages(description.stages, description.graph.subtasks())
        self.workers = Workers(self._stages.records_in())
        self.totals: dict[SubtaskId, SubtaskTotals] = self._stages.totals()
        """Of the subtasks that have ended."""
        self.output = PreparedOutput(number, again_s=timeouts.commit_again_s, limit_s=timeouts.commit_s, keep=description.keeps_end)
        self.failover = RegionFailover(number, description.regions, self._stages.left())
        self._description = description
        self._address = address
        self._resource_manager = resource_manager
        self._timeouts = timeouts
        self._restored = restored
        self._quarantined = quarantined
        self.killed = self._ending = False
        self._leasing_timer = f"leasing:{number}"
        self._opening_timer = f"opening:{number}"

    # --- slots -----------------------------------------------------------------------------------------------------------------

    def begin(self) -> list[Effect]:
        """Ask for slots."""
        job = self._description
        request = SlotsRequested(job.job, self.number, job.graph.slots_needed(), self._address, patient=job.elasticity is not None)
        return [Send(self._resource_manager, request)]

    def slot_news(self, news: SlotNews, now: float) -> list[Effect]:
        """Take what ResourceManager, TaskManagers and workers say about slots."""
        match news:
            case SlotsGranted(request=number, leases=leases):
                return self._granted(number, leases, now)
            case SlotsRefused(request=number, error=error):
                return [Report(RunFailed(error))] if number == self.number and not self._ending else []
            case SlotsLost(allocations=lost, reason=reason):
                for node in self.workers.nodes_of(lost):
                    self._stages.lose(node)
                return [effect for allocation in lost for effect in self._slot_gone(allocation, slot_lost(reason), now)]
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
        asked = lease_orders(self._description, self._address, self.workers.not_ready())
        return [SetTimer(self._leasing_timer, now + self._timeouts.lease_again_s), *(Send(to, order) for to, order in asked)]

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
            effects.append(Report(RunFailed(with_what_ran(error, worker, self._description.graph))))
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
        return self._worker_failed(WorkerFailed(self.number, worker.lease.allocation, no_talking_to(address, news)))

    def node_lost(self, lost: NodeLost) -> list[Effect]:
        """Fail with a worker that cannot be reached: its TaskManager, which may reach it, ends it. What stages have left on a node is lost with it."""
        self._stages.lose(lost.node)
        error = slot_lost(f"node {lost.node} is lost: {lost.reason}")
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
        self._expect({subtask: lease.allocation for subtask, lease in leases.items()})
        for allocation, subtasks in by_allocation(self.attempts, self.attempts).items():
            self.workers[allocation].subtasks = subtasks
        started = [Report(PeerStarted(worker.reachable, FIRST_LIFE)) for worker in self.workers]
        return [*started, *self._have_built(tuple(self.attempts.alive), self.number, now)]

    def reopen(self, restored: Restored, quarantined: tuple[Quarantined, ...], now: float) -> list[Effect]:
        """Have the region that has ended built again, in the workers that it had."""
        region = self.failover.region
        self._restored, self._quarantined = restored, quarantined
        self.output.forget(region)
        self._stages.run_again(region)
        self._expect({subtask: self.attempts[subtask].allocation for subtask in region})
        return self._have_built(region, self.failover.come_back(), now)

    def _expect(self, allocations: Mapping[SubtaskId, Allocation]) -> None:
        attempts = {s: attempt_in(self.workers[there], s, self.number, self._timeouts) for s, there in allocations.items()}
        self.attempts.expect(attempts, finished=filter(self._stages.has_finished, attempts))

    def _have_built(self, subtasks: Iterable[SubtaskId], number: int, now: float) -> list[Effect]:
        """Have every worker build those of these subtasks that are its own."""
        theirs = by_allocation(self.attempts, subtasks)
        self.workers.open(theirs)
        building = BuildingOrders(self._description, self._address, self.number, number, self._restored, self._quarantined)
        orders = building.orders(self.workers, self.attempts, theirs)
        return [SetTimer(self._opening_timer, now + self._timeouts.deploy_s), *(Send(to, order) for to, order in orders)]

    def _opened(self, opened: DeploymentOpened, now: float) -> list[Effect]:
        current = opened.attempt == self.number and not self._ending and self.workers.opened(opened.allocation)
        if not current or not self.workers.all_opened:
            return []
        return [CancelTimer(self._opening_timer), *self._begin(self.failover.region or self._stages.of_turn(), now)]

    def _begin(self, subtasks: Iterable[SubtaskId], now: float) -> list[Effect]:
        """Have subtasks start that are built, and whose turn it is."""
        return self.attempts.begin({s: DeploySubtask(s, self.number, self._stages.read_by(s)) for s in subtasks}, now)

    def _not_opened_in_time(self) -> list[Effect]:
        if self._ending:
            return []
        worker = self.workers.first_not_opened().reachable
        return [Report(RunFailed(not_built_in_time(worker, self._timeouts.deploy_s)))]

    # --- running ---------------------------------------------------------------------------------------------------------------

    def subtask_news(self, news: SubtaskNews, now: float) -> list[Effect]:
        """Take what a worker says about one of its subtasks."""
        attempt = self.attempts.get(news.subtask)
        if attempt is None or news.attempt != self.number:
            return []
        if not isinstance(news, SubtaskStarted) and news.totals is not None:
            self.totals[news.subtask] = news.totals
        if isinstance(news, SubtaskFinished):
            self.output.prepared(news, attempt.worker, attempt.task_manager, attempt.allocation)
        effects = self._absorb(attempt.handle(news, now))
        ended = attempt.state is AttemptState.FINISHED and not self._ending
        if ended and isinstance(news, SubtaskFinished) and self._stages.finished(news):
            effects += [*self._begin(self._stages.of_turn(), now), *self._stages.keep()]
        return effects

    def timer(self, name: str, now: float) -> list[Effect]:
        """Take a timer of the run, of its output, or of one of its attempts."""
        if name == self.output.timer:
            return self.output.ask(now)
        if name == self._leasing_timer:
            return self._lease(now)
        if name == self._opening_timer:
            return self._not_opened_in_time()
        attempt = self.attempts.of_timer(name)
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
        if not self.attempts.started(subtask) or self._ending:
            return []
        return [Report(RegionReturned() if self.failover.returned() else RunDeployed())]

    def _attempt_ended(self, subtask: SubtaskId, error: ErrorInfo | None) -> list[Effect]:
        self.attempts.ended(subtask)
        if self._ending:
            return [] if self.attempts.alive else [Report(RunEnded())]
        if self.failover.ends(subtask):
            return [Report(RegionEnded())] if self.failover.ended else []
        if error is not None:
            there = self.attempts[subtask].allocation in self.workers
            alone = there and self.failover.alone(subtask) and not self.attempts.not_started and not self._stages.misses(error)
            return [Report(RegionFailed(subtask, error) if alone else RunFailed(error))]
        started = self._attempt_started(subtask)  # the news of its start may have been overtaken
        return started if self.attempts.alive or self.failover.busy else [*started, Report(RunFinished())]

    def end_region(self, subtask: SubtaskId, now: float) -> list[Effect]:
        """End the region of a subtask that has failed; `RegionEnded` is reported when that is done."""
        self.failover.failed(subtask, self.attempts.alive)
        if self.failover.ended:
            return [Report(RegionEnded())]
        region = [self.attempts[member] for member in self.failover.region]
        return [effect for attempt in region for effect in self._absorb(attempt.handle(Cancel(), now))]

    # --- ending ----------------------------------------------------------------------------------------------------------------

    def cancel(self, now: float) -> list[Effect]:
        """End every subtask; `RunEnded` is reported when that is done."""
        self._ending = True
        self.failover.give_up()
        effects: list[Effect] = [CancelTimer(self._leasing_timer), CancelTimer(self._opening_timer)]
        if not self.attempts.alive:
            return [*effects, Report(RunEnded())]
        ended = (effect for attempt in self.attempts.values() for effect in self._absorb(attempt.handle(Cancel(), now)))
        return [*effects, *ended]

    def remove_older(self) -> list[Effect]:
        """Remove what earlier runs have left: where there are checkpoints, what this run goes on from is committed once it is built."""
        return remove(runs_before(self._description.earlier, self.number)) if self._description.leaves_to_next else []

    def give_back(self, *, keep: bool = False, over: bool = False, finished: bool = False) -> list[Effect]:
        """Release the slots, and remove what was prepared and not committed, and what killed workers have left.

        Args:
            keep: whether a savepoint may refer to what was prepared; a checkpoint always may.
            over: whether no run will follow, in this job or another that goes on from its checkpoints.
            finished: whether all that was prepared is committed.
        """
        self.attempts.clear()
        released = [*self._part_with(self.workers), *self._release(self.workers.clear())]
        if keep or self._description.checkpoints.active:
            earlier, latest, committing = self._description.earlier, self.failover.latest, self.output.committing
            left = left_with_checkpoints(earlier, latest, over=over, committing=committing, finished=finished, killed=self.killed)
            return [*released, *remove(left, at_end=True)]
        removed = remove(tuple(range(self.number, self.failover.latest + 1))) if self.killed else []
        self.killed = False
        return [*released, *self.output.abort(), *removed]

    def shown(self) -> tuple[Mapping[SubtaskId, Address], tuple[str, ...], Mapping[str, tuple[str, ...]], Topology]:
        """Return who runs each subtask, the slots, where the nodes of the workers can be reached, and what runs."""
        workers = {subtask: attempt.worker for subtask, attempt in self.attempts.items()}
        reachable = {str(worker.node): worker.endpoints for worker in self.workers if worker.endpoints}
        return workers, self.slots(), reachable, self._description.topology()

    def slots(self) -> tuple[str, ...]:
        """Return the slots it holds, as text."""
        return tuple(str(worker.lease.slot) for worker in self.workers)

    def check(self) -> None:
        """State what must hold between workers, attempts and output."""
        self.workers.check()
        self.output.check()
        self.failover.check()
        self.attempts.check(self.number, self.workers, committing=self.output.committing)
