"""Barrier alignment: which channels wait, and when the snapshot is taken."""

import pytest

from actorflow.ids import ChannelId
from actorflow.protocol.checkpoints.barriers import (
    AlignmentGivenUp,
    AlignmentMode,
    BarrierAlignment,
    BarrierAnnounced,
    BarrierArrived,
    BlockChannel,
    ChannelEnded,
    ChannelEnding,
    CheckpointGivenUp,
    InFlightComplete,
    TakeSnapshot,
    UnblockChannels,
)
from actorflow.testing.probe import Probe
from actorflow.wire.batch import Barrier, SavepointOrder

A, B, C = (ChannelId(number) for number in range(3))


def barrier(number, **flags):
    return Barrier(number, 1000 * number, **flags)


def alignment(*channels, **options):
    return Probe(BarrierAlignment(channels or (A, B, C), **options))


def arrive(probe, channel, number, **flags):
    probe.tell(BarrierArrived(channel, barrier(number, **flags)))
    return probe.reports()


def announce(probe, channel, number, **flags):
    probe.tell(BarrierAnnounced(channel, barrier(number, **flags)))
    return probe.reports()


def test_a_channel_waits_from_its_barrier_until_the_last_one_has_come():
    probe = alignment()
    assert [BlockChannel(B)] == arrive(probe, B, 1)
    probe.advance(0.5)
    assert [BlockChannel(A)] == arrive(probe, A, 1)
    probe.advance(0.25)
    assert [TakeSnapshot(barrier(1), (), 0.75), UnblockChannels()] == arrive(probe, C, 1)
    assert ((), None) == (probe.machine.observe().blocked, probe.machine.observe().checkpoint)


def test_a_single_channel_never_waits():
    probe = alignment(A)
    assert [TakeSnapshot(barrier(1), (), 0.0)] == arrive(probe, A, 1)
    assert [TakeSnapshot(barrier(2), (), 0.0)] == arrive(probe, A, 2)


def test_at_least_once_blocks_nothing():
    probe = alignment(mode=AlignmentMode.AT_LEAST_ONCE)
    assert [[], [], [TakeSnapshot(barrier(1), (), 0.0)]] == [arrive(probe, channel, 1) for channel in (A, B, C)]


def test_a_channel_that_has_ended_has_no_barrier_to_deliver():
    probe = alignment()
    probe.tell(ChannelEnded(A))
    arrive(probe, B, 1)
    probe.tell(ChannelEnded(C))
    assert [TakeSnapshot(barrier(1), (), 0.0), UnblockChannels()] == probe.reports()


def test_a_later_barrier_gives_up_the_checkpoint_that_is_being_aligned():
    probe = alignment()
    arrive(probe, A, 1)
    assert [AlignmentGivenUp(1), UnblockChannels(), BlockChannel(B)] == arrive(probe, B, 2)
    assert [] == arrive(probe, C, 1)
    assert [BlockChannel(A)] == arrive(probe, A, 2)
    assert TakeSnapshot(barrier(2), (), 0.0) in arrive(probe, C, 2)


def test_an_aborted_checkpoint_is_not_waited_for_before_during_or_after_its_barriers():
    probe = alignment()
    arrive(probe, A, 1)
    probe.tell(CheckpointGivenUp(1))
    assert [AlignmentGivenUp(1), UnblockChannels()] == probe.reports()
    assert [] == arrive(probe, B, 1)
    probe.tell(CheckpointGivenUp(3))
    assert [BlockChannel(A)] == arrive(probe, A, 2)
    arrive(probe, B, 2)
    assert TakeSnapshot(barrier(2), (), 0.0) in arrive(probe, C, 2)
    assert [[], [], []] == [arrive(probe, channel, 3) for channel in (A, B, C)]
    assert [BlockChannel(A)] == arrive(probe, A, 4)


def test_an_unaligned_barrier_takes_the_snapshot_at_once_with_what_is_in_flight():
    probe = alignment()
    assert [TakeSnapshot(barrier(1, unaligned=True), (A, B, C), 0.0)] == announce(probe, B, 1, unaligned=True)
    probe.advance(0.5)
    assert [] == announce(probe, A, 1, unaligned=True)
    assert [] == arrive(probe, A, 1, unaligned=True)
    assert [InFlightComplete(1, 0.5)] == announce(probe, C, 1, unaligned=True)
    assert [[], []] == [arrive(probe, channel, 1, unaligned=True) for channel in (B, C)]


def test_what_an_unaligned_barrier_has_overtaken_in_an_only_channel_is_in_flight_too():
    probe = alignment(A)
    assert [TakeSnapshot(barrier(1, unaligned=True), (A,), 0.0), InFlightComplete(1)] == announce(probe, A, 1, unaligned=True)


