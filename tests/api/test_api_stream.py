"""Verbs build the graph that they say, and refuse what cannot work while the user's line is still on the stack."""

import functools
from datetime import timedelta

import pytest

import actorflow as af
from actorflow.connectors.contracts import Sink
from actorflow.errors import ConfigError, PlanError
from actorflow.operators.asynchronous.retry import RetryPolicy
from actorflow.plan.graph import Partitioning


class Nowhere(Sink):
    def open(self, ctx):
        raise NotImplementedError


class Mean(af.Aggregate):
    def create(self):
        return (0, 0)

    def add(self, acc, value):
        return (acc[0] + 1, acc[1] + value)

    def merge(self, a, b):
        return (a[0] + b[0], a[1] + b[1])

    def result(self, acc):
        return acc[1] / acc[0]


class Passing(af.OperatorActor):
    def on_record(self, record, ctx):
        ctx.emit(record)


class Dedup(af.OperatorActor):
    seen = af.ValueState(bool, default=False)


class Misdeclared(af.OperatorActor):
    total = af.ValueState(int, default="none")


def numbers(pipeline=None):
    return (pipeline or af.Pipeline("job")).read(af.sources.collection([1, 2, 3]))


def built(stream):
    """The graph behind a stream, and its last operator before the sink."""
    graph = stream.graph_into(Nowhere())
    return graph, graph.operators[-2]


def edges(graph):
    return [(edge.source.split("-")[0], edge.target.split("-")[0], edge.tag) for edge in graph.edges]


def fetch_all(record):
    yield record


async def fetch(record):
    return record


# --- the verbs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        (lambda s: s.map(str), ("map", {"fn": str})),
        (lambda s: s.flat_map(fetch_all), ("flat_map", {"fn": fetch_all})),
        (lambda s: s.filter(bool), ("filter", {"fn": bool})),
        (lambda s: s.map_batches(len, format="arrow"), ("map_batches", {"fn": len, "format": "arrow"})),
        (
            lambda s: s.map_async(fetch),
            ("map_async", {"fn": fetch, "ordered": True, "capacity": 100, "timeout_ms": 10_000, "retry": None}),
        ),
        (
            lambda s: s.map_async(fetch, ordered=False, capacity=5, timeout=timedelta(seconds=2), retry=af.Retry.none()),
            ("map_async", {"fn": fetch, "ordered": False, "capacity": 5, "timeout_ms": 2000, "retry": RetryPolicy(1, 0)}),
        ),
    ],
)
def test_a_verb_adds_its_operator(verb, expected):
    graph, operator = built(verb(numbers()))
    kind, fields = expected
    assert (operator.spec.kind, vars(operator.spec)) == (kind, fields)
    assert edges(graph) == [("source", kind, None), (kind, "sink", None)]
    assert graph.edges[0].partitioner is None


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        (lambda k: k.reduce(max), "reduce"),
        (lambda k: k.aggregate(Mean()), "aggregate"),
        (lambda k: k.count(), "count"),
        (lambda k: k.sum(abs), "sum"),
        (lambda k: k.min(abs), "min"),
        (lambda k: k.max(abs), "max"),
        (lambda k: k.process(Dedup()), "process"),
    ],
)
def test_a_keyed_verb_spreads_by_its_key_and_knows_it(verb, kind):
    graph, operator = built(verb(numbers().key_by(abs)))
    assert operator.spec.kind == kind
    assert operator.spec.key is abs
    partitioner = graph.edges[0].partitioner
    assert (partitioner.kind, partitioner.key, partitioner.key_column) == (Partitioning.HASH, abs, None)


def test_a_key_by_name_can_be_used_on_columns_and_on_records():
    graph, operator = built(numbers().key_by("origin").sum("delay"))
    assert (operator.spec.key, operator.spec.value) == ("origin", "delay")
    assert graph.edges[0].partitioner.key_column == "origin"
    assert graph.edges[0].partitioner.key({"origin": "BER"}) == "BER"


