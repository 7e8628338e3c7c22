"""Generators of the user's own: a watermark right behind its record, or every now and then."""

from __future__ import annotations

import pyarrow as pa
import pytest
from chain_harness import Collected, Subtask, chain_of, port
from hypothesis import given
from hypothesis import strategies as st

from actorflow.config import Config
from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.event_time.watermarks import TimestampSpec, WatermarkGenerator, Watermarks
from actorflow.wire.batch import MAX_TIMESTAMP, ColumnBatch, ObjectBatch


class Marks(WatermarkGenerator):
    """Records that are multiples of ten are marks: nothing before them follows."""

    def on_event(self, record, timestamp):
        return timestamp if timestamp % 10 == 0 else None


class Heartbeat(WatermarkGenerator):
    """Follows processing time, which a test sets."""

    now = 0

    def on_periodic(self):
        return Heartbeat.now or None


def custom(factory, interval=0, times=lambda record: record):
    """Return a chain, its subtask, and the order in which records and watermarks come out of it."""
    subtask = Subtask()
    subtask.config = Config.of({"pipeline.auto-watermark-interval": interval})
    output, order = Collected(), []
    output.emit = lambda batch: order.extend(batch.records)
    chain, _ = chain_of(TimestampSpec(times, Watermarks.custom(factory)), ports=[port(output, 0)], context=subtask)
    subtask.forward_watermark = lambda watermark: order.append(f"wm {watermark}")
    chain.open()
    return chain, subtask, order


def test_a_watermark_comes_exactly_behind_its_record():
    chain, _, order = custom(Marks)
    chain.process(ObjectBatch([1, 10, 2, 3, 20, 5, 15, 10]))
    assert order == [1, 10, "wm 10", 2, 3, 20, "wm 20", 5, 15, 10]


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6), max_size=6))
def test_watermarks_and_records_come_in_the_order_of_a_naive_loop(batches):
    expected, latest = [], -1
    for batch in batches:
        for record in batch:
            expected.append(record)
            if record % 10 == 0 and record > latest:
                latest = record
                expected.append(f"wm {record}")
    chain, _, order = custom(Marks)
    for batch in batches:
        chain.process(ObjectBatch(batch))
    assert order == expected


def test_columns_stay_columns_and_are_cut_at_the_watermarks():
    subtask = Subtask()
    chain, output = chain_of(TimestampSpec("time", Watermarks.custom(Marks)), context=subtask)
    chain.open()
    chain.process(ColumnBatch(pa.record_batch({"time": [1, 10, 12]})))
    assert [batch.columns.to_pydict() for batch in output.batches] == [{"time": [1, 10]}, {"time": [12]}]
    assert [batch.timestamps.to_pylist() for batch in output.batches] == [[1, 10], [12]]
    assert subtask.forwarded == [10]


def test_each_split_has_a_generator_of_its_own():
    made = []

    class Counted(Marks):
        def __init__(self):
            made.append(self)

    chain, _, order = custom(Counted)
    for split in (0, 1):
        chain.reading(split)
    for split, record in [(0, 20), (1, 10), (0, 21)]:
        chain.reading(split)
        chain.process(ObjectBatch([record]))
    assert order == [20, 10, "wm 10", 21]
    assert len(made) == 2


def test_a_periodic_generator_is_asked_every_interval_whether_records_come_or_not():
    chain, subtask, order = custom(Heartbeat, interval="100ms")
    Heartbeat.now = 7
    chain.process(ObjectBatch([1]))
    subtask.advance_to(99)
    assert order == [1]
    subtask.advance_to(100)
    assert order == [1, "wm 7"]
    Heartbeat.now = 9
    subtask.advance_to(250)
    assert order == [1, "wm 7", "wm 9"]
    chain.advance_watermark(MAX_TIMESTAMP)
    Heartbeat.now = 10
    subtask.advance_to(1000)
    assert order == [1, "wm 7", "wm 9"]


def test_with_no_interval_a_periodic_generator_is_asked_behind_each_batch():
    chain, _, order = custom(Heartbeat)
    Heartbeat.now = 7
    chain.process(ObjectBatch([1, 2]))
    assert order == [1, 2, "wm 7"]


class Wrong(WatermarkGenerator):
    def on_event(self, record, timestamp):
        return record["watermark"]


@pytest.mark.parametrize("watermark", [1.5, "1", True, MAX_TIMESTAMP, 2**70])
def test_what_is_no_watermark_is_refused_with_its_record(watermark):
    chain, _, _ = custom(Wrong, times="time")
    with pytest.raises(UserFunctionError, match="on_event of 'with_timestamps-0' returned") as caught:
        chain.process(ObjectBatch([{"time": 1, "watermark": watermark}]))
    assert "'time': 1" in caught.value.error.context["record"]


def test_a_generator_that_raises_is_reported_with_its_record():
    chain, _, _ = custom(Wrong, times=lambda record: 1)
    with pytest.raises(UserFunctionError, match="KeyError: 'watermark'") as caught:
        chain.process(ObjectBatch([{"id": 7}]))
    assert caught.value.error.context["record"] == "{'id': 7}"
    assert 'record["watermark"]' in caught.value.error.traceback


def test_a_factory_that_makes_something_else_is_refused():
    chain, _, _ = custom(dict)
    with pytest.raises(PlanError, match="'with_timestamps-0' returned a dict"):
        chain.process(ObjectBatch([1]))
