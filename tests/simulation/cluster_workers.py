"""Small fake slot workers: they say what real ones would, in the same order; chance decides all else."""

from dataclasses import replace

from actorflow.errors import ErrorInfo, Retry
from actorflow.ids import Address, split_address
from actorflow.protocol.jobs.deployment import CancelSubtask, SubtaskCancelled, SubtaskFailed, SubtaskFinished, SubtaskStarted
from actorflow.protocol.jobs.job_messages import (
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    OpenDeployment,
    OutputCommitted,
    ResultChunk,
    WorkerFailed,
    WorkerStarted,
)
from actorflow.protocol.jobs.splits import NoMoreSplits, SplitAssigned, SplitFinished, SplitRequested
from actorflow.protocol.machine import Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.task_manager import EndWorker
from actorflow.protocol.transfer.partitions import PartitionsAt

BROKEN = ErrorInfo("ValueError", "bad record")
LOST = ErrorInfo("PartitionLost", "it is gone")
HOPELESS = ErrorInfo("PlanError", "it cannot work", retry=Retry.NEVER)
TO_MASTERS = (
    DeploymentOpened,
    SubtaskStarted,
    SubtaskFinished,
    SubtaskCancelled,
    SubtaskFailed,
    WorkerFailed,
    OutputCommitted,
    SplitRequested,
    SplitFinished,
    ResultChunk,
)
"""What a worker tells its JobMaster."""


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
        self.numbers = []
        """Of the run that it serves, and of regions that came back."""
        self.alive = set()
        """Subtasks that were started and have not ended. Only asked for membership."""
        self.begun = set()
        self.number = {}
        """Of the deployment that a subtask is of."""
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
                return [] if self.world.unlucky(0.02) else self.announce(now)
            case TimerFired("announce"):
                return self.announce(now)
            case EndWorker():
                self.world.end(self)
            case OpenDeployment(number=number) if number not in self.numbers:
                return self.open(event, now)
            case TimerFired("built"):
                return [Send(self.opening.job_master, DeploymentOpened(self.opening.attempt, self.allocation))]
            case DeploySubtask(subtask=subtask) if subtask not in self.begun and not self.world.unlucky(0.01):
                self.begun.add(subtask)
                lost = self.lost_of(event.reads)
                if lost is not None:
                    context = {"partition": str(lost.producer), "lost with": self.world.gone_with.get(lost.at.location, "")}
                    return self.tell(SubtaskFailed, subtask, replace(LOST, context=context))
                self.alive.add(subtask)
                return [*self.tell(SubtaskStarted, subtask), *self.go_on(subtask, None, now)]
            case SplitAssigned(subtask=subtask, request=request, split=split) if self.requests.get(subtask) == request:
                self.requests[subtask] += 1
                return self.takes_time(now, "read", subtask, split)
            case NoMoreSplits(subtask=subtask, request=request) if self.requests.get(subtask) == request:
                self.requests[subtask] += 1
                return self.takes_time(now, "finish", subtask)
            case TimerFired((what, subtask, number, *details)) if subtask in self.alive and number == self.number[subtask]:
                return self.time_is_up(now, what, subtask, *details)
            case CancelSubtask(subtask=subtask) if subtask in self.begun:
                return self.cancel(subtask, now)
            case CommitOutput(round=number) if self.opening is not None:
                return self.asked_to_commit(number, now)
            case TimerFired(("commit", number)):
                return self.commit(number)
        return []

    def lost_of(self, reads):
        """Return one of the partitions that a subtask is to read and does not find, if there is one; lose one now and then."""
        partitions = self.world.partitions
        if reads and self.world.unlucky(0.03):
            partitions.pop(self.world.random.choice(reads).at.location, None)
        missing = [read for read in reads if read.at.location not in partitions]
        return self.world.random.choice(missing) if missing else None

    def announce(self, now):
        if self.opening is not None:
            return []
        return [Send(self.task_manager, WorkerStarted(self.allocation, self.address, ())), SetTimer("announce", now + 0.2)]

    def open(self, opening, now):
        self.numbers.append(opening.number)
        if self.opening is None:
            self.opening = opening
        running = [str(subtask) for subtask in opening.subtasks if subtask in self.alive]
        ensure(not running, f"{self.address} is to build anew what has not ended: {running}")
        self.begun.difference_update(opening.subtasks)
        for subtask in opening.subtasks:
            self.prepared.pop(subtask, None)
            self.number[subtask] = opening.number
        if self.world.unlucky(0.02):
            return self.tell(SubtaskFailed, opening.subtasks[0], BROKEN)
        return [] if self.world.unlucky(0.01) else [SetTimer("built", now + self.world.random.expovariate(50))]

    def tell(self, message, subtask, *details):
        return [Send(self.opening.job_master, message(subtask, self.opening.attempt, *details))]

    def takes_time(self, now, what, subtask, *details):
        return [SetTimer((what, subtask, self.number[subtask], *details), now + self.world.random.expovariate(self.world.pace))]

    def time_is_up(self, now, what, subtask, *details):
        if what == "cancel":
            self.alive.discard(subtask)
            return self.tell(SubtaskCancelled, subtask)
        if self.world.unlucky(self.world.flakiness / 4):
            return [Send(self.opening.job_master, WorkerFailed(self.opening.attempt, self.allocation, BROKEN))]  # and then it hangs
        if self.world.unlucky(self.world.flakiness):
            self.alive.discard(subtask)
            return self.tell(SubtaskFailed, subtask, HOPELESS if self.world.unlucky(0.1) else BROKEN)
        if what == "read":
            return self.go_on(subtask, details[0], now)
        self.alive.discard(subtask)
        payload, results = b"", []
        if subtask.vertex.endswith("write"):
            job, attempt = self.opening.job, self.opening.attempt
            count = 0 if self.world.regions[job] else self.world.random.randrange(4)
            results = [Send(self.opening.job_master, ResultChunk(job, subtask, attempt, b"%d" % n)) for n in range(count)]
        if subtask.vertex.endswith("write") and self.world.random.random() < 0.8:
            who = f"{self.opening.job} {self.opening.attempt} {subtask} {self.allocation} {self.number[subtask]}"
            payload = self.prepared[subtask] = who.encode()
        return [*results, *self.tell(SubtaskFinished, subtask, payload, b"state", 0, None, self.written(subtask))]

    def written(self, subtask):
        """Return where a subtask has written what others read, if any do."""
        if not self.world.staged or subtask.vertex.endswith("write"):
            return None
        location = f"{subtask} {self.number[subtask]} {self.allocation}"
        node = split_address(self.address)[0]
        self.world.partitions[location] = node
        return PartitionsAt(location, Address(f"{node}/partitions"))

    def go_on(self, subtask, finished, now):
        """Ask for the next split; who does not read takes a while and finishes."""
        if not subtask.vertex.endswith("read"):
            return self.takes_time(now, "finish", subtask)
        request = self.requests.setdefault(subtask, 1)
        told = [] if finished is None else self.tell(SplitFinished, subtask, finished)
        return [*told, *self.tell(SplitRequested, subtask, request, self.address)]

    def cancel(self, subtask, now):
        if subtask not in self.alive:
            return []  # it has told its end before
        if self.world.unlucky(0.1):
            return self.takes_time(now, "cancel", subtask)
        self.alive.discard(subtask)
        stuck = self.world.unlucky(0.1)
        return [] if stuck else self.tell(SubtaskCancelled, subtask)

    def asked_to_commit(self, number, now):
        self.hangs = self.hangs or self.world.unlucky(0.03)
        lost = self.world.unlucky(0.05)
        return [] if self.hangs or lost else [SetTimer(("commit", number), now + self.world.random.expovariate(5))]

    def commit(self, number):
        """Commit, once in each round until all is visible."""
        if self.answer is None or (self.answer.message.error is not None and self.answer.message.round < number):
            error = BROKEN if self.world.unlucky(0.15) else None
            for payload in self.prepared.values():
                if error is None or self.world.random.random() < 0.5:
                    self.world.committed.setdefault(payload, self.world.simulation.now)
            self.answer = Send(self.opening.job_master, OutputCommitted(self.opening.attempt, self.allocation, error, number))
        return [self.answer]

    def observe(self):
        return self.allocation

    def check(self):
        pass
