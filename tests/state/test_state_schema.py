"""What a state holds, as data: schemas of declared states, which changes they allow, and what is refused before a job runs."""

import dataclasses
import enum
import json
import re
import typing

import msgspec
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
    migration_of,
    schema_of,
    schema_of_state,
)

T = typing.TypeVar("T")


def versions(old, new):
    """Give the classes of two versions of a job the same names."""
    for version in (old, new):
        for name, cls in version.items():
            cls.__qualname__ = name
    return old, new


def old_job():
    class Kind(enum.Enum):
        CAR = 1
        BIKE = 2

    @dataclasses.dataclass
    class Place:
        x: int
        y: int

    @dataclasses.dataclass
    class Visit:
        user: str
        place: Place | None
        kind: Kind = Kind.CAR
        previous: "Visit | None" = None

    return {"Kind": Kind, "Place": Place, "Visit": Visit}


def new_job():
    class Kind(enum.Enum):
        FOOT = 0
        CAR = 1
        BICYCLE = 2
        __state_aliases__ = {"BICYCLE": "BIKE"}

    class Place(typing.NamedTuple):
        z: float
        x: float
        __state_aliases__ = {"z": ("altitude", "y")}

    class Visit(msgspec.Struct):
        who: str | int
        place: Place | None
        kind: Kind = Kind.CAR
        previous: "Visit | None" = None
        tags: list[str] = []
        __state_aliases__ = {"who": "user"}

    return {"Kind": Kind, "Place": Place, "Visit": Visit}


def named(descriptor, name="seen"):
    descriptor.__set_name__(object, name)
    return descriptor


def test_a_dataclass_becomes_a_struct_and_a_named_tuple_with_renamed_moved_widened_and_new_fields():
    old, new = versions(old_job(), new_job())
    stored = schema_of_state(named(ValueState(old["Visit"])))
    value = old["Visit"]("ann", old["Place"](1, 2), old["Kind"].BIKE, old["Visit"]("bob", None))
    data = codec_of(named(ValueState(old["Visit"]))).encode(value)

    migration = migration_of(stored, named(ValueState(new["Visit"])))
    expected = new["Visit"]("ann", new["Place"](2.0, 1.0), new["Kind"].BICYCLE, new["Visit"]("bob", None))
    assert expected == migration.decode(data)
    assert [
        "who was called 'user'",
        "who takes int as well",
        "place.z was called 'y'",
        "place.z was int, is float",
        "place.x was int, is float",
        "kind has the member 'BICYCLE', was 'BIKE'",
        "kind has the new member 'FOOT'",
        "tags is new, with a default",
    ] == list(map(str, migration.changes))


def test_the_other_way_round_every_field_that_cannot_be_read_is_named():
    old, new = versions(old_job(), new_job())
    verdict = compatibility(schema_of(new["Visit"]), schema_of(old["Visit"]))
    assert isinstance(verdict, Incompatible)
    assert [
        "user is new and has no default",
        "place.x was float, is int",
        "place.y is new and has no default",
        "kind has the member 'FOOT' no more",
        "kind has the member 'BICYCLE' no more",
    ] == list(map(str, verdict.reasons))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (int, str, "the value was int, is str"),
        (float, int, "the value was float, is int"),
        (int | None, int, "the value was None, is int"),
        (int | str | None, int | None, "the value takes no str any more, only int | None"),
        (list[int], list[str], "[] was int, is str"),
        (list[int], tuple[int, ...], "the value was list[int], is tuple[int, ...]"),
        (tuple[int, str], tuple[str, str], "[0] was int, is str"),
        (tuple[int, str], tuple[int], "the value was tuple[int, str], is tuple[int]"),
        (dict[str, int], dict[int, int], "[key] was str, is int"),
        (set[int], frozenset[int], "the value was set[int], is frozenset[int]"),
        (typing.Literal["a", "b"], typing.Literal["b"], "the value takes 'a' no more"),
        (typing.Literal["a", 1], str, "the value was Literal['a', 1], is str"),
        (object, int, "the value was object, is int: what is pickled cannot change its type"),
        (int, object, "the value was int, is object: what is pickled cannot change its type"),
        (range, slice, "the value was range, is slice: what is pickled cannot change its type"),
    ],
)
def test_a_type_that_does_not_take_the_old_values_is_refused(old, new, text):
    verdict = compatibility(schema_of(old), schema_of(new))
    assert isinstance(verdict, Incompatible)
    assert [text] == list(map(str, verdict.reasons))


@pytest.mark.parametrize(
    ("old", "new", "value", "expected"),
    [
        (int, float, 3, 3.0),
        (int, float, 2**60 + 1, 2**60 + 1),
        (bool, int, True, 1),
        (int, int | None, 3, 3),
        (int, str | float, 3, 3.0),
        (int | float, float, 3, 3.0),
        (int | str, str | float | None, 3, 3.0),
        (list[int], list[float], [1, 2**70], [1.0, 2.0**70]),
        (dict[str, int], dict[str, list[int] | float], {"a": 1, "\ud800": 2}, {"a": 1.0, "\ud800": 2.0}),
        (dict[int, str], dict[float, str], {1: "a", 2**70: "b"}, {1.0: "a", 2.0**70: "b"}),
        (tuple[int, str], tuple[float | str, ...], (1, "a"), (1.0, "a")),
        (list[int] | dict[str, int], dict[str, int] | list[int], [1], [1]),
        (list[int] | None, dict[str, int] | list[float] | None, [1], [1.0]),
        (typing.Literal["a", "b"], typing.Literal["c", "b", "a"], "b", "b"),
        (typing.Literal["a", 1], typing.Literal[1, "a"] | None, 1, 1),
        (typing.Literal["a", "b"], str, "b", "b"),
        (range, object, range(3), range(3)),
    ],
)
def test_a_wider_type_reads_the_old_values(old, new, value, expected):
    before, after = named(ListState(old)), named(ListState(new))
    migration = migration_of(schema_of_state(before), after)
    found = migration.decode(codec_of(before).encode(value))
    assert (type(expected), repr(expected)) == (type(found), repr(found))
    assert migration.changes


