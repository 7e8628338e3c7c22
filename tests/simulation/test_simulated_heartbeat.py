"""Three nodes watch each other while they crash and the network loses, delays, doubles and parts."""

import pytest

from actorflow.ids import Address, NodeId
from actorflow.protocol.machine import Report, ensure
from actorflow.protocol.nodes.heartbeat import (
    HeartbeatMonitor,
    IncarnationFenced,
    PeerAdded,
    PeerDied,
    PeerState,
    PeerTrusted,
    SelfFenced,
    _Peer,
)
from actorflow.testing.faults import Crash, Faults
from actorflow.testing.invariants import DeathIsFinal
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

NODES = [NodeId("jm"), NodeId("tm-1"), NodeId("tm-2")]
ADDRESSES = [Address(f"{node}/beats") for node in NODES]
CALM_S, END_S = 20.0, 40.0


class Node:
    """Watches all others; when it hears that it was declared dead it starts anew with the next incarnation."""

    def __init__(self, address, incarnation, monitor):
        self.address = address
        self.make = monitor
        self.incarnation = incarnation * 1_000
        self.fenced = 0
        self.monitor = None

    def handle(self, event, now):
        if event == "open":
            return self.open(now)
        effects = self.monitor.handle(event, now)
        if any(isinstance(effect, Report) and isinstance(effect.value, SelfFenced) for effect in effects):
            self.incarnation += 1
            self.fenced += 1
            return [*effects, *self.open(now)]
        return effects

    def open(self, now):
        self.monitor = self.make(self.address, self.incarnation, interval_s=0.5, suspect_after_s=1.3, dead_after_s=3.0)
        others = [address for address in ADDRESSES if address != self.address]
        return [effect for address in others for effect in self.monitor.handle(PeerAdded(address, 0), now)]

    def observe(self):
        return self.monitor.observe()

    def check(self):
        if self.monitor is not None:
            self.monitor.check()


class BelievedInTheEnd(Invariant):
    """In the end each living node believes the others alive, in the incarnation they have, and the crashed ones dead."""

    def at_end(self, simulation):
        living = {address: simulation.machine(address, Node) for address in simulation.alive()}
        for address, node in living.items():
            for health in node.observe():
                if health.peer in living:
                    believed = (health.state, health.incarnation)
                    actual = (PeerState.ALIVE, living[health.peer].incarnation)
                    ensure(believed == actual, f"{address} believes {health}, and the peer is {actual}")
                else:
                    ensure(health.state is PeerState.DEAD, f"{address} believes {health}, and the peer has crashed")


class NobodyDiesWithoutCause(Invariant):
    """Where nothing goes wrong but ordinary delay, nobody is declared dead."""

    def after(self, step):
        for effect in step.effects:
            died = isinstance(effect, Report) and isinstance(effect.value, PeerDied) and effect.value.incarnation > 0
            ensure(not died, f"{step.address} reports {effect}")


class OnlyTheFencedStartAnew(Invariant):
    """A node starts anew when its own incarnation was fenced, and not because an earlier one was."""

    def after(self, step):
        if isinstance(step.event, IncarnationFenced):
            fenced = [
                effect.value for effect in step.effects if isinstance(effect, Report) and isinstance(effect.value, SelfFenced)
            ]
            current = step.machine.incarnation - len(fenced)
            ensure(not fenced or step.event.incarnation == current, f"{step.address} is {current} and heeds {step.event}")


class DeathIsForThatIncarnation(DeathIsFinal):
    """`DeathIsFinal`, counted anew for each incarnation of the observer."""

    def after(self, step):
        observer = Address(f"{step.address}@{step.machine.incarnation}")
        super().after(type(step)(step.at, observer, step.machine, step.event, step.effects))


def run(seed, *, monitor=HeartbeatMonitor, faults=None, extra=()):
    simulation = Simulation(seed, invariants=[DeathIsForThatIncarnation(), BelievedInTheEnd(), OnlyTheFencedStartAnew(), *extra])
    if faults is None:
        faults = Faults.drawn(simulation.random, NODES, CALM_S, crashing=NODES[:2])
        if simulation.random.random() < 0.3:
            faults = Faults(
                **{name: getattr(faults, name) for name in faults.__slots__ if name != "crashes"},
                crashes=(Crash(NODES[2], 5.0, None),),
            )
    simulation.suffer(faults)
    for address in ADDRESSES:
        simulation.add(address, lambda incarnation, address=address: Node(address, incarnation, monitor), "open")
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_death_is_final_and_everyone_knows_the_living_in_the_end_over_many_seeds():
    sweep(run, range(200))


def test_ordinary_delay_kills_nobody():
    quiet = Faults(delay_s=(0.001, 0.05))
    sweep(lambda seed: run(seed, faults=quiet, extra=[NobodyDiesWithoutCause()]), range(30))


class RevivesTheDead(HeartbeatMonitor):
    def _beat(self, sender, incarnation, now):
        peer = self._peers.get(sender)
        if peer and peer.state is PeerState.DEAD and incarnation == peer.incarnation:
            peer.state, peer.heard_at = PeerState.ALIVE, now
            return [Report(PeerTrusted(sender, incarnation))]
        return super()._beat(sender, incarnation, now)


class HearsAnEarlierIncarnation(HeartbeatMonitor):
    def _beat(self, sender, incarnation, now):
        peer = self._peers.get(sender)
        if peer and incarnation < peer.incarnation:
            self._peers[sender] = _Peer(incarnation, now)
        return super()._beat(sender, incarnation, now)


class NeverJudges(HeartbeatMonitor):
    def _judge(self, address, peer, now):
        return []


class TellsNobodyThatTheyAreDead(HeartbeatMonitor):
    def _beat(self, sender, incarnation, now):
        return [effect for effect in super()._beat(sender, incarnation, now) if isinstance(effect, Report)]


class BeatsOnlyToTheLiving(HeartbeatMonitor):
    def _tick(self, now):
        dead = {address for address, peer in self._peers.items() if peer.state is PeerState.DEAD}
        return [effect for effect in super()._tick(now) if getattr(effect, "to", None) not in dead]


class HeedsEveryFence(HeartbeatMonitor):
    def handle(self, event, now):
        if isinstance(event, IncarnationFenced):
            return [Report(SelfFenced(event.by, event.incarnation))]
        return super().handle(event, now)


class KillsTheSuspected(HeartbeatMonitor):
    def _judge(self, address, peer, now):
        if now - peer.heard_at > 0.4:
            return self._declare_dead(address, peer, "late")
        return []


@pytest.mark.parametrize(
    "bug",
    [RevivesTheDead, HearsAnEarlierIncarnation, NeverJudges, TellsNobodyThatTheyAreDead, BeatsOnlyToTheLiving, HeedsEveryFence],
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, monitor=bug), range(200)) is not None


def test_a_monitor_that_is_too_strict_is_found_where_nothing_is_wrong():
    quiet = Faults(delay_s=(0.001, 0.05))
    strict = lambda seed: run(seed, monitor=KillsTheSuspected, faults=quiet, extra=[NobodyDiesWithoutCause()])
    assert first_failure(strict, range(30)) is not None
