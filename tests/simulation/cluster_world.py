"""A whole cluster on a virtual clock: one ResourceManager, three TaskManagers of two slots, three jobs, and small fake slot workers.

The machines are the real ones. A fake worker says what a real one would, in the same order; instead of data it has chance, which decides
how long it takes, and whether it fails, hangs, or dies, at any message. What its sinks prepare, commit and remove is noted in the `World`.
"""

from dataclasses import dataclass
from functools import partial

from actorflow.errors import ErrorInfo, Retry, SourceError
from actorflow.ids import Address, JobId, NodeId, VertexId, split_address
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.commit import AbortLeft, CommitLeft
from actorflow.protocol.deployment import CancelSubtask, SubtaskCancelled, SubtaskFailed, SubtaskFinished, SubtaskStarted
from actorflow.protocol.job import Begin, JobMachine, JobOver
from actorflow.protocol.job_messages import (
    CancelJob,
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    OpenDeployment,
    OutputCommitted,
    WorkerFailed,
    WorkerStarted,
)
from actorflow.protocol.job_run import JobDescription, Timeouts
from actorflow.protocol.machine import Killed, Report, Send, SetTimer, TimerFired
from actorflow.protocol.restarts import Backoff, ExponentialDelay, FixedDelay, NoRestart
from actorflow.protocol.slots import JobEnded, SlotPool, TaskManagerLost
from actorflow.protocol.splits import ListSplits, NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested
from actorflow.protocol.task_manager import Register, TaskManagerMachine
from actorflow.testing.faults import Crash, Faults
from actorflow.testing.simulation import Simulation

POOL, CLIENT, MASTERS = Address("rm/slots"), Address("client/c"), NodeId("jm")
TASK_MANAGERS = [NodeId(f"tm-{number}") for number in range(3)]
SLOTS_OF_EACH, JOBS = 2, 3
CALM_S, END_S = 8.0, 40.0
TIMEOUTS = Timeouts(deploy_s=2.0, cancel_s=0.4, commit_s=3.0, commit_again_s=1.0)
BROKEN = ErrorInfo("ValueError", "bad record")
HOPELESS = ErrorInfo("PlanError", "it cannot work", retry=Retry.NEVER)


def task_manager_at(node):
    return Address(f"{node}/tm")


@dataclass(frozen=True, slots=True)
class SlowLinks(Faults):
    """Now and then a message to a JobMaster is late by seconds, and with it all that follow it on the same way."""

    stalled: float = 0.0

    def arrivals(self, random, sender, receiver, now):
        times = Faults.arrivals(self, random, sender, receiver, now)
        if receiver == MASTERS and now < self.calm_after_s and random.random() < self.stalled:
            late_s = random.uniform(0.5, 5.0)
            return tuple(at + late_s for at in times)
        return times


class JobMaster(JobMachine):
    """A job, and its Dispatcher, which tells the ResourceManager that it is over."""

    def handle(self, event, now):
        effects = super().handle(event, now)
        over = [effect.value.job for effect in effects if isinstance(effect, Report) and isinstance(effect.value, JobOver)]
        return [*effects, *(Send(POOL, JobEnded(job)) for job in over)]


