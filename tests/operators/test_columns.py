"""Records as columns and back."""

from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import SerializationError
from actorflow.operators.columnar.conversion import to_columns, to_objects
from actorflow.wire.batch import ColumnBatch, ObjectBatch


class Point(NamedTuple):
    x: int
    y: int


scalars = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1),
    st.lists(st.text() | st.none(), min_size=1),
    st.lists(st.booleans(), min_size=1),
)
rows = st.lists(
    st.fixed_dictionaries({"id": st.integers(-9, 9), "name": st.text() | st.none(), "tags": st.lists(st.text())}), min_size=1
)
pairs = st.lists(st.tuples(st.text(), st.integers(-9, 9)), min_size=1)
triples = st.lists(st.tuples(st.text(), st.integers(-9, 9), st.floats(allow_nan=False)), min_size=1)


@given(st.one_of(scalars, rows, pairs, triples), st.booleans())
def test_records_come_back_from_columns_as_they_were(records, timed):
    stamps = list(range(len(records))) if timed else None
    there = to_columns(ObjectBatch(records, stamps))
    back = to_objects(there)
    assert len(records) == len(there)
    assert (records, stamps) == (back.records, back.timestamps)


@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([1, 2], ["value"]),
        ([{"a": 1}, {"b": 2, "a": 3}], ["a", "b"]),
        ([("k", 1)], ["key", "value"]),
        ([(1, 2, 3)], ["column_0", "column_1", "column_2"]),
        ([Point(1, 2)], ["x", "y"]),
    ],
)
def test_columns_are_named_by_the_shape_of_the_records(records, names):
    assert names == to_columns(ObjectBatch(records)).columns.schema.names


def test_a_field_that_a_record_lacks_is_null_and_none_is_lost():
    back = to_objects(to_columns(ObjectBatch([{"a": 1}, {"b": 2}])))
    assert [{"a": 1, "b": None}, {"a": None, "b": 2}] == back.records


def test_a_lone_column_value_gives_bare_values_and_other_columns_give_dicts():
    assert [1, 2] == to_objects(ColumnBatch(pa.record_batch({"value": [1, 2]}))).records
    assert [{"n": 1}, {"n": 2}] == to_objects(ColumnBatch(pa.record_batch({"n": [1, 2]}))).records


def test_rows_without_columns_are_empty_dicts():
    no_columns = pa.record_batch({"n": [1, 2]}).select([])
    assert [{}, {}] == to_objects(ColumnBatch(no_columns)).records


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"a": 1}, 2], "a dict and a int"),
        ([(1, 2), "x"], "a tuple and a str"),
        ([(1, 2), (1, 2, 3)], "tuples of different lengths"),
        ([{"a": 1}, {"a": "x"}], "column of the values of 'a'"),
        ([2**64, -1], "column of the values of 'value'"),
        ([{}, {}], "records without fields"),
        ([object()], "column of the values of 'value'"),
    ],
)
def test_records_without_a_common_shape_are_refused_with_the_reason(records, message):
    with pytest.raises(SerializationError, match=message):
        to_columns(ObjectBatch(records))
