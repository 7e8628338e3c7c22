"""Batch mode: the same programs over bounded input give final results only, equal to the last ones that streaming gives."""

import asyncio
from collections import Counter

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import actorflow as af

EVERYTHING_TO_DISK = {"actorflow.batch.sort.memory": "1mb"}


def pipeline(mode="batch"):
    return af.Pipeline("batch", mode=mode)


def rows(count=1000, mode="batch"):
    return pipeline(mode).read(af.sources.collection([{"key": n % 7, "n": n} for n in range(count)]))


def failure_of(stream, slots, **options):
    with pytest.raises(af.JobFailed) as caught:
        af.collect(stream, slots=slots, **options)
    return str(caught.value)


# --- the same program in both modes ------------------------------------------------------------------------------------------


class Spread(af.Aggregate):
    def create(self):
        return None

    def add(self, acc, record):
        n = record["n"]
        return (n, n) if acc is None else (min(acc[0], n), max(acc[1], n))

    def merge(self, a, b):
        return (min(a[0], b[0]), max(a[1], b[1]))

    def result(self, acc):
        return acc[1] - acc[0]


class Running(af.OperatorActor):
    total = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.total.set(self.total.get() + record["n"])
        ctx.emit((ctx.key, self.total.get()))


class AtTheEnd(af.OperatorActor):
    """Counts, and tells when event time is over, or an hour has passed since a record."""

    count = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.count.set(self.count.get() + 1)
        ctx.timers.event(ctx.timestamp + 3_600_000)

    def on_timer(self, timestamp, ctx):
        ctx.emit((ctx.key, self.count.get()))


class Difference(af.TwoInputOperator):
    """Adds up the left side, less the right one."""

    total = af.ValueState(int, default=0)

    def on_left(self, record, ctx):
        self.total.set(self.total.get() + record["n"])
        ctx.emit((ctx.key, self.total.get()))

    def on_right(self, record, ctx):
        self.on_left({"n": -record["n"]}, ctx)


class Factors(af.BroadcastOperator):
    """Counts, and multiplies with what was broadcast for the key, which is known when event time is over."""

    factors = af.BroadcastState(int, int)
    count = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.count.set(self.count.get() + 1)
        ctx.timers.event(10**15)

    def on_broadcast(self, factor, ctx):
        self.factors.put(factor["key"], factor["n"])

    def on_timer(self, timestamp, ctx):
        ctx.emit((ctx.key, self.count.get() * self.factors.get(ctx.key, 1)))


def with_factors(stream):
    factors = stream.filter(lambda record: record["key"] == 2).map(lambda record: {"key": 2, "n": 5})
    return stream.key_by(by).connect(factors.broadcast_state()).process(Factors())


async def echoed(record):
    await asyncio.sleep(0)
    return record


def by(record):
    return record["key"]


def larger(a, b):
    return a if a["n"] >= b["n"] else b


KEYED = {
    "count": lambda stream: stream.key_by(by).count(),
    "count in columns": lambda stream: stream.map_batches(lambda frame: frame).key_by("key").count(),
    "sum": lambda stream: stream.key_by(by).sum("n"),
    "sum in columns": lambda stream: stream.map_batches(lambda frame: frame).key_by("key").sum("n"),
    "min": lambda stream: stream.key_by(by).min(lambda record: record["n"]),
    "max": lambda stream: stream.key_by("key").max("n"),
    "reduce": lambda stream: stream.key_by(by).reduce(larger).map(lambda record: (record["key"], record["n"])),
    "aggregate": lambda stream: stream.key_by(by).aggregate(Spread()),
    "process": lambda stream: stream.key_by(by).process(Running()),
    "timers": lambda stream: stream.with_timestamps("n", af.Watermarks.monotonous()).key_by(by).process(AtTheEnd()),
    "connect": lambda stream: stream.key_by(by).connect(stream.filter(lambda r: r["n"] > 2).key_by("key")).process(Difference()),
    "connect, timed and not": lambda stream: (
        stream.with_timestamps("n", af.Watermarks.none()).key_by(by).connect(stream.key_by(by)).process(Difference())
    ),
    "broadcast state": with_factors,
    "behind with_timestamps": lambda stream: stream.with_timestamps("n", af.Watermarks.monotonous()).key_by(by).count(),
    "union": lambda stream: stream.union(stream.map(lambda record: {**record, "n": -record["n"]})).key_by(by).min("n"),
}
"""Operators that give `(key, value)`; the last value of each key is its final one, whatever the order of the records."""

