"""What must hold in a simulated job under checkpoints."""

from collections import Counter

from checkpoint_master import Master
from checkpoint_world import KEYS, MASTER, RECORDS, SOURCES

from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAborted, CheckpointCompleted, TriggerCheckpoint
from actorflow.protocol.machine import Send, ensure
from actorflow.testing.simulation import Invariant


class EveryRecordCountsOnce(Invariant):
    """What is committed is at every moment part of what an undisturbed run commits, and in the end all of it."""

    def __init__(self, world):
        self.world = world
        sources = range(len(SOURCES))
        keys = Counter((position * 3 + index) % KEYS for index in sources for position in range(RECORDS))
        self.expected = Counter((key, count) for key, total in keys.items() for count in range(1, total + 1))
        self.seen = 0

    def after(self, step):
        if len(self.world.committed) != self.seen:
            self.seen = len(self.world.committed)
            extra = self.committed() - self.expected
            ensure(not extra, f"committed twice, or never to be: {sorted(extra)[:3]}")

    def committed(self):
        return Counter(record for records in self.world.committed.values() for record in records)

    def at_end(self, simulation):
        missing = self.expected - self.committed()
        ensure(
            not missing,
            f"{missing.total()} records are lost: {sorted(missing)[:3]}; {simulation.machine(MASTER, Master).observe()}",
        )


class EveryRecordCountsAtLeastOnce(EveryRecordCountsOnce):
    """In the end everything is committed that an undisturbed run commits, and perhaps more."""

    def after(self, step):
        pass


class WhatIsStoredIsWhole(Invariant):
    """When all have acknowledged a checkpoint, all that it refers to is there, and is what they had."""

    def __init__(self, world):
        self.world = world

    def after(self, step):
        ensure(not self.world.wrong, next(iter(self.world.wrong), ""))


class NumbersRise(Invariant):
    """Checkpoints are triggered, and complete, in rising order; none is told to be complete that was told to be aborted."""

    def __init__(self):
        self.triggered, self.completed, self.aborted = 0, 0, set()

    def after(self, step):
        for effect in step.effects:
            match effect:
                case Send(message=TriggerCheckpoint(checkpoint=number)):
                    ensure(number >= self.triggered, f"checkpoint {number} is triggered after {self.triggered}")
                    self.triggered = number
                case Send(message=CheckpointAborted(checkpoint=number)):
                    self.aborted.add(number)
                case Send(message=CheckpointCompleted(checkpoint=number)):
                    ensure(number >= self.completed, f"checkpoint {number} completes after {self.completed}")
                    ensure(number not in self.aborted, f"checkpoint {number} completes, and was aborted")
                    self.completed = number


class NothingFails(Invariant):
    """Where nothing is lost and nobody dies, every checkpoint is completed that the end of the job leaves time for."""

    def at_end(self, simulation):
        seen = simulation.machine(MASTER, Master).observe()
        ensure(seen.failed == 0, f"{seen.failed} checkpoints failed although all was well: {seen.last_error}")
