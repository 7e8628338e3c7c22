"""Credit ledgers: no buffer is lost, doubled, or idle while it is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import InvariantViolated, MailboxOverflow
from actorflow.ids import ChannelId
from actorflow.protocol.transfer.credit import (
    BacklogChanged,
    BufferConsumed,
    BufferReceived,
    BufferSent,
    ChannelClosed,
    CreditGranted,
    ReceiverLedger,
    SenderLedger,
)
from actorflow.testing.probe import Probe

A, B, C = ChannelId(0), ChannelId(1), ChannelId(2)


def test_a_sender_may_send_exactly_what_was_granted():
    ledger = SenderLedger()
    ledger.granted(2)
    ledger.sent(1)
    ledger.sent(0)
    assert 0 == ledger.available
    with pytest.raises(AssertionError, match="without credit"):
        ledger.sent(0)


def test_an_output_is_exhausted_while_its_waiting_buffers_reach_the_limit():
    ledger = SenderLedger(1, waiting_max=2)
    ledger.waiting(2)
    assert ledger.exhausted
    ledger.sent(1)
    assert not ledger.exhausted


def test_a_burst_is_counted_as_overdraft_and_an_excess_of_it_is_told():
    ledger = SenderLedger(waiting_max=2, overdraft_max=5)
    ledger.waiting(7)
    assert (5, False) == (ledger.overdraft, ledger.overdrawn)
    ledger.waiting(8)
    assert (6, True) == (ledger.overdraft, ledger.overdrawn)


def test_a_sender_ledger_takes_the_same_as_events():
    probe = Probe(SenderLedger())
    probe.tell(CreditGranted(A, 3), BacklogChanged(4), BufferSent(3))
    assert (2, 3) == (probe.machine.available, probe.machine.observe().backlog)


def test_the_opening_grants_are_the_exclusive_buffers():
    assert [(A, 2), (B, 2)] == ReceiverLedger([A, B]).opening_grants()


def test_without_backlog_a_consumed_buffer_is_granted_again_and_no_floating_one_is_used():
    ledger = ReceiverLedger([A])
    assert [] == ledger.received(A, 0)
    assert [(A, 1)] == ledger.consumed(A)
    assert 8 == ledger.observe().free


def test_floating_buffers_go_where_the_backlog_is():
    ledger = ReceiverLedger([A, B])
    assert [(A, 4)] == ledger.received(A, 3)


def test_a_channel_gets_no_more_than_its_maximum():
    ledger = ReceiverLedger([A], exclusive=2, floating=20, per_channel_max=6)
    assert [(A, 4)] == ledger.received(A, 1_000)


def test_a_freed_floating_buffer_goes_to_the_channel_with_the_fewest():
    ledger = ReceiverLedger([A, B])
    ledger.received(A, 100)
    ledger.received(B, 100)
    for _ in range(4):
        ledger.received(A, 100)
    assert [[(B, 1)]] * 4 == [ledger.consumed(A) for _ in range(4)]
    assert [4, 4] == [channel.floating for channel in ledger.observe().channels]


def test_floating_buffers_come_back_when_the_backlog_falls():
    ledger = ReceiverLedger([A])
    ledger.received(A, 5)
    for backlog in range(4, -1, -1):
        ledger.received(A, backlog)
    for _ in range(6):
        ledger.consumed(A)
    assert (8, 2) == (ledger.observe().free, ledger.observe().channels[0].credit)


def test_a_closed_channel_gives_its_floating_buffers_to_the_others_as_they_become_free():
    ledger = ReceiverLedger([A, B], floating=2)
    ledger.received(A, 2)
    ledger.received(A, 2)
    ledger.received(A, 1)
    ledger.received(B, 9)
    assert [] == ledger.closed(A)
    assert [(B, 1)] == ledger.consumed(A) + ledger.consumed(A)
    assert [(B, 1)] == ledger.consumed(A)
    assert [] == ledger.received(A, 4)


def test_a_buffer_without_credit_is_refused_and_names_the_channel():
    ledger = ReceiverLedger([C], exclusive=1, floating=0, per_channel_max=1)
    ledger.received(C, 0)
    with pytest.raises(MailboxOverflow, match="channel 2"):
        ledger.received(C, 0)


def test_a_receiver_ledger_reports_grants_for_events():
    probe = Probe(ReceiverLedger([A, B]))
    probe.tell(BufferReceived(A, 1), BufferConsumed(A), ChannelClosed(B))
    assert [CreditGranted(A, 2)] == probe.reports()


def test_check_finds_a_buffer_that_disappeared():
    ledger = ReceiverLedger([A])
    ledger._free -= 1
    with pytest.raises(InvariantViolated, match="is not 8"):
        ledger.check()


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["receive", "consume", "close"]), st.integers(0, 3), st.integers(0, 12)), max_size=200
    ),
    exclusive=st.integers(1, 3),
    floating=st.integers(0, 8),
)
def test_in_use_and_free_buffers_always_add_up_and_grants_are_what_senders_may_use(steps, exclusive, floating):
    channels = [ChannelId(number) for number in range(4)]
    ledger = ReceiverLedger(channels, exclusive=exclusive, floating=floating, per_channel_max=exclusive + 4)
    credit = dict(ledger.opening_grants())
    held = dict.fromkeys(channels, 0)
    closed = set()
    for action, number, backlog in steps:
        channel = channels[number]
        grants = []
        if action == "receive" and credit[channel] and channel not in closed:
            credit[channel] -= 1
            held[channel] += 1
            grants = ledger.received(channel, backlog)
        elif action == "consume" and held[channel]:
            held[channel] -= 1
            grants = ledger.consumed(channel)
        elif action == "close" and backlog > 10:
            closed.add(channel)
            grants = ledger.closed(channel)
        for granted, amount in grants:
            assert granted not in closed
            credit[granted] += amount
        ledger.check()
        assert (
            sum(held.values()) + sum(credit[channel] for channel in channels if channel not in closed) <= 4 * exclusive + floating
        )
        assert {channel: credit[channel] for channel in channels if channel not in closed} == {
            entry.channel: entry.credit for entry in ledger.observe().channels if not entry.closed
        }
