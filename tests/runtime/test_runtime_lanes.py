"""Lanes: buffers, credit and order."""

from __future__ import annotations

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from actorflow.ids import ChannelId
from actorflow.runtime.channels.lanes import Lane
from actorflow.runtime.channels.links import TOO_LARGE
from actorflow.wire.batch import ColumnBatch, EndOfInput, ObjectBatch, Watermark


class RecordingLink:
    """Remembers what was sent, and the backlog that was told with it."""

    def __init__(self):
        self.sent = []
        self.backlogs = []

    def send(self, element, backlog):
        self.sent.append(element)
        self.backlogs.append(backlog)
        return 0

    def records(self):
        return [record for element in self.sent if isinstance(element, ObjectBatch) for record in element.records]


def make_lane(size=4, waiting_max=3):
    link = RecordingLink()
    return Lane(ChannelId(0), link, batch_records_max=size, waiting_max=waiting_max, overdraft_max=5), link


class NarrowLink(RecordingLink):
    """Takes batches of two records at most."""

    def send(self, element, backlog):
        if isinstance(element, ObjectBatch) and len(element) > 2:
            return TOO_LARGE
        return super().send(element, backlog)


@given(st.integers(1, 40), st.booleans())
def test_a_batch_that_is_too_large_for_its_link_is_cut_each_part_for_a_credit(size, timed):
    lane = Lane(ChannelId(0), link := NarrowLink(), batch_records_max=100, waiting_max=3, overdraft_max=5)
    lane.add(ObjectBatch(list(range(size)), list(range(size)) if timed else None))
    lane.event(EndOfInput())
    granted = 0
    while not any(isinstance(element, EndOfInput) for element in link.sent):
        lane.granted(1, 100)
        granted += 1
    batches = link.sent[:-1]
    assert list(range(size)) == link.records()
    assert granted == len(batches)
    assert all((batch.timestamps == batch.records) == timed for batch in batches)
    assert size == lane.records_sent


def test_nothing_is_sent_without_credit():
    lane, link = make_lane()
    lane.add(ObjectBatch([1, 2, 3, 4]))
    lane.drain()

    assert link.sent == []


def test_one_credit_sends_one_buffer_and_tells_the_backlog_behind_it():
    lane, link = make_lane()
    for first in (0, 4, 8):
        lane.add(ObjectBatch([first, first + 1, first + 2, first + 3]))
    lane.granted(1, 4)

    assert (link.records(), link.backlogs) == ([0, 1, 2, 3], [2])


def test_small_batches_are_collected_into_one_buffer():
    lane, link = make_lane(size=100)
    for record in range(10):
        lane.add(ObjectBatch([record]))
    lane.seal()
    lane.granted(5, 100)

    assert [len(batch) for batch in link.sent] == [10]


def test_a_burst_is_cut_into_full_buffers():
    lane, link = make_lane(size=4)
    lane.extend(range(11), None)
    lane.seal()
    lane.granted(10, 4)

    assert [batch.records for batch in link.sent] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_an_event_needs_no_credit_but_keeps_its_place():
    lane, link = make_lane()
    lane.event(Watermark(1))
    lane.drain()
    lane.add(ObjectBatch([1]))
    lane.event(EndOfInput())
    lane.drain()
    before_credit = list(link.sent)
    lane.granted(1, 4)

    assert before_credit == [Watermark(1)]
    assert (link.records(), link.sent[-1]) == ([1], EndOfInput())


def test_it_is_exhausted_once_too_many_buffers_wait_for_credit():
    lane, _ = make_lane(waiting_max=2)
    states = []
    for _ in range(2):
        lane.add(ObjectBatch([1, 2, 3, 4]))
        lane.drain()
        states.append(lane.exhausted)
    lane.granted(1, 4)

    assert (states, lane.exhausted) == ([False, True], False)


def test_the_receiver_can_ask_for_smaller_buffers():
    lane, link = make_lane(size=100)
    lane.granted(10, 2)
    lane.extend(range(5), None)
    lane.seal()
    lane.drain()

    assert [len(batch) for batch in link.sent] == [2, 2, 1]


def test_events_that_waited_behind_a_buffer_do_not_keep_it_exhausted():
    lane, link = make_lane(waiting_max=2)
    lane.add(ObjectBatch([1, 2, 3, 4]))
    for timestamp in range(5):
        lane.event(Watermark(timestamp))
    lane.drain()
    lane.granted(1, 4)

    assert (len(link.sent), lane.waiting, lane.exhausted) == (6, 0, False)


def test_a_whole_batch_is_cut_to_the_size_that_the_receiver_asked_for():
    lane, link = make_lane(size=1000)
    lane.granted(10, 2)
    lane.add(ObjectBatch([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]))
    lane.drain()

    assert [(batch.records, batch.timestamps) for batch in link.sent] == [
        ([1, 2], [10, 20]),
        ([3, 4], [30, 40]),
        ([5], [50]),
    ]


def test_columns_stay_whole_until_the_receiver_asks_for_smaller_buffers():
    lane, link = make_lane(size=10)
    batch = ColumnBatch(pa.record_batch({"n": list(range(100))}))
    lane.granted(100, 10)
    lane.add(batch)
    lane.granted(1, 5)
    lane.add(batch)
    lane.drain()

    assert [len(portion) for portion in link.sent] == [100] + [5] * 20


def test_records_with_and_without_timestamps_never_share_a_buffer():
    lane, link = make_lane(size=100)
    lane.granted(10, 100)
    lane.extend([1], None)
    lane.extend([2], [20])
    lane.extend([3], None)
    lane.seal()
    lane.drain()

    assert [(batch.records, batch.timestamps) for batch in link.sent] == [([1], None), ([2], [20]), ([3], None)]


step = st.one_of(
    st.tuples(st.just("add"), st.lists(st.integers(), min_size=1, max_size=12), st.booleans()),
    st.tuples(st.just("credit"), st.integers(1, 4), st.integers(1, 6)),
    st.tuples(st.just("event"), st.integers(0, 100), st.none()),
    st.tuples(st.just("seal"), st.none(), st.none()),
)


@given(st.lists(step, max_size=40))
def test_whatever_is_added_leaves_in_order_and_no_buffer_exceeds_its_credit(steps):
    lane, link = make_lane(size=5)
    expected, granted = [], 0
    for kind, first, second in steps:
        match kind:
            case "add":
                timestamps = list(range(len(first))) if second else None
                lane.extend(first, timestamps)
                expected += list(zip(first, timestamps or itertools.repeat(None), strict=False))
            case "credit":
                granted += first
                lane.granted(first, second)
            case "event":
                lane.event(Watermark(first))
                expected.append(Watermark(first))
            case "seal":
                lane.seal()
        lane.drain()
        assert sum(isinstance(element, ObjectBatch) for element in link.sent) <= granted
        assert lane.exhausted == (lane.waiting >= 3)
    lane.seal()
    lane.granted(1000, 5)

    arrived = []
    for element in link.sent:
        if isinstance(element, ObjectBatch):
            arrived += list(zip(element.records, element.timestamps or itertools.repeat(None), strict=False))
        else:
            arrived.append(element)
    assert expected == arrived