SEVERAL_A_KEY = {"process", "timers", "connect", "connect, timed and not"}
"""Operators of the user's emit when they like."""

UNKEYED = {
    "map": lambda stream: stream.map(lambda record: record["n"]),
    "flat_map": lambda stream: stream.flat_map(lambda record: [record["n"]] * (record["n"] % 3)),
    "filter": lambda stream: stream.filter(lambda record: record["n"] % 2),
    "map_batches": lambda stream: stream.map_batches(lambda frame: frame.with_columns(n=pl.col("n") + 1)),
    "map_async": lambda stream: stream.map_async(echoed),
    "rebalance": lambda stream: stream.rebalance().map(lambda record: record["n"]),
}
"""Operators that treat every record by itself."""


def timed(stream):
    return stream.with_timestamps("n", af.Watermarks.bounded("1min"))


WINDOWED = {
    "tumbling": lambda stream: timed(stream).key_by(by).window(af.windows.tumbling(4)).sum("n"),
    "sliding": lambda stream: timed(stream).key_by(by).window(af.windows.sliding(6, 2)).max("n"),
    "aggregate": lambda stream: timed(stream).key_by("key").window(af.windows.tumbling(10, offset=3)).aggregate(Spread()),
    "late": lambda stream: timed(stream).key_by(by).window(af.windows.tumbling(4)).allowed_lateness("1s").count(),
    "sessions": lambda stream: timed(stream).key_by(by).window(af.windows.session(3)).count(),
    "apply": lambda stream: timed(stream).key_by(by).window(af.windows.tumbling(5)).apply(numbers_of),
    "count windows": lambda stream: stream.key_by(by).window(af.windows.count(2)).count(),
    "count trigger": lambda stream: (
        timed(stream).key_by(by).window(af.windows.tumbling(9)).trigger(af.triggers.purging(af.triggers.count(2))).count()
    ),
    "window_all": lambda stream: timed(stream).window_all(af.windows.tumbling(5)).count(),
    "aggregation of windows": lambda stream: (
        timed(stream)
        .key_by(by)
        .window(af.windows.tumbling(4))
        .count()
        .key_by(lambda result: result.value)
        .count()
        .map(lambda pair: pair[0])
    ),
}
"""Operators that give the same results in both modes as long as nothing is late."""


def numbers_of(key, window, records, ctx):
    return sorted(record["n"] for record in records)


inputs = st.lists(st.fixed_dictionaries({"key": st.integers(0, 3) | st.just(10**6), "n": st.integers(-9, 9)}), min_size=1)
few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def both_modes(build, records, **options):
    streams = [build(pipeline(mode).read(af.sources.collection(records))) for mode in ("streaming", "batch")]
    return [af.collect(stream, **options) for stream in streams]


def check_keyed(build, records, **options):
    streaming, batch = both_modes(build, records, **options)
    assert dict(streaming) == dict(batch)
    return len(batch) - len(dict(batch))


@pytest.mark.parametrize("name", KEYED)
def test_the_last_result_of_each_key_is_the_final_one(name):
    @few
    @given(inputs)
    def check(records):
        doubled = check_keyed(KEYED[name], records, slots="inline")
        assert name in SEVERAL_A_KEY or doubled == 0

    check()


def check_windowed(name, records, **options):
    streaming, batch = both_modes(WINDOWED[name], records, **options)
    if name == "aggregation of windows":  # running results come before the final ones
        assert set(map(repr, batch)) <= set(map(repr, streaming))
    else:
        assert Counter(map(repr, streaming)) == Counter(map(repr, batch))


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_give_the_same_in_both_modes(name):
    @few
    @given(inputs)
    def check(records):
        check_windowed(name, records, slots="inline", parallelism=1)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", WINDOWED)
