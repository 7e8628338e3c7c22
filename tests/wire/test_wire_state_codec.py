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
        (list[int], (1,), "it is of type 'tuple', not list"),
        (typing.Literal["a"], "b", "it is of type 'str', not Literal['a']"),
        (set[int], {1, "a"}, "is of type 'str', not int"),
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
