"""What must hold in a cluster, whatever happens to it."""

from cluster_stages import StagesLast
from cluster_workers import Worker
from cluster_world import MASTERS, POOL, SLOTS_OF_EACH, TASK_MANAGERS, JobMaster, task_manager_at

from actorflow.errors import InvariantViolated
from actorflow.protocol.checkpoints.commit import CommitLeft
from actorflow.protocol.jobs.deployment import CancelSubtask, SubtaskFailed, SubtaskFinished
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import (
    CommitOutput,
    JobStatus,
    JobStatusChanged,
    OpenDeployment,
    OutputCommitted,
    ResultChunk,
)
from actorflow.protocol.jobs.splits import SplitAssigned, SplitFinished
from actorflow.protocol.machine import ChildEnded, Report, Send, Spawn, Start, WorkDone, WorkFailed, ensure
from actorflow.protocol.nodes.slot_messages import FreeSlot, SlotsGranted, SlotsLost, SlotsReleased, SlotsRequested
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.protocol.nodes.task_manager import TaskManagerMachine
from actorflow.protocol.transfer.correspondence import ReliableMachine
from actorflow.testing.invariants import EndedJobsHoldNothing, SlotsLeasedOnce
from actorflow.testing.simulation import Invariant

S = JobStatus
NEXT = {
    None: {S.WAITING_FOR_SLOTS, S.CANCELLED},
    S.WAITING_FOR_SLOTS: {S.DEPLOYING, S.FAILING, S.CANCELLING, S.RESCALING},
    S.DEPLOYING: {S.RUNNING, S.FAILING, S.CANCELLING, S.RESCALING},
    S.RUNNING: {S.COMMITTING, S.FAILING, S.CANCELLING, S.RESCALING},
    S.RESCALING: {S.WAITING_FOR_SLOTS, S.CANCELLING},
    S.COMMITTING: {S.FINISHED, S.FAILED},
    S.FAILING: {S.RESTARTING, S.FAILED, S.CANCELLING},
    S.RESTARTING: {S.WAITING_FOR_SLOTS, S.CANCELLED},
    S.CANCELLING: {S.CANCELLED},
    S.FINISHED: set(),
    S.FAILED: set(),
    S.CANCELLED: set(),
}
"""The diagram of `protocol.jobs.job`."""


def sent(step, kind):
    return [effect.message for effect in step.effects if isinstance(effect, Send) and isinstance(effect.message, kind)]


def reported(step, kind):
    return [effect.value for effect in step.effects if isinstance(effect, Report) and isinstance(effect.value, kind)]


def cluster_invariants(world):
    """Return all that must hold in a world, for one run."""
    return [
        EveryJobEnds(),
        StatusesFollowTheDiagram(),
        RunNumbersRise(),
        LateNewsChangesNothing(),
        RunsGiveBackTheirSlots(),
        RegionsComeBackAlone(world),
        OutputIsAllOrNothing(world),
        NobodyCommitsAfterTheEnd(),
        SplitsAreReadOnce(world),
        ResultsArriveOnce(),
        OneWorkerForEachLease(),
        SlotsLeasedOnce(),
        EndedJobsHoldNothing(),
        NothingIsLeft(world),
        *([StagesLast(world)] if world.staged else []),
    ]


class EveryJobEnds(Invariant):
    """A job that has begun is over in the end, once."""

    def __init__(self):
        self.begun, self.over = {}, {}

    def after(self, step):
        if isinstance(step.event, Begin):
            self.begun[step.machine._job] = None
        for over in reported(step, JobOver):
            ensure(over.job not in self.over, f"{over.job} is over twice")
            self.over[over.job] = over.status

    def at_end(self, simulation):
        for job in self.begun:
            ensure(job in self.over, f"{job} never ends")


class StatusesFollowTheDiagram(Invariant):
    """A client is told of no step that is not in the diagram, and of no earlier run than it has heard of."""

    def __init__(self):
        self.last = {}

    def after(self, step):
        for changed in sent(step, JobStatusChanged):
            status, attempt = self.last.get(changed.job, (None, 0))
            ensure(changed.status in NEXT[status], f"{changed.job} goes from {status} to {changed.status}")
            next_run = changed.status is S.WAITING_FOR_SLOTS
            ensure(
                changed.attempt > attempt if next_run else changed.attempt == attempt,
                f"{changed.job} goes from run {attempt} to {changed.attempt} with {changed.status}",
            )
            self.last[changed.job] = (changed.status, changed.attempt)


