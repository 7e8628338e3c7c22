"""Whole pipelines, through the public API alone: every verb once, in this thread and in processes."""

import argparse
import asyncio
import os
import pathlib
import typing
from collections import Counter, defaultdict

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import actorflow as af

TEXTS = [module.__file__ for module in (argparse, os, pathlib, typing)]
WORDS = Counter(word for file in TEXTS for line in pathlib.Path(file).read_text().splitlines() for word in line.split())
FOUR = pytest.param(4, marks=pytest.mark.slow)


@pytest.fixture
def pipeline():
    return af.Pipeline("end to end")


def numbers(pipeline, count=100, **options):
    return pipeline.read(af.sources.collection(range(count)), **options)


# --- word count -------------------------------------------------------------------------------------------------------------


def counted(pairs, *, every):
    """Check that each word's counts rise, by one if there is one for every record, and return the last ones."""
    running = defaultdict(list)
    for word, count in pairs:
        running[word].append(count)
    for word, counts in running.items():
        assert counts == (list(range(1, len(counts) + 1)) if every else sorted(set(counts))), word
    return Counter({word: counts[-1] for word, counts in running.items()})


def split_lines(frame):
    words = frame.select(word=pl.col("line").str.extract_all(r"\S+").explode())
    return words.filter(pl.col("word").is_not_null())


def split_lines_in_arrow(batch):
    words = pc.list_flatten(pc.utf8_split_whitespace(batch.column("line")))
    return pa.record_batch({"word": words.filter(pc.not_equal(words, ""))})


def by_objects(lines):
    return lines.flat_map(str.split).key_by(lambda word: word)


def by_polars(lines):
    return lines.map(lambda line: {"line": line}).map_batches(split_lines).key_by("word")


def by_arrow(lines):
    return lines.map(lambda line: {"line": line}).map_batches(split_lines_in_arrow, format="arrow").key_by("word")


@pytest.mark.parametrize("words_of", [by_objects, by_polars])
@pytest.mark.parametrize("chained", [True, False])
@pytest.mark.parametrize(
    "number", ["inline", pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), FOUR]
)
def test_words_are_counted_as_a_counter_does(number, chained, words_of, pipeline):
    lines = pipeline.read(af.sources.text(TEXTS, split_bytes=20_000))
    records = af.collect(words_of(lines).count(), slots=number, config={"pipeline.operator-chaining.enabled": chained})
    assert WORDS == counted(records, every=words_of is by_objects)


def test_words_are_counted_in_record_batches_too(slots, pipeline):
    lines = pipeline.read(af.sources.text(TEXTS, split_bytes=20_000))
    assert WORDS == counted(af.collect(by_arrow(lines).count(), slots=slots), every=False)


def test_a_result_says_what_went_through(slots, pipeline):
    numbers(pipeline).filter(lambda n: n % 2).write(af.sinks.discard())
    result = af.run(pipeline, slots=slots)
    assert ("end to end", 100, 50, 1, []) == (result.name, result.records_in, result.records_out, result.attempts, result.results)
    assert result.duration_s > 0


# --- record by record, and in batches ----------------------------------------------------------------------------------------


def test_map_flat_map_and_filter_do_what_comprehensions_do(slots, pipeline):
    stream = numbers(pipeline).map(lambda n: n * 3).filter(lambda n: n % 2 == 0).flat_map(lambda n: [n, -n])
    assert sorted(m for n in range(100) if n * 3 % 2 == 0 for m in (n * 3, -n * 3)) == sorted(af.collect(stream, slots=slots))


def test_a_generator_function_gives_any_number_of_records(slots, pipeline):
    def countdown(n):
        while n:
            yield n
            n -= 1

    assert [1, 1, 1, 2, 2, 3] == sorted(af.collect(numbers(pipeline, 4).flat_map(countdown), slots=slots))


