"""Running values in columns are keyed state like any other: whatever asks the backend sees what objects would have left there."""

import polars as pl
import pyarrow as pa
import pytest
from chain_harness import Collected, port
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actorflow.operators.columnar.running import RunningColumns
from actorflow.operators.columnar.twins import ColumnarTwin
from actorflow.operators.compiled.codegen import FusedOperator
from actorflow.operators.compiled.fused import FusedStage
from actorflow.operators.specs import CountSpec, MaxSpec, MinSpec, SumSpec
from actorflow.state.hashmap import HashMapBackend
from actorflow.wire.batch import ColumnBatch, ObjectBatch

SPECS = [CountSpec("k"), SumSpec("k", "v"), MinSpec("k", "v"), MaxSpec("k", "v")]
STARTS = {"count": lambda old, _: (old or 0) + 1, "sum": lambda old, v: v if old is None else old + v}
KEYS = [st.sampled_from(["a", "b", "1", "-1", ""]), st.integers(-2, 2), st.booleans(), st.none() | st.just("a")]
VALUES = [st.integers(-4, 4), st.sampled_from([-(2**62), 2**62, 2**63 - 1]), st.sampled_from([0.5, -2.0, float("inf")])]


def combined(kind, old, value):
    """The naive oracle of one record."""
    if kind in STARTS:
        return STARTS[kind](old, value)
    return value if old is None else (min if kind == "min" else max)(old, value)


