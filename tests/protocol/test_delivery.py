"""Reliable delivery: each message once, in order, to the incarnation it was meant for."""

import pytest

from actorflow.errors import FrameRefused, InvariantViolated
from actorflow.ids import Address
from actorflow.protocol.delivery import (
    LOST_KEPT_MAX,
    Acknowledged,
    Delivered,
    Envelope,
    EnvelopeRefused,
    PeerLost,
    PeerStarted,
    ReliableReceiver,
    ReliableSender,
    SendReliably,
    Undelivered,
)
from actorflow.testing.probe import Probe
from actorflow.wire.message import Message, MessageCodec

MASTER, WORKER = Address("jm-1/jobs/a"), Address("tm-1/tm")


class Order(Message, frozen=True):
    number: int


CODEC = MessageCodec([Order])


def sender(**options):
    probe = Probe(ReliableSender(MASTER, 1, CODEC.encode, **options))
    probe.tell(PeerStarted(WORKER, 5))
    return probe


def receiver(incarnation=5, **options):
    return Probe(ReliableReceiver(WORKER, incarnation, CODEC.decode, **options))


def envelope(sequence, *, sender_incarnation=1, receiver_incarnation=5):
    return Envelope(MASTER, sender_incarnation, receiver_incarnation, sequence, CODEC.encode(Order(sequence)))


def acknowledged(through, *, sender_incarnation=1, receiver_incarnation=5):
    return Acknowledged(WORKER, sender_incarnation, receiver_incarnation, through)


def numbers(probe):
    return [message.sequence for message in probe.sent(Envelope)]


def test_messages_are_numbered_from_one_and_sent_at_once():
    probe = sender()
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)))
    assert [envelope(1), envelope(2)] == probe.sent()


def test_what_is_not_acknowledged_is_sent_again_with_growing_pauses():
    probe = sender(resend_after_s=0.2, resend_max_s=0.5)
    probe.tell(SendReliably(WORKER, Order(1)))
    due = []
    for _ in range(4):
        due.append(round(probe.timers[f"resend:{WORKER}"] - probe.now, 6))
        probe.advance(due[-1])
        assert [envelope(1)] == probe.sent()
    assert [0.2, 0.4, 0.5, 0.5] == due


def test_an_acknowledgement_ends_the_resending_of_all_up_to_it():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)))
    probe.tell(acknowledged(2))
    probe.advance(0.2)
    assert [3] == numbers(probe)
    probe.tell(acknowledged(3))
    assert {} == probe.timers


def test_progress_makes_the_next_pause_the_first_again():
    probe = sender(resend_after_s=0.2)
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)))
    probe.advance(1.0)
    probe.tell(acknowledged(1))
    assert pytest.approx(0.2) == probe.timers[f"resend:{WORKER}"] - probe.now


def test_the_window_bounds_what_is_in_flight_and_an_acknowledgement_makes_room():
    probe = sender(window_max=2)
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3, 4)))
    assert [1, 2] == numbers(probe)
    probe.tell(acknowledged(1))
    assert [3] == numbers(probe)


def test_more_than_may_wait_is_reported_as_undelivered():
    probe = sender(window_max=1, waiting_max=1)
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)))
    assert [Undelivered(WORKER, Order(3), "1 messages wait for tm-1/tm already")] == probe.reports()


def test_a_message_to_an_unknown_peer_is_undelivered():
    probe = Probe(ReliableSender(MASTER, 1, CODEC.encode))
    probe.tell(SendReliably(WORKER, Order(1)))
    assert [Undelivered(WORKER, Order(1), "tm-1/tm is not known to live")] == probe.reports()


def test_what_a_lost_peer_did_not_acknowledge_is_undelivered_and_not_sent_again():
    probe = sender(window_max=1)
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)))
    probe.tell(PeerLost(WORKER, 5))
    assert [Undelivered(WORKER, Order(1), "tm-1/tm is lost"), Undelivered(WORKER, Order(2), "tm-1/tm is lost")] == probe.reports()
    assert {} == probe.timers
    assert [] == probe.tell(PeerStarted(WORKER, 5))


def test_a_peer_that_starts_anew_gets_a_new_stream_and_nothing_of_the_old_one():
    probe = sender()
    probe.tell(SendReliably(WORKER, Order(7)))
    probe.tell(PeerStarted(WORKER, 6))
    assert [Undelivered(WORKER, Order(7), "tm-1/tm was started anew")] == probe.reports()
    probe.tell(SendReliably(WORKER, Order(1)))
    assert [envelope(1, receiver_incarnation=6)] == probe.sent()


@pytest.mark.parametrize("stale", [acknowledged(1, receiver_incarnation=4), acknowledged(1, sender_incarnation=0)])
def test_an_acknowledgement_of_another_stream_is_dropped(stale):
    probe = sender()
    probe.tell(SendReliably(WORKER, Order(1)))
    assert [] == probe.tell(stale)
    assert 1 == probe.machine.observe()[0].in_flight


