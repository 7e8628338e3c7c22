"""A whole cluster on a virtual clock: one ResourceManager, three TaskManagers of two slots, three jobs, and small fake slot workers.

The machines are the real ones. A fake worker says what a real one would, in the same order; instead of data it has chance, which decides
how long it takes, and whether it fails, hangs, or dies, at any message. What its sinks prepare, commit and remove is noted in the `World`.

Between JobMasters, TaskManagers and workers messages are lost, doubled and reordered. ResourceManager and JobMasters live in one process on a
real cluster: between them messages may take their time, and that is all.
"""

from dataclasses import dataclass, field
from functools import partial

from cluster_workers import TO_MASTERS, Worker

from actorflow.errors import SourceError
from actorflow.ids import Address, JobId, NodeId, VertexId, split_address
from actorflow.plan.execution import ExecutionEdge, ExecutionGraph, Vertex
from actorflow.plan.graph import LogicalOperator, OperatorSpec, Partitioner, Partitioning, Role
from actorflow.plan.regions import failover_regions
from actorflow.plan.stages import stages
from actorflow.protocol.checkpoints.checkpoint_events import CollectOrphans, DiscardAll, DiscardStates, StoreCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan, Retention
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpoints.commit import AbortLeft, CommitLeft, RemoveBegun
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_description import JobDescription, Timeouts
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import CancelJob
from actorflow.protocol.jobs.orders import TO_WORKERS
from actorflow.protocol.jobs.restarts import Backoff, ExponentialDelay, FixedDelay, NoRestart
from actorflow.protocol.jobs.splits import ListSplits
from actorflow.protocol.machine import Killed, Report, Send, ensure
from actorflow.protocol.nodes.slot_messages import JobEnded, TaskManagerLost
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.protocol.nodes.task_manager import Register, TaskManagerMachine
from actorflow.protocol.transfer.correspondence import Correspondence, ReliableMachine
from actorflow.protocol.transfer.delivery import DELIVERY_MESSAGES, ReliableSender
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.testing.faults import Crash, Faults
from actorflow.testing.simulation import Invariant, Simulation, Step
from actorflow.wire.message import MessageCodec

POOL, CLIENT, MASTERS = Address("rm/slots"), Address("client/c"), NodeId("jm")
JOB_MANAGER = (NodeId("rm"), MASTERS)
TASK_MANAGERS = [NodeId(f"tm-{number}") for number in range(3)]
SLOTS_OF_EACH, JOBS = 2, 3
CALM_S, END_S = 8.0, 40.0
STAGED_EDGES = (("read", "copy-write"), ("read", "sort"), ("sort", "write"), ("read", "write"))
LONG_S = 1e6
"""Between two checkpoints: only the last one is ever taken."""
TIMEOUTS = Timeouts(deploy_s=4.0, cancel_s=0.4, commit_s=3.0, commit_again_s=1.0, lease_again_s=0.3)
TALK = (*TO_WORKERS, *TO_MASTERS)
CODEC = MessageCodec(TALK)


class Sinking(OperatorSpec):
    """A sink: what it has prepared ends with the run."""

    role = Role.SINK


def task_manager_at(node):
    return Address(f"{node}/tm")


@dataclass(frozen=True, slots=True)
class BadLinks(Faults):
    """Now and then a message to a JobMaster is late by seconds, and with it all that follow it on the same way.

    Within the JobManager messages are only late, and keep their order.
    """

    stalled: float = 0.0
    last: dict = field(default_factory=dict)

    def arrivals(self, random, sender, receiver, now):
        if sender in JOB_MANAGER and receiver in JOB_MANAGER:
            late = random.expovariate(1 / self.delay_s[1])
            self.last[sender, receiver] = max(now + late, self.last.get((sender, receiver), 0.0))
            return (self.last[sender, receiver],)
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


def correspond(one, other):
    """Whether these are a JobMaster and a worker."""
    return sorted((one.count("/"), other.count("/"))) == [1, 2] and MASTERS in (split_address(one)[0], split_address(other)[0])


class Seen:
    """A machine whose steps the invariants look at as if its messages did not travel in envelopes."""

    def __init__(self, machine, address, simulation, invariants):
        self.machine, self.address, self.simulation, self.invariants = machine, address, simulation, invariants

    def handle(self, event, now):
        effects = self.machine.handle(event, now)
        self.machine.check()
        for invariant in self.invariants:
            invariant.after(Step(now, self.address, self.machine, event, effects))
        return effects

    def observe(self):
        return self.machine.observe()

    def check(self):
        self.machine.check()


