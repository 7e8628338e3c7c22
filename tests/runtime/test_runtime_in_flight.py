"""Batches in flight: stored, and given back to as many subtasks as there are then."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import CheckpointError, SerializationError
from actorflow.ids import VertexId
from actorflow.operators.columnar.conversion import to_objects
from actorflow.plan.execution import ExecutionEdge, ExecutionGraph, Vertex
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.runtime.channels.links import ReceivedBatch
from actorflow.runtime.checkpoints.in_flight import Returned, StoredBatches, as_received, stored
from actorflow.wire.batch import ColumnBatch, ObjectBatch
from actorflow.wire.in_flight import InFlight
from actorflow.wire.stable_hash import stable_hash

GROUPS = 16
BYTES_MAX = 1 << 20


def first(record):
    return record[0]


KINDS = {
    "hash": Partitioner(Partitioning.HASH, key=first),
    "hash of a column": Partitioner(Partitioning.HASH, key=first, key_column="key"),
    "custom": Partitioner(Partitioning.CUSTOM, key=first, choose=lambda key, parallelism: key % parallelism),
    "rebalance": Partitioner(Partitioning.REBALANCE),
    "global": Partitioner(Partitioning.GLOBAL),
}


def owner(kind, key, parallelism):
    """Return which consumer gets the records of a key."""
    if kind == "custom":
        return key % parallelism
    return subtask_of(key_group(stable_hash(key), GROUPS), parallelism, GROUPS)


def graph_of(*partitioners):
    """Return a graph whose vertex `here` has these edges in, at ports that count down, and one out."""
    edges = [
        ExecutionEdge(place, VertexId("before"), 0, None, VertexId("here"), len(partitioners) - place, partitioner)
        for place, partitioner in enumerate(partitioners)
    ]
    edges.append(ExecutionEdge(len(edges), VertexId("here"), 0, None, VertexId("behind"), 0, KINDS["rebalance"]))
    return ExecutionGraph("g", (), tuple(edges), ())


def returned(graph, parts, index, parallelism):
    vertex = Vertex(VertexId("here"), "here", (), parallelism, GROUPS, "default", "default")
    return Returned(graph, vertex, index, parts, payload_bytes_max=BYTES_MAX, failure=lambda error, record: error)


def decoded(batch):
    batch = batch.decode(BYTES_MAX) if isinstance(batch, ReceivedBatch) else batch
    return to_objects(batch) if isinstance(batch, ColumnBatch) else batch


def as_columns(records):
    schema = pa.schema({"key": pa.int64(), "number": pa.int64()}, {b"actorflow.records": b"tuples"})
    keys, numbers = zip(*records, strict=True)
    return ColumnBatch(pa.record_batch([list(keys), list(numbers)], schema=schema), pa.array(list(numbers), pa.int64()))


def rescaled(kind, keys, before, after, *, columns):
    """Have consumers store what they were given of these keys; return what each of the later ones gets."""
    queues = [[] for _ in range(before)]
    for number, key in enumerate(keys):
        place = owner(kind, key, before) if kind in {"hash", "hash of a column", "custom"} else number % before
        queues[0 if kind == "global" else place].append((key, number))
    parts = []
    for queue in queues:
        chunks = [queue[start : start + 3] for start in range(0, len(queue), 3)]
        batches = [as_columns(chunk) if columns else ObjectBatch(chunk, [number for _, number in chunk]) for chunk in chunks]
        parts.append(InFlight(tuple(stored(0, batch) for batch in batches)))
    gets = []
    for index in range(after):
        inputs = returned(graph_of(KINDS[kind]), parts, index, after).inputs()
        assert all((edge, port) == (0, 1) for edge, port, _ in inputs)
        batches = [decoded(batch) for _, _, batch in inputs]
        assert all(batch.timestamps == [number for _, number in batch.records] for batch in batches)
        gets.append([record for batch in batches for record in batch.records])
    return gets


def check_rescaled(kind, keys, before, after, columns):
    gets = rescaled(kind, keys, before, after, columns=columns)

    assert sorted((number, key) for records in gets for key, number in records) == list(enumerate(keys))
    for index, records in enumerate(gets):
        if kind in {"hash", "hash of a column", "custom"}:
            assert all(owner(kind, key, after) == index for key, _ in records)
            for key in set(keys):
                numbers = [number for one, number in records if one == key]
                assert numbers == sorted(numbers)
        if kind == "global":
            assert not records or index == 0


KEYS = st.lists(st.integers(0, 20), max_size=40)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(keys=KEYS, before=st.integers(1, 4), after=st.integers(1, 4), columns=st.booleans())
def test_each_record_in_flight_goes_to_one_subtask_that_of_its_key_and_in_order(kind, keys, before, after, columns):
    check_rescaled(kind, keys, before, after, columns)


@pytest.mark.parametrize("kind", ["hash", "hash of a column", "custom"])
def test_a_subtask_that_takes_the_batches_of_its_predecessor_whatever_their_keys_is_found_out(kind, monkeypatch):
    monkeypatch.setattr(Returned, "_of_my_keys", lambda self, batch, edge: batch)
    with pytest.raises(AssertionError):
        check_rescaled(kind, list(range(20)), 2, 3, columns=False)


def test_batches_come_back_at_their_ports_those_of_earlier_subtasks_first():
    parts = [
        InFlight((stored(1, ObjectBatch(["a"])), stored(0, ObjectBatch(["b"])))),
        InFlight((stored(1, ObjectBatch(["c"])),)),
    ]
    graph = graph_of(KINDS["rebalance"], KINDS["rebalance"])
    got = [(edge, port, decoded(batch).records) for edge, port, batch in returned(graph, parts, 0, 1).inputs()]

    assert got == [(1, 1, ["a"]), (0, 2, ["b"]), (1, 1, ["c"])]


def test_what_was_emitted_is_emitted_again_by_one_of_the_subtasks():
    parts = [InFlight((), (stored(0, ObjectBatch([number])),)) for number in range(3)]
    got = [
        [unsent.batch.records for unsent in returned(graph_of(KINDS["hash"]), parts, index, parallelism).outputs()]
        for parallelism in (2, 4)
        for index in range(parallelism)
    ]

    assert got == [[[0], [2]], [[1]], [[0]], [[1]], [[2]], []]


@pytest.mark.parametrize("part", [InFlight((stored(1, ObjectBatch([1])),)), InFlight((), (stored(1, ObjectBatch([1])),))])
def test_batches_of_an_edge_that_is_not_there_are_refused(part):
    with pytest.raises(CheckpointError, match="'here' has 1 edges in and 1 out"):
        returned(graph_of(KINDS["hash"]), [part], 0, 1)


def test_a_batch_that_came_over_the_wire_is_stored_as_it_came():
    batch = stored(0, ObjectBatch(["a", "b"], [1, 2]))
    again = stored(3, as_received(batch))

    assert (again.edge, again.codec, again.payload) == (3, batch.codec, batch.payload)


def test_a_record_that_cannot_be_stored_makes_the_checkpoint_impossible_and_raises_nothing():
    batches = StoredBatches()
    batches.add(0, ObjectBatch([lambda: None, (number for number in range(3))]))
    batches.add(0, ObjectBatch([1]))

    assert isinstance(batches.error, SerializationError)
    assert batches.batches == []
