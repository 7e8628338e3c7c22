"""State values as bytes: every value comes back exactly, whatever is not of the declared type is refused by name."""

import dataclasses
import datetime as dt
import enum
import math
import typing
import uuid
import zoneinfo
from decimal import Decimal

import msgspec
import pytest

from actorflow.errors import SerializationError
from actorflow.wire.state_codec import codec_for

T = typing.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Node:
    value: int
    following: "Node | None" = None


@dataclasses.dataclass(frozen=True, slots=True)
class Heavy(Node):
    weight: float = 1.0


@dataclasses.dataclass
class Computed:
    base: int
    doubled: int = dataclasses.field(init=False)

    def __post_init__(self):
        self.doubled = 2 * self.base


@dataclasses.dataclass
class Box(typing.Generic[T]):
    content: T


class Point(typing.NamedTuple):
    x: float
    y: float = 0.0


class Visit(msgspec.Struct, kw_only=True):
    user: str
    places: list[Point] = []


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Plain:
    """A class without declared fields."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"Plain({self.value!r})"


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
ROUND_TRIPS = [
    (int, True),
    (int, 2**70),
    (int, -(2**63) - 1),
    (int, Level.LOW),
    (float, 1),
    (float, math.nan),
    (float, -0.0),
    (float, 2**90),
    (str, "a\ud800b"),
    (bytes, b"\0"),
    (None, None),
    (dt.date, dt.date(2020, 1, 1)),
    (dt.date, dt.datetime(2020, 1, 1)),  # noqa: DTZ001
    (dt.datetime, dt.datetime(2020, 10, 25, 2, 30, fold=1)),  # noqa: DTZ001
    (dt.datetime, dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)),
    (dt.datetime, dt.datetime(2020, 1, 1, 0, 0, 0, 7, tzinfo=dt.UTC)),
    (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=-3601), "X"))),
    (dt.time, dt.time(1, 2, 3, 4)),
    (dt.timedelta, dt.timedelta.min),
    (Decimal, Decimal("1.00")),
    (Decimal, Decimal("sNaN12")),
    (uuid.UUID, uuid.UUID(int=5)),
    (Node, Node(1, Node(2))),
    (Node, Heavy(1, Node(2), 3.5)),
    (Computed, Computed(4)),
    (Box[list[int]], Box([1])),
    (Point, Point(1, 2.0)),
    (Visit, Visit(user="u", places=[Point(1.0)])),
    (Colour, Colour.BLUE),
    (Rights, Rights.READ | Rights.WRITE),
    (Rights, Rights(0)),
    (list[int | str | None], [1, "a", None, 2**65, True]),
    (dict[str, str | bytes | None], {"a": "x", "b": b"x", "c": None, "d": "\ud800"}),
    (dict[str, list[Node]], {"b": [Node(1)], "a": []}),
    (dict[tuple[int, str], int], {(1, "a"): 2}),
    (dict[int, int], {2**66: 3, 1: 2}),
    (set[int], {3, 1, 2**66}),
    (frozenset[Node], frozenset({Node(1)})),
    (tuple[float, ...], (1.0, 2)),
    (tuple[()], ()),
    (Node | Point | None, Point(1.0)),
    (list[int] | list[str], ["a"]),
    (Node | Heavy, Heavy(1)),
    (typing.Literal["a", 1, None, Colour.RED], Colour.RED),  # noqa: PYI061
    (dict[str, typing.Any], {"a": {1, 2}}),
    (list, [1, {}]),
    (object, (1, [2.0])),
    (Plain, Plain(3)),
]


@pytest.mark.parametrize(("of", "value"), ROUND_TRIPS)
def test_a_value_comes_back_exactly(of, value):
    codec = codec_for(of)
    data = codec.encode(value)
    assert (type(value), repr(value)) == (type(codec.decode(data)), repr(codec.decode(data)))
    assert ([data] * 2, repr([value] * 2)) == (codec.encode_many([value] * 2), repr(codec.decode_many([data] * 2)))


@pytest.mark.parametrize(
    ("of", "value", "text"),
    [
        (int, "a", "it is of type 'str', not int"),
        (int, 1.0, "it is of type 'float', not int"),
        (Node, Node(1, Node("x")), "following.value is of type 'str', not int"),
        (Node, Point(1, 2), "it is of type 'Point', not Node"),
        (str, type("Word", (str,), {})("x"), "it is of type 'Word', not str"),
        (dict[str, list[Node]], {"k": [Node(1), 3]}, "['k'][1] is of type 'int', not Node"),
        (dict[str, int], {1: 1}, "[1] (the key) is of type 'int', not str"),
        (Visit, Visit(user="u", places=[Point("x")]), "places[0].x is of type 'str', not float"),
        (Node | Point, 5, "it is of type 'int', not Node | Point"),
        (Node | Point, Point("x"), "x is of type 'str', not float"),
        (tuple[int, int], Point(1, 2), "it is of type 'Point', not tuple of 2"),
        (list[int], [1, "a"], "[1] is of type 'str', not int"),
        (tuple[str, ...], ("a", 1), "[1] is of type 'int', not str"),
        (dict[str, int], {"a": "b"}, "['a'] is of type 'str', not int"),
        (set[str], {1}, "[0] is of type 'int', not str"),
        (set[Node], {1}, "[0] is of type 'int', not Node"),
        (list[int], (1,), "it is of type 'tuple', not list"),
        (typing.Literal["a"], "b", "it is of type 'str', not Literal['a']"),
        (set[int], {1, "a"}, "is of type 'str', not int"),
        (set[int], {Decimal("nan"), Decimal(1)}, "is of type 'Decimal', not int"),
        (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=type("Zone", (dt.tzinfo,), {})()), "it has a time zone of type"),
        (Plain, 5, "it is of type 'int', not Plain"),
        (object, (n for n in ()), "it cannot be pickled"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(of, value, text):
    codec = codec_for(of, "state 'seen'")
    with pytest.raises(SerializationError) as refused:
        codec.encode(value)
    assert refused.value.message.startswith("cannot write state 'seen': ")
    assert text in refused.value.message


GOLDEN = [
    (int, 5, "05"),
    (int, 2**64, "c70901010000000000000000"),
    (float, 1.5, "cb3ff8000000000000"),
    (float, 1, "01"),
    (bool, True, "c3"),
    (str, "a", "a161"),
    (str, "\ud800", "c70302eda080"),
    (dt.date, dt.date(2020, 1, 1), "ce000b4091"),
    (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "b9323032302d30312d30315430303a30303a30302b30303a3030"),
    (dt.timedelta, dt.timedelta(1, 2, 3), "93010203"),
    (Decimal, Decimal("1.0"), "a3312e30"),
    (uuid.UUID, uuid.UUID(int=5), "c41000000000000000000000000000000005"),
    (Node, Node(1, Node(2)), "92019202c0"),
    (Visit, Visit(user="u", places=[Point(1.0, 2)]), "92a1759192cb3ff000000000000002"),
    (Colour, Colour.BLUE, "a4424c5545"),
    (Rights, Rights.WRITE, "02"),
    (typing.Literal["a", "b"], "b", "01"),
    (set[int], {3, 1}, "920103"),
    (frozenset[Point], {Point(2.0), Point(1.0)}, "9292cb3ff0000000000000cb000000000000000092cb4000000000000000cb0000000000000000"),
    (dict[str, int], {"a": 1}, "81a16101"),
    (dict[Point, int], {Point(1.0): 1}, "919292cb3ff0000000000000cb000000000000000001"),
    (Node | Point, Point(1.0), "920192cb3ff0000000000000cb0000000000000000"),
    (int | str, "a", "a161"),
    (Node | None, None, "c0"),
]


@pytest.mark.parametrize(("of", "value", "data"), GOLDEN)
def test_the_bytes_of_a_value_are_a_promise(of, value, data):
    if of == frozenset[Point]:
        value = frozenset(value)
    codec = codec_for(of)
    assert data == codec.encode(value).hex()
    assert value == codec.decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("of", "data", "text"),
    [
        (set[int], [1, 1], "is of type 'list', not array of different values"),
        (dict[Point, int], [[[1.0, 0.0], 1], [[1.0, 0.0], 2]], "is of type 'list', not map of different keys"),
        (Node, [1], "is of type 'list', not array of 2 fields"),
        (Colour, "GREEN", "'GREEN' is no member of 'Colour'"),
        (Rights, 8, "it is damaged"),
        (typing.Literal["a"], 1, "is of type 'int', not position in a Literal"),
        (typing.Literal["a"], -1, "is of type 'int', not position in a Literal"),
        (Node | Point, [2, []], "is of type 'int', not position in a union"),
        (Node | Point, [-1, [1.0, 2.0]], "is of type 'int', not position in a union"),
        (dt.date, 0, "is damaged: 0 is no date"),
        (dt.datetime, "2020-13-01", "is damaged: '2020-13-01' is no datetime"),
        (str | bytes, [1], "is of type 'list', not str | bytes"),
        (uuid.UUID, b"short", "is no uuid"),
        (Visit, ["u", [[1.0, "x"]]], "places[0].y is of type 'str', not float"),
        (Plain, b"not a pickle", "it cannot be unpickled"),
    ],
)
def test_bytes_that_are_of_no_value_are_refused_with_the_place(of, data, text):
    with pytest.raises(SerializationError) as refused:
        codec_for(of, "state 'seen'").decode(msgspec.msgpack.encode(data))
    assert refused.value.message.startswith("cannot read state 'seen': ")
    assert text in refused.value.message


def test_bytes_that_are_cut_off_or_go_on_are_refused():
    codec = codec_for(list[int], "state 'seen'")
    for data in (b"", codec.encode([1, 2])[:-1], codec.encode([1, 2]) + b"\0"):
        with pytest.raises(SerializationError, match="cannot read state 'seen': it is damaged"):
            codec.decode(data)


def test_a_value_that_contains_itself_is_refused():
    loop = Node(1)
    object.__setattr__(loop, "following", loop)
    with pytest.raises(SerializationError, match="it is nested too deeply"):
        codec_for(Node).encode(loop)


def test_only_what_is_pickled_as_a_whole_cannot_evolve():
    assert [True, True, True, False, False] == [codec_for(of).evolvable for of in (int, Node, dict[str, object], object, list)]
