"""What has changed in a table of many values: it is found without touching the others, and written with keys that became bytes once."""

import gc
import sys

import numpy as np
import pytest
from backend_kinds import rocksdb
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from layer_steps import COUNTS, ROUNDS, steps_of
from layer_world import Subtask, run

from actorflow.state import comparing, key_bytes, references
from actorflow.state.comparing import Comparison, Keys, Ordered
from actorflow.state.layers import Place, decode_parts
from actorflow.wire.plain_values import encode_each


@pytest.fixture
def few_are_many(monkeypatch):
    """Treat tables of a handful of values as those of a million."""
    monkeypatch.setattr(comparing, "FEW", 0)
    monkeypatch.setattr(comparing, "CHUNK_KEYS", 3)
    monkeypatch.setattr(key_bytes, "PORTION", 5)


PLAIN = st.one_of(
    st.text(max_size=3),
    st.integers(-300, 300),
    st.integers(2**31, 2**64 - 1),
    st.floats(allow_nan=False),
    st.none(),
    st.binary(max_size=2),
)
UNUSUAL = st.one_of(
    PLAIN, st.tuples(st.integers(0, 3)), st.integers(2**64, 2**65), st.just("\ud800"), st.text(min_size=190, max_size=193)
)


def told(piece):
    """Return what a piece says, in the order in which it says it."""
    chunks = [decode_parts(memoryview(payload)) for payload in piece.payloads()]
    assert all(len(keys) == len(values) for _, _, _, keys, values, _, _ in chunks)
    return {key: value for _, _, _, keys, values, _, _ in chunks for key, value in zip(keys, values, strict=True)}


def check_comparisons(keys, rounds):
    known, table = Keys(), {}
    captures = [comparing.NOTHING]
    for now, (places, new, against) in enumerate(rounds):
        before = dict(table)
        for place in places:
            table[keys[place % len(keys)]] = new
        values = known.values(Ordered(table), 0)
        then = captures[against % len(captures)]
        expected = {key: value for key, value, old in padded(table, then.values) if value is not old}
        found = told(Comparison(Place("state"), known, then, values, {}))
        assert [(key, value, type(value)) for key, value in found.items()] == [
            (key, value, type(value)) for key, value in expected.items()
        ], f"round {now}, before {before}"
        captures.append(values)


def padded(table, before):
    return zip(table, table.values(), [*before, *[comparing.MISSING] * (len(table) - len(before))], strict=True)


ROUNDS_OF_ONE_TABLE = st.lists(
    st.tuples(st.lists(st.integers(0, 29), max_size=20), UNUSUAL, st.integers(0, 9)), min_size=2, max_size=6
)


@pytest.mark.usefixtures("few_are_many")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(PLAIN, min_size=1, max_size=30, unique=True) | st.lists(UNUSUAL, min_size=1, max_size=30, unique=True),
    ROUNDS_OF_ONE_TABLE,
)
@example([f"w{number}" for number in range(30)], [(list(range(30)), 1, 0), ([1, 7], 2, 1)])
@example(list(range(180, 210)), [(list(range(30)), 1, 0), ([1, 7, 12, 13], 2, 1)])
def test_what_is_another_object_than_before_has_changed_whatever_keys_and_values_are(keys, rounds):
    check_comparisons(keys, rounds)


@pytest.mark.usefixtures("few_are_many")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROUNDS, st.sampled_from([0, 150, 400]))
def test_the_layers_say_what_the_state_was_where_many_values_are_compared(rounds, inline_bytes_max):
    run(Subtask(inline_bytes_max), steps_of(rounds))


@pytest.mark.usefixtures("few_are_many")
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=COUNTS)
def test_many_counts_that_leave_memory_and_come_again_are_found_by_comparison(rounds):
    subtask = Subtask(0, lambda clock: rocksdb(clock, object_bytes=2000))
    try:
        run(subtask, steps_of(rounds), check=False)
    finally:
        subtask.backend.close()


@pytest.mark.usefixtures("few_are_many")
def test_the_bytes_of_keys_go_on_behind_keys_that_are_not_known_any_more():
    every = [f"w{number}" for number in range(100)]
    known = key_bytes.KeyBytes()
    for first, end in (0, 2), (0, 3), (2, 4), (4, 5), (1, 5), (7, 8), (9, 10), (8, 10):
        portion = known.portion(first, every[first:end], end)
        start = max(first, (end - 1) // 5 * 5)
        picked = portion.picked(start, np.ones(end - start, dtype=np.bool_))
        assert picked.data == b"".join(encode_each(every[start:end]))


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_a_list_is_looked_at_as_an_array_of_the_same_objects_with_or_without_a_copy(size):
    objects = [(number, number) for number in range(size)]
    for array in references.viewed(objects), references.copied(objects):
        assert array.shape == (size,)
        assert all(found is given for found, given in zip(array, objects, strict=True))


def test_a_list_that_is_looked_at_without_a_copy_keeps_its_references():
    objects = [object() for _ in range(100)]
    counted = [sys.getrefcount(one) for one in objects]
    array = references.viewed(objects)
    assert not array.flags.owndata
    picked = array[::2].tolist()
    assert [sys.getrefcount(one) for one in objects] == [count + 1 - number % 2 for number, count in enumerate(counted)]
    del array, picked
    gc.collect()
    assert [sys.getrefcount(one) for one in objects] == counted
