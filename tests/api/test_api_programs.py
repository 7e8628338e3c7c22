"""The programs that the documentation promises, as far as they build pipelines: each gives the plan that a reader would expect."""

import re

import actorflow as af


def table(text, number):
    """Part `number` of an explanation, as rows of cells (columns are at least two spaces apart)."""
    return [re.split(r" {2,}", line) for line in text.split("\n\n")[number].splitlines()[1:]]


def chains(pipeline, parallelism=2):
    """Names of the operators of each chain."""
    result = {}
    for chain, name, *_ in table(pipeline.explain(parallelism=parallelism), 1):
        result.setdefault(chain, []).append(name)
    return list(result.values())


def edges(pipeline, parallelism=2):
    """From, to, partitioner and path of each edge."""
    return [
        (source, target, partitioner, path)
        for source, target, partitioner, _, path in table(pipeline.explain(parallelism=parallelism), 2)
    ]


def test_wordcount():
    pipeline = af.Pipeline("wordcount")
    counts = (
        pipeline.read(af.sources.text("book.txt"))
        .flat_map(str.split)
        .key_by(lambda word: word)
        .count()
    )  # fmt: skip
    counts.write(af.sinks.print())
    assert chains(pipeline) == [["source", "flat_map"], ["count", "sink"]]
    assert edges(pipeline) == [
        ("source", "flat_map", "forward", "objects"),
        ("flat_map", "count", "hash", "objects"),
        ("count", "sink", "forward", "objects"),
    ]


class MeanDelay(af.Aggregate[dict, tuple[int, float], float]):
    def create(self):
        return 0, 0.0

    def add(self, acc, flight):
        return acc[0] + 1, acc[1] + flight["delay"]

    def merge(self, a, b):
        return a[0] + b[0], a[1] + b[1]

    def result(self, acc):
        return acc[1] / acc[0]


def test_columns_are_kept_until_a_function_of_single_records_needs_objects():
    pipeline = af.Pipeline("flights")
    flights = pipeline.read(af.sources.parquet("flights.parquet"))
    cleaned = flights.map_batches(lambda frame: frame.drop_nulls())
    cleaned.key_by("origin").count().write(af.sinks.parquet("out/counts"))
    cleaned.key_by(lambda flight: flight["origin"]).aggregate(MeanDelay()).write(af.sinks.json_lines("out/delays"))
    assert chains(pipeline) == [["source", "map_batches"], ["count", "sink"], ["aggregate", "sink-2"]]
    to_objects = "columns -> objects (converted by 'map_batches': a function chooses the subtask)"
    assert edges(pipeline) == [
        ("source", "map_batches", "forward", "columns"),
        ("map_batches", "count", "hash on column 'origin'", "columns"),
        ("count", "sink", "forward", "columns"),
        ("map_batches", "aggregate", "hash", to_objects),
        ("aggregate", "sink-2", "forward", "objects"),
    ]


class Dedup(af.OperatorActor):
    seen = af.ValueState(bool, default=False)

    def on_record(self, record, ctx):
        if not self.seen.get():
            self.seen.set(True)
            ctx.emit(record)


class Router(af.OperatorActor):
    def on_record(self, record, ctx):
        if "id" in record:
            ctx.emit(record)
        else:
            ctx.emit_to(BROKEN, record)


BROKEN = af.Tag("broken")


def test_an_operator_of_ones_own_with_state_and_a_side_output():
    pipeline = af.Pipeline("unique")
    routed = pipeline.read(af.sources.json_lines("events")).process(Router(), name="route")
    routed.key_by(lambda r: r["id"]).process(Dedup(), uid="dedup").write(af.sinks.text("out/unique"))
    routed.side_output(BROKEN).write(af.sinks.json_lines("out/broken"), name="broken", parallelism=1)
    assert chains(pipeline) == [["source", "route"], ["process", "sink"], ["broken"]]
    assert edges(pipeline)[3] == ("route[broken]", "broken", "rebalance", "objects")
    assert pipeline.graph().operators[2].id == "dedup"


async def fetch(url):
    return url


def test_asynchronous_calls_and_merged_streams_and_verbs_of_ones_own():
    def distinct(stream, key):
        return stream.key_by(key).process(Dedup())

    pipeline = af.Pipeline("pages")
    listed = pipeline.read(af.sources.text("urls.txt"))
    typed = pipeline.read(af.sources.socket("localhost", 9000))
    (
        listed.union(typed)
        .then(distinct, str)
        .map_async(fetch, ordered=False, capacity=200, timeout="5s", retry=af.Retry.exponential(attempts=3, on=OSError))
        .filter(bool)
        .write(af.sinks.for_each(print))
    )
    assert chains(pipeline) == [["source"], ["source-2"], ["process", "map_async", "filter", "sink"]]
    assert [edge[:3] for edge in edges(pipeline)[:2]] == [("source", "process", "hash"), ("source-2", "process", "hash")]


def test_options_of_a_verb_go_before_those_of_the_pipeline_and_of_whoever_runs_it():
    pipeline = af.Pipeline("numbers", parallelism=3)
    numbers = pipeline.read(af.sources.generator(count=1000, rate=100.0), parallelism=1)
    numbers.map(lambda n: n % 7).rebalance().map(str, parallelism=4, slot_group="heavy").write(af.sinks.discard())
    rows = [(row[1], int(row[3]), row[5]) for row in table(pipeline.explain(parallelism=8), 1)]
    assert rows == [("source", 1, "default"), ("map", 3, "default"), ("map-2", 4, "heavy"), ("sink", 3, "default")]
    assert "10 subtasks" not in pipeline.explain()
    assert "11 subtasks" in pipeline.explain()


class Countdown(af.Source):
    def splits(self, parallelism):
        return range(parallelism)

    def open(self, split, position):
        raise NotImplementedError


class Shout(af.Sink):
    def open(self, ctx):
        raise NotImplementedError


def test_sources_and_sinks_of_ones_own():
    pipeline = af.Pipeline("own")
    pipeline.read(Countdown(), name="countdown").write(Shout(), name="shout")
    assert chains(pipeline) == [["countdown", "shout"]]
