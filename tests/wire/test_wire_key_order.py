"""Codes of keys: the same for equal keys and only for them, and in order where keys have one."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wire_stable_hash import Colour, Permission, Place, Point, keys, numbers

from actorflow.wire.key_order import KeyCodes, key_code
from actorflow.wire.stable_hash import UnstableKey, stable_hash


@given(keys, keys)
def test_equal_codes_mean_equal_keys_and_different_codes_different_keys(a, b):
    same = a == b and stable_hash(a) == stable_hash(b)
    assert same == (key_code(a) == key_code(b))


@given(numbers, numbers)
def test_equal_numbers_have_one_code_whatever_their_types(a, b):
    assert (a == b) == (key_code(a) == key_code(b))


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None)
@given(st.tuples(st.text("\0\1\xffab"), st.text("\0\1\xffab")), st.tuples(st.text("\0\1\xffab"), st.text("\0\1\xffab")))
def test_members_of_tuples_never_run_into_each_other(a, b):
    assert (a == b) == (key_code(a) == key_code(b))


natural = [
    st.text(),
    st.text("\0a"),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(),
    st.dates(),
    st.datetimes(),
    st.tuples(st.text("ab\0\1\xff"), st.integers(-3, 3)),
    st.tuples(st.dates(), st.binary(), st.text()),
]


@pytest.mark.parametrize("strategy", natural)
def test_text_integers_bytes_dates_and_tuples_of_them_keep_their_order(strategy):
    @given(st.lists(strategy))
    def check(values):
        assert sorted(values) == sorted(values, key=key_code)

    check()


def test_keys_of_the_same_form_but_of_different_kinds_differ():
    lookalikes = [
        None, "", "\0n", "\0t\0n", 0, "0", b"0", b"", (), ((),), ("",), (None,), frozenset(), frozenset([""]), 0.5,
        dt.date(1970, 1, 1), dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.time(0), dt.time(0, tzinfo=dt.UTC),
        dt.timedelta(0), Colour.RED, Permission.READ, Place("a", 1), ("a", 1), ("a",), ("a", "1"), 2**70, -(2**70),
    ]  # fmt: skip
    lookalikes.append(dt.datetime(1970, 1, 1))  # noqa: DTZ001 - a naive one is meant
    codes = [key_code(key) for key in lookalikes]
    assert len(set(codes)) == len(lookalikes)


def test_named_tuples_and_fields_left_out_of_comparison_count_as_equality_says():
    assert key_code(Point(1, 2)) == key_code((1.0, 2))
    assert key_code(Place("Bergen", 1)) == key_code(Place("Bergen", True, note="ignored"))


@pytest.mark.parametrize("key", [float("nan"), [1], {"a": 1}, object(), (1, [2]), frozenset([object()])])
def test_what_has_no_stable_hash_has_no_code(key):
    with pytest.raises(UnstableKey):
        key_code(key)
    with pytest.raises(UnstableKey):
        KeyCodes().of(["a", key])


def test_many_keys_get_the_codes_of_each():
    codes = KeyCodes()
    for many in (
        ["b", "a"],
        ["\0b", "a"],
        [1, True, 1.0, None, ("a",)],
        list(range(50_000)),
        [0, -1, 2**63 - 1, -(2**63)],
        [2**63, 1],
        [True, False],
        [],
    ):
        assert [key_code(key) for key in many] == codes.of(many)
    assert len(codes) <= 1 << 14
