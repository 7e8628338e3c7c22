"""Windows in whole jobs: over one and two subtasks, with late records, and in slices that let others have their turn."""

import pytest
from few_and_many import at_length
from hypothesis import strategies as st

import actorflow as af
from actorflow.testing import TestSource, run_test

LATE = af.Tag("late")


class Mean(af.Aggregate):
    def create(self):
        return (0, 0)

    def add(self, acc, value):
        return (acc[0] + value[1], acc[1] + 1)

    def merge(self, a, b):
        return (a[0] + b[0], a[1] + b[1])

    def result(self, acc):
        return acc[0] / acc[1]


READINGS = (
    TestSource()
    .stamped([(("a", 1), 1000), (("b", 2), 1500), (("a", 3), 61_000), (("a", 5), 59_999)])
    .watermark("00:01:00")
    .at("00:00:30", ("a", 90))
    .at("00:01:05", ("b", 4))
    .watermark("00:02:10")
    .at("00:01:59", ("b", 8))
)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_means_by_minute_with_late_records_aside(parallelism):
    windowed = af.Pipeline("means").read(READINGS).key_by(0).window(af.windows.tumbling("1min"))
    means = windowed.late_to(LATE).aggregate(Mean())
    run = run_test(means, parallelism=parallelism)
    first, second = af.Window(0, 60_000), af.Window(60_000, 120_000)
    assert sorted(run.timed) == [
        (("a", first, 3.0), 59_999),
        (("a", second, 3.0), 119_999),
        (("b", first, 2.0), 59_999),
        (("b", second, 4.0), 119_999),
    ]
    late = run_test(means.side_output(LATE), parallelism=parallelism)
    assert sorted(late.timed) == [(("a", 90), 30_000), (("b", 8), 119_000)]


@pytest.mark.parametrize("parallelism", [1, 2])
def test_late_records_that_are_allowed_give_results_anew(parallelism):
    windowed = af.Pipeline("anew").read(READINGS).key_by(0).window(af.windows.tumbling("1min"))
    run = run_test(windowed.allowed_lateness("1min").count(), parallelism=parallelism)
    found = [(record.key, record.window.start // 60_000, record.value) for record in run.records]
    assert sorted(found) == [("a", 0, 2), ("a", 0, 3), ("a", 1, 1), ("b", 0, 1), ("b", 1, 1), ("b", 1, 2)]


def test_windows_of_windows():
    """Results have the last millisecond of their window as event time, so they are in the right window of the next operator, or late for it."""
    counts = af.Pipeline("twice").read(READINGS).key_by(0).window(af.windows.tumbling("1min")).allowed_lateness("1h").count()
    run = run_test(counts.window_all(af.windows.tumbling("1min")).apply(lambda key, window, results, ctx: len(results)))
    assert [(2, 59_999), (2, 119_999)] == [(record.value, time) for record, time in run.timed]


@at_length(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-500, 500)), min_size=1, max_size=40),
    st.integers(1, 120),
    st.integers(1, 120),
    st.sampled_from([1, 2]),
    st.integers(1, 7),
    few=10,
    many=300,
)
def test_sliding_counts_equal_a_naive_count(records, size, slide, parallelism, batch):
    """The watermark is a fixed time behind the latest record, so none is late: what comes is counted in all its windows."""
    expected = {}
    for key, time in records:
        for start in range(time - size + 1, time + 1):
            if start % slide == 0:
                expected[key, start] = expected.get((key, start), 0) + 1
    source = TestSource(batch=batch).stamped([((key, time), time) for key, time in records])
    stamped = af.Pipeline("sliding").read(source).with_timestamps(1, af.Watermarks.bounded(out_of_order=1000))
    run = run_test(stamped.key_by(0).window(af.windows.sliding(size, slide)).count(), parallelism=parallelism)
    assert {(record.key, record.window.start): record.value for record in run.records} == expected
    assert len(run.records) == len(expected)


def test_results_of_windows_by_the_clock_have_event_times():
    source = TestSource().records("a", "b").advance("5s").records("a").advance("1h")
    counts = (
        af.Pipeline("clock").read(source).key_by(lambda word: word).window(af.windows.tumbling("1s", time="processing")).count()
    )
    totals = counts.with_timestamps(lambda result: result.window.end, af.Watermarks.monotonous()).window_all(
        af.windows.tumbling("1h")
    )
    assert [3] == [result.value for result in run_test(totals.sum(lambda result: result.value)).records]
    again = counts.window_all(af.windows.tumbling("1h")).sum(
        lambda result: result.value
    )  # the times that windows gave their results
    assert [3] == [result.value for result in run_test(again).records]


@pytest.mark.parametrize("parallelism", [1, 2])
def test_sessions_of_processing_time_end_by_the_clock(parallelism):
    source = TestSource().records("a", "b").advance("5s").records("a").advance("7s").records("a").advance("1h")
    sessions = af.Pipeline("sessions").read(source).key_by(lambda word: word).window(af.windows.session("6s", time="processing"))
    run = run_test(sessions.count(), parallelism=parallelism)
    assert [("b", 1, 6000), ("a", 2, 11_000), ("a", 1, 18_000)] == [
        (arrival.record.key, arrival.record.value, arrival.at_ms) for arrival in run.only.arrivals
    ]


def test_a_window_of_many_keys_is_given_in_slices():
    keys = 50_000
    source = TestSource().stamped([(key, 0) for key in range(keys)]).watermark(10)
    counts = af.Pipeline("many").read(source).key_by(lambda key: key).window(af.windows.tumbling(10)).count()
    run = run_test(counts)
    assert sorted(record.key for record in run.records) == list(range(keys))
    assert run.watermarks[0] == 10


@pytest.mark.slow
def test_windows_over_two_worker_processes():
    records = [(f"key {number % 7}", number) for number in range(20_000)]
    stream = af.Pipeline("workers", parallelism=2).read(af.sources.collection(records))
    stamped = stream.with_timestamps(1, af.Watermarks.monotonous())
    windowed = stamped.key_by(0).window(af.windows.sliding(700, 70)).sum(1)
    found = {(result.key, result.window.start): result.value for result in af.collect(windowed)}
    expected = {}
    for key, number in records:
        for start in range(number // 70 * 70 - 630, number // 70 * 70 + 70, 70):
            expected[key, start] = expected.get((key, start), 0) + number
    assert found == expected
