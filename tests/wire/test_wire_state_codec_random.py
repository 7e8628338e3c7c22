"""State values as bytes, over random types: exact round trips, one meaning for both ways of reading and writing, and damage that shows."""

import dataclasses
import datetime as dt
import enum
import itertools
import pickle
import struct
import typing
import uuid
from decimal import Decimal

import msgspec
import pytest
from few_and_many import at_length
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import SerializationError
from actorflow.wire.state_codec import codec_for
from actorflow.wire.state_plain import Mismatch, pack, unpack


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass(frozen=True)
class Chain:
    value: int | str
    following: "Chain | None" = None
    others: "tuple[Chain, ...]" = ()


class Pair(typing.NamedTuple):
    left: float
    right: "Chain | Pair | None"


NUMBERS = itertools.count()
INTS = st.one_of(st.integers(-300, 300), st.integers(), st.integers(-(2**65), 2**65))
TEXTS = st.one_of(st.text(max_size=5), st.text(st.characters(), max_size=3))
CHAINS = st.recursive(
    st.builds(Chain, INTS | TEXTS),
    lambda inner: st.builds(Chain, INTS | TEXTS, st.none() | inner, st.lists(inner, max_size=2).map(tuple)),
    max_leaves=4,
)
PAIRS = st.builds(Pair, st.floats(), st.none() | CHAINS | st.builds(Pair, st.floats(), CHAINS))
ZONES = st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(minutes=-90)), dt.timezone(dt.timedelta(hours=1), "CET")])
DATETIMES = st.builds(lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold), st.datetimes(), ZONES, st.integers(0, 1))
LEAVES = [
    (int, INTS | st.booleans()),
    (float, st.floats() | INTS),
    (str, TEXTS),
    (bytes, st.binary(max_size=5)),
    (bool, st.booleans()),
    (None, st.none()),
    (dt.date, st.dates()),
    (dt.time, st.times(timezones=ZONES)),
    (dt.datetime, DATETIMES),
    (dt.timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=True)),
    (uuid.UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Rights, st.sampled_from([Rights(0), Rights.READ, Rights.READ | Rights.WRITE])),
    (typing.Literal["a", 1, True, Colour.RED], st.sampled_from(["a", 1, True, Colour.RED])),
    (Chain, CHAINS),
    (Pair, PAIRS),
    (object, st.just((1, {"a": [2]}))),
]


@st.composite
def records(draw, parts):
    fields = draw(st.lists(parts, max_size=3))
    names = [f"part_{i}" for i in range(len(fields))]
    form = draw(st.sampled_from(["dataclass", "frozen", "slots", "struct", "keyword struct", "named tuple"]))
    annotated = [(name, of) for name, (of, _) in zip(names, fields, strict=True)]
    name = f"Class{next(NUMBERS)}"
    match form:
        case "struct" | "keyword struct":
            cls = msgspec.defstruct(name, annotated, kw_only=form != "struct")
        case "named tuple":
            cls = typing.NamedTuple(name, annotated)
        case _:
            cls = dataclasses.make_dataclass(name, annotated, frozen=form == "frozen", slots=form == "slots")
    return cls, st.fixed_dictionaries(dict(zip(names, (values for _, values in fields), strict=True))).map(
        lambda given: cls(**given)
    )


def containers(parts):
    def hashable(of_and_values):
        of, values = of_and_values
        return of, values.filter(_is_hashable)

    return st.one_of(
        parts.map(lambda p: (list[p[0]], st.lists(p[1], max_size=3))),
        parts.map(lambda p: (tuple[p[0], ...], st.lists(p[1], max_size=3).map(tuple))),
        st.lists(parts, max_size=3).map(lambda ps: (tuple[tuple(of for of, _ in ps)], st.tuples(*(values for _, values in ps)))),
        parts.map(hashable).map(lambda p: (set[p[0]], st.sets(p[1], max_size=3))),
        parts.map(hashable).map(lambda p: (frozenset[p[0]], st.frozensets(p[1], max_size=3))),
        st.tuples(parts.map(hashable), parts).map(
            lambda p: (dict[p[0][0], p[1][0]], st.dictionaries(p[0][1], p[1][1], max_size=3))
        ),
        st.tuples(parts, parts).map(lambda p: (typing.Union[p[0][0], p[1][0]], p[0][1] | p[1][1])),  # noqa: UP007 - no | between generics
        parts.map(lambda p: (typing.Optional[p[0]], st.none() | p[1])),  # noqa: UP045
        records(parts),
    )