class RunNumbersRise(Invariant):
    """Each run asks for slots once, under a higher number, and deploys under it; what comes back of it takes the next ones."""

    def __init__(self):
        self.run, self.last, self.opened = {}, {}, {}

    def after(self, step):
        for request in sent(step, SlotsRequested):
            last = self.last.get(request.job, 0)
            ensure(request.request == last + 1, f"{request.job} asks for the slots of run {request.request} after {last}")
            self.run[request.job] = self.last[request.job] = request.request
        openings = sent(step, OpenDeployment)
        for opening in openings:
            ensure(opening.attempt == self.run[opening.job], f"{opening.job} deploys run {opening.attempt}")
            again = self.opened.get(opening.job) == opening.attempt
            expected = self.last[opening.job] + again
            ensure(opening.number == expected, f"{opening.job} deploys number {opening.number}, not {expected}")
        for opening in openings:
            self.last[opening.job], self.opened[opening.job] = opening.number, opening.attempt


class LateNewsChangesNothing(Invariant):
    """What a worker of an earlier run says has no effect."""

    def __init__(self):
        self.run = {}

    def after(self, step):
        attempt = getattr(step.event, "attempt", None)
        if isinstance(step.machine, JobMaster) and attempt is not None and attempt < self.run.get(step.address, 0):
            ensure(not step.effects, f"{step.address} is in run {self.run[step.address]} and acts on {step.event}: {step.effects}")
        for request in sent(step, SlotsRequested):
            self.run[step.address] = request.request


class RunsGiveBackTheirSlots(Invariant):
    """Before a job asks for the slots of its next run, and when it is over, it has given back all it was granted, or has heard of its loss."""

    def __init__(self):
        self.held, self.over = {}, {}

    def after(self, step):
        if not isinstance(step.machine, JobMaster):
            return
        held = self.held.setdefault(step.address, {})
        if isinstance(step.event, SlotsGranted):
            held |= {lease.allocation: None for lease in step.event.leases if lease.allocation not in self.over}
        gone = sent(step, SlotsReleased) + ([step.event] if isinstance(step.event, SlotsLost) else [])
        for allocation in [allocation for news in gone for allocation in news.allocations]:
            held.pop(allocation, None)
            self.over[allocation] = None
        if sent(step, SlotsRequested) or reported(step, JobOver):
            ensure(not held, f"{step.address} has not given back {list(held)}")


class RegionsComeBackAlone(Invariant):
    """While a job runs only subtasks of one region are ended, and that region comes back, as much of it as the run has built; all others keep running."""

    def __init__(self, world):
        self.world = world
        self.status, self.ending, self.built = {}, {}, {}

    def after(self, step):
        if not isinstance(step.machine, JobMaster):
            return
        job = step.machine._job
        for changed in sent(step, JobStatusChanged):
            self.status[job] = changed.status
        ended = [cancel.subtask for cancel in sent(step, CancelSubtask)]
        if isinstance(step.event, SubtaskFailed) and self.status[job] is S.RUNNING:
            ended.append(step.event.subtask)
        if ended and self.status[job] is S.RUNNING:
            self.ending.setdefault(job, ended[-1].vertex)
            others = [str(subtask) for subtask in ended if subtask.vertex != self.ending[job]]
            ensure(not others, f"{others} are ended with {self.ending[job]}, which they have nothing to do with")
        again = {subtask for opening in sent(step, OpenDeployment) for subtask in opening.subtasks}
        if again and self.status[job] is S.RUNNING:
            vertex = self.ending.pop(job)
            region = {subtask for subtask in self.built[job] if subtask.vertex == vertex}
            ensure(again == region, f"of the region {vertex} {sorted(map(str, again))} come back")
        elif again:
            self.built[job] = again
        if self.status.get(job) is not S.RUNNING:
            self.ending.pop(job, None)


