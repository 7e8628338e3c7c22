"""With how many subtasks a job is to run, when that is not what it was submitted with: a job that was rescaled is planned anew.

What is said here goes before the pipeline and its operators: `operators` before `parallelism`. `most` bounds all of them, but none below what it must have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from actorflow.errors import PlanError
from actorflow.ids import OperatorId
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.graph import LogicalGraph, LogicalOperator
from actorflow.plan.suggest import nearest


@dataclass(frozen=True, slots=True)
class Scale:
    """How wide a job runs.

    Attributes:
        parallelism: of operators that do not give their own; None for what the job was submitted with.
        operators: of single operators, by `uid`.
        most: what no operator may exceed, unless it must have more; None for no bound.
        least: what operators must have, or all that they want.
        operators_least: the same of single operators, by `uid`.
    """

    parallelism: int | None = None
    operators: Mapping[OperatorId, int] = field(default_factory=dict)
    most: int | None = None
    least: int = 1
    operators_least: Mapping[OperatorId, int] = field(default_factory=dict)


def reactive(graph: ExecutionGraph, scale: Scale) -> Scale:
    """Return a scale at which operators that do not give their own parallelism are as wide as all of them can be.

    One whose parallelism was asked for stays as it is.
    """
    if scale.parallelism is not None or graph.origin is None:
        return scale
    logical = graph.origin.graph
    inheriting = [operator.max_parallelism for operator in logical.operators if operator.parallelism is None]
    return replace(scale, parallelism=min([logical.max_parallelism, *(most for most in inheriting if most is not None)]))


def scaled(graph: ExecutionGraph, scale: Scale) -> ExecutionGraph:
    """Return the graph as it is planned for a scale.

    Args:
        graph: as it was submitted.
        scale: how wide it is to run.

    Raises:
        PlanError: if an operator cannot run so, or there is no such operator.
    """
    origin = graph.origin
    if scale == Scale():
        return graph
    assert origin is not None, "a submitted graph knows what it was planned from"
    default = origin.default_parallelism if scale.parallelism is None else scale.parallelism
    return build_execution_graph(
        _widths(origin.graph, default, scale),
        default_parallelism=_bound(default, scale.least, scale),
        chaining=origin.chaining,
        blocking=origin.blocking,
    )


def _widths(graph: LogicalGraph, default: int, scale: Scale) -> LogicalGraph:
    known = {operator.id for operator in graph.operators}
    for uid in (*scale.operators, *scale.operators_least):
        if uid not in known:
            raise PlanError(f"job '{graph.name}' has no operator with the uid '{uid}'", hint=nearest(uid, sorted(known)))
    own = graph.parallelism if scale.parallelism is None else scale.parallelism
    inherited = default if own is None else own
    return replace(
        graph,
        operators=tuple(_width(operator, inherited, scale) for operator in graph.operators),
        parallelism=None if own is None else _bound(own, scale.least, scale),
    )


def _width(operator: LogicalOperator, inherited: int, scale: Scale) -> LogicalOperator:
    wanted, least = scale.operators.get(operator.id, operator.parallelism), scale.operators_least.get(operator.id)
    if wanted is None and least is None:
        return operator
    if wanted is None:
        wanted = min(inherited, operator.spec.parallelism_max or inherited)
    return replace(operator, parallelism=_bound(wanted, scale.least if least is None else least, scale))


def _bound(parallelism: int, least: int, scale: Scale) -> int:
    return parallelism if scale.most is None else min(parallelism, max(scale.most, least))
