"""Reliable delivery: each message once, in order, to the incarnation it was meant for."""

import pytest

from actorflow.errors import FrameRefused, InvariantViolated
from actorflow.ids import Address
from actorflow.protocol.transfer.delivery import (
    LOST_KEPT_MAX,
    Acknowledged,
    ConfirmDelivery,
    Delivered,
    Envelope,
    EnvelopeRefused,
    PeerLost,
    PeerStarted,
    ReliableSender,
    SendReliably,
    Undelivered,
)
from actorflow.protocol.transfer.receipt import ReliableReceiver
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


def acknowledged(through, asked=0, *, sender_incarnation=1, receiver_incarnation=5):
    return Acknowledged(WORKER, sender_incarnation, receiver_incarnation, through, asked)


def question(through, *, sender_incarnation=1, receiver_incarnation=5):
    return ConfirmDelivery(MASTER, sender_incarnation, receiver_incarnation, through)


def acknowledgements(probe):
    """Let the receiver acknowledge what it has put off."""
    probe.advance(0.2)
    return probe.sent()


def numbers(probe):
    return [message.sequence for message in probe.sent(Envelope)]


def test_messages_are_numbered_from_one_and_sent_at_once():
    probe = sender()
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)))
    assert [envelope(1), envelope(2)] == probe.sent()


def test_who_does_not_acknowledge_is_asked_with_growing_pauses_and_sent_nothing():
    probe = sender(confirm_after_s=1.0, confirm_max_s=4.0)
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)))
    asked_at = []
    for second in range(1, 16):
        probe.advance(1.0)
        if sent := probe.sent():
            assert [question(2)] == sent
            asked_at.append(second)
    assert [1, 3, 7, 11, 15] == asked_at


def test_what_an_answer_lacks_is_sent_again_and_what_was_sent_after_the_question_is_not():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)))
    probe.advance(1.0)
    probe.tell(SendReliably(WORKER, Order(4)), acknowledged(1, asked=3))
    assert [4, 2, 3] == numbers(probe)


def test_an_acknowledgement_that_answers_no_question_makes_nothing_be_sent_again():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)))
    assert [] == probe.tell(acknowledged(1))


def test_nobody_is_asked_when_all_is_acknowledged_and_the_timer_ends():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)), acknowledged(3))
    probe.advance(1.0)
    assert ([], {}) == (probe.sent(), probe.timers)


def test_progress_makes_the_next_pause_the_first_again():
    probe = sender(confirm_after_s=1.0)
    probe.tell(SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)))
    probe.advance(4.0)
    probe.tell(acknowledged(1))
    probe.advance(1.0)
    assert [question(2)] == probe.sent()


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
    assert [] == probe.advance(60.0)
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


def test_a_receiver_delivers_at_once_and_acknowledges_a_little_later_what_has_come_by_then():
    probe = receiver()
    probe.tell(envelope(1))
    probe.tell(envelope(2))
    assert ([Delivered(MASTER, Order(2))], []) == (probe.reports(), probe.sent())
    assert [acknowledged(2)] == acknowledgements(probe)
    assert {} == probe.timers


def test_half_a_window_is_acknowledged_at_once():
    probe = receiver(window_max=4)
    probe.tell(envelope(1), envelope(2))
    assert [acknowledged(2)] == probe.sent()
    assert [] == acknowledgements(probe)


def test_a_double_is_acknowledged_and_not_delivered():
    probe = receiver()
    probe.tell(envelope(1))
    probe.advance(0.2)
    probe.tell(envelope(1))
    assert [] == probe.reports()
    assert [acknowledged(1)] == acknowledgements(probe)


def test_a_message_that_came_early_waits_for_the_one_before_it():
    probe = receiver()
    probe.tell(envelope(2))
    assert [] == probe.reports()
    assert [acknowledged(0)] == acknowledgements(probe)
    probe.tell(envelope(1))
    assert [Delivered(MASTER, Order(1)), Delivered(MASTER, Order(2))] == probe.reports()


@pytest.mark.parametrize(("arrived", "through"), [([], 0), ([envelope(1), envelope(3)], 1)])
def test_a_question_is_answered_at_once(arrived, through):
    probe = receiver()
    probe.tell(*arrived)
    probe.tell(question(3))
    assert [acknowledged(through, asked=3)] == probe.sent()
    assert [] == acknowledgements(probe)


@pytest.mark.parametrize("stale", [question(1, receiver_incarnation=4), question(1, sender_incarnation=0)])
def test_a_question_of_another_stream_is_dropped(stale):
    probe = receiver()
    probe.tell(envelope(1))
    assert [] == probe.tell(stale)


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


def test_a_message_that_is_too_large_is_undelivered_and_the_ones_behind_it_go_on():
    probe = Probe(ReliableSender(MASTER, 1, MessageCodec([Order, Odd]).encode, payload_bytes_max=20))
    probe.tell(PeerStarted(WORKER, 5))
    large = Odd("x" * 20)
    probe.tell(SendReliably(WORKER, large), SendReliably(WORKER, Order(2)))
    assert [Undelivered(WORKER, large, "it has 26 bytes, and the limit is 20")] == probe.reports()
    assert [1] == numbers(probe)


def test_a_sender_says_when_more_would_have_to_wait():
    probe = sender(window_max=1)
    busy = []
    for event in (SendReliably(WORKER, Order(1)), SendReliably(WORKER, Order(2)), acknowledged(1)):
        probe.tell(event)
        busy.append(probe.machine.busy(WORKER))
    assert ([False, True, False], False) == (busy, probe.machine.busy(MASTER))


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


def test_each_end_owns_its_timer_and_not_the_other():
    ends = sender(), receiver()
    ends[0].tell(SendReliably(WORKER, Order(1)))
    ends[1].tell(envelope(1))
    owned = [[end.machine.owns_timer(name) for end in ends] for probe in ends for name in probe.timers]
    assert [[True, False], [False, True]] == owned


def test_a_lost_sender_is_not_acknowledged():
    probe = receiver()
    probe.tell(envelope(1), PeerLost(MASTER, 1))
    assert [] == acknowledgements(probe)


def test_check_finds_a_gap_in_flight():
    probe = sender()
    probe.tell(*(SendReliably(WORKER, Order(number)) for number in (1, 2, 3)))
    del probe.machine._streams[WORKER].in_flight[2]
    with pytest.raises(InvariantViolated, match="gaps"):
        probe.machine.check()


def test_check_finds_what_nobody_asks_for_and_what_nobody_acknowledges():
    ends = sender(), receiver()
    ends[0].tell(SendReliably(WORKER, Order(1)))
    ends[1].tell(envelope(1))
    for probe in ends:
        probe.machine._timer_set = False
    with pytest.raises(InvariantViolated, match=r"\[1\] are in flight to tm-1/tm, and nobody will ask for them"):
        ends[0].machine.check()
    with pytest.raises(InvariantViolated, match="will not hear that 1 has been delivered"):
        ends[1].machine.check()