def test_a_key_and_a_value_by_position_take_items_of_the_record():
    graph, operator = built(numbers().key_by(0).max(1))
    assert operator.spec.key(("BER", 7)) == "BER"
    assert operator.spec.value(("BER", 7)) == 7
    assert graph.edges[0].partitioner.key(("BER", 7)) == "BER"


@pytest.mark.parametrize("name", ["forward", "rebalance", "rescale", "shuffle", "broadcast", "global"])
def test_a_partitioner_holds_for_the_next_operator_only(name):
    verb = "global_" if name == "global" else name
    graph, _ = built(getattr(numbers(), verb)().map(str))
    assert [edge.partitioner and edge.partitioner.kind for edge in graph.edges] == [Partitioning(name), None]


def test_a_partitioner_of_ones_own_gets_the_key():
    graph, _ = built(numbers().partition_by(max, "origin"))
    partitioner = graph.edges[-1].partitioner
    assert (partitioner.kind, partitioner.choose, partitioner.key({"origin": 3})) == (Partitioning.CUSTOM, max, 3)


def test_the_last_partitioner_wins():
    graph, _ = built(numbers().shuffle().rebalance())
    assert graph.edges[-1].partitioner.kind is Partitioning.REBALANCE


def test_a_union_is_several_edges_into_the_next_operator():
    pipeline = af.Pipeline("job")
    one, two, three = numbers(pipeline), numbers(pipeline).map(str), numbers(pipeline)
    graph, _ = built(one.rebalance().union(two, three).filter(bool))
    into_filter = [edge for edge in graph.edges if edge.target.startswith("filter")]
    assert [edge.source.split("-")[0] for edge in into_filter] == ["source", "map", "source"]
    assert [edge.partitioner and edge.partitioner.kind.value for edge in into_filter] == ["rebalance", None, None]
    assert [edge.port for edge in into_filter] == [0, 0, 0]


def test_a_key_after_a_union_holds_for_all_of_it():
    pipeline = af.Pipeline("job")
    graph, _ = built(numbers(pipeline).union(numbers(pipeline)).key_by(abs).count())
    assert [edge.partitioner.kind for edge in graph.edges[:2]] == [Partitioning.HASH, Partitioning.HASH]


def test_a_side_output_is_an_edge_with_a_tag():
    late = af.Tag("late")
    graph, _ = built(numbers().process(Passing()).side_output(late).map(str))
    assert edges(graph) == [("source", "process", None), ("process", "map", "late"), ("map", "sink", None)]


def test_then_puts_a_verb_of_ones_own_into_the_line():
    def scaled(stream, factor, *, name):
        return stream.map(lambda n: n * factor, name=name)

    _, operator = built(numbers().then(scaled, 3, name="triple"))
    assert operator.name == "triple"


def test_write_ends_a_stream():
    pipeline = af.Pipeline("job")
    assert numbers(pipeline).write(Nowhere(), name="out") is None
    assert [operator.name for operator in pipeline.graph().operators] == ["source", "out"]


def test_options_of_a_verb_reach_its_operator():
    options = {
        "name": "clean",
        "uid": "u-1",
        "parallelism": 3,
        "max_parallelism": 64,
        "slot_group": "io",
        "chain": "never",
        "dispatcher": "pinned",
    }
    _, operator = built(numbers().map(str, **options))
    assert operator.id == "u-1"
    assert {name: getattr(operator, name) for name in options} == options


def test_a_pipeline_shows_itself_and_its_streams():
    pipeline = af.Pipeline("job")
    stream = numbers(pipeline).map(str, name="clean")
    assert repr(pipeline) == "<Pipeline 'job'>"
    assert repr(stream) == "<Stream clean of pipeline 'job'>"
    assert repr(stream.union(stream.rebalance())) == "<Stream clean + clean.rebalance of pipeline 'job'>"
    assert repr(stream.key_by(len)) == "<KeyedStream of <Stream clean.hash of pipeline 'job'>>"


