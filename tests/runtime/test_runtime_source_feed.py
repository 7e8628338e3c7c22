"""A source's feed: whose turn it is, who waits, what is asked for, and what the subtask gets."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import actorflow as af
from actorflow.clock import ManualClock
from actorflow.connectors.contracts import END_OF_SPLIT, Backlog, Pause, ReaderContext
from actorflow.errors import PlanError
from actorflow.ids import SubtaskId, VertexId
from actorflow.runtime.subtasks.source_feed import SourceFeed
from actorflow.wire.batch import MAX_TIMESTAMP, Active, ColumnBatch, Idle, ObjectBatch, Watermark


class Taker:
    """Stands for the subtask, its chain and its outputs: notes what the feed gives it."""

    def __init__(self, clock):
        self.clock = clock
        self.record_s = 0.0
        self.got = []
        self.growth = 1
        self.records = 0
        self.overdrawn = False
        self.chain = self.outputs = self
        self.heard = []
        self.within_ms = None
        self.ahead = set()
        self.rested_s = []

    def take(self, batch, port):
        self.got.append(batch.records if isinstance(batch, ObjectBatch) else batch)
        self.clock.advance(len(batch) * self.record_s)
        self.records += len(batch) * self.growth

    def event(self, event):
        self.got.append(event)

    def reading(self, split):
        self.heard.append(f"reading {split}")

    def split_ended(self, split):
        self.heard.append(f"ended {split}")

    def nothing_from(self, split):
        self.heard.append(f"nothing from {split}")
        return self.within_ms

    def may_read(self, split):
        return split not in self.ahead

    def allow(self, operator, number, watermark, lead_ms):
        self.ahead.clear()

    def rest(self, seconds):
        self.rested_s.append(seconds)

    def wake(self):
        pass


class Told(af.Source):
    """A source whose splits are lists of what their readers return, before the end."""

    def __init__(self, *, partitioned=False):
        self.partitioned = partitioned
        self.opened = []

    def splits(self, parallelism):
        return []

    def open(self, split, position):
        self.opened.append(Reads(split))
        return self.opened[-1]


class Reads:
    position = 0

    def __init__(self, readings):
        self.readings = list(readings)
        self.closed = 0

    def read(self, records_max):
        reading = self.readings.pop(0) if self.readings else END_OF_SPLIT
        if isinstance(reading, Exception):
            raise reading
        return reading

    def close(self):
        self.closed += 1


class Bench:
    """A feed with everything around it.

    Attributes:
        backlogs: what the JobMaster was told of backlogs.
        told: what the JobMaster was told: `None` asks for a split, a number says which was read.
        watched: callbacks by file descriptor.
    """

    def __init__(self, *splits, source=None, partitioned=False, all_there=True):
        self.clock = ManualClock()
        self.taker = Taker(self.clock)
        self.told = []
        self.backlogs = []
        self.watched = {}
        self.source = source or Told(partitioned=partitioned)
        self.feed = SourceFeed(
            self.taker,
            self.source,
            operator="source",
            context=ReaderContext(self.clock, SubtaskId(VertexId("v"), 0), 1, 1),
            batch_records_first=16,
            batch_records_max=64,
            ask=lambda: self.told.append(None),
            finished=self.told.append,
            backlog=self.backlogs.append,
            watch=self.watched.__setitem__,
            unwatch=lambda fd: self.watched.pop(fd, None),
        )
        self.feed.begin()
        for number, split in enumerate(splits):
            self.feed.assign(number, split)
        if partitioned and all_there:
            self.feed.no_more()

    def run(self):
        """Take turns until there is nothing to do now; return what the subtask has got since."""
        before = len(self.taker.got)
        while self.feed.advance():
            pass
        return self.taker.got[before:]


def batches(*numbers):
    return [ObjectBatch([number]) for number in numbers]


# --- one split after the other -------------------------------------------------------------------------------------------


def test_the_next_split_is_asked_for_when_one_is_read():
    bench = Bench(batches(1, 2))
    assert bench.told == [None]

    assert bench.run() == [[1], [2]]
    assert bench.told == [None, 0, None]
    assert bench.source.opened[0].closed == 1
    assert bench.feed.waits_for == "a split"


def test_the_end_of_the_input_is_the_end_of_time():
    bench = Bench(batches(1))
    bench.run()
    assert not bench.feed.ended

    bench.feed.no_more()
    assert bench.feed.ended
    assert bench.taker.got == [[1], Watermark(MAX_TIMESTAMP)]


def test_the_chain_hears_which_split_is_read_which_has_nothing_and_which_has_ended():
    bench = Bench([*batches(1), Pause(1.0)])
    bench.run()
    bench.clock.advance(1.0)
    bench.run()

    assert bench.taker.heard == ["reading 0", "nothing from 0", "ended 0"]


def test_what_a_reader_knows_of_event_time_passes_between_its_batches():
    bench = Bench([ObjectBatch([1], [10]), Watermark(10), ObjectBatch([2], [20]), Watermark(20)])

    assert bench.run() == [[1], Watermark(10), [2], Watermark(20)]


def test_a_readers_watermark_that_does_not_rise_is_dropped():
    assert Bench([Watermark(10), Watermark(5), Watermark(10), Watermark(11)]).run() == [Watermark(10), Watermark(11)]


def test_an_idle_reader_is_active_again_by_its_word_or_by_its_next_batch():
    assert Bench([Idle(), Idle(), Active(), Active()]).run() == [Idle(), Active()]
    assert Bench([Idle(), *batches(1, 2)]).run() == [Idle(), Active(), [1], [2]]


def test_a_batch_without_records_is_a_reading_like_any_other():
    assert Bench([ObjectBatch([]), *batches(1)]).run() == [[], [1]]


def test_what_is_no_reading_is_refused():
    with pytest.raises(PlanError, match="reader of 'source' returned list"):
        Bench([[1]]).run()


def test_a_reader_that_fails_is_closed_with_the_others():
    bench = Bench([OSError("gone")], batches(1), partitioned=True)
    with pytest.raises(af.ActorflowError, match="gone"):
        bench.run()
    bench.feed.close()

    assert [reader.closed for reader in bench.source.opened] == [1, 1]


# --- how much is read ----------------------------------------------------------------------------------------------------


class Numbers(af.Source):
    """Counts up for ever, and notes how many records it was asked for."""

    bounded = False

    def __init__(self, *, columns=False):
        self.asked = []
        self.columns = columns

    def splits(self, parallelism):
        return [0]

    def open(self, split, position):
        return self

    position = 0

    def read(self, records_max):
        self.asked.append(records_max)
        numbers = list(range(records_max))
        return ColumnBatch(pa.record_batch({"n": numbers})) if self.columns else ObjectBatch(numbers)

    def close(self):
        pass


def test_a_source_reads_less_while_its_batches_burst_beyond_the_overdraft():
    bench = Bench(0, source=Numbers())
    bench.taker.overdrawn = True
    for _ in range(3):
        bench.feed.advance()
    bench.taker.overdrawn = False
    for _ in range(5):
        bench.feed.advance()

    assert bench.source.asked == [16, 8, 4, 2, 4, 8, 16, 32]


def test_a_source_reads_so_many_records_as_become_one_batch():
    bench = Bench(0, source=Numbers())
    bench.taker.growth = 10
    for _ in range(3):
        bench.feed.advance()
    bench.taker.growth = 0.1
    for _ in range(5):
        bench.feed.advance()

    assert bench.source.asked == [16, 6, 6, 6, 12, 24, 48, 64]


def test_a_source_reads_less_while_what_it_reads_takes_long_unless_it_is_columns():
    asked = []
    for columns in (False, True):
        bench = Bench(0, source=Numbers(columns=columns))
        for record_s in (0.002, 0.002, 0.002, 0.0001, 0.0001):
            bench.taker.record_s = record_s
            bench.feed.advance()
        asked.append(bench.source.asked)

    assert asked == [[16, 8, 16, 8, 16], [16, 32, 64, 64, 64]]


# --- partitions ----------------------------------------------------------------------------------------------------------


def test_partitions_are_asked_for_until_there_are_no_more_and_read_in_turn():
    bench = Bench(batches(1, 2, 3), batches(10), batches(20, 21), partitioned=True)
    assert bench.told == [None] * 4

    assert bench.run() == [[1], [10], [20], [2], [21], [3], Watermark(MAX_TIMESTAMP)]
    assert bench.told[4:] == [1, 2, 0]
    assert bench.feed.ended


def test_no_partition_is_read_before_all_are_there():
    bench = Bench(batches(1), partitioned=True, all_there=False)
    assert bench.run() == []
    assert bench.feed.waits_for == "the rest of its splits"

    bench.feed.assign(1, batches(10))
    bench.feed.no_more()
    assert bench.run() == [[1], [10], Watermark(MAX_TIMESTAMP)]


def test_a_partition_that_has_nothing_is_left_out_until_its_time_is_up():
    bench = Bench([Pause(5.0), *batches(1)], batches(10, 11, 12), partitioned=True)
    assert bench.run() == [[10], [11], [12]]
    assert bench.feed.waits_for == "its reader, which has nothing for 5 s"
    assert bench.taker.rested_s == [5.0]

    bench.clock.advance(4.9)
    assert bench.run() == []
    assert bench.taker.rested_s[-1] == pytest.approx(0.1)
    bench.clock.advance(0.1)
    assert bench.run() == [[1], Watermark(MAX_TIMESTAMP)]


def test_a_partition_is_read_when_its_descriptor_is_ready_and_only_that_one():
    bench = Bench([Pause(9.0, 4), *batches(1)], [Pause(9.0, 5), *batches(10)], partitioned=True)
    assert bench.run() == []
    assert sorted(bench.watched) == [4, 5]

    bench.watched[5]()
    assert bench.run() == [[10]]
    assert sorted(bench.watched) == [4]
    bench.feed.close()
    assert not bench.watched


def test_a_reader_is_asked_again_as_soon_as_an_operator_wants_to_know():
    bench = Bench([Pause(math.inf), Pause(math.inf), *batches(1)])
    bench.taker.within_ms = 100
    bench.run()
    assert bench.taker.rested_s == [pytest.approx(0.1)]

    bench.taker.within_ms = None
    bench.clock.advance(0.1)
    assert bench.run() == []
    assert bench.taker.rested_s[-1] == math.inf
    assert bench.feed.waits_for == "its reader, which has nothing any more"


def test_the_watermarks_of_partitions_are_merged_and_an_idle_one_holds_nothing_back():
    bench = Bench([Watermark(10), Pause(9.0), Idle(), Pause(9.0)], [Watermark(30), *batches(2), Pause(99.0)], partitioned=True)

    assert bench.run() == [Watermark(10), [2]]
    bench.clock.advance(9.0)
    assert bench.run() == [Watermark(30)]


def test_a_partition_that_is_too_far_ahead_is_not_read_until_it_may_be():
    bench = Bench(batches(1, 2), batches(10, 11), partitioned=True)
    bench.taker.ahead = {0}
    assert bench.run() == [[10], [11]]
    assert bench.feed.waits_for == "the sources that it is aligned with: 1 of its splits are too far ahead"
    assert not bench.feed.ended

    bench.feed.allow("with_timestamps", 1, 100, None)
    assert bench.run() == [[1], [2], Watermark(MAX_TIMESTAMP)]


@given(st.lists(st.lists(st.one_of(st.integers(1, 9), st.just("pause")), max_size=6), max_size=4))
def test_every_partition_is_read_once_in_order_and_none_waits_for_another(scripts):
    splits = [
        [Pause(1.0) if step == "pause" else ObjectBatch([(number, place)] * step) for place, step in enumerate(script)]
        for number, script in enumerate(scripts)
    ]
    bench = Bench(*splits, partitioned=True)
    for _ in range(10):
        bench.run()
        bench.clock.advance(1.0)

    got = [batch[0] for batch in bench.taker.got if isinstance(batch, list)]
    for number, script in enumerate(scripts):
        places = [place for split, place in got if split == number]
        assert places == [place for place, step in enumerate(script) if step != "pause"]
    assert bench.feed.ended
    assert bench.taker.got[-1] == Watermark(MAX_TIMESTAMP)


# --- backlogs ----------------------------------------------------------------------------------------------------------------


def test_a_backlog_is_told_when_the_first_split_has_one_and_when_the_last_has_none():
    first = [Backlog(under_way=True), *batches(1), Backlog(under_way=True), *batches(2), Backlog(under_way=False), *batches(3)]
    second = [*batches(4), Backlog(under_way=True), *batches(5, 6, 7, 8)]  # which ends with it
    bench = Bench(first, second, partitioned=True)
    bench.run()
    assert [True, False] == bench.backlogs


def test_nothing_is_told_where_there_is_no_backlog():
    bench = Bench([*batches(1), Backlog(under_way=False), *batches(2)])
    bench.run()
    assert [] == bench.backlogs
