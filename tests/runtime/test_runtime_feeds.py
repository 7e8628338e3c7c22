"""Feeds: events of several channels become events of the subtask."""

from __future__ import annotations

import actorflow as af
from actorflow.clock import ManualClock
from actorflow.connectors.contracts import END_OF_SPLIT, ReaderContext
from actorflow.ids import ChannelId, SubtaskId, VertexId
from actorflow.protocol.credit import ReceiverLedger
from actorflow.runtime.feeds import GateFeed, SourceFeed
from actorflow.runtime.input_gate import InputChannel, InputGate
from actorflow.runtime.meter import Meter
from actorflow.wire.batch import MAX_TIMESTAMP, Active, Barrier, EndOfInput, Idle, ObjectBatch, Watermark


class Taker:
    """Stands for the subtask: notes what the feed gives it."""

    def __init__(self):
        self.meter = Meter(ManualClock())
        self.got = []
        self.growth = 1
        self.emitted = 0
        self.overdrawn = False
        self.chain = self
        self.heard = []

    def reading(self, split):
        self.heard.append(("reading", split))

    def split_ended(self, split):
        self.heard.append(("ended", split))

    def nothing_from(self, split):
        return None

    def wake(self):
        pass

    def take(self, batch, port):
        self.got.append(batch.records)
        self.emitted += len(batch) * self.growth

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


class Numbers(af.Source):
    """Counts up for ever, and notes how many records it was asked for."""

    bounded = False

    def __init__(self):
        self.asked = []

    def splits(self, parallelism):
        return [0]

    def open(self, split, position):
        return self

    position = 0

    def read(self, records_max):
        self.asked.append(records_max)
        return ObjectBatch(list(range(records_max)))

    def close(self):
        pass


def test_a_source_reads_less_while_its_batches_burst_beyond_the_overdraft():
    taker, source = Taker(), Numbers()
    taker.overdrawn = True
    feed = source_feed(taker, source)
    for _ in range(3):
        feed.advance()
    taker.overdrawn = False
    for _ in range(5):
        feed.advance()

    assert source.asked == [64, 32, 16, 8, 16, 32, 64, 64]


def test_a_source_reads_so_many_records_as_become_one_batch():
    taker, source = Taker(), Numbers()
    taker.growth = 10
    feed = source_feed(taker, source)
    for _ in range(3):
        feed.advance()
    taker.growth = 0.1
    for _ in range(5):
        feed.advance()

    assert source.asked == [64, 6, 6, 6, 12, 24, 48, 64]


class Told(af.Source):
    """Gives what it was made with, in order, then ends."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def splits(self, parallelism):
        return [0]

    def open(self, split, position):
        return self

    position = 0

    def read(self, records_max):
        return self.readings.pop(0) if self.readings else END_OF_SPLIT

    def close(self):
        pass


def got_from(*readings):
    """Return what the subtask gets of a reader that returns these."""
    taker = Taker()
    feed = source_feed(taker, Told(*readings))
    while feed.advance():
        pass
    return taker.got


def test_what_a_reader_knows_of_event_time_passes_between_its_batches():
    got = got_from(ObjectBatch([1], [10]), Watermark(10), ObjectBatch([2], [20]), Watermark(20))

    assert got == [[1], Watermark(10), [2], Watermark(20)]


def test_a_readers_watermark_that_does_not_rise_is_dropped():
    assert got_from(Watermark(10), Watermark(5), Watermark(10), Watermark(11)) == [Watermark(10), Watermark(11)]


def test_an_idle_reader_is_active_again_by_its_word_or_by_its_next_batch():
    assert got_from(Idle(), Idle(), Active(), Active()) == [Idle(), Active()]
    assert got_from(Idle(), ObjectBatch([1]), ObjectBatch([2])) == [Idle(), Active(), [1], [2]]


def source_feed(taker, source):
    feed = SourceFeed(
        taker,
        source,
        operator="source",
        context=ReaderContext(ManualClock(), SubtaskId(VertexId("v"), 0), 1, 1),
        batch_records_max=64,
        ask=lambda finished: None,
        watch=lambda pause: None,
        unwatch=lambda pause: None,
    )
    feed.assign(0, 0)
    return feed