# --- what is refused -----------------------------------------------------------------------------------------------------


class Point:
    pass


REFUSED = {
    "no function": (lambda s: s.map("upper"), "map needs a function, not str: 'upper'"),
    "no argument": (
        lambda s: s.map(lambda: 1),
        "map calls its function with 1 argument, '<lambda>' takes (): too many positional arguments",
    ),
    "reduce of one": (
        lambda s: s.key_by(abs).reduce(lambda a: a),
        "reduce calls its function with 2 arguments, '<lambda>' takes (a): too many positional arguments",
    ),
    "coroutine": (lambda s: s.map(fetch), "map cannot await 'fetch' (hint: use map_async for functions that await)"),
    "generator": (
        lambda s: s.map(fetch_all),
        "map got the generator function 'fetch_all' (hint: use flat_map for functions that yield)",
    ),
    "selector": (
        lambda s: s.key_by(abs).sum(None),
        "sum needs a function, a field name or a position, not None (hint: write sum(lambda record: ...), sum('field') or sum(0))",
    ),
    "key none": (
        lambda s: s.key_by(None),
        (
            "key_by needs a function, a field name or a position, not None "
            "(hint: write key_by(lambda record: ...), key_by('field') or key_by(0))"
        ),
    ),
    "key hash": (
        lambda s: s.key_by(hash),
        (
            "key_by cannot use 'hash': it gives other keys in another process "
            "(hint: a key is text, number, bytes, date, None, a tuple of those or a frozen dataclass)"
        ),
    ),
    "key list": (
        lambda s: s.key_by(list),
        (
            "key_by cannot use list objects as keys: they are mutable "
            "(hint: a key is text, number, bytes, date, None, a tuple of those or a frozen dataclass)"
        ),
    ),
    "key by identity": (
        lambda s: s.key_by(Point),
        (
            "key_by cannot use Point objects as keys: each is equal to itself only "
            "(hint: a key is text, number, bytes, date, None, a tuple of those or a frozen dataclass)"
        ),
    ),
    "format": (
        lambda s: s.map_batches(len, format="polar"),
        "format of map_batches cannot be 'polar' (hint: did you mean 'polars'?)",
    ),
    "capacity": (lambda s: s.map_async(fetch, capacity=0), "capacity of map_async must be at least 1, not 0"),
    "capacity type": (
        lambda s: s.map_async(fetch, capacity="9"),
        "capacity of map_async must be a whole number, not str: '9'",
    ),
    "retry": (
        lambda s: s.map_async(fetch, retry=3),
        "retry of map_async cannot be 3 (hint: write retry=af.Retry.fixed() or af.Retry.exponential())",
    ),
    "operator class": (
        lambda s: s.process(Passing),
        "process needs an object of 'Passing', not the class (hint: write process(Passing()))",
    ),
    "no operator": (
        lambda s: s.process(len),
        (
            "process needs an OperatorActor, not builtin_function_or_method "
            "(hint: derive a class from af.OperatorActor, or use map, flat_map or filter for a plain function)"
        ),
    ),
    "state without key": (
        lambda s: s.process(Dedup()),
        "'Dedup' keeps state by key ('seen'), but the stream has no key (hint: write stream.key_by(key).process(...))",
    ),
    "state of another type": (
        lambda s: s.key_by(abs).process(Misdeclared()),
        (
            "the default of state 'total' is not of its type: it is of type 'str', not int "
            "(hint: declare the type that default and values have in common)"
        ),
    ),
    "aggregate": (
        lambda s: s.key_by(abs).aggregate(sum),
        (
            "aggregate needs an Aggregate object, not <built-in function sum> "
            "(hint: derive a class from af.Aggregate with create, add, merge and result, and pass an object of it)"
        ),
    ),
    "union of something": (lambda s: s.union([s]), "union needs streams, not list (hint: write a.union(b, c))"),
    "union of pipelines": (
        lambda s: s.union(numbers(af.Pipeline("other"))),
        "cannot unite streams of two pipelines, 'job' and 'other' (hint: read both sources in one pipeline, or exchange files)",
    ),
    "tag": (
        lambda s: s.side_output("late"),
        "side_output needs a tag, not 'late' (hint: make one with af.Tag('late') and emit to it)",
    ),
    "side output of a union": (
        lambda s: s.union(s).side_output(af.Tag("late")),
        (
            "side output 'late' can only be taken from the output of an operator, not from <Stream source + source of pipeline 'job'> "
            "(hint: call side_output on what process(...) returned, before union, partitioning or another side_output)"
        ),
    ),
    "sink": (
        lambda s: s.write(print),
        (
            "write needs a sink, not builtin_function_or_method: <built-in function print> "
            "(hint: to call a function on each record use write(af.sinks.for_each(function)))"
        ),
    ),
    "name": (
        lambda s: s.map(str, name="a/b"),
        "name of map() must not contain a slash or a control character: 'a/b' (hint: it is a part of actor paths)",
    ),
    "parallelism": (lambda s: s.map(str, parallelism=0), "parallelism of map must be at least 1, not 0"),
    "parallelism type": (lambda s: s.map(str, parallelism=2.0), "parallelism must be a whole number, not float: 2.0"),
    "max_parallelism": (lambda s: s.map(str, max_parallelism=0), "max_parallelism of map must be between 1 and 32768, not 0"),
    "chain": (lambda s: s.map(str, name="x", chain="nevr"), "chain of 'x' cannot be 'nevr' (hint: did you mean 'never'?)"),
    "dispatcher": (lambda s: s.map(str, dispatcher="pined"), "dispatcher of map cannot be 'pined' (hint: did you mean 'pinned'?)"),
}