class Worker:
    """Stands in for a slot worker.

    Args:
        world: where it lives; decides its chances.
        address: its own.
        recipe: the lease it is for.
    """

    def __init__(self, world, address, recipe):
        self.world, self.address, self.allocation = world, address, recipe.allocation
        self.task_manager = Address(address.removesuffix(f"/{recipe.allocation}"))
        self.opening = None
        self.alive = set()
        """Subtasks that were started and have not ended. Only asked for membership."""
        self.begun = set()
        self.prepared = {}
        self.requests = {}
        self.answer = None
        """What it says to whoever asks it to commit, once it has."""
        self.hangs = False
        self.dead = False

    def handle(self, event, now):
        if self.dead or self.world.dies(self):
            return []
        effects = self.act(event, now)
        if self.world.dies(self):
            return effects[: self.world.random.randrange(len(effects) + 1)]
        return effects

    def act(self, event, now):
        match event:
            case "begin":
                return (
                    [] if self.world.unlucky(0.02) else [Send(self.task_manager, WorkerStarted(self.allocation, self.address, ()))]
                )
            case OpenDeployment() if self.opening is None:
                return self.open(event, now)
            case TimerFired("built"):
                return [Send(self.opening.job_master, DeploymentOpened(self.opening.attempt, self.allocation))]
            case DeploySubtask(subtask=subtask) if subtask not in self.begun and not self.world.unlucky(0.01):
                self.begun.add(subtask)
                self.alive.add(subtask)
                return [*self.tell(SubtaskStarted, subtask), *self.go_on(subtask, None, now)]
            case SplitAssigned(subtask=subtask, request=request, split=split) if self.requests.get(subtask) == request:
                self.requests[subtask] += 1
                return self.takes_time(now, "read", subtask, split)
            case NoMoreSplits(subtask=subtask, request=request) if self.requests.get(subtask) == request:
                self.requests[subtask] += 1
                return self.takes_time(now, "finish", subtask)
            case TimerFired(name) if isinstance(name, tuple) and name[1] in self.alive:
                return self.time_is_up(now, *name)
            case CancelSubtask(subtask=subtask) if subtask in self.begun:
                return self.cancel(subtask)
            case CommitOutput() if self.opening is not None:
                return self.asked_to_commit(now)
            case TimerFired("commit"):
                return self.commit()
        return []

    def open(self, opening, now):
        self.opening = opening
        if self.world.unlucky(0.02):
            return self.tell(SubtaskFailed, opening.subtasks[0], BROKEN)
        return [] if self.world.unlucky(0.01) else [SetTimer("built", now + self.world.random.expovariate(50))]

    def tell(self, message, subtask, *details):
        return [Send(self.opening.job_master, message(subtask, self.opening.attempt, *details))]

    def takes_time(self, now, what, subtask, *details):
        return [SetTimer((what, subtask, *details), now + self.world.random.expovariate(self.world.pace))]

    def time_is_up(self, now, what, subtask, *details):
        if self.world.unlucky(self.world.flakiness / 4):
            return [Send(self.opening.job_master, WorkerFailed(self.opening.attempt, self.allocation, BROKEN))]  # and then it hangs
        if self.world.unlucky(self.world.flakiness):
            self.alive.discard(subtask)
            return self.tell(SubtaskFailed, subtask, HOPELESS if self.world.unlucky(0.1) else BROKEN)
        if what == "read":
            return self.go_on(subtask, details[0], now)
        self.alive.discard(subtask)
        payload = b""
        if subtask.vertex.endswith("write") and self.world.random.random() < 0.8:
            payload = self.prepared[subtask] = f"{self.opening.job} {self.opening.attempt} {subtask} {self.allocation}".encode()
        return self.tell(SubtaskFinished, subtask, payload)

    def go_on(self, subtask, finished, now):
        """Ask for the next split; who does not read takes a while and finishes."""
        if not subtask.vertex.endswith("read"):
            return self.takes_time(now, "finish", subtask)
        request = self.requests.setdefault(subtask, 1)
        told = [] if finished is None else self.tell(SplitFinished, subtask, finished)
        return [*told, *self.tell(SplitRequested, subtask, request, self.address)]

    def cancel(self, subtask):
        if subtask not in self.alive:
            return []  # it has told its end before
        self.alive.discard(subtask)
        stuck = self.world.unlucky(0.1)
        return [] if stuck else self.tell(SubtaskCancelled, subtask)

    def asked_to_commit(self, now):
        self.hangs = self.hangs or self.world.unlucky(0.03)
        lost = self.world.unlucky(0.05)
        return [] if self.hangs or lost else [SetTimer("commit", now + self.world.random.expovariate(5))]

    def commit(self):
        if self.answer is None:
            error = BROKEN if self.world.unlucky(0.15) else None
            for payload in self.prepared.values():
                if error is None or self.world.random.random() < 0.5:
                    self.world.committed.setdefault(payload, self.world.simulation.now)
            self.answer = Send(self.opening.job_master, OutputCommitted(self.opening.attempt, self.allocation, error))
        return [self.answer]

    def observe(self):
        return self.allocation

    def check(self):
        pass