def test_what_two_keys_or_members_of_a_set_differ_by_cannot_be_removed():
    old, new = versions(
        {"Pair": dataclasses.make_dataclass("Pair", [("a", int), ("b", int)], frozen=True)},
        {"Pair": dataclasses.make_dataclass("Pair", [("a", int)], frozen=True)},
    )
    for container in (set[T], dict[T, int], frozenset[tuple[T, int]]):
        verdict = compatibility(schema_of(container[old["Pair"]]), schema_of(container[new["Pair"]]))
        assert isinstance(verdict, Incompatible)
        assert verdict.reasons[0].text == "is removed"
    assert isinstance(compatibility(schema_of(list[T][old["Pair"]]), schema_of(list[T][new["Pair"]])), Migratable)


def test_a_renamed_class_needs_an_alias():
    old = dataclasses.make_dataclass("Old", [("a", int)])
    bare = dataclasses.make_dataclass("New", [("a", int)])
    aliased = dataclasses.make_dataclass("New", [("a", int)], namespace={"__state_aliases__": {"__class__": "types.Old"}})
    refused = compatibility(schema_of(old), schema_of(bare))
    assert isinstance(refused, Incompatible)
    assert "was of the class 'types.Old', is of 'types.New'" in str(refused.reasons[0])
    assert isinstance(compatibility(schema_of(old), schema_of(aliased)), Migratable)


def test_a_field_that_takes_over_the_name_of_a_renamed_one_is_new():
    old, new = versions(
        {"Pair": dataclasses.make_dataclass("Pair", [("a", int)])},
        {"Pair": dataclasses.make_dataclass("Pair", [("b", int), ("a", int, 7)], namespace={"__state_aliases__": {"b": "a"}})},
    )
    before, after = named(ValueState(old["Pair"])), named(ValueState(new["Pair"]))
    assert new["Pair"](3, 7) == migration_of(schema_of_state(before), after).decode(codec_of(before).encode(old["Pair"](3)))


def test_default_factories_make_a_default_for_each_value():
    old, new = versions(
        {"Log": dataclasses.make_dataclass("Log", [("a", int)])},
        {"Log": dataclasses.make_dataclass("Log", [("a", int), ("lines", list[str], dataclasses.field(default_factory=list))])},
    )
    before, after = named(ValueState(old["Log"])), named(ValueState(new["Log"]))
    one, two = migration_of(schema_of_state(before), after).decode_many([codec_of(before).encode(old["Log"](1))] * 2)
    one.lines.append("x")
    assert ([], ["x"]) == (two.lines, one.lines)


def test_a_new_field_whose_default_is_not_of_its_type_is_refused():
    old, new = versions(
        {"Log": dataclasses.make_dataclass("Log", [("a", int)])},
        {"Log": dataclasses.make_dataclass("Log", [("a", int), ("b", int, "none")])},
    )
    with pytest.raises(IncompatibleState, match="b is new, and its default is of type 'str', not int"):
        migration_of(schema_of_state(named(ValueState(old["Log"]))), named(ValueState(new["Log"])))


def test_flags_are_read_while_their_numbers_stay():
    class Old(enum.Flag):
        READ = 1
        WRITE = 2

    class Wider(enum.Flag):
        RUN = 4
        READ = 1
        CHANGE = 2
        __state_aliases__ = {"CHANGE": "WRITE", "__class__": f"{__name__}.{Old.__qualname__}"}

    class Renumbered(enum.Flag):
        READ = 2
        WRITE = 1
        __state_aliases__ = {"__class__": f"{__name__}.{Old.__qualname__}"}

    before, after = named(ListState(Old)), named(ListState(Wider))
    data = codec_of(before).encode(Old.READ | Old.WRITE)
    assert Wider.READ | Wider.CHANGE == migration_of(schema_of_state(before), after).decode(data)
    refused = compatibility(schema_of(Old), schema_of(Renumbered))
    assert isinstance(refused, Incompatible)
    assert "has the member 'READ' as 2, was 1" in str(refused.reasons[0])


def test_an_instance_of_a_subclass_is_read_only_while_the_subclass_stays():
    old, new = versions(old_job(), old_job())

    def special(base, *fields):
        cls = dataclasses.make_dataclass("Special", [*fields, ("extra", int, 5)], bases=(base,))
        cls.__qualname__ = "Special"
        return cls

    value = special(old["Place"])(1, 2)
    before, after = named(ListState(old["Place"])), named(ListState(new["Place"]))
    data = codec_of(before).encode(value)
    same = special(new["Place"])
    assert same(1, 2) == migration_of(schema_of_state(before), after).decode(data)
    changed = special(new["Place"], ("more", int, 6))
    with pytest.raises(SerializationError, match=r"instance of 'types\.Special', which was another class"):
        migration_of(schema_of_state(before), after).decode(data)
    assert changed.__name__ == "Special"


# --- declared states -----------------------------------------------------------------------------------------------------


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
