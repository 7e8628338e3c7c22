"""The stable hash: equal keys hash equal, everywhere and always; what cannot promise that is refused."""

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import os
import pickle
import subprocess
import sys
import uuid
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.wire.stable_hash import UnstableKey, stable_hash, stable_hashes


class Point(NamedTuple):
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Place:
    city: str
    zone: int
    note: str = dataclasses.field(default="", compare=False)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


GOLDEN = [
    ("", 3244421341483603138),
    ("whale", 5250537709523054915),
    ("ünï\0cødé", 6384039308047917008),
    ("\ud800", 15756832317056903632),
    (0, 11408090015561836892),
    (-1, 8863485718249458111),
    (2**63 - 1, 584040580343901027),
    (2**63, 6431425994565517003),
    (-(2**70), 3272517721060451202),
    (0.5, 6663966866564686770),
    (float("inf"), 18115161543025777479),
    (decimal.Decimal("0.1"), 5129577179053338274),
    (b"whale", 9545977646198330657),
    (None, 7476342439517437825),
    ((), 10464923555624353464),
    (("a", (1, None)), 3997855827328419929),
    (frozenset({"a", "b", 3}), 9651193276592724750),
    (dt.date(2024, 2, 29), 5210057325025959015),
    (dt.datetime(2024, 2, 29, 12, 30), 16796007313658297273),  # noqa: DTZ001 - a naive one is meant
    (dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC), 3684548474726963060),
    (dt.time(12, 30), 12541979752869797067),
    (dt.time(12, 30, tzinfo=dt.timezone(dt.timedelta(hours=1, microseconds=-1))), 4842365782655859521),
    (dt.timedelta(days=-1, microseconds=7), 16910511841709290558),
    (uuid.UUID(int=7), 14098547558270413149),
]


@pytest.mark.parametrize(("key", "expected"), GOLDEN)
def test_the_hash_of_a_key_never_changes(key, expected):
    assert expected == stable_hash(key)


def test_a_dataclass_and_an_enum_member_hash_by_name_and_value():
    assert stable_hash(Place("Bergen", 1)) == stable_hash(Place("Bergen", 1, note="ignored"))
    assert stable_hash(Place("Bergen", 1)) != stable_hash(Place("Bergen", 2))
    assert stable_hash(Place("Bergen", 1)) != stable_hash(("Bergen", 1))
    assert stable_hash(Colour.RED) != stable_hash(Colour.BLUE)
    assert stable_hash(Permission.READ | Permission.WRITE) == stable_hash(Permission.WRITE | Permission.READ)
    assert stable_hash(Level.LOW) == stable_hash(1)


numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.floats(-2, 2, allow_nan=False, width=16),
    st.decimals(allow_nan=False, places=2, min_value=-3, max_value=3),
    st.decimals(allow_nan=False).filter(lambda d: d.is_infinite() or abs(d.adjusted()) < 400),
    st.fractions(),
    st.fractions(-2, 2, max_denominator=4),
)
times = st.one_of(
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([dt.UTC, ZoneInfo("Europe/Oslo"), dt.timezone(dt.timedelta(hours=-7))])),
    st.dates(),
    st.times(),
    st.timedeltas(),
)
atoms = st.one_of(numbers, times, st.text(), st.binary(), st.none(), st.uuids(), st.sampled_from([*Colour, *Level]))
keys = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner), st.tuples(inner, inner), st.frozensets(inner, max_size=3), st.builds(Point, inner, inner)
    ),
    max_leaves=5,
)


@given(numbers, numbers)
def test_equal_numbers_hash_equal_whatever_their_types(a, b):
    assert (stable_hash(a) == stable_hash(b)) is (a == b)


@given(keys, keys)
def test_keys_hash_equal_exactly_when_they_are_equal(a, b):
    assert (stable_hash(a) == stable_hash(b)) is (a == b)