def test_an_unaligned_barrier_with_nothing_before_it_takes_a_snapshot_with_nothing_of_its_channel_in_flight():
    probe = alignment(A, B)
    assert [TakeSnapshot(barrier(1, unaligned=True), (B,), 0.0)] == arrive(probe, A, 1, unaligned=True)
    assert [InFlightComplete(1)] == arrive(probe, B, 1, unaligned=True)


def test_what_a_blocked_channel_has_queued_is_not_in_flight_when_a_barrier_overtakes_elsewhere():
    probe = alignment()
    arrive(probe, A, 1)
    assert [TakeSnapshot(barrier(1, unaligned=True), (B, C), 0.0), UnblockChannels()] == announce(probe, C, 1, unaligned=True)


def test_nothing_is_overtaken_in_an_ordered_channel():
    probe = alignment(ordered=(B,))
    assert [] == announce(probe, A, 1, unaligned=True)
    assert [] == announce(probe, B, 1, unaligned=True)
    assert [TakeSnapshot(barrier(1, unaligned=True), (A, C), 0.0)] == arrive(probe, B, 1, unaligned=True)
    assert [InFlightComplete(1)] == announce(probe, C, 1, unaligned=True)


def test_a_channel_that_has_nothing_left_before_its_barrier_waits_for_the_ordered_ones():
    probe = alignment(A, B, ordered=(B,))
    announce(probe, A, 1, unaligned=True)
    assert [BlockChannel(A)] == arrive(probe, A, 1, unaligned=True)
    assert [TakeSnapshot(barrier(1, unaligned=True), (), 0.0), UnblockChannels()] == arrive(probe, B, 1)


def test_an_ordered_channel_that_ends_is_not_waited_for():
    probe = alignment(A, B, ordered=(B,))
    announce(probe, A, 1, unaligned=True)
    probe.tell(ChannelEnding(B))
    assert [] == probe.reports()
    probe.tell(ChannelEnded(B))
    assert [TakeSnapshot(barrier(1, unaligned=True), (A,), 0.0), InFlightComplete(1)] == probe.reports()


@pytest.mark.parametrize("before", [True, False])
def test_the_end_of_a_channel_completes_what_is_in_flight_as_a_barrier_does(before):
    probe = alignment(A, B)
    if before:
        probe.tell(ChannelEnding(B))
    reports = announce(probe, A, 1, unaligned=True)
    if not before:
        probe.tell(ChannelEnding(B))
        reports += probe.reports()
    assert [TakeSnapshot(barrier(1, unaligned=True), (A, B), 0.0), InFlightComplete(1)] == reports


def test_an_end_that_has_arrived_is_no_end_yet_for_what_is_aligned():
    probe = alignment(A, B)
    arrive(probe, A, 1)
    probe.tell(ChannelEnding(B))
    assert [] == probe.reports()
    probe.tell(ChannelEnded(B))
    assert [TakeSnapshot(barrier(1), (), 0.0), UnblockChannels()] == probe.reports()


def test_an_aligned_checkpoint_that_waits_too_long_becomes_unaligned():
    probe = alignment(timeout_s=2.0)
    arrive(probe, A, 1)
    probe.advance(1.9)
    assert [] == announce(probe, B, 1)
    probe.advance(0.1)
    assert [TakeSnapshot(barrier(1, unaligned=True), (B, C), 2.0), UnblockChannels()] == probe.reports()
    assert [InFlightComplete(1, 2.0)] == announce(probe, C, 1)


def test_waiting_begins_when_the_first_barrier_arrives_wherever_it_stands():
    probe = alignment(A, B, timeout_s=2.0)
    announce(probe, B, 1)
    probe.advance(2.0)
    assert [TakeSnapshot(barrier(1, unaligned=True), (A, B), 2.0)] == probe.reports()


def test_a_savepoint_is_aligned_however_long_that_takes():
    probe = alignment(timeout_s=2.0)
    arrive(probe, A, 1, savepoint=SavepointOrder("/savepoints"))
    probe.advance(100)
    assert [] == probe.reports()


def test_one_that_is_aligned_in_time_stays_aligned():
    probe = alignment(A, B, timeout_s=2.0)
    arrive(probe, A, 1)
    arrive(probe, B, 1)
    probe.advance(5)
    assert [] == probe.reports()


@pytest.mark.parametrize("channel", [A, B])
def test_the_same_barrier_twice_counts_once(channel):
    probe = alignment(A, B)
    arrive(probe, A, 1)
    arrive(probe, A, 1)
    assert (B,) == probe.machine.observe().waiting_for
    arrive(probe, B, 1)
    assert [] == arrive(probe, channel, 1)
