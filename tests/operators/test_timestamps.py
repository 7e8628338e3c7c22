"""Event times and the watermarks that follow from them, inside a chain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from chain_harness import Collected, Subtask, chain_of, port
from hypothesis import given
from hypothesis import strategies as st

from actorflow.config import Config
from actorflow.errors import UserFunctionError
from actorflow.operators.event_time.watermarks import TimestampSpec, Watermarks
from actorflow.operators.specs import MapAsyncSpec, MapSpec
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ColumnBatch, ObjectBatch

HOUR = timedelta(hours=1)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - what is to be refused
MONOTONOUS = Watermarks.monotonous()


def every_batch():
    """Return a subtask that makes a watermark behind every batch."""
    subtask = Subtask()
    subtask.config = Config.of({"pipeline.auto-watermark-interval": 0})
    return subtask


def timed_chain(timestamp, watermarks=MONOTONOUS, *, context=None, behind=()):
    chain, output = chain_of(TimestampSpec(timestamp, watermarks), *behind, context=context or every_batch())
    chain.open()
    return chain, output


def stamps_of(timestamp, records):
    chain, output = timed_chain(timestamp)
    chain.process(ObjectBatch(records))
    return [stamp for _, stamp in output.stamped]


def test_a_whole_number_is_taken_as_it_is():
    assert stamps_of(lambda record: record, [3, -7, 0]) == [3, -7, 0]


def test_a_field_is_named():
    assert stamps_of("time", [{"time": 5}, {"time": 4}]) == [5, 4]


def test_a_datetime_with_a_time_zone_is_its_instant_rounded_down():
    times = [
        datetime(1970, 1, 1, 1, tzinfo=timezone(HOUR)),
        datetime(2026, 3, 1, 12, 0, 0, 1999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_500, tzinfo=UTC),
    ]

    assert stamps_of(lambda record: record, times) == [0, 1772366400001, -1]


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1, max_size=20))
def test_columns_and_records_give_the_same_event_times(times):
    columns = pa.record_batch({"time": pa.array(times, pa.timestamp("us", "UTC"))})
    chain, output = timed_chain("time")
    chain.process(ColumnBatch(columns))

    assert output.batches[0].timestamps.to_pylist() == stamps_of(lambda record: record, times)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint32(), pa.int64(), pa.timestamp("s", "UTC"), pa.timestamp("ns", "+02:00")])
def test_a_column_gives_its_event_times_without_a_copy_in_python(kind):
    numbers = pa.array([1, 2, 3], pa.int64())
    column = numbers.cast(kind) if pa.types.is_integer(kind) else numbers.view(kind)
    chain, output = timed_chain("time")
    chain.process(ColumnBatch(pa.record_batch({"time": column})))

    factor = {"s": 1000, "ns": 1e-6}.get(getattr(kind, "unit", ""), 1)
    assert output.batches[0].timestamps.to_pylist() == [int(number * factor) for number in (1, 2, 3)]


def test_a_function_reads_the_rows_of_columns_and_leaves_them_columns():
    chain, output = timed_chain(lambda row: row["time"] * 1000)
    chain.process(ColumnBatch(pa.record_batch({"time": [2, 1]})))

    assert isinstance(output.batches[0], ColumnBatch)
    assert output.batches[0].timestamps.to_pylist() == [2000, 1000]


REFUSED = [None, 1.5, float("nan"), True, "12", NAIVE, 2**62, -(2**62), 2**80]


@pytest.mark.parametrize("bad", REFUSED, ids=repr)
def test_what_is_no_event_time_is_refused_with_operator_and_record(bad):
    chain, _ = timed_chain(lambda record: record["time"])

    with pytest.raises(UserFunctionError) as caught:
        chain.process(ObjectBatch([{"time": 1}, {"time": bad, "id": "bad-one"}, {"time": 2}]))

    assert "'with_timestamps-0' got " in str(caught.value)
    assert "(hint: " in str(caught.value)
    assert "bad-one" in caught.value.error.context["record"]
    assert caught.value.error.context["operator"] == "with_timestamps-0"


def test_a_naive_datetime_is_refused_with_a_hint_to_its_time_zone():
    chain, _ = timed_chain(lambda record: record)

    with pytest.raises(UserFunctionError, match=r"without a time zone.*hint: say which time zone"):
        chain.process(ObjectBatch([NAIVE]))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None]),
        pa.array([1.0, 2.0]),
        pa.array([2**63 + 1, 1], pa.uint64()),
        pa.array([2**62, 1], pa.int64()),
        pa.array([1, -(2**62)], pa.int64()),
        pa.array([NAIVE] * 2, pa.timestamp("us")),
        pa.array(["a", "b"]),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_that_is_no_event_time_is_refused(column):
    chain, _ = timed_chain("time")

    with pytest.raises(UserFunctionError, match="'with_timestamps-0' got ") as caught:
        chain.process(ColumnBatch(pa.record_batch({"time": column})))

    assert "time" in caught.value.error.context["record"]


@pytest.mark.parametrize(("ticks", "unit"), [(2**60, "s"), (-(2**60), "s"), (2**63 - 1, "ms"), (-(2**63), "ms")])
def test_a_column_of_instants_beyond_all_time_is_refused_even_if_its_rows_cannot_be_shown(ticks, unit):
    chain, _ = timed_chain("time")

    with pytest.raises(UserFunctionError, match="not within 146 million years") as caught:
        chain.process(ColumnBatch(pa.record_batch({"time": pa.array([ticks, 0]).cast(pa.timestamp(unit, "UTC"))})))

    assert caught.value.error.context["operator"] == "with_timestamps-0"


@pytest.mark.parametrize(("unit", "per_ms"), [("us", 1000), ("ns", 1_000_000)])
def test_the_first_and_last_instants_that_a_column_can_hold_are_event_times_rounded_down(unit, per_ms):
    ticks = [2**63 - 1, -(2**63), -1, -per_ms]
    chain, output = timed_chain("time")
    chain.process(ColumnBatch(pa.record_batch({"time": pa.array(ticks).cast(pa.timestamp(unit, "UTC"))})))

    assert output.batches[0].timestamps.to_pylist() == [tick // per_ms for tick in ticks]


def test_a_function_that_raises_is_reported_with_its_record():
    chain, _ = timed_chain(lambda record: record["time"])

    with pytest.raises(UserFunctionError, match="KeyError: 'time'") as caught:
        chain.process(ObjectBatch([{"time": 1}, {"id": 7}]))

    assert caught.value.error.context["record"] == "{'id': 7}"
    assert 'record["time"]' in caught.value.error.traceback


# --- watermarks ----------------------------------------------------------------------------------------------------------


BATCHES = st.lists(st.lists(st.integers(-1000, 1000), min_size=1, max_size=5), max_size=8)


@given(BATCHES, st.integers(0, 300))
def test_watermarks_are_the_latest_event_time_less_the_bound_and_never_go_back(batches, bound):
    subtask = every_batch()
    chain, _ = timed_chain(lambda record: record, Watermarks.bounded(bound), context=subtask)
    expected, seen = [], []
    for batch in batches:
        chain.process(ObjectBatch(batch))
        seen += batch
        watermark = max(seen) - bound - 1
        if not expected or watermark > expected[-1]:
            expected.append(watermark)

    assert subtask.forwarded == expected


def test_without_watermarks_event_time_stands_still_until_the_end():
    subtask = every_batch()
    chain, _ = timed_chain(lambda record: record, Watermarks.none(), context=subtask)
    chain.process(ObjectBatch([5]))

    assert subtask.forwarded == []
    assert chain.advance_watermark(MAX_TIMESTAMP) == MAX_TIMESTAMP


def test_what_the_input_says_of_event_time_ends_here():
    chain, _ = timed_chain(lambda record: record)
    assert chain.own_time
    assert chain.advance_watermark(1000) == MIN_TIMESTAMP

    chain.process(ObjectBatch([8]))
    assert chain.advance_watermark(2000) == 7


def test_watermarks_are_made_at_most_once_an_interval_and_the_last_one_gets_out():
    subtask = Subtask()
    subtask.config = Config.of({"pipeline.auto-watermark-interval": "200ms"})
    chain, _ = timed_chain(lambda record: record, context=subtask)
    for now, record in [(1000, 10), (1050, 20), (1150, 30)]:
        subtask.advance_to(now)
        chain.process(ObjectBatch([record]))
    assert subtask.forwarded == [9]

    subtask.advance_to(1199)
    assert subtask.forwarded == [9]
    subtask.advance_to(1200)
    assert subtask.forwarded == [9, 29]
    subtask.advance_to(9000)
    assert subtask.forwarded == [9, 29]
    chain.process(ObjectBatch([40]))
    assert subtask.forwarded == [9, 29, 39], "after a pause there is nothing to wait for"


def test_a_clock_that_is_set_back_delays_no_watermark_for_longer_than_the_interval():
    subtask = Subtask()
    chain, _ = timed_chain(lambda record: record, context=subtask)
    subtask.advance_to(1_000_000)
    chain.process(ObjectBatch([10]))
    subtask.now_ms = 0
    chain.process(ObjectBatch([20]))

    assert subtask.forwarded == [9, 19]


def test_a_watermark_comes_behind_its_batch():
    subtask = every_batch()
    order = []
    output = Collected()
    output.emit = lambda batch: order.append(list(batch.records))
    subtask.forward_watermark = order.append
    chain, _ = chain_of(TimestampSpec(lambda record: record, MONOTONOUS), ports=[port(output, 0)], context=subtask)
    chain.open()
    chain.process(ObjectBatch([3, 1]))
    chain.process(ObjectBatch([5]))

    assert order == [[3, 1], 2, [5], 4]


def test_a_call_in_flight_holds_back_the_watermark_that_was_made_before_it_in_the_chain():
    async def answer(record):
        return record * 2

    subtask = every_batch()
    chain, output = timed_chain(lambda record: record, context=subtask, behind=[MapAsyncSpec(answer), MapSpec(lambda n: n + 1)])
    chain.process(ObjectBatch([4]))
    assert chain.held_back
    assert set(subtask.forwarded) <= {MIN_TIMESTAMP}

    subtask.run_posted_until(chain.finish)
    assert chain.advance_watermark(MIN_TIMESTAMP) == 3
    assert not chain.held_back
    assert output.stamped == [(9, 4)]
    chain.close()
    subtask.stop()
