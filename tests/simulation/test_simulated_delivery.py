"""Reliable delivery between a master and a worker that both crash, over a network that loses, doubles, delays and parts."""

from dataclasses import replace

import pytest

from actorflow.errors import InvariantViolated
from actorflow.ids import Address, NodeId
from actorflow.protocol.machine import Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.transfer.delivery import (
    Acknowledged,
    ConfirmDelivery,
    Delivered,
    Envelope,
    PeerStarted,
    ReliableSender,
    SendReliably,
    Undelivered,
)
from actorflow.protocol.transfer.receipt import ReliableReceiver, _Incoming
from actorflow.testing.faults import Faults
from actorflow.testing.invariants import DeliveredOnceInOrder
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep
from actorflow.wire.message import Message, MessageCodec

MASTER, WORKER = Address("jm/master"), Address("tm/worker")
CALM_S, END_S = 4.0, 30.0


class Order(Message, frozen=True):
    """`number` is the master's incarnation times 1,000, plus a count from 1."""

    number: int


class Hello(Message, frozen=True):
    """The worker tells its incarnation."""

    incarnation: int


CODEC = MessageCodec([Order])


class Master:
    """Sends an order every 80 ms until the network is calm."""

    def __init__(self, incarnation, sender):
        self.sender = sender(MASTER, incarnation, CODEC.encode, window_max=8, confirm_after_s=0.1, confirm_max_s=0.4)
        self.number = incarnation * 1_000

    def handle(self, event, now):
        match event:
            case Hello(incarnation=incarnation):
                return self.sender.handle(PeerStarted(WORKER, incarnation), now)
            case TimerFired("produce"):
                self.number += 1
                again = [SetTimer("produce", now + 0.08)] if now < CALM_S else []
                return [*self.sender.handle(SendReliably(WORKER, Order(self.number)), now), *again]
            case _:
                return self.sender.handle(event, now)

    def observe(self):
        return self.sender.observe()

    def check(self):
        self.sender.check()


class Worker:
    """Says hello every 300 ms, and receives."""

    def __init__(self, incarnation, receiver):
        self.incarnation = incarnation
        self.receiver = receiver(WORKER, incarnation, CODEC.decode, window_max=8, acknowledge_after_s=0.03)

    def handle(self, event, now):
        if event == TimerFired("hello"):
            return [Send(MASTER, Hello(self.incarnation)), SetTimer("hello", now + 0.3)]
        return self.receiver.handle(event, now)

    def observe(self):
        return self.receiver.observe()

    def check(self):
        self.receiver.check()


