"""Faults as data: what a simulated network and its nodes do wrong, and when.

`Faults` is a value, so a failing run is described by its seed alone: `Faults.drawn` derives one from a seeded random generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from actorflow.ids import NodeId


@dataclass(frozen=True, slots=True)
class Partition:
    """From `start_s` to `end_s`, nothing passes between `nodes` and all others."""

    nodes: tuple[NodeId, ...]
    start_s: float
    end_s: float

    def cuts(self, sender: NodeId, receiver: NodeId, now: float) -> bool:
        """Return whether a message between these two is lost at `now`."""
        return self.start_s <= now < self.end_s and (sender in self.nodes) != (receiver in self.nodes)


@dataclass(frozen=True, slots=True)
class Crash:
    """At `at_s` everything on `node` is gone, timers and slow work included. It starts anew after `restart_after_s`, or never."""

    node: NodeId
    at_s: float
    restart_after_s: float | None = 1.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong. Messages within a node are never touched.

    Attributes:
        loss: share of messages that are lost.
        doubling: share of messages that arrive a second time, later and out of order.
        delay_s: least and mean time on the way; the rest is exponentially distributed, so that now and then it is long.
        reordering: whether messages of one pair of actors may overtake each other. Our transport keeps their order.
        calm_after_s: from then on nothing is lost, doubled or late, so that what must happen in the end can be waited for.
        partitions: see `Partition`.
        crashes: see `Crash`.
    """

    loss: float = 0.0
    doubling: float = 0.0
    delay_s: tuple[float, float] = (0.0005, 0.002)
    reordering: bool = False
    calm_after_s: float = math.inf
    partitions: tuple[Partition, ...] = ()
    crashes: tuple[Crash, ...] = ()

    @staticmethod
    def drawn(random: Random, nodes: Sequence[NodeId], calm_after_s: float, *, crashing: Sequence[NodeId] = ()) -> Faults:
        """Return faults for a run among `nodes`: lossy, slow, at times cut in two, and with crashes of some of `crashing`.

        Everything is healed and restarted by `calm_after_s`.
        """
        partitions = []
        for _ in range(random.randrange(3)):
            start_s = random.uniform(0, calm_after_s * 0.8)
            cut_off = tuple(node for node in nodes if random.random() < 0.5)
            partitions.append(Partition(cut_off, start_s, random.uniform(start_s, calm_after_s)))
        crashes = []
        for node in crashing:
            if random.random() < 0.6:
                at_s = random.uniform(0, calm_after_s * 0.8)
                crashes.append(Crash(node, at_s, random.uniform(0, calm_after_s - at_s)))
        return Faults(
            loss=random.choice((0.0, 0.05, 0.2)),
            doubling=random.choice((0.0, 0.1, 0.3)),
            delay_s=(0.0005, random.choice((0.002, 0.05, 0.3))),
            calm_after_s=calm_after_s,
            partitions=tuple(partitions),
            crashes=tuple(crashes),
        )

    def arrivals(self, random: Random, sender: NodeId, receiver: NodeId, now: float) -> tuple[float, ...]:
        """Return when a message sent at `now` arrives: never, once, or twice (the second is the double).

        The order among messages of a pair is the simulator's business.
        """
        if any(partition.cuts(sender, receiver, now) for partition in self.partitions):
            return ()
        least_s, mean_s = self.delay_s
        if now >= self.calm_after_s:
            return (now + least_s,)
        at = now + least_s + random.expovariate(1 / mean_s)
        if self.loss and random.random() < self.loss:
            return ()
        if self.doubling and random.random() < self.doubling:
            return (at, at + random.expovariate(1 / (20 * mean_s)))
        return (at,)