@st.composite
def steps(draw):
    """Batches as columns or objects, each of one type of key and value; restarts from a snapshot; looks at one key."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        step = draw(st.sampled_from(["columns", "columns", "columns", "objects", "restart", "look"]))
        if step in {"columns", "objects"}:
            key, value = draw(st.sampled_from(KEYS[:2]) | st.sampled_from(KEYS)), draw(st.sampled_from(VALUES))
            found.append((step, [{"k": draw(key), "v": draw(value)} for _ in range(draw(st.integers(1, 6)))]))
        else:
            found.append((step, draw(st.sampled_from(["a", "1", 1, -1, 1.0, True, None, "\ud800"]))))
    return found


class Stage:
    """A keyed aggregation with the backend of its state."""

    def __init__(self, spec, groups=()):
        self.backend = HashMapBackend()
        self.output = Collected()
        self.stage = FusedStage(
            [FusedOperator("it", spec, self.backend)], [[], [port(self.output)]], None, subtask="test", origin="input"
        )
        self.backend.restore(groups)

    def columns(self, rows):
        self.stage.process(ColumnBatch(pa.RecordBatch.from_pylist(rows)))

    def objects(self, rows):
        self.stage.process(ObjectBatch(rows))

    def snapshot(self):
        return self.backend.snapshot(lambda key: hash(key) % 4)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@settings(max_examples=50, deadline=None)
@given(steps=steps())
@example(steps=[("columns", [{"k": 1, "v": 1}]), ("look", 1.0), ("restart", None), ("columns", [{"k": 1, "v": 2}])])
def test_the_backend_holds_what_records_one_by_one_would_have_left(spec, steps):
    stage, expected = Stage(spec), {}
    for step, what in steps:
        match step:
            case "look":
                assert ({spec.kind: expected[what]} if what in expected else {}) == stage.backend.values(what)
            case "restart":
                stage = Stage(spec, stage.snapshot().values())
            case _:
                stage.output.batches.clear()
                getattr(stage, step)(what)
                for row in what:
                    expected[row["k"]] = combined(spec.kind, expected.get(row["k"]), row["v"])
                assert {row["k"]: expected[row["k"]] for row in what} == dict(stage.output.records)
        assert len(expected) == stage.stage.observe()["it"]["keys"]
    assert expected == {key: value for group in stage.snapshot().values() for key, value in group.get(spec.kind, {}).items()}
    assert set(expected) == set(stage.backend.keys())


@pytest.mark.parametrize("tail", [[], [5, 3999, 5]], ids=["each key once", "a key again far behind"])
def test_keys_that_differ_at_first_are_found_again_behind(tail):
    keys = [*range(4000), *tail]
    stage = Stage(SumSpec("k", "v"))
    for _ in range(2):
        stage.columns([{"k": key, "v": 2} for key in keys])
    expected = {key: 2 * keys.count(key) for key in range(4000)}
    assert list(expected.items()) == stage.output.records[:4000]
    assert {key: 2 * total for key, total in expected.items()} == dict(stage.output.records[4000:])


def test_a_key_has_one_total_whatever_the_width_of_its_integers():
    stage = Stage(SumSpec("k", "v"))
    for kind in (pa.int8(), pa.uint16(), pa.int64(), pa.uint64()):
        stage.stage.process(ColumnBatch(pa.record_batch({"k": pa.array([7, 8], kind), "v": pa.array([100, 1], pa.int8())})))
    stage.stage.process(ColumnBatch(pa.record_batch({"k": pa.array([2**64 - 1], pa.uint64()), "v": pa.array([1], pa.int8())})))
    assert {7: 400, 8: 4, 2**64 - 1: 1} == {
        key: values["sum"] for key, values in ((key, stage.backend.values(key)) for key in list(stage.backend.keys()))
    }


def test_short_floats_are_summed_with_all_bits():
    stage = Stage(SumSpec("k", "v"))
    for _ in range(3):
        stage.stage.process(ColumnBatch(pa.record_batch({"k": ["a"], "v": pa.array([16_777_216.0], pa.float32())})))
        stage.stage.process(ColumnBatch(pa.record_batch({"k": ["a"], "v": pa.array([1.0], pa.float32())})))
    assert {"sum": 3 * 16_777_217.0} == stage.backend.values("a")


def test_values_stay_in_columns_while_others_look_at_them():
    entries = {}
    twin = ColumnarTwin("it", CountSpec("k"), entries)
    twin.update(ColumnBatch(pa.record_batch({"k": ["a", "b"]})))
    assert ({}, 2) == (entries, len(twin))
    twin.write_back_key("b")
    assert {"b": 1} == entries
    twin.update(ColumnBatch(pa.record_batch({"k": ["b", "c"]})))
    twin.write_back()
    assert {"a": 1, "b": 2, "c": 1} == entries
    twin.move_to_dict()
    twin.update(ColumnBatch(pa.record_batch({"k": ["a"]})))
    assert {"a": 2, "b": 2, "c": 1} == entries


@pytest.mark.parametrize(
    "entries",
    [{"a": 1, 2: 1}, {"a": 1, "b": 0.5}, {"a": 2**63}, {"a": float("nan")}, {"\ud800": 1}, {True: 1}, {None: 1}, {"a": "x"}],
    ids=repr,
)
def test_entries_that_columns_cannot_hold_exactly_stay_in_the_dict(entries):
    assert RunningColumns.of(SumSpec("k", "v"), entries) is None


def test_a_sum_that_might_leave_64_bits_is_refused_and_changes_nothing():
    columns = RunningColumns.of(SumSpec("k", "v"), {"a": 2**62})
    keys = pl.Series(["a", "b"])
    assert columns.update(columns.codes(keys), pl.Series([2**62, 1])) is None
    assert [("a", 2**62)] == list(columns.changed_items())


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-5, 5), min_size=1), min_size=1, max_size=6))
def test_changed_items_are_those_whose_value_is_not_that_of_the_last_call(batches):
    import polars as pl

    columns, expected = RunningColumns(SumSpec("k", "v"), str, int), {}
    for batch in batches:
        before = dict(expected)
        for key, value in batch.items():
            expected[key] = expected.get(key, 0) + value
        columns.update(columns.codes(pl.Series(list(batch))), pl.Series(list(batch.values()), dtype=pl.Int64))
        changed = {key: value for key, value in expected.items() if key not in before or before[key] != value}
        assert changed == dict(columns.changed_items())
    assert {} == dict(columns.changed_items())