class NothingVanishes(Invariant):
    """In the end each order of the last master has been delivered, or was reported as undelivered."""

    def __init__(self):
        self.accounted = set()

    def after(self, step):
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, Delivered | Undelivered):
                self.accounted.add(effect.value.message.number)

    def at_end(self, simulation):
        last = simulation.machine(MASTER, Master).number
        missing = [number for number in range(last // 1_000 * 1_000 + 1, last + 1) if number not in self.accounted]
        ensure(not missing, f"orders vanished: {missing}")


class StreamsHaveNoGaps(Invariant):
    """Orders of one master to one worker are delivered without a gap, unless the gap was reported."""

    def __init__(self):
        self.reported = set()
        self.last = {}

    def after(self, step):
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, Undelivered):
                self.reported.add(effect.value.message.number)
            if isinstance(effect, Report) and isinstance(effect.value, Delivered):
                number = effect.value.message.number
                stream = (number // 1_000, step.machine.incarnation)
                gap = range(self.last.get(stream, number) + 1, number)
                ensure(all(missed in self.reported for missed in gap), f"{number} is delivered after {self.last.get(stream)}")
                self.last[stream] = number


class MeantForThisWorker(Invariant):
    """What is delivered was put on its way to the incarnation that delivers it, and the master had not given it up."""

    def __init__(self):
        self.given_up = set()

    def after(self, step):
        for effect in step.effects:
            if isinstance(effect, Send) and isinstance(effect.message, Envelope):
                number = CODEC.decode(effect.message.payload).number
                ensure(number not in self.given_up, f"{number} was reported as undelivered and is sent again")
            if isinstance(effect, Report) and isinstance(effect.value, Undelivered):
                self.given_up.add(effect.value.message.number)
            if isinstance(effect, Report) and isinstance(effect.value, Delivered) and isinstance(step.event, Envelope):
                meant = step.event.receiver_incarnation
                ensure(meant == step.machine.incarnation, f"an envelope for incarnation {meant} is opened by another")


def run(seed, *, sender=ReliableSender, receiver=ReliableReceiver):
    invariants = [DeliveredOnceInOrder(lambda order: order.number), NothingVanishes(), StreamsHaveNoGaps(), MeantForThisWorker()]
    simulation = Simulation(seed, invariants=invariants)
    nodes = [NodeId("jm"), NodeId("tm")]
    faults = Faults.drawn(simulation.random, nodes, CALM_S, crashing=nodes)
    simulation.suffer(replace(faults, reordering=simulation.random.random() < 0.5))
    simulation.add(MASTER, lambda incarnation: Master(incarnation, sender), TimerFired("produce"))
    simulation.add(WORKER, lambda incarnation: Worker(incarnation, receiver), TimerFired("hello"))
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_every_order_is_delivered_once_in_order_or_reported_over_many_seeds():
    sweep(run, range(300))


class DeliversDoubles(ReliableReceiver):
    def arrived(self, event, now):
        ack = Acknowledged(self._address, event.sender_incarnation, event.receiver_incarnation, event.sequence)
        return [self._open(event.sender, event.payload), Send(event.sender, ack)]


class OpensWhatWasMeantForItsPredecessor(ReliableReceiver):
    def arrived(self, event, now):
        self._incarnation = event.receiver_incarnation
        return super().arrived(event, now)


class HearsASenderOfThePast(ReliableReceiver):
    def arrived(self, event, now):
        stream = self._streams.get(event.sender)
        if stream is not None and event.sender_incarnation < stream.incarnation:
            self._streams[event.sender] = _Incoming(event.sender_incarnation)
        return super().arrived(event, now)


class AcknowledgesTheHighestSeen(ReliableReceiver):
    def _acknowledgement(self, sender, stream, asked=0):
        ack = super()._acknowledgement(sender, stream, asked).message
        through = max(stream.early, default=stream.delivered)
        return Send(sender, Acknowledged(ack.receiver, ack.sender_incarnation, ack.receiver_incarnation, through, asked))


class NeverAnswers(ReliableReceiver):
    def handle(self, event, now):
        return [] if isinstance(event, ConfirmDelivery) else super().handle(event, now)


class NeverAsks(ReliableSender):
    def _ask(self, now):
        self._timer_set = False
        return []

    def check(self):
        pass


class AsksOnce(ReliableSender):
    def _ask(self, now):
        return super()._ask(now)[:-1]


class SendsNothingAgain(ReliableSender):
    def _acknowledged(self, ack, now):
        return super()._acknowledged(Acknowledged(ack.receiver, ack.sender_incarnation, ack.receiver_incarnation, ack.through), now)


class BelievesAcknowledgementsOfOldStreams(ReliableSender):
    def _acknowledged(self, ack, now):
        stream = self._streams.get(ack.receiver)
        if stream is None:
            return []
        return super()._acknowledged(Acknowledged(ack.receiver, self._incarnation, stream.incarnation, ack.through), now)


class CarriesOverToTheNextIncarnation(ReliableSender):
    def _peer_started(self, peer, incarnation):
        stream = self._streams.get(peer)
        if stream is None or incarnation <= stream.incarnation:
            return super()._peer_started(peer, incarnation)
        stream.incarnation = incarnation
        return []


class ForgetsWhatWasWaiting(ReliableSender):
    def _close(self, peer, reason):
        self._streams[peer].waiting.clear()
        return super()._close(peer, reason)


@pytest.mark.parametrize(
    "bug", [DeliversDoubles, OpensWhatWasMeantForItsPredecessor, HearsASenderOfThePast, AcknowledgesTheHighestSeen, NeverAnswers]
)
def test_a_planted_bug_of_the_receiver_is_found(bug):
    failure = first_failure(lambda seed: run(seed, receiver=bug), range(200))
    assert isinstance(failure.__cause__, InvariantViolated)


@pytest.mark.parametrize(
    "bug",
    [
        NeverAsks,
        AsksOnce,
        SendsNothingAgain,
        BelievesAcknowledgementsOfOldStreams,
        CarriesOverToTheNextIncarnation,
        ForgetsWhatWasWaiting,
    ],
)
def test_a_planted_bug_of_the_sender_is_found(bug):
    failure = first_failure(lambda seed: run(seed, sender=bug), range(200))
    assert isinstance(failure.__cause__, InvariantViolated)
