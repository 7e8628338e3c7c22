"""What a state holds, as data: schemas of declared states, which changes they allow, and what is refused before a job runs."""

import dataclasses
import enum
import typing

import msgspec
import pytest

from actorflow.errors import IncompatibleState, SerializationError
from actorflow.state.descriptors import ListState, MapState, ValueState
from actorflow.state.schema import (
    Incompatible,
    Migratable,
    codec_of,
    compatibility,
    held_migration_of,
    held_type,
    migration_of,
    schema_of,
    schema_of_state,
)
from actorflow.wire.state_codec import codec_for

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


def test_all_that_a_key_holds_is_read_in_one_piece():
    old, new = versions(old_job(), new_job())
    before, after = named(MapState(str, old["Place"], ttl="1h")), named(MapState(str, new["Place"], ttl="1h"))
    data = codec_for(held_type(before)).encode({"home": (old["Place"](1, 2), 1000)})
    assert {"home": (new["Place"](2.0, 1.0), 1000)} == held_migration_of(schema_of_state(before), after).decode(data)
    with pytest.raises(IncompatibleState, match="state 'seen': the entries' key was str, is int: keys cannot change"):
        held_migration_of(schema_of_state(before), named(MapState(int, new["Place"], ttl="1h")))
