"""The control plane: CPU time to deploy a job of many subtasks and to cancel it again, in simulation.

The machines are the real ones (ResourceManager, TaskManagers, JobMaster), each message included; workers only answer, by reliable delivery, as
they do. What is measured is what the JobManager's and the TaskManagers' dispatchers would spend on deciding, and what workers spend on
delivery. Messages are not encoded: that is the transport's work, with reliable delivery or without. `check()` is off, as it is on a real cluster.
Twice the subtasks should take twice the time: nothing may look at all subtasks whenever one of them has news.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from harness import Benchmark, Target

from actorflow.ids import Address, JobId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.jobs.deployment import CancelSubtask, SubtaskCancelled, SubtaskStarted
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    DeploymentOpened,
    DeploySubtask,
    JobStatus,
    OpenDeployment,
    WorkerStarted,
)
from actorflow.protocol.jobs.orders import TO_WORKERS
from actorflow.protocol.jobs.restarts import NoRestart
from actorflow.protocol.jobs.splits import SplitRequested
from actorflow.protocol.machine import Effect, Machine, Send, Stopped
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.protocol.nodes.task_manager import EndWorker, Register, TaskManagerMachine, WorkerRecipe
from actorflow.protocol.transfer.correspondence import FIRST_LIFE, Correspondence, ReliableMachine
from actorflow.protocol.transfer.delivery import ReliableSender
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.testing.simulation import Simulation
from actorflow.wire.message import Message

POOL, MASTER, CLIENT = Address("rm/slots"), Address("jm/job"), Address("client/c")
JOB = JobId("job-1")
SLOTS_OF_EACH = 10


class Worker:
    """Answers at once: builds, starts, asks for a split if it reads, ends. Calls `end` when its process is to end."""

    def __init__(self, address: Address, recipe: WorkerRecipe, end: Callable[[], None]) -> None:
        self.address, self.allocation, self.end = address, recipe.allocation, end
        self.task_manager = Address(address.rpartition("/")[0])

    def handle(self, event: object, now: float) -> Sequence[Effect]:  # noqa: ARG002 - what a machine takes
        """Answer a message."""
        match event:
            case "begin":
                return [Send(self.task_manager, WorkerStarted(self.allocation, self.address, ("ipc://worker",)))]
            case OpenDeployment(attempt=attempt):
                return [Send(MASTER, DeploymentOpened(attempt, self.allocation))]
            case DeploySubtask(subtask=subtask, attempt=attempt):
                asked = [Send(MASTER, SplitRequested(subtask, attempt, 1, self.address))] if subtask.vertex == "read" else []
                return [Send(MASTER, SubtaskStarted(subtask, attempt)), *asked]
            case CancelSubtask(subtask=subtask, attempt=attempt):
                return [Send(MASTER, SubtaskCancelled(subtask, attempt))]
            case EndWorker():
                self.end()
        return []

    def observe(self) -> object:
        """Return the lease."""
        return self.allocation

    def check(self) -> None:
        """Say nothing."""


class Master(JobMachine):
    """A job, as a shell runs it."""

    def check(self) -> None:
        """Say nothing."""


class Uncoded:
    """Gives out a number for a message instead of its bytes, and the message for the number."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def encode(self, message: Message) -> bytes:
        """Return the number of a message."""
        self._messages.append(message)
        return b"%d" % len(self._messages)

    def decode(self, payload: bytes) -> Message:
        """Return the message of a number."""
        return self._messages[int(payload) - 1]


class Reliable(ReliableMachine):
    """A machine and its correspondence, as a shell runs it."""

    def check(self) -> None:
        """Say nothing."""


def reliable(address: Address, machine: Machine, codec: Uncoded) -> Reliable:
    """Return a machine between a JobMaster and a worker."""
    sender, receiver = ReliableSender(address, FIRST_LIFE, codec.encode), ReliableReceiver(address, FIRST_LIFE, codec.decode)
    correspondence = Correspondence(sender, receiver)
    return Reliable(machine, correspondence, (*TO_WORKERS, DeploymentOpened, SplitRequested, SubtaskStarted, SubtaskCancelled))


class Pool(SlotPool):
    """A ResourceManager, as a shell runs it."""

    def check(self) -> None:
        """Say nothing."""


class TaskManager(TaskManagerMachine):
    """A TaskManager, as a shell runs it."""

    def check(self) -> None:
        """Say nothing."""


def deploy_and_cancel(vertices: int, parallelism: int) -> float:
    """Return the CPU seconds to deploy `vertices` x `parallelism` subtasks, and to cancel them once all run."""
    names = ["read", *(f"map-{number}" for number in range(1, vertices))]
    chain = tuple(Vertex(VertexId(name), name, (), parallelism, 32_768, "default", "default") for name in names)
    description = JobDescription(JOB, ExecutionGraph("job", chain, (), ()), {chain[0].id: parallelism}, b"plan", {}, CLIENT)
    master = Master(description, address=MASTER, resource_manager=POOL, strategy=NoRestart(), chances=itertools.repeat(0.5))

    codec = Uncoded()

    def spawn(address: Address, recipe: WorkerRecipe) -> Reliable:
        task_manager, _, name = address.rpartition("/")

        def end() -> None:
            world.at(world.now, lambda: world.end_child(Address(task_manager), name, Stopped()))

        world.at(world.now + 0.5, lambda: world.tell(address, "begin"))
        return reliable(address, Worker(address, recipe, end), codec)

    world = Simulation(1, work=lambda _: [b""] * (parallelism // 2), spawn=spawn)
    world.add(POOL, lambda _: Pool())
    for number in range(-(-parallelism // SLOTS_OF_EACH)):
        address = Address(f"tm-{number}/tm")
        world.add(address, lambda _, address=address: TaskManager(address, POOL, slots=SLOTS_OF_EACH), Register())
    world.run(1.0)
    start = time.process_time()
    world.add(MASTER, lambda _: reliable(MASTER, master, codec), Begin())
    world.run(3.0)
    assert master.observe().status is JobStatus.RUNNING, "every subtask has started"
    world.tell(MASTER, CancelJob(JOB))
    world.run(4.5)
    assert master.observe().status is JobStatus.CANCELLED, "every subtask has ended"
    return time.process_time() - start


def main() -> None:
    bench = Benchmark("control_plane", __doc__)
    subtasks = bench.size(2_000, quick=200)
    bench.compare(
        f"{subtasks:,} subtasks deployed and cancelled (CPU time)",
        "s",
        {
            "4 to a slot": lambda: deploy_and_cancel(4, subtasks // 4),
            "1 to a slot": lambda: deploy_and_cancel(1, subtasks),
            "20 to a slot": lambda: deploy_and_cancel(20, subtasks // 20),
        },
        rounds=3,
        targets=[Target(name, at_most=2.0) for name in ("4 to a slot", "1 to a slot", "20 to a slot")],
    )
    sizes = [subtasks // 2, subtasks, subtasks * 2]
    bench.figures("by number of subtasks, 4 to a slot", "s", {f"{size:,}": deploy_and_cancel(4, size // 4) for size in sizes})
    bench.finish()


if __name__ == "__main__":
    main()