@given(st.lists(st.text()) | st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_many_keys_hash_as_each_of_them(keys):
    expected = b"".join(stable_hash(key).to_bytes(8, "big") for key in keys)
    assert (stable_hashes(keys) or b"") == expected


@pytest.mark.parametrize("keys", [["a", 1], [1, True], [1.0], [("a",)], ["\ud800"], [2**63]])
def test_many_keys_are_not_hashed_at_once_unless_all_are_plain_text_or_integers(keys):
    assert stable_hashes(keys) is None


@given(keys)
def test_a_key_that_was_pickled_hashes_as_before(key):
    again = pickle.loads(pickle.dumps(key))
    assert stable_hash(key) == stable_hash(again)
    assert 0 <= stable_hash(key) < 2**64


def test_equal_keys_of_different_types_hash_equal():
    same = [1, 1.0, True, decimal.Decimal(1), fractions.Fraction(1), Level.LOW]
    assert {stable_hash(1)} == {stable_hash(key) for key in same}
    assert stable_hash(0.0) == stable_hash(-0.0)
    assert stable_hash(Point(1, 2)) == stable_hash((1.0, 2))
    assert stable_hash(0.1) == stable_hash(decimal.Decimal.from_float(0.1)) != stable_hash(decimal.Decimal("0.1"))
    assert stable_hash(decimal.Decimal("0.1")) == stable_hash(fractions.Fraction(1, 10))


class Half(float, enum.Enum):
    ONE = 0.5


class Corner(tuple, enum.Enum):  # noqa: SLOT001 - an enum
    ORIGIN = (0, 0)


class Word(str, enum.Enum):  # noqa: UP042 - the older way to write StrEnum
    HELLO = "hello"


@pytest.mark.parametrize(("member", "value"), [(Half.ONE, 0.5), (Corner.ORIGIN, (0, 0)), (Word.HELLO, "hello")])
def test_a_member_of_an_enum_that_equals_its_value_hashes_as_its_value(member, value):
    assert member == value
    assert stable_hash(member) == stable_hash(value)


@given(st.times(), st.integers(-(86_400 * 10**6) + 1, 86_400 * 10**6 - 1), st.integers(-3, 3))
def test_times_with_any_offset_hash_equal_exactly_when_they_are_equal(time, offset_us, seconds):
    there = time.replace(tzinfo=dt.timezone(dt.timedelta(microseconds=offset_us)))
    whole = dt.timedelta(microseconds=offset_us) // dt.timedelta(seconds=1) + seconds
    if abs(whole) < 86_400:
        other = time.replace(tzinfo=dt.timezone(dt.timedelta(seconds=whole)))
        assert (stable_hash(there) == stable_hash(other)) is (there == other)


def test_a_key_that_is_nested_too_deeply_is_refused():
    key = ()
    for _ in range(100_000):
        key = (key,)
    with pytest.raises(UnstableKey, match="'tuple' has no stable hash: it is nested too deeply"):
        stable_hash(key)


def test_the_same_instant_in_two_zones_hashes_equal_and_fold_does_not_matter():
    utc = dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC)
    oslo = ZoneInfo("Europe/Oslo")
    first = dt.datetime(2024, 10, 27, 2, 30, tzinfo=oslo)
    assert first == first.replace(fold=1)
    assert stable_hash(first) == stable_hash(first.replace(fold=1)) == stable_hash(utc)
    assert stable_hash(utc) != stable_hash(utc.replace(tzinfo=None))


class Loud(str):
    __slots__ = ()

    def __eq__(self, other):
        return str.__eq__(self.lower(), other.lower())

    def __hash__(self):
        return hash(self.lower())


@dataclasses.dataclass
class Mutable:
    x: int


@dataclasses.dataclass(frozen=True)
class Odd:
    x: int

    def __eq__(self, other):
        return self.x % 2 == other.x % 2

    def __hash__(self):
        return self.x % 2


@pytest.mark.parametrize(
    "key",
    [
        *([1], {}, {1}, object(), (1, [2]), bytearray(b"x"), range(3), lambda: 0),
        *(float("nan"), decimal.Decimal("nan"), decimal.Decimal("1e99999"), 1j),
        *(Loud("a"), Mutable(1), Odd(1)),
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_key_without_a_stable_hash_is_refused_by_type(key):
    with pytest.raises(UnstableKey) as refused:
        stable_hash(key)
    inner = key[1] if isinstance(key, tuple) else key
    assert type(inner).__name__ == refused.value.key_type
    assert refused.value.key_type in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_processes_with_different_hash_seeds_agree():
    program = (
        "from actorflow.wire.stable_hash import stable_hash as h; print(h(('whale', 1)), h(frozenset({'a', 'b', 'c'})), h('x'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    here = f"{stable_hash(('whale', 1))} {stable_hash(frozenset({'a', 'b', 'c'}))} {stable_hash('x')}\n"
    assert {here} == outputs
