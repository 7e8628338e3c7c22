"""Schemas of declared states: of each kind, written down and read back, and what is refused before a job runs."""

import dataclasses
import json
import re
import typing

import pytest

from actorflow.errors import IncompatibleState, PlanError, SerializationError
from actorflow.operators.aggregate import Aggregate
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, StateDescriptor, ValueState
from actorflow.state.operator_state import BroadcastState, OperatorListState
from actorflow.state.schema import (
    Incompatible,
    Migratable,
    Same,
    StateSchema,
    codec_of,
    compatibility,
    held_type,
    schema_of,
    schema_of_state,
)


def named(descriptor, name="seen"):
    descriptor.__set_name__(object, name)
    return descriptor


class Mean(Aggregate):
    def create(self):
        return (0.0, 0)

    def add(self, acc, value):
        return acc[0] + value, acc[1] + 1

    def merge(self, a, b):
        return a[0] + b[0], a[1] + b[1]

    def result(self, acc):
        return acc[0] / acc[1]


STATES = {
    "value": ValueState(int),
    "list": ListState(str),
    "map": MapState(str, float),
    "reducing": ReducingState(int, max),
    "aggregating": AggregatingState(Mean(), tuple[float, int]),
    "operator list": OperatorListState(int),
    "broadcast": BroadcastState(str, int),
}


@pytest.mark.parametrize("kind", STATES)
def test_the_schema_of_a_state_survives_being_written_down(kind):
    schema = schema_of_state(named(STATES[kind]))
    assert kind == schema.kind
    assert schema == StateSchema.from_data(json.loads(json.dumps(schema.to_data())))
    assert isinstance(compatibility(schema, schema), Same)


@pytest.mark.parametrize("kind", STATES)
def test_a_state_does_not_become_one_of_another_kind(kind):
    for other in STATES.keys() - {kind}:
        verdict = compatibility(schema_of_state(named(STATES[kind])), schema_of_state(named(STATES[other])))
        assert isinstance(verdict, Incompatible)
        assert f"the value was a {kind} state, is a {other} state" in map(str, verdict.reasons)


HELD = [
    ValueState(int),
    ValueState(int, ttl="1h"),
    ListState(str),
    ListState(object),
    ListState(str, ttl="1h"),
    MapState(str, range),
    MapState(object, object),
    MapState(str, typing.Literal["a"], ttl="1h"),
    ReducingState(int, max),
    OperatorListState(int),
    BroadcastState(str, dict[str, int]),
]


@pytest.mark.parametrize("state", HELD)
def test_the_schema_knows_the_type_of_all_that_a_key_holds(state):
    assert schema_of(held_type(named(state))).value == schema_of_state(state).held()


def test_keys_never_change_not_even_to_wider_types():
    entries = compatibility(schema_of_state(named(MapState(int, int))), schema_of_state(named(MapState(float, int))))
    assert isinstance(entries, Incompatible)
    assert ["the entries' key was int, is float: keys cannot change"] == list(map(str, entries.reasons))
    state = named(ValueState(int))
    keys = compatibility(schema_of_state(state, key=str), schema_of_state(state, key=str | None))
    assert isinstance(keys, Incompatible)
    assert ["the key takes None as well: keys cannot change"] == list(map(str, keys.reasons))
    assert isinstance(compatibility(schema_of_state(state, key=str), schema_of_state(state)), Same)


def test_a_time_to_live_is_there_from_the_start_or_never():
    verdict = compatibility(schema_of_state(named(ValueState(int))), schema_of_state(named(ValueState(int, ttl="1h"))))
    assert isinstance(verdict, Incompatible)
    assert "the value was kept with no time to live, is kept with a time to live" in map(str, verdict.reasons)


def test_a_value_without_a_default_takes_none():
    assert codec_of(named(ValueState(int))).decode(codec_of(named(ValueState(int))).encode(None)) is None
    assert isinstance(
        compatibility(schema_of_state(named(ValueState(int, default=3))), schema_of_state(named(ValueState(int)))), Migratable
    )


def test_what_is_pickled_is_said():
    schema = schema_of_state(named(ValueState(dict[str, range | None])))
    assert (True, ("range",)) == (schema.evolvable, schema.pickled())
    assert (False, ("object",)) == (schema_of(typing.Any).evolvable, schema_of(object).pickled())
    assert (True, ()) == (schema_of(list[int]).evolvable, schema_of(list[int]).pickled())


def unresolvable():
    return dataclasses.make_dataclass("Visit", [("at", "Nowhere")])


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (lambda: ValueState(int, default="x"), "the default of state 'seen' is not of its type: it is of type 'str', not int"),
        (lambda: ValueState(list[int], default=(1,)), "it is of type 'tuple', not list"),
        (lambda: ValueState(int, default=lambda: 3), "it is of type 'function', not int"),
        (
            lambda: ListState(unresolvable()),
            "state 'seen' cannot be kept: the annotation of field 'at' of 'Visit' cannot be resolved",
        ),
        (lambda: MapState(str, dict[str, unresolvable()]), "the annotation of field 'at' of 'Visit' cannot be resolved"),
        (lambda: MapState(unresolvable(), str), "the annotation of field 'at' of 'Visit' cannot be resolved"),
        (lambda: ListState(5), "state 'seen' cannot be kept: the declared type is not a type: 5"),
        (lambda: ListState("int"), "the declared type is not a type: 'int'"),
        (StateDescriptor, "state 'seen' is of unknown kind StateDescriptor"),
    ],
)
def test_a_state_that_cannot_be_kept_is_refused_with_state_and_field(state, text):
    with pytest.raises(PlanError, match=re.escape(text)):
        schema_of_state(named(state()))


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"format": 1, "kind": "value", "value": {"root": {"kind": "plain", "of": "quaternion"}}},
        {"format": 1, "kind": "value", "value": {"root": {"kind": "reference", "name": "m.Gone"}}},
        {"format": 1, "kind": "cell", "value": {"root": {"kind": "plain", "of": "int"}}},
        {"format": 1, "kind": "value", "value": {"root": {"kind": "tree"}}},
    ],
)
def test_data_that_is_no_schema_is_refused(data):
    with pytest.raises(SerializationError):
        StateSchema.from_data(data)


def test_a_schema_of_a_later_version_is_refused():
    with pytest.raises(IncompatibleState, match="has format 2, this version of actorflow knows 1"):
        StateSchema.from_data(schema_of(int).to_data() | {"format": 2})
