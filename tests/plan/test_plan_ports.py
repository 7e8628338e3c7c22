"""Operators with several inputs: what feeds which, and what follows for chains and event times."""

from typing import ClassVar

import pytest
from plan_graphs import Joining, ReadingTimed, Windowing, edge, graph, op

from actorflow.errors import PlanError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.checks import check_graph
from actorflow.plan.explain import explain


class Ruled(Joining):
    ports: ClassVar[tuple[str, ...]] = ("data", "broadcast")
    untimed_ports: ClassVar[frozenset[int]] = frozenset({1})


def joined(*edges, spec=None, right=None):
    operators = [op("read a", ReadingTimed()), op("read b", right), op("join", spec or Joining()), op("write")]
    return graph(operators, [*edges, edge("join", "write")])


BOTH = (edge("read a", "join", "hash"), edge("read b", "join", "hash", port=1))


def test_both_inputs_of_an_operator_must_be_fed():
    check_graph(joined(*BOTH))
    with pytest.raises(PlanError, match=r"nothing feeds the right input of 'join' \(hint: write left.connect\(right\)\)"):
        check_graph(joined(edge("read a", "join"), edge("read b", "join")))


def test_no_edge_feeds_an_input_that_does_not_exist():
    with pytest.raises(PlanError, match="an edge feeds input 2 of 'join', which has only 2: left, right"):
        check_graph(joined(*BOTH, edge("read b", "join", port=2)))


def test_an_operator_with_two_inputs_begins_a_chain_and_the_plan_shows_which_input_is_fed():
    logical = joined(edge("read a", "join", "forward"), edge("read b", "join", "broadcast", port=1))
    execution = build_execution_graph(logical, default_parallelism=1)
    assert ["read a", "read b", "join -> write"] == [vertex.name for vertex in execution.vertices]
    assert [0, 1] == [edge.port for edge in execution.edges]
    lines = explain(logical, execution).splitlines()
    assert "read a  join (left)   forward             1  objects" in lines
    assert "read b  join (right)  broadcast           1  objects" in lines


def test_event_times_come_from_both_inputs_but_those_that_need_none():
    def windowed(spec):
        window = op("window", Windowing())
        logical = joined(*BOTH, spec=spec)
        operators = (*logical.operators[:3], window, logical.operators[3])
        return graph(operators, [*BOTH, edge("join", "window"), edge("window", "write")])

    check_graph(windowed(Ruled()))
    with pytest.raises(PlanError, match="'window' goes by event time, and the records from 'join' have none"):
        check_graph(windowed(Joining()))
