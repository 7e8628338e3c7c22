"""Plain values come back as they were, with their types."""

import datetime as dt
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actorflow.wire.plain_values import SPACE, decode_plain, encode_each, encode_plain, encode_spaced, encoded_list, plain

PLAIN_VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.none(),
)


@given(st.lists(PLAIN_VALUES))
def test_plain_values_come_back_with_their_types(values):
    assert plain(values)
    back = decode_plain(encode_plain(values))
    assert values == back
    assert list(map(type, values)) == list(map(type, back))


def test_nan_and_negative_zero_stay_what_they_are():
    (nan, zero) = decode_plain(encode_plain([math.nan, -0.0]))
    assert math.isnan(nan)
    assert -1.0 == math.copysign(1.0, zero)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800"])
def test_what_has_no_form_here_is_refused(value):
    assert encode_plain([value]) is None


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [(1, 2), [1], {1: 2}, dt.date(2026, 1, 1), 1j, Word("a")])
def test_what_would_come_back_as_something_else_is_not_plain(value):
    assert not plain([1, value])


def test_bytes_of_something_else_are_refused():
    with pytest.raises(ValueError, match="a list was written, and a int is read"):
        decode_plain(b"\x01")


@given(st.lists(PLAIN_VALUES, max_size=20))
@example([None] * 15)
@example([None] * 16)
@example([None] * 65535)
@example([None] * 65536)
def test_a_list_may_be_given_as_the_bytes_of_its_values(values):
    each = encode_each(values)
    assert encode_plain([1, values, "end"]) == encode_plain([1, encoded_list(b"".join(each), len(values)), "end"])
    assert encode_spaced(values) == b"".join(data + bytes([SPACE]) for data in each)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40)))
def test_no_text_contains_a_space_of_this_kind(words):
    assert encode_spaced(words).count(SPACE) == len(words)


def test_spaced_values_that_have_no_form_here_are_refused():
    assert encode_spaced([1, 2**64]) is None
