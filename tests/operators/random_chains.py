"""Random chains beside a naive interpreter, and running aggregations over columns beside the same over objects."""

import pyarrow as pa
from chain_harness import Collected, NaiveChain, chain_of, operators, port
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
from actorflow.wire.batch import ColumnBatch, ObjectBatch


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


def compare(drawn, context):
    """Run a drawn chain for a subtask and naively: every output gives the same, with its times."""
    specs, at, batches, timed = drawn
    lists = [(position, Collected()) for position in at]
    chain = compile_chain(operators(*specs), [port(output, position) for position, output in lists], context)
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


# --- columns -------------------------------------------------------------------------------------------------------------------

SPECS = [CountSpec("k"), SumSpec("k", "v"), MinSpec("k", "v"), MaxSpec("k", "v")]
KEYS = [
    st.sampled_from(["a", "b", "é", ""]) | st.none(),
    st.integers(-3, 3),
    st.booleans(),
    st.sampled_from([0.5, 1.0, float("inf")]),
]
VALUES = [st.integers(-5, 5), st.integers(2**62, 2**63 - 1), st.sampled_from([0.5, -1.25, 8.0]), st.booleans()]


@st.composite
def column_batches(draw):
    key, value = draw(st.sampled_from(KEYS)), draw(st.sampled_from(VALUES))
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    return [[{"k": draw(key), "v": draw(value)} for _ in range(size)] for size in sizes]


def columns_of(rows, stamps=None):
    batch = pa.RecordBatch.from_pylist(rows)
    return ColumnBatch(batch, None if stamps is None else pa.array(stamps, pa.int64()))


def compare_columns(spec, batches, context, *, mixed):
    """Aggregate the same rows as objects, and as columns (or both in turn) for a subtask: every key has the same value in the end."""
    by_objects, objects_out = chain_of(spec)
    by_columns, columns_out = chain_of(spec, context=context)
    for place, rows in enumerate(batches):
        by_objects.process(ObjectBatch(rows))
        by_columns.process(ObjectBatch(rows) if mixed and place % 2 else columns_of(rows))
    assert dict(objects_out.records) == dict(columns_out.records)
    for key, _ in objects_out.records:
        assert by_objects.state(f"{spec.kind}-0", key) == by_columns.state(f"{spec.kind}-0", key)
    by_columns.close()
