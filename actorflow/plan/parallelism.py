"""How many subtasks and key groups each operator gets: the operator's own number, else the pipeline's, else the default given.

The default given is what the client asked for, else `parallelism.default` of the configuration: the caller knows those two.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.errors import PlanError
from actorflow.ids import OperatorId
from actorflow.plan.graph import LogicalGraph, LogicalOperator
from actorflow.plan.key_groups import MAX_PARALLELISM_LIMIT


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The numbers of one operator.

    Attributes:
        subtasks: its parallelism.
        key_groups: its max_parallelism.
    """

    subtasks: int
    key_groups: int


def resolve_parallelism(graph: LogicalGraph, default_parallelism: int) -> dict[OperatorId, Parallelism]:
    """Return the numbers of every operator.

    Raises:
        PlanError: if one is out of bounds: `1 <= parallelism <= max_parallelism <= 32768`, and at most what the operator can use.
    """
    return {operator.id: _resolve(operator, graph, default_parallelism) for operator in graph.operators}


def check_max_parallelism(what: str, max_parallelism: int) -> None:
    """Check a number of key groups.

    Raises:
        PlanError: if it is out of bounds.
    """
    if not 1 <= max_parallelism <= MAX_PARALLELISM_LIMIT:
        raise PlanError(f"max_parallelism of {what} must be between 1 and {MAX_PARALLELISM_LIMIT}, not {max_parallelism}")


def check_parallelism(what: str, parallelism: int, max_parallelism: int) -> None:
    """Check a number of subtasks against a number of key groups.

    Raises:
        PlanError: if it is below 1 or above `max_parallelism`.
    """
    if parallelism < 1:
        raise PlanError(f"parallelism of {what} must be at least 1, not {parallelism}")
    if parallelism > max_parallelism:
        raise PlanError(
            f"parallelism of {what} is {parallelism}, above its max_parallelism of {max_parallelism}",
            hint="max_parallelism is the number of key groups, each subtask needs one: raise it, or use fewer subtasks",
        )


def _resolve(operator: LogicalOperator, graph: LogicalGraph, default_parallelism: int) -> Parallelism:
    what = f"'{operator.name}'"
    key_groups = graph.max_parallelism if operator.max_parallelism is None else operator.max_parallelism
    check_max_parallelism(what, key_groups)
    most = operator.spec.parallelism_max
    if operator.parallelism is None:
        inherited = default_parallelism if graph.parallelism is None else graph.parallelism
        subtasks = inherited if most is None else min(inherited, most)
    else:
        subtasks = operator.parallelism
        if most is not None and subtasks > most:
            raise PlanError(
                f"parallelism of {what} is {subtasks}, but it can use at most {most}", hint=f"leave it out, or set {most}"
            )
    check_parallelism(what, subtasks, key_groups)
    return Parallelism(subtasks, key_groups)