class World:
    """The cluster of one seed.

    Args:
        seed: decides everything.
        invariants: given the world, returns what must hold in it.
        master: the machine of a job.
        task_manager: the machine of a TaskManager.

    Attributes:
        committed: what is visible outside, and since when, by payload.
        removed: what was removed, by payload.
        splits: how many splits each source has, once they are listed.
        graphs: what each job runs.
    """

    def __init__(self, seed, invariants, *, master=JobMaster, task_manager=TaskManagerMachine):
        self.committed, self.removed, self.splits, self.graphs = {}, {}, {}, {}
        self.simulation = Simulation(seed, invariants=invariants(self), work=self.do, spawn=self.spawn)
        self.random = self.simulation.random
        self.master, self.task_manager = master, task_manager
        self.flakiness = self.random.choice((0.0, 0.02, 0.08))
        self.pace = self.random.choice((2.0, 10.0))
        self.lethality = self.random.choice((0.0, 0.0, 0.002, 0.01))
        self.suffer()
        request_timeout_s = self.random.choice((2.0, 1e6, 1e6))
        self.simulation.add(POOL, lambda _: SlotPool(request_timeout_s=request_timeout_s))
        for node in TASK_MANAGERS:
            self.simulation.add(task_manager_at(node), partial(self.build_task_manager, task_manager_at(node)), Register())
        for number in range(JOBS):
            self.simulation.at(self.random.uniform(0, CALM_S / 2), partial(self.submit, number))

    def suffer(self):
        """Draw what goes wrong with nodes and links; kill some workers besides."""
        random = self.random
        crashes = [
            Crash(node, random.uniform(0, CALM_S - 2), random.uniform(0.01, 1)) for node in TASK_MANAGERS if random.random() < 0.3
        ]
        self.simulation.suffer(
            SlowLinks(
                doubling=random.choice((0.0, 0.0, 0.1)),
                delay_s=(0.0005, random.choice((0.002, 0.02, 0.05))),
                calm_after_s=CALM_S,
                crashes=tuple(crashes),
                stalled=random.choice((0.0, 0.1)),
            )
        )
        for crash in crashes:
            lost = TaskManagerLost(task_manager_at(crash.node), 1, "no heartbeat")
            self.simulation.at(crash.at_s + random.uniform(0, 2), partial(self.simulation.tell, POOL, lost))
        for _ in range(random.choice((0, 0, 2))):
            self.simulation.at(random.uniform(0, CALM_S), self.kill_a_worker)

    def build_task_manager(self, address, incarnation):
        return self.task_manager(address, POOL, slots=SLOTS_OF_EACH, incarnation=incarnation, start_timeout_s=1.0)

    def submit(self, number):
        """Start a job of its own shape, and cancel it later, or not."""
        job, random = JobId(f"job-{number}"), self.random
        address = Address(f"{MASTERS}/{job}")
        vertices = tuple(
            Vertex(
                VertexId(f"{job}.{name}"),
                name,
                (),
                random.randint(1, 3),
                128,
                random.choice(("default", "default", name)),
                "default",
            )
            for name in ("read", "write")
        )
        self.graphs[job] = graph = ExecutionGraph(job, vertices, (), ())
        machine = self.master(
            JobDescription(job, graph, {vertices[0].id: vertices[0].parallelism}, b"plan", {}, CLIENT),
            address=address,
            resource_manager=POOL,
            strategy=self.strategy(),
            chances=iter(random.random, None),
            timeouts=TIMEOUTS,
        )
        self.simulation.add(address, lambda _: machine, Begin())
        if random.random() < 0.4:
            self.simulation.at(self.simulation.now + random.expovariate(1), partial(self.simulation.tell, address, CancelJob(job)))

    def strategy(self):
        exponential = ExponentialDelay(Backoff(initial_s=0.05, max_s=1.0))
        return self.random.choice((NoRestart(), FixedDelay(3, 0.02), exponential, exponential))

    # --- chance ----------------------------------------------------------------------------------------------------------

    def unlucky(self, probability):
        """Whether this goes wrong; nothing does after the world has become calm."""
        return self.random.random() < probability and self.simulation.now < CALM_S

    def dies(self, worker):
        if not self.unlucky(self.lethality):
            return False
        worker.dead = True
        self.simulation.at(self.simulation.now, partial(self.bury, worker.address))
        return True

    def kill_a_worker(self):
        workers = self.workers()
        if workers:
            self.bury(self.random.choice(workers))

    def workers(self):
        """Return the addresses of the workers that live."""
        return [
            address for address in self.simulation.alive() if split_address(address)[0] in TASK_MANAGERS and address.count("/") == 2
        ]

    def bury(self, address):
        """End a worker's process, if it has not been ended meanwhile."""
        if address in self.simulation.alive():
            parent, _, name = address.rpartition("/")
            self.simulation.end_child(Address(parent), name, Killed())

    # --- what the simulation asks for ------------------------------------------------------------------------------------

    def spawn(self, address, recipe):
        self.simulation.at(self.simulation.now + self.random.expovariate(50), partial(self.simulation.tell, address, "begin"))
        return Worker(self, address, recipe)

    def do(self, work):
        """Do the slow work of a JobMaster."""
        match work:
            case ListSplits(source=source):
                if self.unlucky(0.1):
                    raise SourceError("the directory is not there") if self.unlucky(0.2) else OSError("the disk is tired")
                self.splits[source] = self.random.randrange(6)
                return [b""] * self.splits[source]
            case CommitLeft(committables=committables):
                if self.unlucky(0.2):
                    raise OSError("the disk is full")
                self.committed |= {payload: self.simulation.now for payload in committables if payload not in self.committed}
            case AbortLeft(committables=committables):
                self.removed |= dict.fromkeys(committables)
        return None

    def run(self):
        return self.simulation.run(END_S).finish()
