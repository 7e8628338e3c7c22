"""Chains whose state is on disk: the results are those of a naive interpreter, as they are of chains whose state is in memory."""

import tempfile
from pathlib import Path

import pytest
from chain_harness import Subtask, chain_of
from few_and_many import at_length
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chains import SPECS, chains, column_batches, columns_of, compare, compare_columns

from actorflow.errors import UserFunctionError
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import CountSpec, MapSpec, ProcessSpec, SumSpec
from actorflow.state.descriptors import ValueState
from actorflow.state.rocksdb.backend import RocksDBBackend
from actorflow.state.rocksdb.memory import ObjectShares, RocksDBMemory
from actorflow.state.rocksdb.store import Store
from actorflow.wire.batch import ColumnBatch, ObjectBatch


def without_room():
    """Return a backend that keeps nothing in memory from one batch to the next."""
    store = Store(Path(tempfile.mkdtemp(prefix="actorflow-state-test-")), RocksDBMemory(8 << 20), "test")
    return RocksDBBackend(store, ObjectShares(0), 128)


@at_length(chains(), few=15, many=400)
def test_a_chain_gives_what_a_naive_interpreter_gives(drawn):
    compare(drawn, Subtask(without_room))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@settings(max_examples=8, deadline=None)
@given(batches=column_batches(), mixed=st.booleans())
def test_columns_give_the_last_value_of_every_key(spec, batches, mixed):
    compare_columns(spec, batches, Subtask(without_room), mixed=mixed)


def test_columns_stay_columns_and_every_key_is_read_once():
    chain, output = chain_of(SumSpec("k", "v"), context=Subtask(without_room))
    chain.process(columns_of([{"k": "b", "v": 1}, {"k": "a", "v": 2}, {"k": "b", "v": 3}], [7, 5, 6]))
    chain.process(columns_of([{"k": "b", "v": 10}], [8]))
    assert all(isinstance(batch, ColumnBatch) for batch in output.batches)
    assert [(("b", 4), 7), (("a", 2), 5), (("b", 14), 8)] == output.stamped
    chain.close()


def test_a_key_function_is_called_once_for_each_record_and_its_failure_names_the_record():
    called = []

    def key(word):
        called.append(word)
        return word[0]

    chain, output = chain_of(MapSpec(str.lower), CountSpec(key), MapSpec(str), context=Subtask(without_room))
    chain.process(ObjectBatch(["Ann", "Bob", "adam"]))
    assert ["('a', 1)", "('b', 1)", "('a', 2)"] == output.records
    assert ["ann", "bob", "adam"] == called
    with pytest.raises(UserFunctionError, match="IndexError") as failed:
        chain.process(ObjectBatch(["Eve", ""]))
    assert {"operator": "count-1", "record": "''"}.items() <= failed.value.error.context.items()
    chain.close()


def test_a_failing_aggregation_names_record_and_key():
    chain, _ = chain_of(SumSpec(lambda record: record[0], lambda record: record[1]), context=Subtask(without_room))
    with pytest.raises(UserFunctionError, match="TypeError") as failed:
        chain.process(ObjectBatch([("a", 1), ("b", None)]))
    assert {"record": "('b', None)", "key": "'b'"}.items() <= failed.value.error.context.items()
    chain.close()


class Dedup(OperatorActor):
    seen = ValueState(bool, default=False)

    def on_record(self, record, ctx):
        if not self.seen.get():
            self.seen.set(True)
            ctx.emit(record)


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=4))
@settings(max_examples=8, deadline=None)
def test_operators_remember_from_batch_to_batch(batches):
    chain, output = chain_of(ProcessSpec(lambda record: record, Dedup()), context=Subtask(without_room))
    chain.open()
    for batch in batches:
        chain.process(ObjectBatch(list(batch)))
    assert list(dict.fromkeys(record for batch in batches for record in batch)) == output.records
    chain.close()
