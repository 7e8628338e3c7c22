"""Cutting columns by lane: every row goes where its key goes, in order, and a key is looked up once."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.operators.columnar.lanes import ColumnSplitter
from actorflow.wire.batch import ColumnBatch

KEYS = [
    st.sampled_from(["a", "b", "1", ""]),
    st.integers(-3, 3),
    st.booleans(),
    st.none() | st.integers(0, 2),
    st.sampled_from([b"x", b""]),
    st.sampled_from([0.5, 2.0]),
]
BATCHES = st.lists(st.sampled_from(KEYS).flatmap(lambda keys: st.lists(keys, min_size=1, max_size=8)), min_size=1, max_size=6)


class Lanes(dict):
    """Lanes by the text of the key, and the keys that were asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __getitem__(self, key):
        self.asked.append(key)
        return lane_of(key)


def lane_of(key):
    return sum(str(key).encode()) % 3


@settings(max_examples=80, deadline=None)
@given(batches=BATCHES)
def test_each_row_goes_to_the_lane_of_its_key_in_order(batches):
    splitter = ColumnSplitter(Lanes())
    for keys in batches:
        rows = list(enumerate(keys))
        columns = pa.record_batch({"n": list(range(len(keys))), "k": pa.array(keys)})
        parts = list(splitter.split(ColumnBatch(columns, pa.array(range(len(keys)), pa.int64())), "k"))
        expected = [(lane, [row for row in rows if lane_of(row[1]) == lane]) for lane in sorted({lane_of(key) for key in keys})]
        assert expected == [(lane, list(zip(*part.columns.to_pydict().values(), strict=True))) for lane, part in parts]
        assert [[n for n, _ in mine] for _, mine in expected] == [part.timestamps.to_pylist() for _, part in parts]


def split(splitter, keys):
    return list(splitter.split(ColumnBatch(pa.record_batch({"k": keys})), "k"))


def test_keys_of_a_dictionary_column_go_where_their_values_go():
    lanes = Lanes()
    splitter = ColumnSplitter(lanes)
    plain = [(lane, part.columns.to_pydict()) for lane, part in split(splitter, pa.array(["a", "b", "a"]))]
    coded = [(lane, part.columns.to_pydict()) for lane, part in split(splitter, pa.array(["a", "b", "a"]).dictionary_encode())]
    assert (plain, ["a", "b"]) == (coded, lanes.asked)


@pytest.mark.parametrize("keys", [[[1], [2], [1]], [{"a": 1}, {"a": 2}, {"a": 1}]], ids=["lists", "structs"])
def test_keys_that_arrow_cannot_tell_apart_are_looked_up_row_by_row(keys):
    parts = [(lane, part.columns.column("k").to_pylist()) for lane, part in split(ColumnSplitter(Lanes()), pa.array(keys))]
    assert [(lane, [key for key in keys if lane_of(key) == lane]) for lane in sorted(set(map(lane_of, keys)))] == parts


def test_a_key_is_looked_up_once_in_all_batches():
    lanes = Lanes()
    splitter = ColumnSplitter(lanes)
    for keys in (["a", "b", "a"], [1, 2], ["b", "c"], [2, 3], pa.array([3, 4], pa.int8())):
        split(splitter, keys)
    assert ["a", "b", 1, 2, "c", 3, 4] == lanes.asked


def test_keys_are_forgotten_beyond_a_bound(monkeypatch):
    monkeypatch.setattr("actorflow.operators.columnar.lanes._KEYS_REMEMBERED_MAX", 2)
    lanes = Lanes()
    splitter = ColumnSplitter(lanes)
    for keys in (["a", "b"], ["a", "c"], ["a"], ["a"]):
        split(splitter, keys)
    assert ["a", "b", "c", "a"] == lanes.asked