def _is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


TYPES = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=4)
TYPED_VALUES = TYPES.flatmap(lambda made: st.tuples(st.just(made[0]), made[1]))


def content(value):
    """Return a value as something that is equal exactly if type and content are the same, to the bit."""
    cls = type(value)
    if cls is float:
        return cls, struct.pack("<d", value)
    if cls in {list, tuple}:
        return cls, [content(part) for part in value]
    if cls in {set, frozenset}:
        return cls, sorted((content(part) for part in value), key=repr)
    if cls is dict:
        return cls, [(content(key), content(part)) for key, part in value.items()]
    if isinstance(value, tuple) or dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct):
        return cls, [content(getattr(value, name)) for name in cls.__annotations__]
    return cls, repr(value)


def check_round_trip(of, value):
    codec = codec_for(of)
    data = codec.encode(value)
    assert content(value) == content(codec.decode(data))
    assert data == pack(codec._exact.lower(value)), "the fast way writes differently"
    assert content(value) == content(codec._exact.lift(unpack(data))), "the exact way reads differently"
    if "object" not in repr(of):  # pickle takes sets in any order
        assert data == codec.encode(codec.decode(data))


def check_foreign(of, value):
    codec = codec_for(of)
    try:
        data = codec.encode(value)
    except SerializationError:
        return
    assert content(value) == content(codec.decode(data))


def check_damage(of, value, draw):
    codec = codec_for(of)
    data = bytearray(codec.encode(value))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["change", "cut", "insert", "double"])):
            case "change" if data:
                data[place] = draw(st.integers(0, 255))
            case "cut":
                del data[place : place + draw(st.integers(1, 4))]
            case "insert":
                data.insert(place, draw(st.integers(0, 255)))
            case _:
                data += data[place:]
    try:
        exact = content(codec._exact.lift(unpack(bytes(data))))
    except (Mismatch, RecursionError):
        exact = None
    try:
        found = codec.decode(bytes(data))
    except SerializationError:
        assert exact is None
        return
    assert exact == content(found)
    codec.encode(found)  # what is read is of the type


@at_length(TYPED_VALUES, few=120)
def test_values_of_random_types_come_back_exactly(made):
    check_round_trip(*made)


@at_length(TYPES, TYPED_VALUES, few=100)
def test_a_value_of_another_type_is_refused_or_comes_back_exactly(made, other):
    check_foreign(made[0], other[1])


@at_length(TYPED_VALUES.filter(lambda made: "object" not in repr(made[0])), st.data(), few=150, many=1500)
def test_damaged_bytes_are_refused_or_are_another_value_of_the_type(made, data):
    check_damage(*made, data.draw)


class Bomb:
    """Tells when it is unpickled."""

    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


@pytest.mark.parametrize(
    "of", [of for of, _ in LEAVES if of not in {object, bytes}] + [list[int], dict[str, Chain], set[str], Chain | Pair]
)
def test_bytes_of_a_type_with_structure_never_run_code(of):
    codec = codec_for(of)
    bomb = pickle.dumps(Bomb())
    for data in (bomb, pack(bomb), pack([bomb]), pack([0, bomb]), pack(msgspec.msgpack.Ext(3, pack(["builtins.object", bomb])))):
        with pytest.raises(SerializationError):
            codec.decode(data)
    assert not Bomb.exploded


def test_bytes_of_an_object_do_run_code(monkeypatch):
    monkeypatch.setattr(Bomb, "exploded", False)
    codec_for(object).decode(pack(pickle.dumps(Bomb())))
    assert Bomb.exploded


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_refused_or_are_a_value(data):
    codec = codec_for(dict[str, list[Pair | int]])
    try:
        value = codec.decode(data)
    except SerializationError:
        return
    assert content(value) == content(codec.decode(codec.encode(value)))
