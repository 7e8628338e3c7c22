"""Compiled chains against a naive interpreter: random operators, batch splits, timestamps, and outputs at random positions."""

from chain_harness import Collected, NaiveChain, Subtask, operators, port
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.operators.aggregate import Aggregate
from actorflow.operators.chain import compile_chain
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import (
    AggregateSpec,
    CountSpec,
    FilterSpec,
    FlatMapSpec,
    MapSpec,
    MaxSpec,
    MinSpec,
    ProcessSpec,
    ReduceSpec,
    SumSpec,
)
from actorflow.wire.batch import ObjectBatch


def number(record):
    """Every record of these chains, as a number: pairs and lists come from aggregations."""
    return record if isinstance(record, int) else sum(map(number, record))


class Spread(Aggregate):
    def create(self):
        return []

    def add(self, acc, value):
        return [*acc, number(value)]

    def merge(self, a, b):
        return a + b

    def result(self, acc):
        return max(acc) - min(acc)


def by_three(record):
    return number(record) % 3


def up_to_two(record):
    for n in range(number(record) % 3):
        yield number(record) + n


key_functions = st.sampled_from([by_three, lambda record: number(record) % 2, lambda record: record])
value_functions = st.sampled_from([number, lambda record: -number(record)])
fusable = st.one_of(
    st.sampled_from(
        [
            MapSpec(lambda record: (record, 1)),
            MapSpec(number),
            MapSpec(lambda record: number(record) + 1),
            FilterSpec(lambda record: number(record) % 2),
            FilterSpec(lambda record: record != 3),
            FlatMapSpec(up_to_two),
            FlatMapSpec(lambda record: [record, record]),
        ]
    ),
    st.builds(CountSpec, key_functions),
    st.builds(SumSpec, key_functions, value_functions),
    st.builds(MinSpec, key_functions, value_functions),
    st.builds(MaxSpec, key_functions, value_functions),
    st.builds(ReduceSpec, key_functions, st.just(lambda a, b: number(a) + number(b))),
    st.builds(AggregateSpec, key_functions, st.just(Spread())),
)


class Twice(OperatorActor):
    def on_record(self, record, ctx):
        ctx.emit(record)
        if number(record) % 2:
            ctx.emit(number(record) + 1)


TWICE = ProcessSpec(None, Twice())
TWICE_NAIVELY = FlatMapSpec(lambda record: [record, number(record) + 1] if number(record) % 2 else [record])


@st.composite
def chains(draw):
    specs = draw(st.lists(st.one_of(fusable, st.just(TWICE)), max_size=5))
    at = draw(st.lists(st.integers(-1, len(specs) - 1), max_size=3))
    batches = draw(st.lists(st.lists(st.integers(-6, 6), max_size=6), max_size=4))
    timed = draw(st.booleans())
    return specs, at, batches, timed


@settings(max_examples=300, deadline=None)
@given(chains())
def test_a_compiled_chain_gives_what_a_naive_interpreter_gives(drawn):
    specs, at, batches, timed = drawn
    lists = [(position, Collected()) for position in at]
    ports = [port(output, position) for position, output in lists]
    chain = compile_chain(operators(*specs), ports, Subtask())
    naive = NaiveChain([TWICE_NAIVELY if spec is TWICE else spec for spec in specs])
    chain.open()
    stamp = 0
    for batch in batches:
        stamps = list(range(stamp, stamp + len(batch))) if timed else None
        stamp += len(batch)
        chain.process(ObjectBatch(list(batch), stamps))
        for place, record in enumerate(batch):
            naive.take(record, stamps[place] if timed else None)
    assert chain.finish()
    chain.close()

    for position, output in lists:
        assert naive.outputs[position] == output.stamped


@given(st.lists(st.sampled_from("abc")), st.integers(1, 4))
def test_state_lives_on_from_batch_to_batch(words, size):
    output = Collected()
    chain = compile_chain(operators(CountSpec(lambda word: word)), [port(output, 0)], Subtask())
    for start in range(0, len(words), size):
        chain.process(ObjectBatch(words[start : start + size]))
    assert [(word, words[: place + 1].count(word)) for place, word in enumerate(words)] == output.records
    assert {"count": words.count("a")} == (chain.state("count-0", "a") or {"count": 0})