class OutputIsAllOrNothing(Invariant):
    """Output becomes visible only if all subtasks of the run have finished; then all of it, before the client hears of it; else none.

    Where there are checkpoints, one holds the end of the run before that.
    If some of it cannot be made visible the job fails, and after that no more becomes visible.
    """

    def __init__(self, world):
        self.world = world
        self.finished, self.prepared = {}, {}
        self.status, self.decided, self.ended = {}, {}, {}

    def after(self, step):
        if isinstance(step.machine, Worker):
            for news in sent(step, SubtaskFinished):
                run = (step.machine.opening.job, news.attempt)
                self.finished.setdefault(run, {})[news.subtask] = None
                if news.committables:
                    self.prepared.setdefault(run, {})[news.committables] = news.subtask
        elif isinstance(step.machine, JobMaster):
            job = step.machine._job
            for opening in sent(step, OpenDeployment):
                self.runs_again((job, opening.attempt), opening.subtasks)
            left = [effect.work for effect in step.effects if isinstance(effect, Start) and isinstance(effect.work, CommitLeft)]
            for run in [commit.attempt for commit in sent(step, CommitOutput)] + [work.run for work in left]:
                self.decides(job, run)
            for changed in sent(step, JobStatusChanged):
                self.changed(changed)

    def runs_again(self, run, subtasks):
        """What a part of the run had done counts for nothing when it is built again."""
        for subtask in subtasks:
            self.finished.get(run, {}).pop(subtask, None)
        self.prepared[run] = {payload: by for payload, by in self.prepared.get(run, {}).items() if by not in subtasks}

    def changed(self, changed):
        self.status[changed.job] = changed.status
        if changed.status.final:
            self.ended[changed.job] = self.world.simulation.now
            late = changed.error is not None and changed.error.kind == "CommitTimeout"
            ensure(not late, f"{changed.job} waits in vain for what the JobMaster commits, and nothing of that hangs here")
        if changed.status is S.COMMITTING:
            self.decides(changed.job, changed.attempt)
        if changed.status is S.FINISHED:
            hidden = [p for p in self.prepared.get((changed.job, changed.attempt), ()) if p not in self.world.committed]
            ensure(not hidden, f"{changed.job} has finished, and this is hidden: {hidden}")

    def decides(self, job, run):
        finished = {**self.written_before(job), **self.finished.get((job, run), {})}
        missing = [str(subtask) for subtask in self.world.graphs[job].subtasks() if subtask not in finished]
        ensure(not missing, f"{job} commits run {run}, and these have not finished: {missing}")
        stored = self.world.stored.get(job)
        ensure(stored is None or run in stored, f"{job} commits run {run}, and no checkpoint holds its end")
        ensure(self.decided.setdefault(job, run) == run, f"{job} commits run {run} after run {self.decided[job]}")

    def written_before(self, job):
        """What stages have finished in any run, other than those with sinks, whose output is the run's."""
        if not self.world.staged:
            return {}
        done = [subtask for (of, _), finished in self.finished.items() if of == job for subtask in finished]
        return dict.fromkeys(subtask for subtask in done if not subtask.vertex.endswith("write"))

    def at_end(self, simulation):
        for payload, at in self.world.committed.items():
            job, run, *_ = payload.decode().split()
            may = self.status[job] in {S.FINISHED, S.FAILED} and self.decided.get(job) == int(run)
            ensure(may, f"{payload} is visible, and {job} is {self.status[job]} after deciding for {self.decided.get(job)}")
            ensure(payload in self.prepared[job, int(run)], f"{payload} is visible, and was to be written again")
            ensure(at <= self.ended[job], f"{payload} becomes visible after the end of {job}")
            ensure(payload not in self.world.removed, f"{payload} was committed and removed")


class NobodyCommitsAfterTheEnd(Invariant):
    """Before a job is over it has heard from all whom it has told to commit, or of what was committed for them."""

    def __init__(self):
        self.awaited = {}

    def after(self, step):
        if not isinstance(step.machine, JobMaster):
            return
        awaited = self.awaited.setdefault(step.address, {})
        for effect in step.effects:
            if isinstance(effect, Send) and isinstance(effect.message, CommitOutput):
                awaited[effect.to.rpartition("/")[2]] = None
        if isinstance(step.event, OutputCommitted):
            awaited.pop(step.event.allocation, None)
        if isinstance(step.event, WorkDone | WorkFailed) and isinstance(step.event.work, CommitLeft):
            awaited.pop(step.event.work.allocation, None)
        if reported(step, JobOver):
            ensure(not awaited, f"{step.address} is over, and these may still commit: {list(awaited)}")


