"""What of a graph has to run: all that leads to a sink, or to an operator that acts by itself.

The rest would only cost: a branch that was tried out and not written, or an unbounded source for which the job would never end. So it is left
out, and the user is told. Operators that other actors can talk to (`OperatorSpec.acts`) are ends as sinks are.
"""

from __future__ import annotations

from dataclasses import replace

from actorflow.ids import OperatorId
from actorflow.plan.graph import LogicalGraph, LogicalOperator, Role


def prune(graph: LogicalGraph) -> tuple[LogicalGraph, tuple[LogicalOperator, ...]]:
    """Return the part of a sound graph that has to run, and the operators that were left out, in order."""
    needed: dict[OperatorId, None] = {}
    waiting = [operator.id for operator in graph.operators if operator.spec.role is Role.SINK or operator.spec.acts]
    producers: dict[OperatorId, list[OperatorId]] = {}
    for edge in graph.edges:
        producers.setdefault(edge.target, []).append(edge.source)
    while waiting:
        operator_id = waiting.pop()
        if operator_id not in needed:
            needed[operator_id] = None
            waiting += producers.get(operator_id, [])
    unused = tuple(operator for operator in graph.operators if operator.id not in needed)
    if not unused:
        return graph, ()
    operators = tuple(operator for operator in graph.operators if operator.id in needed)
    return replace(graph, operators=operators, edges=tuple(edge for edge in graph.edges if edge.target in needed)), unused


def not_run(unused: tuple[LogicalOperator, ...]) -> str:
    """Say in a line what was left out; nothing if nothing was."""
    if not unused:
        return ""
    names = ", ".join(f"'{operator.name}'" for operator in unused)
    return f"{names} {'leads' if len(unused) == 1 else 'lead'} to no sink and {'is' if len(unused) == 1 else 'are'} not run"
