"""Keys as bytes: the same for equal keys and only for them, and back."""

import dataclasses
import enum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_stable_hash import keys

from actorflow.wire.key_bytes import all_plain, grouped_bytes, key_bytes, key_of, keys_of, plain
from actorflow.wire.stable_hash import UnstableKey, stable_hash

plain_keys = st.recursive(
    st.one_of(
        st.text(), st.text("\0\1tis\xff\ud800"), st.integers(), st.integers(-(2**63) - 1, -(2**63) + 1), st.binary(), st.none()
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
GROUPS = tuple(group.to_bytes(2, "big") for group in range(7))


class Pair(NamedTuple):
    a: int
    b: int


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Place:
    city: str


@given(keys, keys)
def test_equal_bytes_mean_equal_keys_and_different_bytes_different_keys(a, b):
    same = a == b and stable_hash(a) == stable_hash(b)
    assert same == (key_bytes(a) == key_bytes(b))


@given(plain_keys)
def test_a_plain_key_comes_back_as_it_was(key):
    assert plain(key)
    back = key_of(key_bytes(key))
    assert (key, repr(key)) == (back, repr(back))


@given(st.one_of(st.lists(plain_keys), st.lists(st.text(st.characters())), st.lists(st.integers(-(2**63), 2**63 - 1))))
def test_many_plain_keys_come_back_as_they_were(many):
    assert many == keys_of(list(map(key_bytes, many)))


@given(st.lists(keys))
def test_the_bytes_of_many_keys_stand_behind_their_groups(many):
    expected = [GROUPS[stable_hash(key) % len(GROUPS)] + key_bytes(key) for key in many]
    assert expected == grouped_bytes(many, GROUPS)


words = st.one_of(st.text(), st.text("\0\ud800a"))
integers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers())


@given(st.one_of(st.lists(words, min_size=1), st.lists(integers, min_size=1)))
def test_words_and_integers_are_written_as_one_by_one(many):
    assert [GROUPS[stable_hash(key) % len(GROUPS)] + key_bytes(key) for key in many] == grouped_bytes(many, GROUPS)


@pytest.mark.parametrize("key", [True, 1.0, 1.5, Pair(1, 2), (1, True), (Pair(1, 2),), Colour.RED, Place("a"), frozenset("ab")])
def test_keys_that_equal_others_of_another_type_or_cannot_be_read_are_not_plain(key):
    assert not plain(key)
    assert not all_plain(["a", key])


def test_equal_keys_of_other_types_come_back_as_the_simplest():
    assert [1, 1, (1, 2)] == [key_of(key_bytes(key)) for key in (True, 1.0, Pair(1, 2))]
    assert [int, int, tuple] == [type(key_of(key_bytes(key))) for key in (True, 1.0, Pair(1, 2))]


@pytest.mark.parametrize("key", [Colour.RED, Place("a"), frozenset("ab"), 1.5])
def test_what_cannot_be_read_back_is_refused(key):
    with pytest.raises(ValueError, match="cannot be read back"):
        key_of(key_bytes(key))


def test_keys_without_a_stable_hash_are_refused():
    with pytest.raises(UnstableKey, match="'list'"):
        grouped_bytes([[1]], GROUPS)