class SplitsAreReadOnce(Invariant):
    """In the run that is committed every split was finished once; in each run a split is given to one reader."""

    def __init__(self, world):
        self.world = world
        self.given, self.finished, self.read_in = {}, {}, {}

    def after(self, step):
        if isinstance(step.machine, Worker):
            for news in sent(step, SplitFinished):
                key = (news.subtask.vertex, news.attempt)
                self.finished.setdefault(key, []).append(news.split)
        for opening in sent(step, OpenDeployment):
            for vertex in {subtask.vertex for subtask in opening.subtasks}:
                self.read_in[vertex] = opening.attempt
                self.finished.pop((vertex, opening.attempt), None)
                self.given = {key: reader for key, reader in self.given.items() if key[:2] != (vertex, opening.attempt)}
        for news in sent(step, SplitAssigned):
            key = (news.subtask.vertex, news.attempt, news.split)
            ensure(
                self.given.setdefault(key, news.subtask) == news.subtask,
                f"split {key} goes to {self.given[key]} and {news.subtask}",
            )
        for changed in sent(step, JobStatusChanged):
            if changed.status is S.COMMITTING:
                source = self.world.graphs[changed.job].vertices[0].id
                finished = sorted(self.finished.get((source, self.read_in[source]), []))
                expected = list(range(self.world.splits[source]))
                ensure(finished == expected, f"{changed.job} commits run {changed.attempt} with splits {finished} of {expected}")


class ResultsArriveOnce(Invariant):
    """Of each run that finishes the client gets all results, once, and those of a subtask in order."""

    def __init__(self):
        self.sent, self.arrived = {}, {}

    def after(self, step):
        where = self.sent if isinstance(step.machine, Worker) else self.arrived
        for chunk in sent(step, ResultChunk):
            where.setdefault((chunk.job, chunk.attempt), {}).setdefault(chunk.subtask, []).append(chunk.payload)
        for changed in sent(step, JobStatusChanged):
            if changed.status is S.FINISHED:
                run = (changed.job, changed.attempt)
                given, got = self.sent.get(run, {}), self.arrived.get(run, {})
                ensure(given == got, f"of the results of {run} the client got {got} of {given}")


class OneWorkerForEachLease(Invariant):
    """A lease gets one worker, none after the TaskManager has heard that it is free, and none while another lives in its slot."""

    def __init__(self):
        self.spawned, self.freed, self.living = {}, {}, {}

    def after(self, step):
        if not isinstance(step.machine, TaskManagerMachine):
            return
        life = (step.address, step.machine._incarnation)
        if isinstance(step.event, ChildEnded):
            self.living = {slot: lives for slot, lives in self.living.items() if lives != (life, step.event.name)}
        if isinstance(step.event, FreeSlot):
            self.freed[life, step.event.allocation] = None
        for effect in step.effects:
            if isinstance(effect, Spawn):
                ensure((life, effect.name) not in self.freed, f"{step.address} starts a worker for {effect.name}, which was freed")
                ensure((life, effect.name) not in self.spawned, f"{step.address} starts a second worker for {effect.name}")
                self.spawned[life, effect.name] = None
                slot = (life, effect.recipe.index)
                ensure(slot not in self.living, f"{effect.name} starts in slot {slot}, where {self.living.get(slot)} lives")
                self.living[slot] = (life, effect.name)


class NothingIsLeft(Invariant):
    """When all jobs are over, all slots are free, nobody waits, no worker lives, and nobody writes to one."""

    def __init__(self, world):
        self.world = world

    def at_end(self, simulation):
        pool = simulation.machine(POOL, SlotPool).observe()
        slots = SLOTS_OF_EACH * len(TASK_MANAGERS)
        ensure(pool.free == pool.registered == slots, f"{pool.free} of {pool.registered} slots are free, of {slots}: {pool.leases}")
        ensure(not pool.waiting, f"requests wait: {pool.waiting}")
        for node in TASK_MANAGERS:
            leases = simulation.machine(task_manager_at(node), TaskManagerMachine).observe().leases
            ensure(not leases, f"{node} holds {dict(leases)}")
        for address in simulation.alive():
            if address.startswith(f"{MASTERS}/"):
                streams = simulation.machine(address, ReliableMachine)._correspondence._sender.observe()
                ensure(not streams, f"{address} still writes to workers: {streams}")
        if left := self.world.workers():
            raise InvariantViolated(f"workers are left: {left}")
