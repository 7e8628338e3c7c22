"""A machine and its correspondence: what goes into envelopes, what comes out of them, and what comes back."""

import pytest

from actorflow.errors import InvariantViolated
from actorflow.ids import Address
from actorflow.protocol.machine import Report, Send, SetTimer, TimerFired
from actorflow.protocol.transfer.correspondence import FIRST_LIFE, Correspondence, ReliableMachine
from actorflow.protocol.transfer.delivery import (
    Acknowledged,
    ConfirmDelivery,
    Envelope,
    EnvelopeRefused,
    PeerLost,
    PeerStarted,
    ReliableSender,
    Undelivered,
)
from actorflow.protocol.transfer.receipt import ReliableReceiver
from actorflow.testing.probe import Probe
from actorflow.wire.message import Message, MessageCodec

MASTER, WORKER, CLIENT = Address("jm/job"), Address("worker-1/worker"), Address("client/c")


class Order(Message, frozen=True):
    number: int


class Status(Message, frozen=True):
    number: int


CODEC = MessageCodec([Order, Status])


class Clerk:
    """Does the effects that it is told, and notes whatever else it hears."""

    def __init__(self):
        self.heard = []

    def handle(self, event, now):
        if isinstance(event, list):
            return event
        self.heard.append(event)
        return []

    def observe(self):
        return "clerk"

    def check(self):
        pass


def clerk(address=MASTER, **options):
    correspondence = Correspondence(
        ReliableSender(address, FIRST_LIFE, CODEC.encode, **options), ReliableReceiver(address, FIRST_LIFE, CODEC.decode)
    )
    machine = Clerk()
    probe = Probe(ReliableMachine(machine, correspondence, (Order,)))
    probe.heard = machine.heard
    return probe


def letter(number, sequence, *, sender=WORKER):
    return Envelope(sender, 1, 1, sequence, CODEC.encode(Order(number)))


def known(**options):
    probe = clerk(**options)
    probe.tell([Report(PeerStarted(WORKER, 1))])
    return probe


def test_messages_of_the_named_kinds_go_into_envelopes_and_all_else_stays_as_it_is():
    probe = known()
    others = [Send(CLIENT, Status(1)), Send(WORKER, Status(2)), SetTimer("mine", 5.0), Report("news")]
    effects = probe.tell([others[0], Send(WORKER, Order(7)), *others[1:]])
    envelope, *rest = [effect for effect in effects if effect not in others]
    assert Send(WORKER, letter(7, 1, sender=MASTER)) == envelope
    assert [SetTimer] == [type(effect) for effect in rest]
    assert others == [effect for effect in effects if effect in others]


def test_what_is_delivered_comes_to_the_machine_as_it_was_sent():
    probe = clerk()
    probe.tell(letter(8, 2), Status(5), letter(7, 1), TimerFired("mine"))
    assert [Status(5), Order(7), Order(8), TimerFired("mine")] == probe.heard


def test_timers_questions_and_acknowledgements_are_not_for_the_machine():
    probe = known()
    probe.tell([Send(WORKER, Order(1))], letter(7, 1), ConfirmDelivery(WORKER, 1, 1, 1))
    assert [Acknowledged(MASTER, 1, 1, 1, 1)] == probe.sent(Acknowledged)
    probe.advance(1.0)
    assert [ConfirmDelivery(MASTER, 1, 1, 1)] == probe.sent(ConfirmDelivery)
    probe.tell(Acknowledged(WORKER, 1, 1, 1))
    probe.advance(5.0)
    assert ([], [Order(7)]) == (probe.effects, probe.heard)


def test_who_was_written_to_can_answer():
    probe = clerk(WORKER)
    probe.tell(letter(7, 1, sender=MASTER), [Send(MASTER, Order(8))])
    assert [letter(8, 1)] == probe.sent(Envelope)


def test_what_cannot_be_delivered_or_read_comes_back():
    probe = known(payload_bytes_max=3)
    probe.tell([Send(CLIENT, Order(1)), Send(WORKER, Order(2))], Envelope(WORKER, 1, 1, 1, b"nonsense"))
    stranger, large, refused = probe.heard
    assert Undelivered(CLIENT, Order(1), "client/c is not known to live") == stranger
    assert (WORKER, Order(2)) == (large.to, large.message)
    assert (EnvelopeRefused, WORKER) == (type(refused), refused.sender)


def test_what_was_for_a_peer_that_the_machine_gave_up_does_not_come_back_and_its_letters_are_not_read():
    probe = known()
    probe.tell([Send(WORKER, Order(1))])
    probe.tell([Report(PeerLost(WORKER, 1))], letter(7, 1))
    assert ([], [], []) == (probe.heard, probe.sent(), probe.reports())


def test_the_machine_is_observed_and_both_ends_are_checked():
    probe = known()
    assert "clerk" == probe.machine.observe()
    probe.tell([Send(WORKER, Order(1))], letter(7, 1))
    correspondence = probe.machine._correspondence
    for end in (correspondence._sender, correspondence._receiver):
        end._timer_set = False
        with pytest.raises(InvariantViolated):
            probe.machine.check()
        end._timer_set = True
    probe.machine.check()