def test_windows_give_the_same_in_both_modes_in_two_processes(name):
    check_windowed(name, [{"key": n % 97, "n": n * 7919 % 1009} for n in range(5_000)], slots=2, config=EVERYTHING_TO_DISK)


def test_a_window_over_all_records_does_not_end_with_a_key():
    counts = timed(rows(2_000)).key_by(lambda record: record["n"]).count()
    config = {"execution.batch-records.max": 10}
    [total] = af.collect(counts.window_all(af.windows.tumbling("1h")).count(), slots="inline", parallelism=1, config=config)
    assert 2_000 == total.value


@pytest.mark.slow
@pytest.mark.parametrize("name", KEYED)
def test_the_last_result_of_each_key_is_the_final_one_over_many_inputs(name):
    @settings(few, max_examples=60)
    @given(inputs, st.integers(1, 3), st.sampled_from([1, 1024]))
    def check(records, parallelism, batch_records):
        config = {"execution.batch-records.max": batch_records}
        check_keyed(KEYED[name], records, slots="inline", parallelism=parallelism, config=config)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", KEYED)
def test_the_last_result_of_each_key_is_the_final_one_in_two_processes(name):
    check_keyed(KEYED[name], [{"key": n % 97, "n": n * 7919 % 1009} for n in range(20_000)], slots=2, config=EVERYTHING_TO_DISK)


@pytest.mark.parametrize("name", UNKEYED)
def test_what_treats_records_one_by_one_gives_the_same_in_both_modes(name, slots):
    records = [{"key": n % 3, "n": n} for n in range(200)]
    streaming, batch = both_modes(UNKEYED[name], records, slots=slots)
    assert Counter(map(repr, streaming)) == Counter(map(repr, batch))


# --- what is special about it --------------------------------------------------------------------------------------------------


def test_words_are_counted_once_each_and_come_in_order(slots):
    text = "the whale and the sea and the ship"
    counts = pipeline().read(af.sources.collection(text.split())).key_by(lambda word: word).count()
    assert [("and", 2), ("sea", 1), ("ship", 1), ("the", 3), ("whale", 1)] == af.collect(counts, slots=slots, parallelism=1)


class Notes(af.OperatorActor):
    """Tells in which order it sees its records, and what it knows of event time."""

    seen = af.ListState(int)

    def on_record(self, record, ctx):
        self.seen.add(record["n"])
        ctx.emit((ctx.key, tuple(self.seen.get()), ctx.timestamp, ctx.watermark))


def test_an_operator_sees_one_key_after_the_other_in_the_order_of_event_time(slots):
    shuffled = [{"key": n % 3, "n": n * 37 % 101} for n in range(100)]
    timed = pipeline().read(af.sources.collection(shuffled)).with_timestamps("n", af.Watermarks.monotonous())
    noted = af.collect(timed.key_by(by).process(Notes()), slots=slots, parallelism=1)
    assert sorted(key for key, *_ in noted) == [key for key, *_ in noted]
    for _, seen, timestamp, watermark in noted:
        assert sorted(seen) == list(seen)
        assert (seen[-1], -(2**63)) == (timestamp, watermark)
    assert [max(len(seen) for key, seen, *_ in noted if key == wanted) for wanted in range(3)] == [34, 33, 33]


def test_keyed_operators_behind_each_other_each_get_sorted_input(slots):
    counts = rows().key_by(by).count()
    sizes = counts.key_by(lambda pair: pair[1]).count()
    assert Counter({142: 1, 143: 6}) == dict(af.collect(sizes, slots=slots))


def test_more_than_fits_into_memory_is_sorted_on_disk(slots, tmp_path):
    words = [f"word {n * 7919 % 10_007}" for n in range(60_000)]
    counts = pipeline().read(af.sources.collection(words)).key_by(lambda word: word).count()
    config = {**EVERYTHING_TO_DISK, "io.tmp.dirs": str(tmp_path)}
    assert Counter(words) == dict(af.collect(counts, slots=slots, config=config))
    assert [] == list(tmp_path.iterdir())