@pytest.mark.parametrize(("verb", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_where_it_is_written(verb, expected):
    with pytest.raises(PlanError) as caught:
        verb(numbers())
    assert str(caught.value) == expected


def test_nothing_is_added_by_a_verb_that_was_refused():
    pipeline = af.Pipeline("job")
    with pytest.raises(PlanError):
        numbers(pipeline).map(str, chain="nevr")
    assert [operator.name for operator in pipeline.graph().operators] == ["source"]


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        (
            lambda s: s.map(str, paralelism=2),
            "map() got an unexpected keyword argument 'paralelism' (hint: did you mean 'parallelism'?)",
        ),
        (
            lambda s: s.map_async(fetch, time_out="1s"),
            "map_async() got an unexpected keyword argument 'time_out' (hint: did you mean 'timeout'?)",
        ),
    ],
)
def test_an_unknown_keyword_is_a_type_error_with_the_nearest_name(verb, expected):
    with pytest.raises(TypeError) as caught:
        verb(numbers())
    assert str(caught.value) == expected


def test_a_duration_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="timeout of map_async: 'soon' is not a duration"):
        numbers().map_async(fetch, timeout="soon")


@pytest.mark.parametrize("fn", [functools.partial(max, 1), str.upper, "x".join, int, [].append, functools.lru_cache(abs)])
def test_callables_of_every_kind_are_accepted(fn):
    _, operator = built(numbers().map(fn))
    assert operator.spec.fn is fn


def test_a_callable_object_with_a_coroutine_inside_is_seen_through():
    class Client:
        async def __call__(self, record):
            return record

    with pytest.raises(PlanError, match="map cannot await a Client"):
        numbers().map(Client())


def test_retry_policies_take_durations():
    assert af.Retry.fixed(attempts=4, delay="2s") == RetryPolicy.fixed(attempts_max=4, delay_ms=2000)
    assert af.Retry.exponential(delay=50, max_delay="1min", on=OSError) == RetryPolicy.exponential(
        delay_ms=50, delay_max_ms=60_000, retry_on=OSError
    )
    assert af.Retry.none().attempts_max == 1