class OutsideOfEnvelopes(Invariant):
    """Shows invariants the steps of all machines but those that write letters, which are `Seen`. These write only letters, if `strict`."""

    def __init__(self, invariants, *, strict):
        self.invariants, self.strict = invariants, strict

    def after(self, step):
        if not isinstance(step.machine, ReliableMachine):
            for invariant in self.invariants:
                invariant.after(step)
            return
        for effect in step.effects:
            if self.strict and isinstance(effect, Send) and correspond(step.address, effect.to):
                ensure(isinstance(effect.message, DELIVERY_MESSAGES), f"{effect.message} to {effect.to} may be lost")

    def at_end(self, simulation):
        for invariant in self.invariants:
            invariant.at_end(simulation)


class World:
    """The cluster of one seed.

    Args:
        seed: decides everything.
        invariants: given the world, returns what must hold in it.
        master: the machine of a job.
        task_manager: the machine of a TaskManager.
        sender: what JobMasters and workers send through.
        receiver: what they receive through.
        pool: the machine of the ResourceManager.
        reliably: which of the messages between JobMasters and workers go through these.
        regional: whether subtasks fail often, and little else does, so that regions come back again and again.
        staged: whether jobs run in stages, whose partitions get lost now and then.

    Attributes:
        committed: what is visible outside, and since when, by payload.
        removed: what was removed, by payload.
        splits: how many splits each source has, once they are listed.
        graphs: what each job runs.
        regions: what of each job comes back by itself. A job that has some sends its client no results.
        stored: the jobs and runs whose end a checkpoint holds; None for those of jobs that take none.
        partitions: what stages have written and nobody has lost: the nodes by location.
        gone_with: the nodes of partitions that were lost with them.
    """

    def __init__(
        self,
        seed,
        invariants,
        *,
        master=JobMaster,
        task_manager=TaskManagerMachine,
        sender=ReliableSender,
        receiver=ReliableReceiver,
        pool=SlotPool,
        reliably=TALK,
        regional=False,
        staged=False,
    ):
        self.regional, self.staged = regional, staged
        self.retention = list(Retention)[seed % 2]
        self.partitions, self.gone_with = {}, {}
        self.committed, self.removed, self.splits, self.graphs, self.regions, self.stored = {}, {}, {}, {}, {}, {}
        self.invariants = invariants(self)
        self.simulation = Simulation(
            seed, invariants=[OutsideOfEnvelopes(self.invariants, strict=reliably is TALK)], work=self.do, spawn=self.spawn
        )
        self.random = self.simulation.random
        self.master, self.task_manager = master, task_manager
        self.sender, self.receiver, self.reliably = sender, receiver, tuple(reliably)
        self.flakiness = self.random.choice((0.0, 0.02, 0.08))
        self.pace = self.random.choice((2.0, 10.0))
        self.lethality = self.random.choice((0.0, 0.0, 0.002, 0.01))
        if regional:
            self.flakiness, self.lethality = 0.2, 0.0
        self.suffer()
        request_timeout_s = self.random.choice((2.0, 1e6, 1e6))
        self.simulation.add(POOL, lambda _: pool(request_timeout_s=request_timeout_s))
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
            BadLinks(
                loss=random.choice((0.0, 0.05, 0.2)),
                doubling=random.choice((0.0, 0.0, 0.1)),
                reordering=random.choice((False, True)),
                delay_s=(0.0005, random.choice((0.002, 0.02, 0.05))),
                calm_after_s=CALM_S,
                crashes=tuple(crashes),
                stalled=random.choice((0.0, 0.1)),
            )
        )
        for crash in crashes:
            lost = TaskManagerLost(task_manager_at(crash.node), 1, "no heartbeat")
            self.simulation.at(crash.at_s + random.uniform(0, 2), partial(self.simulation.tell, POOL, lost))
            if self.staged:
                self.simulation.at(crash.at_s, partial(self.lose_partitions, crash.node))
        for _ in range(random.choice((0, 10, 30)) if self.staged else 0):  # disks that are lost while their hosts live
            self.simulation.at(random.uniform(0, CALM_S), partial(self.lose_partitions, random.choice(TASK_MANAGERS)))
        for _ in range(random.choice((0, 0, 2, 4))):
            self.simulation.at(random.uniform(0, CALM_S), self.kill_a_worker)

    def lose_partitions(self, node):
        """Lose all that a TaskManager has kept."""
        for location in [location for location, kept_by in self.partitions.items() if kept_by == node]:
            self.gone_with[location] = self.partitions.pop(location)

    def build_task_manager(self, address, incarnation):
        return self.task_manager(address, POOL, slots=SLOTS_OF_EACH, incarnation=incarnation, start_timeout_s=1.0)

    def submit(self, number):
        """Start a job of its own shape, and cancel it later, or not."""
        job, random = JobId(f"job-{number}"), self.random
        address = Address(f"{MASTERS}/{job}")
        self.graphs[job] = graph = self.graph(job)
        vertices = graph.vertices
        self.regions[job] = failover_regions(graph) if self.regional or number == 2 else ()
        rules = CheckpointRules(interval_s=LONG_S if number == 2 and not self.staged else None)
        checkpoints = CheckpointPlan(rules, self.retention)
        if checkpoints.active:
            self.stored[job] = []
        sources = {vertices[0].id: vertices[0].parallelism}
        machine = self.master(
            JobDescription(
                job,
                graph,
                sources,
                b"plan",
                {},
                CLIENT,
                checkpoints=checkpoints,
                regions=self.regions[job],
                stages=stages(graph),
            ),
            address=address,
            resource_manager=POOL,
            strategy=self.strategy(),
            chances=iter(random.random, None),
            timeouts=TIMEOUTS,
        )
        reliable = self.reliable(machine, address)
        self.simulation.add(address, lambda _: reliable, Begin())
        if random.random() < 0.4:
            self.simulation.at(self.simulation.now + random.expovariate(1), partial(self.simulation.tell, address, CancelJob(job)))

    def graph(self, job):
        """Return what a job runs: a reader and a writer that have nothing to do with each other, or stages that read each other."""
        random, names = self.random, ("read", "copy-write", "sort", "write") if self.staged else ("read", "write")
        vertices = tuple(
            Vertex(
                VertexId(f"{job}.{name}"),
                name,
                (LogicalOperator("sink", "sink", Sinking()),) if self.staged and name.endswith("write") else (),
                random.randint(1, 3),
                128,
                random.choice(("default", "default", name)),
                "default",
            )
            for name in names
        )
        if not self.staged:
            return ExecutionGraph(job, vertices, (), ())
        edges = tuple(
            ExecutionEdge(
                index, VertexId(f"{job}.{source}"), 0, None, VertexId(f"{job}.{target}"), 0, Partitioner(Partitioning.HASH)
            )
            for index, (source, target) in enumerate(STAGED_EDGES)
        )
        return ExecutionGraph(job, vertices, edges, (), batch=True, blocking=True)

    def reliable(self, machine, address):
        """Return a machine whose messages arrive."""
        correspondence = Correspondence(
            self.sender(address, 1, CODEC.encode, window_max=8, confirm_after_s=0.2, confirm_max_s=1.0),
            self.receiver(address, 1, CODEC.decode, window_max=8, acknowledge_after_s=0.05),
        )
        return ReliableMachine(Seen(machine, address, self.simulation, self.invariants), correspondence, self.reliably)

    def strategy(self):
        exponential = ExponentialDelay(Backoff(initial_s=0.05, max_s=1.0))
        if self.regional:
            return FixedDelay(5, 0.3)
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

    def end(self, worker):
        """Kill a worker's process, which takes a moment to end."""
        worker.dead = True
        self.simulation.at(self.simulation.now + self.random.expovariate(20), partial(self.bury, worker.address))

    def bury(self, address):
        """End a worker's process, if it has not been ended meanwhile."""
        if address in self.simulation.alive():
            parent, _, name = address.rpartition("/")
            self.simulation.end_child(Address(parent), name, Killed())

    # --- what the simulation asks for ------------------------------------------------------------------------------------

    def spawn(self, address, recipe):
        self.simulation.at(self.simulation.now + self.random.expovariate(50), partial(self.simulation.tell, address, "begin"))
        return self.reliable(Worker(self, address, recipe), address)

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
            case StoreCheckpoint(attempt=attempt, states=states):
                if self.unlucky(0.1):
                    raise OSError("the disk is full")
                job, _, _ = next(iter(states)).vertex.partition(".")
                self.stored[job].append(attempt)
            case RemoveBegun() | CollectOrphans() | DiscardStates() | DiscardAll():
                pass
        return None

    def run(self):
        return self.simulation.run(END_S).finish()
