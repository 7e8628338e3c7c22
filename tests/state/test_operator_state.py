"""Operator state: kinds, what each subtask gets after a restore, and who may write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import PlanError
from actorflow.state.operator_state import (
    BroadcastState,
    OperatorListState,
    OperatorStates,
    UnionListState,
    declared_operator_states,
)


class Declared:
    buffer = OperatorListState(int)
    seen = UnionListState(int)
    rules = BroadcastState(str, int)


def bound(states):
    return [states.bind(descriptor) for descriptor in declared_operator_states(Declared).values()]


def test_a_class_tells_its_operator_states_before_it_runs():
    assert ["buffer", "seen", "rules"] == list(declared_operator_states(Declared))
    with pytest.raises(PlanError, match="'buffer' is used by an operator that is not running"):
        _ = Declared().buffer


@given(lists=st.lists(st.lists(st.integers(), max_size=5), min_size=1, max_size=4), parallelism=st.integers(1, 5))
def test_lists_are_dealt_out_unions_are_joined_and_maps_are_the_same_everywhere(lists, parallelism):
    snapshots = []
    for values in lists:
        states = OperatorStates()
        buffer, seen, rules = bound(states)
        states.set_writable(writable=True)
        for value in values:
            buffer.add(value)
            seen.add(value)
        rules.put("limit", 7)
        snapshots.append(states.snapshot())
        buffer.clear()
        rules.put("limit", 8)
    dealt = []
    for index in range(parallelism):
        states = OperatorStates()
        states.restore(snapshots, index, parallelism)
        buffer, seen, rules = bound(states)
        dealt.append(buffer.get())
        assert [value for values in lists for value in values] == seen.get()
        assert {"limit": 7} == dict(rules.items())
    assert [value for values in lists for value in values] == [value for part in dealt for value in part]
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_a_broadcast_map_is_read_everywhere_and_written_on_the_broadcast_side_only():
    states = OperatorStates()
    _, _, rules = bound(states)
    states.set_writable(writable=True)
    rules.put("limit", 7)
    rules.put("other", 1)
    rules.remove("other")
    states.set_writable(writable=False)
    assert 7 == rules.get("limit")
    assert not rules.contains("other")
    for write in (lambda: rules.put("limit", 8), lambda: rules.remove("limit"), rules.clear):
        with pytest.raises(PlanError, match="'rules' can only be written in on_broadcast"):
            write()
    assert 7 == rules.get("limit")
