"""A pipeline is data: it collects operators, gives immutable graphs, and explains itself."""

from pathlib import Path

import pytest

import actorflow as af
from actorflow.connectors.contracts import Sink, Source
from actorflow.errors import ConfigError, PlanError


class Nowhere(Sink):
    def open(self, ctx):
        raise NotImplementedError


class Wire(Source):
    bounded = False
    parallelism_max = 1

    def splits(self, parallelism):
        raise NotImplementedError

    def open(self, split, position):
        raise NotImplementedError


def wordcount(**settings):
    pipeline = af.Pipeline("wordcount", **settings)
    lines = pipeline.read(af.sources.collection(["a b", "b"]))
    lines.flat_map(str.split).key_by(lambda word: word).count().write(Nowhere())
    return pipeline


def test_settings_of_the_pipeline_reach_its_graph():
    graph = wordcount(parallelism=3, max_parallelism=64, mode="batch", config={"parallelism.default": 2}).graph()
    assert (graph.name, graph.parallelism, graph.max_parallelism, graph.mode) == ("wordcount", 3, 64, "batch")
    assert graph.config == {"parallelism.default": 2}


def test_nested_options_are_flattened_to_their_names():
    assert af.Pipeline("job", config={"parallelism": {"default": 2}}).graph().config == {"parallelism.default": 2}


def test_a_graph_does_not_change_when_the_pipeline_grows():
    pipeline = wordcount()
    before = pipeline.graph()
    pipeline.read(af.sources.collection([1])).write(Nowhere())
    assert len(before.operators) == 4
    assert len(pipeline.graph().operators) == 6
    assert [operator.id for operator in pipeline.graph().operators[:4]] == [operator.id for operator in before.operators]


def test_building_twice_gives_the_same_ids_whatever_the_functions_and_names():
    other = af.Pipeline("other")
    lines = other.read(af.sources.collection([]), name="lines")
    lines.flat_map(lambda line: line.split(","), name="fields", parallelism=7).key_by(0).count(name="n").write(Nowhere())
    assert [operator.id for operator in other.graph().operators] == [operator.id for operator in wordcount().graph().operators]


def test_names_default_to_the_verbs_and_are_numbered():
    pipeline = af.Pipeline("job")
    stream = pipeline.read(af.sources.collection([])).map(str).map(str, name="clean").map(str)
    stream.write(Nowhere())
    assert [operator.name for operator in pipeline.graph().operators] == ["source", "map", "clean", "map-2", "sink"]


def test_the_graph_behind_a_stream_has_only_what_the_stream_needs_with_the_same_ids():
    pipeline = af.Pipeline("job")
    source = pipeline.read(af.sources.collection([]))
    source.map(str).write(Nowhere())
    pipeline.read(af.sources.collection([])).write(Nowhere())
    wanted = source.map(len)
    whole = pipeline.graph()
    graph = wanted.graph_into(Nowhere())
    assert [operator.name for operator in graph.operators] == ["source", "map-2", "sink-3"]
    assert [operator.id for operator in graph.operators[:2]] == [whole.operators[0].id, whole.operators[5].id]
    assert pipeline.graph() == whole


def test_explain_shows_the_plan():
    assert (
        wordcount().explain(parallelism=2)
        == """\
pipeline 'wordcount' (mode auto): 4 operators in 2 chains, 4 subtasks, 4 channels, 2 slots

chain  operator  kind      subtasks  key groups  slot group  dispatcher
1      source    source           2         128  default     default
1      flat_map  flat_map         2         128  default     default
2      count     count            2         128  default     default
2      sink      sink             2         128  default     default

from      to        partitioner  channels  path
source    flat_map  forward       chained  objects
flat_map  count     hash                4  objects
count     sink      forward       chained  objects
"""
    )


def test_a_source_of_one_connection_has_one_subtask():
    pipeline = af.Pipeline("job", parallelism=4)
    pipeline.read(Wire()).write(Nowhere())
    assert "1      source    source         1 " in pipeline.explain()
    assert "source  sink  rebalance           4  objects" in pipeline.explain()


def test_a_pipeline_that_writes_nothing_cannot_be_explained():
    pipeline = af.Pipeline("job")
    pipeline.read(af.sources.collection([1]))
    with pytest.raises(PlanError, match="pipeline 'job' writes nothing"):
        pipeline.explain()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": ""}, "the name of a pipeline must not be empty or begin or end with a space: ''"),
        ({"parallelism": 0}, "parallelism of pipeline 'job' must be at least 1, not 0"),
        ({"parallelism": "2"}, "parallelism must be a whole number, not str: '2'"),
        ({"max_parallelism": 1 << 16}, "max_parallelism of pipeline 'job' must be between 1 and 32768, not 65536"),
        ({"mode": "bach"}, "mode of pipeline 'job' cannot be 'bach' (hint: did you mean 'batch'?)"),
    ],
)
def test_impossible_settings_are_refused(settings, expected):
    with pytest.raises(PlanError) as caught:
        af.Pipeline(**{"name": "job", **settings})
    assert str(caught.value) == expected


def test_an_unknown_option_is_refused_with_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"pipeline 'job': unknown option 'paralelism\.default' \(hint: did you mean 'parallelism\.default'\?\)"
    ):
        af.Pipeline("job", config={"paralelism.default": 2})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "book.txt",
            "read needs a source, not str: 'book.txt' (hint: to read lines of text use read(af.sources.text('book.txt')))",
        ),
        (
            [1, 2],
            "read needs a source, not list: [1, 2] (hint: to read records in memory use read(af.sources.collection(records)))",
        ),
        (7, "read needs a source, not int: 7 (hint: sources are in af.sources)"),
    ],
)
def test_what_is_no_source_is_refused_with_the_one_that_may_be_meant(source, expected):
    with pytest.raises(PlanError) as caught:
        af.Pipeline("job").read(source)
    assert str(caught.value) == expected


def test_a_path_is_no_source_either():
    with pytest.raises(PlanError, match=r"use read\(af\.sources\.text\('book\.txt'\)\)"):
        af.Pipeline("job").read(Path("book.txt"))
