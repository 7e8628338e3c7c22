"""Feeds: events of several channels become events of the subtask."""

from __future__ import annotations

from actorflow.clock import ManualClock
from actorflow.ids import ChannelId
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.subtasks.feeds import GateFeed
from actorflow.runtime.subtasks.meter import Meter
from actorflow.wire.batch import MAX_TIMESTAMP, Active, Barrier, EndOfInput, Idle, ObjectBatch, Watermark


class Taker:
    """Stands for the subtask: notes what the feed gives it."""

    def __init__(self):
        self.meter = Meter(ManualClock())
        self.got = []
        self.rests = 0

    def rest(self):
        self.rests += 1

    def wake(self):
        pass

    def take(self, batch, port):
        self.got.append(batch.records)

    def event(self, event):
        self.got.append(event)


def feed_of(*arrivals, channels=2):
    """Return what the subtask gets of these (channel, element) pairs, and the feed."""
    taker = Taker()
    ends = [InputChannel(ChannelId(number), 0, lambda credit, records_max: None) for number in range(channels)]
    gate = InputGate(ends, ReceiverLedger(map(ChannelId, range(channels)), exclusive=10), lambda: None)
    feed = GateFeed(taker, gate, sizing=None, sizing_period_s=1.0, batch_records_max=10, payload_bytes_max=1000)
    feed.begin()
    for channel, element in arrivals:
        gate.push(channel, element, 0)
        while feed.advance():
            pass
    return taker.got, feed


def test_a_watermark_is_as_early_as_its_slowest_channel():
    got, _ = feed_of((0, Watermark(5)), (1, Watermark(3)), (1, Watermark(9)))

    assert got == [Watermark(3), Watermark(5)]


def test_an_idle_channel_holds_nothing_back():
    got, _ = feed_of((0, Watermark(5)), (1, Idle()), (0, Watermark(7)), (1, Active()), (1, Watermark(8)))

    assert [event for event in got if isinstance(event, Watermark)] == [Watermark(5), Watermark(7)]


def test_what_comes_behind_a_barrier_waits_until_it_has_come_on_every_channel():
    barrier = Barrier(1, 0)
    got, _ = feed_of((0, barrier), (0, ObjectBatch(["behind"])), (1, ObjectBatch(["before"])), (1, barrier))

    assert got == [["before"], barrier, ["behind"]]


def test_a_channel_that_has_ended_holds_no_barrier_back():
    first, second = Barrier(1, 0), Barrier(2, 0)
    got, _ = feed_of((1, first), (0, EndOfInput()), (1, second))

    assert [event for event in got if isinstance(event, Barrier)] == [first, second]


def test_it_ends_with_its_last_channel_and_counts_what_it_took():
    got, feed = feed_of((0, ObjectBatch([1, 2])), (0, EndOfInput()), (1, ObjectBatch([3])))
    before = feed.ended
    got_all, ended = feed_of((0, EndOfInput()), (1, EndOfInput()))

    assert (before, feed.records_in, ended.ended) == (False, 3, True)
    assert got_all == [Watermark(MAX_TIMESTAMP)]
    assert got == [[1, 2], [3]]
