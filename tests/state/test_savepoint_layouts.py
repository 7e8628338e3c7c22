"""Keyed state as tables and back: what comes out is what went in, values, types and order, whatever they are."""

import dataclasses
import datetime as dt
import decimal
import uuid

import pytest
from evolving_types import TYPES, build, values
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import CheckpointError, SerializationError
from actorflow.operators.windowing.window import Window
from actorflow.savepoint.columns import to_column, to_values
from actorflow.savepoint.files import read_rows, write_rows
from actorflow.savepoint.layouts import keyed_rows, keyed_state, part_of
from actorflow.state.descriptors import ListState, MapState, ReducingState, ValueState
from actorflow.wire.savepoint_manifest import SavedState
from actorflow.wire.state_describe import describe

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-9, 9),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
KEYS = st.one_of(st.integers(-9, 9), st.text(max_size=2), st.tuples(st.text(max_size=2), st.integers(0, 3)))
ANYTHING = st.recursive(
    PLAIN, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=2), part, max_size=3), max_leaves=4
)


def groups_of(values):
    return st.dictionaries(st.integers(0, 15), st.dictionaries(KEYS, values, min_size=1, max_size=4), max_size=4)


def exactly(value):
    """Return a value such that equality tells types and order apart, too."""
    match value:
        case dict():
            return ("dict", [(exactly(key), exactly(part)) for key, part in value.items()])
        case list() | tuple():
            return (type(value), [exactly(part) for part in value])
        case _ if dataclasses.is_dataclass(value):
            return (type(value), exactly(vars(value) if hasattr(value, "__dict__") else repr(value)))
        case _:
            return (type(value), repr(value))


def by_group(groups):
    return {group: exactly(state) for group, state in groups.items()}


def check(name, groups, declared=None):
    rows = keyed_rows(name, groups, declared, "a state")
    assert by_group(groups) == by_group(keyed_state(rows, declared, "a state"))
    mine = range(4, 11)
    assert by_group({group: groups[group] for group in groups if group in mine}) == by_group(
        keyed_state(part_of(rows, mine), declared, "a state")
    )
    return rows


def descriptor(state):
    state.name = "declared"
    return state


def state_that_nobody_has_declared(groups):
    check("count", groups)


test_state_that_nobody_has_declared_comes_back_as_it_was = settings(max_examples=60)(
    given(groups_of(ANYTHING))(state_that_nobody_has_declared)
)
test_thousands_of_states_that_nobody_has_declared = pytest.mark.slow(
    settings(max_examples=1500)(given(groups_of(ANYTHING))(state_that_nobody_has_declared))
)


@settings(max_examples=60)
@given(st.data())
def test_values_of_any_declared_type_come_back_as_they_were(data):
    spec, classes = data.draw(TYPES), {}
    of = build(spec, classes)
    drawn = data.draw(st.lists(values(spec, classes), max_size=4))
    types = describe(of)
    column, saved = to_column(drawn, types, "a state")
    back = to_values(column, saved, types, "a state")
    assert drawn == back
    assert list(map(type, drawn)) == list(map(type, back))


@settings(max_examples=40)
@given(groups_of(st.lists(st.tuples(st.integers(0, 9), st.none() | st.just(Window(0, 5))), min_size=1, max_size=3)))
def test_timers_come_back_in_their_order(groups):
    assert "timers" == check("timers:event", groups).layout


HELD = {
    "a value": (ValueState(int, default=0), st.integers()),
    "a value with a time to live": (ValueState(int, default=0, ttl="1h"), st.tuples(st.integers(), st.integers(0, 9))),
    "a fold": (ReducingState(float, max), st.tuples(st.floats(allow_nan=False))),
    "a fold with a time to live": (ReducingState(int, max, ttl="1h"), st.tuples(st.tuples(st.integers()), st.integers(0, 9))),
    "a map": (MapState(str, int), st.dictionaries(st.text(max_size=2), st.integers(), min_size=1, max_size=3)),
    "a map with a time to live": (
        MapState(int, str, ttl="1h"),
        st.dictionaries(st.integers(), st.tuples(st.text(max_size=2), st.integers(0, 9)), min_size=1, max_size=3),
    ),
    "a list": (ListState(bytes), st.lists(st.binary(max_size=3), min_size=1, max_size=3)),
    "a list with a time to live": (
        ListState(int, ttl="1h"),
        st.lists(st.tuples(st.integers(), st.integers(0, 9)), min_size=1, max_size=3),
    ),
}


@pytest.mark.parametrize("kind", HELD)
def test_each_kind_of_declared_state_comes_back_as_it_was(kind):
    declared, held = HELD[kind]

    @settings(max_examples=25)
    @given(groups_of(held))
    def run(groups):
        check("declared", groups, descriptor(declared))

    run()


def arrow_types(values):
    return str(keyed_rows("x", {0: {"key": values}}, None, "x").table.schema.field("value").type)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, "int64"),
        (2.5, "double"),
        ("a", "string"),
        (True, "bool"),
        (b"a", "binary"),
        (dt.date(2024, 2, 29), "date32[day]"),
        (dt.timedelta(seconds=3), "duration[us]"),
        (decimal.Decimal("1.10"), "string"),
        (uuid.UUID(int=3), "binary"),
        ((1, "a"), "struct<0: int64, 1: string>"),
        ([1, 2], "list<item: int64>"),
        (Window(1, 2), "struct<start: int64, end: int64>"),
        (2**80, "binary"),
        (object, "binary"),
    ],
)
def test_what_has_a_type_is_a_column_of_that_type(value, expected):
    assert expected == arrow_types(value)


def test_windows_are_a_column_of_their_own():
    panes = {3: {"a": {Window(0, 10): 2, Window(10, 20): 1}}}
    rows = check("count", panes)
    assert "namespaced" == rows.layout
    assert [{"start": 0, "end": 10}, {"start": 10, "end": 20}] == rows.table.column("namespace").to_pylist()


def test_a_value_that_is_not_of_its_declared_type_is_refused_by_name():
    declared = descriptor(ValueState(int, default=0))
    with pytest.raises(SerializationError, match="the value of state 'seen' of 'dedup'"):
        keyed_rows("seen", {0: {"a": "text"}}, declared, "state 'seen' of 'dedup'")


def damage(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("change", "match"),
    [(lambda data: data[:-3], "were written"), (damage, "is damaged"), (lambda _: None, "state is missing")],
    ids=["truncated", "bit flipped", "missing"],
)
def test_a_file_that_is_not_the_one_that_was_written_is_named(tmp_path, change, match):
    rows = keyed_rows("count", {1: {"a": 2}}, None, "x")
    file = write_rows(str(tmp_path), "counter", "count", 0, rows)
    path = tmp_path / file.path
    data = change(path.read_bytes())
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match=match) as caught:
        read_rows(str(tmp_path), SavedState("count", "value", (file,)), file)
    assert "count-0.parquet" in str(caught.value)