def test_batches_are_mapped_as_frames_and_as_record_batches(slots, pipeline):
    rows = numbers(pipeline).map(lambda n: {"n": n})
    frames = rows.map_batches(lambda frame: frame.filter(pl.col("n") % 2 == 0).with_columns(twice=pl.col("n") * 2))
    batches = frames.map_batches(lambda batch: batch.append_column("half", pc.divide(batch.column("n"), 2)), format="arrow")
    expected = [{"n": n, "twice": 2 * n, "half": n // 2} for n in range(0, 100, 2)]
    assert expected == sorted(af.collect(batches, slots=slots), key=lambda row: row["n"])


# --- asynchronous calls -------------------------------------------------------------------------------------------------------


def first_waits_for_last(last):
    """Return a function whose first call ends after its last has begun: only calls that are under way together can end."""
    events = {}

    async def call(n):
        event = events.setdefault("last", asyncio.Event())
        if n == 0:
            await event.wait()
        elif n == last:
            event.set()
        return n

    return call


@pytest.mark.parametrize("ordered", [True, False])
def test_asynchronous_calls_are_under_way_together_and_come_out_in_order_if_asked(ordered, slots, pipeline):
    stream = numbers(pipeline, 50, parallelism=1).map_async(first_waits_for_last(49), ordered=ordered, capacity=100)
    records = af.collect(stream, slots=slots, parallelism=1)
    assert list(range(50)) == (records if ordered else sorted(records))
    assert ordered or records[0] != 0


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_asynchronous_calls_than_the_capacity_are_under_way(ordered, slots, pipeline):
    under_way = set()

    async def call(n):
        under_way.add(n)
        await asyncio.sleep(0)
        seen = len(under_way)
        under_way.discard(n)
        return seen

    stream = numbers(pipeline, 2000, parallelism=1).map_async(call, ordered=ordered, capacity=1)
    assert [1] * 2000 == af.collect(stream, slots=slots, parallelism=1)


def test_asynchronous_calls_are_tried_again(slots, pipeline):
    calls = Counter()

    async def fails_twice(n):
        calls[n] += 1
        if calls[n] < 3:
            raise OSError(f"call {calls[n]} of {n}")
        return n

    stream = numbers(pipeline).map_async(fails_twice, retry=af.Retry.fixed(attempts=3, delay="1ms", on=OSError))
    assert list(range(100)) == sorted(af.collect(stream, slots=slots))


def test_an_asynchronous_call_that_takes_too_long_fails_the_job(slots, pipeline):
    async def never(_):
        await asyncio.Event().wait()

    with pytest.raises(af.JobFailed, match=r"TimeoutError: no result within 50 ms") as caught:
        af.collect(numbers(pipeline).map_async(never, timeout="50ms", name="ask"), slots=slots)
    assert "ask" == caught.value.error.context["operator"]


# --- by key -------------------------------------------------------------------------------------------------------------------


class Mean(af.Aggregate):
    def create(self):
        return 0, 0

    def add(self, acc, value):
        return acc[0] + 1, acc[1] + value

    def merge(self, a, b):
        return a[0] + b[0], a[1] + b[1]

    def result(self, acc):
        return acc[1] / acc[0]


class Oldest(af.OperatorActor):
    """Gives a record together with the one before and the distinct ones so far, of the same key."""

    last = af.ValueState(int, default=None)
    all = af.ListState(int)
    by_tens = af.MapState(int, int)

    def on_record(self, n, ctx):
        self.all.add(n)
        self.by_tens.put(n // 10, n)
        ctx.emit((ctx.key, n, self.last.get(), len(self.all.get()), len(self.by_tens.items())))
        self.last.set(n)


def keyed(pipeline):
    return numbers(pipeline, parallelism=1).key_by(lambda n: n % 7)


LAST = {key: list(range(key, 100, 7)) for key in range(7)}


@pytest.mark.parametrize(
    ("verb", "final"),
    [
        (lambda stream: stream.count(), len),
        (lambda stream: stream.sum(lambda n: n), sum),
        (lambda stream: stream.min(lambda n: -n), lambda members: -members[-1]),
        (lambda stream: stream.max(lambda n: n), max),
        (lambda stream: stream.aggregate(Mean()), lambda members: sum(members) / len(members)),
    ],
    ids=["count", "sum", "min", "max", "aggregate"],
)
def test_aggregations_give_the_key_and_the_value_so_far(verb, final, slots, pipeline):
    records = af.collect(verb(keyed(pipeline)), slots=slots)
    assert (100, {key: final(members) for key, members in LAST.items()}) == (len(records), dict(records))


def test_reduce_gives_the_record_so_far(slots, pipeline):
    records = af.collect(keyed(pipeline).reduce(lambda a, b: a + b), slots=slots)
    expected = sorted(sum(members[: place + 1]) for members in LAST.values() for place in range(len(members)))
    assert expected == sorted(records)


def test_an_operator_keeps_state_for_each_key(slots, pipeline):
    records = af.collect(keyed(pipeline).process(Oldest()), slots=slots)
    expected = [
        (key, n, members[place - 1] if place else None, place + 1, len({m // 10 for m in members[: place + 1]}))
        for key, members in LAST.items()
        for place, n in enumerate(members)
    ]
    assert expected == sorted(records)


# --- several streams ---------------------------------------------------------------------------------------------------------


ODD = af.Tag("odd")


class EvenAndOdd(af.OperatorActor):
    def on_record(self, n, ctx):
        if n % 2:
            ctx.emit_to(ODD, n)
        else:
            ctx.emit(n)


def test_what_goes_to_a_side_output_is_not_in_the_main_one(slots, pipeline, tmp_path):
    split = numbers(pipeline).process(EvenAndOdd())
    split.write(af.sinks.text(tmp_path / "even"))
    split.side_output(ODD).map(lambda n: -n).write(af.sinks.text(tmp_path / "odd"))
    af.run(pipeline, slots=slots)
    assert list(range(0, 100, 2)) == numbers_in(tmp_path / "even")
    assert [-n for n in range(99, 0, -2)] == numbers_in(tmp_path / "odd")


def numbers_in(directory):
    return sorted(int(line) for file in directory.glob("part-*") for line in file.read_text().split())


def test_union_merges_streams_and_a_stream_with_itself(slots, pipeline):
    ones, tens = numbers(pipeline, 10), numbers(pipeline, 5).map(lambda n: n * 10)
    merged = ones.union(tens, ones.map(lambda n: n))
    assert sorted([*range(10), *range(10), *range(0, 50, 10)]) == sorted(af.collect(merged, slots=slots))


def test_two_branches_of_a_stream_get_every_record_each(slots, pipeline, tmp_path):
    squares = numbers(pipeline).map(lambda n: n * n)
    squares.filter(lambda n: n < 50).write(af.sinks.text(tmp_path / "small"))
    squares.write(af.sinks.text(tmp_path / "all"))
    squares.key_by(lambda n: n % 2).count().map(lambda pair: pair[1]).write(af.sinks.text(tmp_path / "counts"))
    result = af.run(pipeline, slots=slots)
    assert 208 == result.records_out
    assert [n * n for n in range(8)] == numbers_in(tmp_path / "small")
    assert [n * n for n in range(100)] == numbers_in(tmp_path / "all")
    assert sorted([*range(1, 51)] * 2) == numbers_in(tmp_path / "counts")


def test_a_verb_of_ones_own_stands_in_a_line(slots, pipeline):
    def doubled(stream, *, unless):
        return stream.filter(lambda n: n != unless).map(lambda n: 2 * n)

    assert [0, 2, 6] == sorted(af.collect(numbers(pipeline, 4).then(doubled, unless=2), slots=slots))
