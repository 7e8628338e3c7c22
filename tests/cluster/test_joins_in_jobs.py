"""Joins through whole jobs: one subtask and two, streaming and batch."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actorflow as af
from actorflow.testing import TestSink, TestSource, run_test

SIDE = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), min_size=1, max_size=12)

WAYS = st.sampled_from([("streaming", "hashmap"), ("streaming", "rocksdb"), ("batch", "hashmap")])


def stream(pipeline, name, records):
    """A source of `(key, time, name, number)` whose watermark comes behind them."""
    source = TestSource(batch=3).stamped([((key, at, name, number), at) for number, (key, at) in enumerate(records)])
    return pipeline.read(source.watermark(1000)).key_by(0)


def numbered(name, records):
    return [(key, at, name, number) for number, (key, at) in enumerate(records)]


def pairs_of(left, right, matches):
    return [
        ((one, other), max(one[1], other[1]))
        for one in numbered("left", left)
        for other in numbered("right", right)
        if one[0] == other[0] and matches(one[1], other[1])
    ]


def outer(left, right, matches, how, at):
    """Pairs, and the records that met none, each with the event time `at(record, ...)` gives."""
    ones, others = numbered("left", left), numbered("right", right)
    pairs = [(one, other) for one in ones for other in others if one[0] == other[0] and matches(one[1], other[1])]
    results = [(pair, at(*pair)) for pair in pairs]
    if how in {"left", "full"}:
        results += [((one, None), at(one)) for one in ones if one not in {pair[0] for pair in pairs}]
    if how in {"right", "full"}:
        results += [((None, other), at(other)) for other in others if other not in {pair[1] for pair in pairs}]
    return sorted(results, key=repr)


def joined(verb, left, right, parallelism, mode, backend):
    pipeline = af.Pipeline("joined", parallelism=parallelism, mode=mode, config={"state.backend.type": backend})
    return verb(stream(pipeline, "left", left), stream(pipeline, "right", right))


def check(verb, expected, examples=10):
    """Compare a join with an oracle in every way of running it."""

    @given(SIDE, SIDE, st.sampled_from([1, 2]), WAYS, st.integers(0, 1000))
    @settings(max_examples=examples, deadline=None)
    def compare(left, right, parallelism, way, seed):
        run = run_test(joined(verb, left, right, parallelism, *way), seed=seed)
        assert sorted(expected(left, right), key=repr) == sorted(run.timed, key=repr)

    compare()


SIZES = pytest.mark.parametrize("examples", [10, pytest.param(250, marks=pytest.mark.slow)])


@SIZES
def test_interval_joins(examples):
    def verb(left, right):
        return left.interval_join(right, lower="-5ms", upper=8, upper_inclusive=False)

    check(verb, lambda left, right: pairs_of(left, right, lambda one, other: one - 5 <= other < one + 8), examples)


@SIZES
@pytest.mark.parametrize("how", ["inner", "full"])
def test_joins_without_windows_keep_records_to_the_end(how, examples):
    def expected(left, right):
        return outer(left, right, lambda *_: True, how, lambda *records: max(record[1] for record in records))

    check(lambda left, right: left.join(right, how=how), expected, examples)


def window_of(at):
    return at // 10


def end_of_window(*records):
    return window_of(records[0][1]) * 10 + 9


@SIZES
@pytest.mark.parametrize("how", ["inner", "left", "right", "full"])
def test_joins_in_windows(how, examples):
    def verb(left, right):
        return left.join(right, window=af.windows.tumbling(10), how=how)

    def expected(left, right):
        return outer(left, right, lambda one, other: window_of(one) == window_of(other), how, end_of_window)

    check(verb, expected, examples)


@SIZES
def test_co_groups(examples):
    def verb(left, right):
        return left.co_group(right, window=af.windows.tumbling(10)).map(lambda group: (*group[:2], *map(sorted, group.value)))

    def expected(left, right):
        groups = defaultdict(lambda: ([], []))
        for side, name, records in ((0, "left", left), (1, "right", right)):
            for record in numbered(name, records):
                groups[record[0], window_of(record[1])][side].append(record)
        return [
            ((key, (window * 10, window * 10 + 10), sorted(ones), sorted(others)), window * 10 + 9)
            for (key, window), (ones, others) in groups.items()
        ]

    check(verb, expected, examples)


@SIZES
@pytest.mark.parametrize("tolerance", [None, 6])
def test_as_of_joins(tolerance, examples):
    """Of versions with one time the last counts; in which order two readers' batches come is open, but one source keeps its order."""

    def expected(left, right):
        results = []
        for one in numbered("left", left):
            found = [other for other in numbered("right", right) if other[0] == one[0] and other[1] <= one[1]]
            latest = max(found, key=lambda other: (other[1], other[3]), default=None)
            in_reach = latest is not None and (tolerance is None or one[1] - latest[1] <= tolerance)
            results.append(((one, latest if in_reach else None), one[1]))
        return results

    check(lambda left, right: left.as_of_join(right, tolerance=tolerance), expected, examples)


def test_late_records_of_an_interval_join_go_to_their_side_outputs():
    late_left, late_right = af.Tag("late left"), af.Tag("late right")
    pipeline = af.Pipeline("late")
    left = pipeline.read(TestSource().at(10, "a").watermark(20).advance("2s").at(15, "a")).key_by(len)
    right = pipeline.read(TestSource().watermark(20).advance("1s").at(20, "b").at(21, "b")).key_by(len)
    pairs = left.interval_join(right, lower=-50, upper=50, late_left=late_left, late_right=late_right)
    sinks = [TestSink("pairs"), TestSink("left"), TestSink("right")]
    for output, sink in zip([pairs, pairs.side_output(late_left), pairs.side_output(late_right)], sinks, strict=True):
        output.write(sink)
    run = run_test(pipeline)
    assert [[(("a", "b"), 21)], [("a", 15)], [("b", 20)]] == [run[sink].timed for sink in sinks]


def test_a_time_to_live_is_counted_in_processing_time():
    pipeline = af.Pipeline("kept")
    left = pipeline.read(TestSource().records("a", "bb").advance("1h").records("c")).key_by(len)
    right = pipeline.read(TestSource().advance("30min").records("x").advance("1h").records("y", "zz")).key_by(len)
    run = run_test(left.join(right, how="left", ttl="1h"))
    arrivals = sorted((arrival.at_ms, arrival.record) for arrival in run.only.arrivals)
    minutes = 60_000
    assert [
        (30 * minutes, ("a", "x")),
        (60 * minutes, ("bb", None)),
        (60 * minutes, ("c", "x")),
        (90 * minutes, ("c", "y")),
    ] == arrivals


async def price(product):
    return {"a": 1, "b": 2}.get(product)


@pytest.mark.parametrize("how", ["left", "inner"])
def test_lookup_joins(slots, how):
    pipeline = af.Pipeline("prices", parallelism=2)
    orders = pipeline.read(af.sources.collection([{"product": product, "n": n} for n, product in enumerate("abcab")]))
    priced = orders.lookup_join(price, "product", how=how, cache_size=2, cache_ttl="1min")
    expected = [(n, {"a": 1, "b": 2}.get(product)) for n, product in enumerate("abcab") if how == "left" or product != "c"]
    assert expected == sorted((order["n"], found) for order, found in af.collect(priced, slots=slots))
