"""Scripts of test sources: points in time, what may follow what, and a reader that goes on where another stood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actorflow as af
from actorflow.clock import ManualClock
from actorflow.connectors.contracts import EndOfSplit, Pause, ReaderContext
from actorflow.ids import SubtaskId, VertexId
from actorflow.testing import TestSink, TestSource, run_test
from actorflow.testing.moments import moment_ms
from actorflow.wire.batch import Active, Idle, ObjectBatch, Watermark


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (-5, -5),
        ("10s", 110_000),
        ("1h30min", 5_500_000),
        (timedelta(milliseconds=7), 100_007),
        ("00:01:30", 190_000),
        ("25:00", 90_100_000),
        ("0:00:01.5", 101_500),
        ("0:00:01.005", 101_005),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1000),
        (datetime(1970, 1, 1, 1, 0, 0, 500, tzinfo=timezone(timedelta(hours=1))), 0),
    ],
)
def test_a_point_in_time_is_absolute_or_counts_from_the_start_of_time(moment, expected):
    assert moment_ms(moment, 100_000) == expected


NAIVE = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize("moment", ["soon", "1:2:3", "00:60", "-5s", True, 2**62, -(2**62), NAIVE, None, 1.5 + 2j])
def test_what_is_no_point_in_time_is_refused(moment):
    with pytest.raises(af.PlanError, match=r"is no point in time|has no time zone"):
        moment_ms(moment)


def test_a_script_is_a_value():
    start = TestSource().records("a")
    longer = start.records("b")

    assert run_test(af.Pipeline("one").read(start)).records == ["a"]
    assert run_test(af.Pipeline("two").read(longer)).records == ["a", "b"]


def test_records_without_records_are_nothing():
    assert TestSource().records().at(1).stamped([]) == TestSource()


def test_nothing_follows_what_stays_open():
    with pytest.raises(af.PlanError, match="nothing follows"):
        TestSource().stay_open().records("late")


def test_several_partitions_cannot_go_on():
    with pytest.raises(af.PlanError, match="several partitions cannot go on"):
        TestSource.partitions(TestSource(), TestSource()).records("a")
    with pytest.raises(af.PlanError, match="at least one partition"):
        TestSource.partitions()


def test_empty_batches_are_refused():
    with pytest.raises(af.PlanError, match="cannot have 0 records"):
        TestSource(batch=0)


def test_one_sink_at_two_places_is_refused():
    pipeline, sink = af.Pipeline("twice"), TestSink()
    numbers = pipeline.read(TestSource().records(1))
    numbers.write(sink, name="first")
    numbers.write(sink, name="second")

    with pytest.raises(af.PlanError, match="'first' and 'second' are one test sink"):
        run_test(pipeline)


# --- readers --------------------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("records"), st.lists(st.integers(0, 9), max_size=5)),
        st.tuples(st.just("at"), st.integers(-9, 9), st.lists(st.integers(0, 9), max_size=3)),
        st.tuples(st.just("watermark"), st.integers(-9, 9)),
        st.tuples(st.just("advance"), st.integers(0, 10_000)),
        st.tuples(st.just("until"), st.integers(0, 20_000)),
        st.sampled_from([("idle",), ("active",)]),
    ),
    max_size=12,
)


def followed(source, stops, records_max):
    """Return what readers of a script give, each with the time in ms.

    A new reader takes over where `stops` says so, and every other pause is cut short.
    """
    clock = ManualClock(wall_start_ms=0)
    context = ReaderContext(clock, SubtaskId(VertexId("v"), 0), 1, 1)
    (script,) = source.splits(1)
    reader, given, reading, early = source.open_reader(script, None, context), [], 0, False
    while not isinstance(got := reader.read(records_max), EndOfSplit):
        match got:
            case ObjectBatch():
                stamps = got.timestamps or [None] * len(got)
                given += [(record, stamp, clock.wall_ms()) for record, stamp in zip(got.records, stamps, strict=True)]
            case Pause(seconds):
                early = not early
                clock.advance(seconds * 0.3 if early else seconds)
            case event:
                given.append((event, None, clock.wall_ms()))
        reading += 1
        if reading in stops:
            reader = source.open_reader(script, reader.position, context)
    return given


def expected_of(steps):
    """Return what a script gives, each with the time in ms, by reading it aloud."""
    given, now = [], 0
    for name, *arguments in steps:
        match name:
            case "records":
                given += [(record, None, now) for record in arguments[0]]
            case "at":
                given += [(record, arguments[0], now) for record in arguments[1]]
            case "watermark":
                given.append((Watermark(arguments[0]), None, now))
            case "advance":
                now += arguments[0]
            case "until":
                now = max(now, arguments[0])
            case _:
                given.append(({"idle": Idle(), "active": Active()}[name], None, now))
    return given


@settings(max_examples=100)
@given(steps, st.sets(st.integers(1, 30), max_size=5), st.sampled_from([None, 1, 3]), st.integers(1, 7))
def test_a_script_is_followed_whoever_reads_it(steps, stops, batch, records_max):
    source = TestSource(batch=batch)
    for name, *arguments in steps:
        *first, last = arguments or [()]
        source = getattr(source, name)(*first, *last) if isinstance(last, list | tuple) else getattr(source, name)(*arguments)

    assert followed(source, stops, records_max) == expected_of(steps)


@given(st.lists(st.integers(1, 10_000), max_size=200))
def test_a_manual_clock_is_never_a_millisecond_short(steps):
    clock = ManualClock(wall_start_ms=0)
    for milliseconds in steps:
        clock.advance_to(clock.now() + milliseconds / 1000)

    assert clock.wall_ms() == sum(steps)