def test_more_records_than_fit_into_memory_are_sorted_on_disk(slots):
    reduced = rows(60_000).key_by(lambda record: record["n"] % 10_007).reduce(larger)
    found = af.collect(reduced, slots=slots, config=EVERYTHING_TO_DISK)
    assert set(range(60_000 - 10_007, 60_000)) == {record["n"] for record in found}
    assert 10_007 == len(found)


def test_one_key_may_have_more_records_than_memory(slots):
    records = pipeline().read(af.sources.collection(range(60_000))).key_by(lambda _: "all")
    assert [sum(range(60_000))] == af.collect(records.reduce(lambda a, b: a + b), slots=slots, config=EVERYTHING_TO_DISK)


def test_nothing_comes_of_empty_input(slots):
    assert [] == af.collect(rows(0).key_by(by).count(), slots=slots)


def test_keys_need_no_order(slots):
    keys = [None, "a", 1, True, 1.0, (1, None), b"a", 2.5, "", ("x",)]
    counts = af.collect(pipeline().read(af.sources.collection(keys)).key_by(lambda key: key).count(), slots=slots)
    assert Counter(keys) == dict(counts)
    assert len(counts) == len(Counter(keys))


def test_the_plan_says_what_is_sorted():
    job = pipeline()
    job.read(af.sources.collection([1])).key_by(lambda n: n).count().write(af.sinks.discard())
    assert "hash, sorted" in job.explain(parallelism=1)


def test_automatic_mode_is_streaming():
    assert 3 == len(af.collect(pipeline("auto").read(af.sources.collection("aaa")).key_by(lambda n: n).count(), slots="inline"))


# --- bad inputs -----------------------------------------------------------------------------------------------------------------


def test_a_source_without_end_is_refused_by_name():
    numbers = pipeline().read(af.sources.generator(lambda n: n, rate=10), name="for ever").key_by(lambda n: n).count()
    with pytest.raises(af.PlanError, match="its source 'for ever' never ends"):
        af.collect(numbers, slots="inline")


def test_a_key_that_cannot_be_compared_names_operator_and_record(slots):
    keyed = pipeline().read(af.sources.collection([{"key": 1}, {"key": [2]}])).key_by(by).count()
    error = failure_of(keyed, slots, parallelism=1)
    assert "a key of type 'list' has no stable hash" in error
    assert "operator: the key of 'count'" in error
    assert "record: {'key': [2]}" in error


def test_a_key_function_that_raises_names_operator_and_record(slots):
    keyed = pipeline().read(af.sources.collection([1, 0])).key_by(lambda n: 1 // n).count()
    error = failure_of(keyed, slots, parallelism=1)
    assert "ZeroDivisionError" in error
    assert "record: 0" in error


class Locked:
    def __reduce__(self):
        raise TypeError("this one stays where it is")


def test_a_record_that_cannot_be_written_names_the_operator():
    stream = pipeline().read(af.sources.collection(range(20_000))).map(lambda n: (Locked(), "x" * 200, n))
    keyed = stream.key_by(lambda record: record[2]).reduce(lambda a, b: b, name="many")
    error = failure_of(keyed, "inline", parallelism=1, config=EVERYTHING_TO_DISK)
    assert "cannot sort the input of 'many' on disk: cannot send a record of type 'tuple': this one stays where it is" in error


def test_a_directory_that_does_not_exist_is_named(slots):
    config = {**EVERYTHING_TO_DISK, "io.tmp.dirs": "/missing"}
    error = failure_of(rows(60_000).key_by(by).reduce(larger, name="many"), slots, config=config)
    assert "cannot spill the input of 'many' in '/missing': No such file or directory (ENOENT)" in error
    assert "io.tmp.dirs" in error


def test_records_of_a_hundred_megabytes_pass():
    sizes = [100 << 20, 3, 60 << 20]
    records = pipeline().read(af.sources.collection(sizes)).map(bytes).key_by(len)
    found = af.collect(records.max(len), slots="inline", config={"actorflow.batch.sort.memory": "8mb"})
    assert sorted(zip(sizes, sizes, strict=True)) == sorted(found)
