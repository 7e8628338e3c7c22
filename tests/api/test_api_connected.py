"""Two streams that one operator reads, as they are written."""

import pytest

import actorflow as af
from actorflow.errors import PlanError
from actorflow.plan.graph import Partitioning


class Two(af.TwoInputOperator):
    pass


class TwoKeyed(Two):
    seen = af.ValueState(int)


class TwoTimed(Two):
    def on_timer(self, timestamp, ctx):
        pass


class Rules(af.BroadcastOperator):
    rules = af.BroadcastState(str, int)


class RulesOfKeys(Rules):
    seen = af.ValueState(int)


class One(af.OperatorActor):
    rules = af.BroadcastState(str, int)


def streams():
    pipeline = af.Pipeline("job")
    return [pipeline.read(af.sources.collection([1, 2]), name=name) for name in ("a", "b")]


def edges(stream):
    """The edges into the operator behind a stream: from where, to which input, how."""
    graph = stream.graph_into(af.sinks.discard())
    last = graph.operators[-2]
    return [
        (graph.operator(edge.source).name, edge.port, edge.partitioner and edge.partitioner.kind) for edge in graph.inputs(last.id)
    ]


def test_left_feeds_the_first_input_and_right_the_second_also_where_they_are_unions():
    a, b = streams()
    assert [("a", 0, None), ("b", 1, None)] == edges(a.connect(b).process(Two()))
    assert [("a", 0, None), ("b", 0, None), ("b", 1, None)] == edges(a.union(b).connect(b).process(Two()))


def test_each_keyed_side_is_spread_by_its_own_key():
    a, b = streams()
    joined = a.key_by(str).connect(b.key_by("name")).process(TwoKeyed())
    assert [("a", 0, Partitioning.HASH), ("b", 1, Partitioning.HASH)] == edges(joined)
    spec = joined.graph_into(af.sinks.discard()).operators[-2].spec
    assert (str, "name") == (spec.left_key, spec.right_key)


def test_what_is_broadcast_goes_everywhere_and_the_data_as_it_would():
    a, b = streams()
    assert [("a", 0, None), ("b", 1, Partitioning.BROADCAST)] == edges(a.connect(b.broadcast_state()).process(Rules()))
    keyed = a.key_by(str).connect(b.broadcast_state()).process(RulesOfKeys(), name="ruled", parallelism=3)
    assert [("a", 0, Partitioning.HASH), ("b", 1, Partitioning.BROADCAST)] == edges(keyed)
    operator = keyed.graph_into(af.sinks.discard()).operators[-2]
    assert ("ruled", 3) == (operator.name, operator.parallelism)


def test_which_side_is_which_is_part_of_the_identity():
    a, b = streams()
    one, other = a.connect(b).map(str, str), b.connect(a).map(str, str)
    ids = [stream.graph_into(af.sinks.discard()).operators[-2].id for stream in (one, other)]
    assert ids[0] != ids[1]


REFUSED = {
    "one keyed": (
        lambda a, b: a.key_by(str).connect(b),
        "a keyed stream cannot be connected to a Stream (hint: write a.key_by(f).connect(b.key_by(g)), or a.key_by(f).connect(b.broadcast_state()))",
    ),
    "other keyed": (
        lambda a, b: a.connect(b.key_by(str)),
        "a stream without keys cannot be connected to a KeyedStream (hint: write a.connect(b), or a.key_by(f).connect(b.key_by(g)))",
    ),
    "another pipeline": (
        lambda a, _: a.connect(af.Pipeline("other").read(af.sources.collection([]))),
        "cannot connect streams of two pipelines, 'job' and 'other' (hint: read both sources in one pipeline, or exchange files)",
    ),
    "another pipeline's rules": (
        lambda a, _: a.key_by(str).connect(af.Pipeline("other").read(af.sources.collection([])).broadcast_state()),
        "cannot connect streams of two pipelines, 'job' and 'other' (hint: read both sources in one pipeline, or exchange files)",
    ),
    "operator of one input": (
        lambda a, b: a.connect(b).process(One()),
        "'One' takes one stream, and is given a left and a right stream (hint: write stream.process(...))",
    ),
    "operator of two inputs": (
        lambda a, _: a.process(Two()),
        "'Two' takes a left and a right stream, and is given one stream (hint: write left.connect(right).process(...))",
    ),
    "broadcast operator": (
        lambda a, b: a.connect(b).process(Rules()),
        (
            "'Rules' takes data and what is broadcast to it, and is given a left and a right stream "
            "(hint: write data.connect(rules.broadcast_state()).process(...))"
        ),
    ),
    "broadcast state": (
        lambda a, _: a.process(One()),
        (
            "'One' has broadcast state ('rules'), but nothing is broadcast to it "
            "(hint: derive it from af.BroadcastOperator and write data.connect(rules.broadcast_state()).process(...))"
        ),
    ),
    "no operator": (
        lambda a, b: a.connect(b).process(print),
        (
            "process needs a TwoInputOperator, not builtin_function_or_method "
            "(hint: derive a class from af.TwoInputOperator, or use map, flat_map or filter for a plain function)"
        ),
    ),
    "class": (
        lambda a, b: a.connect(b).process(Two),
        "process needs an object of 'Two', not the class (hint: write process(Two()))",
    ),
    "state": (
        lambda a, b: a.connect(b).process(TwoKeyed()),
        (
            "'TwoKeyed' keeps state by key ('seen'), but the stream has no key "
            "(hint: write left.key_by(key).connect(right.key_by(key)).process(...))"
        ),
    ),
    "timers": (
        lambda a, b: a.connect(b).process(TwoTimed()),
        (
            "'TwoTimed' takes timers, which belong to keys, but the stream has no key "
            "(hint: write left.key_by(key).connect(right.key_by(key)).process(...))"
        ),
    ),
    "broadcast and state": (
        lambda a, b: a.connect(b.broadcast_state()).process(RulesOfKeys()),
        (
            "'RulesOfKeys' keeps state by key ('seen'), but the stream has no key "
            "(hint: write data.key_by(key).connect(rules.broadcast_state()).process(...))"
        ),
    ),
    "function": (lambda a, b: a.connect(b).map(str, 1), "map needs a function, not int: 1"),
    "generator": (
        lambda a, b: a.connect(b).map(str, _generate),
        "map got the generator function '_generate' (hint: use flat_map for functions that yield)",
    ),
    "option": (
        lambda a, b: a.connect(b).map(str, str, chain="nevr"),
        "chain of co_map cannot be 'nevr' (hint: did you mean 'never'?)",
    ),
}


def _generate(record):
    yield record


@pytest.mark.parametrize(("verb", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_where_it_is_written(verb, expected):
    with pytest.raises(PlanError) as caught:
        verb(*streams())
    assert expected == str(caught.value)


def test_connected_streams_show_what_they_are_made_of():
    a, b = streams()
    assert "<ConnectedStreams <Stream a of pipeline 'job'> and <Stream b of pipeline 'job'>>" == repr(a.connect(b))
    assert "<BroadcastStream of <Stream b.broadcast of pipeline 'job'>>" == repr(b.broadcast_state())
    assert "<BroadcastConnectedStreams <Stream a of pipeline 'job'> and <Stream b.broadcast of pipeline 'job'>>" == repr(
        a.connect(b.broadcast_state())
    )
