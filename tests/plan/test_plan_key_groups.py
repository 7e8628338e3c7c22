"""Key groups: the three functions agree with each other, and a rescale loses no group and doubles none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.plan.key_groups import Move, group_range, key_group, moves, subtask_of

MAX = st.integers(1, 300)


@st.composite
def sizes(draw, count=1):
    max_parallelism = draw(MAX)
    return (*(draw(st.integers(1, max_parallelism)) for _ in range(count)), max_parallelism)


@given(st.integers(0, 2**64 - 1), MAX)
def test_the_group_of_a_key_is_one_of_the_groups(key_hash, max_parallelism):
    assert key_group(key_hash, max_parallelism) in range(max_parallelism)


@given(sizes())
def test_the_ranges_of_all_subtasks_partition_the_groups_in_order(size):
    parallelism, max_parallelism = size
    groups = [group for index in range(parallelism) for group in group_range(index, parallelism, max_parallelism)]
    assert groups == list(range(max_parallelism))


@given(sizes())
def test_a_range_holds_exactly_the_groups_that_its_subtask_owns(size):
    parallelism, max_parallelism = size
    for index in range(parallelism):
        owned = [group for group in range(max_parallelism) if subtask_of(group, parallelism, max_parallelism) == index]
        assert owned == list(group_range(index, parallelism, max_parallelism))


@given(sizes())
def test_the_ranges_differ_in_length_by_at_most_one_and_none_is_empty(size):
    parallelism, max_parallelism = size
    lengths = {len(group_range(index, parallelism, max_parallelism)) for index in range(parallelism)}
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


@given(sizes(count=2))
def test_a_rescale_moves_every_group_once_from_its_old_owner_to_its_new_one(size):
    old, new, max_parallelism = size
    plan = moves(old, new, max_parallelism)
    assert [group for move in plan for group in move.groups] == list(range(max_parallelism))
    for move in plan:
        assert {(move.source, move.target)} == {
            (subtask_of(group, old, max_parallelism), subtask_of(group, new, max_parallelism)) for group in move.groups
        }


@given(sizes(count=2))
def test_a_rescale_is_cut_no_finer_than_the_two_rows_of_ranges(size):
    old, new, max_parallelism = size
    pairs = [(move.source, move.target) for move in moves(old, new, max_parallelism)]
    assert sorted(set(pairs)) == pairs
    assert len(pairs) <= old + new - 1


def test_two_subtasks_become_three():
    assert moves(2, 3, 128) == (
        Move(0, 0, range(43)),
        Move(0, 1, range(43, 64)),
        Move(1, 1, range(64, 86)),
        Move(1, 2, range(86, 128)),
    )


def test_there_is_no_range_for_a_subtask_that_does_not_exist():
    with pytest.raises(AssertionError, match="no subtask 2 of 2"):
        group_range(2, 2, 128)