def test_a_receiver_delivers_and_acknowledges():
    probe = receiver()
    probe.tell(envelope(1))
    assert [Delivered(MASTER, Order(1))] == probe.reports()
    assert [acknowledged(1)] == probe.sent()


def test_a_double_is_acknowledged_and_not_delivered():
    probe = receiver()
    probe.tell(envelope(1))
    probe.tell(envelope(1))
    assert ([], [acknowledged(1)]) == (probe.reports(), probe.sent())


def test_a_message_that_came_early_waits_for_the_one_before_it():
    probe = receiver()
    probe.tell(envelope(2))
    assert ([], [acknowledged(0)]) == (probe.reports(), probe.sent())
    probe.tell(envelope(1))
    assert [Delivered(MASTER, Order(1)), Delivered(MASTER, Order(2))] == probe.reports()


def test_a_message_beyond_the_window_is_dropped():
    probe = receiver(window_max=2)
    probe.tell(envelope(3))
    assert () == probe.machine.observe()[0].early


def test_a_message_for_an_earlier_incarnation_of_the_receiver_is_dropped():
    assert [] == receiver(incarnation=6).tell(envelope(1))


def test_a_sender_that_starts_anew_begins_a_new_stream_and_its_past_is_dropped():
    probe = receiver()
    probe.tell(envelope(1))
    probe.tell(envelope(1, sender_incarnation=2))
    assert [Delivered(MASTER, Order(1))] == probe.reports()
    assert [] == probe.tell(envelope(2))


def test_a_message_that_cannot_be_decoded_is_reported_and_does_not_stop_the_others():
    probe = receiver()
    probe.tell(Envelope(MASTER, 1, 5, 1, b"\x00nonsense"), envelope(2))
    assert [EnvelopeRefused, Delivered] == [type(report) for report in probe.reports()]
    with pytest.raises(FrameRefused):
        CODEC.decode(b"\x00nonsense")


class Odd(Message, frozen=True):
    text: str


def test_a_message_that_cannot_be_encoded_is_undelivered_and_the_ones_behind_it_go_on():
    probe = Probe(ReliableSender(MASTER, 1, MessageCodec([Order, Odd]).encode, window_max=1))
    probe.tell(PeerStarted(WORKER, 5))
    odd = Odd("\udcff")
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, odd), SendReliably(WORKER, Order(2)), acknowledged(1))
    assert [1, 2] == numbers(probe)
    [report] = probe.reports()
    assert (WORKER, odd) == (report.to, report.message)
    assert report.reason.startswith("it cannot be encoded: cannot encode message 'Odd'")


def test_what_is_acknowledged_is_observed_and_checked():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)), acknowledged(2))
    [stream] = probe.machine.observe()
    assert (2, 1) == (stream.acknowledged, stream.in_flight)
    probe.tell(acknowledged(1), acknowledged(99))
    assert 3 == probe.machine.observe()[0].acknowledged
    probe.tell(SendReliably(WORKER, Order(4)))
    probe.machine._streams[WORKER].in_flight.clear()
    with pytest.raises(InvariantViolated, match="gaps"):
        probe.machine.check()


def test_a_receiver_forgets_a_lost_sender_and_hears_it_again_only_in_a_later_incarnation():
    probe = receiver()
    probe.tell(envelope(1), PeerLost(MASTER, 1))
    probe.reports()
    assert () == probe.machine.observe()
    assert [] == probe.tell(envelope(1))
    probe.tell(envelope(1, sender_incarnation=2), PeerLost(MASTER, 1))
    assert [Delivered(MASTER, Order(1))] == probe.reports()
    assert [2] == [stream.incarnation for stream in probe.machine.observe()]


def test_lost_peers_are_remembered_up_to_a_limit_the_latest_longest():
    for machine in (ReliableSender(MASTER, 1, CODEC.encode), ReliableReceiver(MASTER, 1, CODEC.decode)):
        probe = Probe(machine)
        for number in range(LOST_KEPT_MAX + 10):
            probe.tell(PeerLost(Address(f"tm-{number}/tm"), 5))
        assert [LOST_KEPT_MAX, "tm-10/tm"] == [len(machine._lost), next(iter(machine._lost))]


def test_a_peer_that_lives_again_is_no_longer_remembered_as_lost():
    probe = sender()
    probe.tell(PeerLost(WORKER, 5), PeerStarted(WORKER, 6))
    assert {} == probe.machine._lost
    assert [] == probe.tell(PeerLost(WORKER, 5), PeerStarted(WORKER, 5))
    assert [6] == [stream.incarnation for stream in probe.machine.observe()]


def test_the_timer_of_a_peer_belongs_to_the_sender():
    probe = sender()
    probe.tell(SendReliably(WORKER, Order(1)))
    assert [True] == [probe.machine.owns_timer(name) for name in probe.timers]


def test_check_finds_a_gap_in_flight():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)))
    del probe.machine._streams[WORKER].in_flight[2]
    with pytest.raises(InvariantViolated, match="gaps"):
        probe.machine.check()
