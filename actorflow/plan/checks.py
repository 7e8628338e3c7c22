"""What can be wrong with a graph as such, before anything is deployed. Each finding names its subject and says what to do.

Graphs made by `actorflow.api` cannot have some of these faults (a dangling edge, a cycle); graphs made by hand, by SQL or by a
loader can.
"""

from __future__ import annotations

from collections.abc import Callable

from actorflow.errors import PlanError
from actorflow.ids import OperatorId
from actorflow.plan.graph import LogicalGraph, LogicalOperator, Role
from actorflow.plan.identity import check_name
from actorflow.plan.parallelism import check_max_parallelism, check_parallelism
from actorflow.plan.suggest import nearest


def check_graph(graph: LogicalGraph) -> None:
    """Check all that depends on the graph alone.

    Raises:
        PlanError: for the first fault found.
    """
    for check in _CHECKS:
        check(graph)


def _check_pipeline(graph: LogicalGraph) -> None:
    what = f"pipeline '{check_name('the name of a pipeline', graph.name)}'"
    if not graph.operators:
        raise PlanError(f"{what} reads nothing", hint="begin with pipeline.read(source)")
    check_max_parallelism(what, graph.max_parallelism)
    if graph.parallelism is not None:
        check_parallelism(what, graph.parallelism, graph.max_parallelism)


def _check_identities(graph: LogicalGraph) -> None:
    names: dict[str, OperatorId] = {}
    ids: dict[OperatorId, LogicalOperator] = {}
    for operator in graph.operators:
        check_name("the name of an operator", operator.name)
        check_name(f"the id of '{operator.name}'", operator.id)
        other = ids.setdefault(operator.id, operator)
        if other is not operator:
            raise PlanError(
                f"'{other.name}' and '{operator.name}' have the same uid '{operator.id}'",
                hint="a uid says which state belongs to which operator: give each its own",
            )
        if operator.name in names:
            raise PlanError(
                f"two operators are named '{operator.name}'", hint="a name stands in paths and reports: give each its own"
            )
        names[operator.name] = operator.id


def _check_edges(graph: LogicalGraph) -> None:
    names = {operator.id: operator.name for operator in graph.operators}
    for edge in graph.edges:
        for end in (edge.source, edge.target):
            if end not in names:
                raise PlanError(f"an edge names the operator '{end}', which is not in the graph", hint=nearest(end, names))
    position = {operator.id: place for place, operator in enumerate(graph.operators)}
    cycle = _find_cycle(graph)
    if cycle:
        path = " -> ".join(names[operator_id] for operator_id in cycle)
        raise PlanError(
            f"the graph has a cycle: {path}", hint="records flow one way: a loop needs an actor message or an outside topic"
        )
    for edge in graph.edges:
        if position[edge.source] > position[edge.target]:
            raise PlanError(
                f"'{names[edge.target]}' stands before its producer '{names[edge.source]}'",
                hint="list the operators so that every edge points to a later one",
            )


def _find_cycle(graph: LogicalGraph) -> list[OperatorId]:
    """Return the operators of one cycle in the order of flow, the first repeated at the end; or nothing.

    Operators whose producers are all taken away are taken away in turn (Kahn 1962). Each one that remains has a producer that
    remains, so a walk upstream among them must come upon one of them again.
    """
    producers: dict[OperatorId, set[OperatorId]] = {operator.id: set() for operator in graph.operators}
    consumers: dict[OperatorId, list[OperatorId]] = {operator.id: [] for operator in graph.operators}
    for edge in graph.edges:
        producers[edge.target].add(edge.source)
        consumers[edge.source].append(edge.target)
    free = [operator_id for operator_id, waits_for in producers.items() if not waits_for]
    while free:
        taken = free.pop()
        del producers[taken]
        for consumer in consumers[taken]:
            if taken in producers[consumer]:
                producers[consumer].discard(taken)
                if not producers[consumer]:
                    free.append(consumer)
    if not producers:
        return []
    walk = [next(iter(producers))]
    while walk.count(walk[-1]) == 1:
        walk.append(min(producers[walk[-1]]))
    return walk[walk.index(walk[-1]) :][::-1]


def _check_roles(graph: LogicalGraph) -> None:
    read = {edge.target for edge in graph.edges}
    feeding = {edge.source for edge in graph.edges}
    for operator in graph.operators:
        if operator.spec.role is Role.SOURCE and operator.id in read:
            raise PlanError(
                f"the source '{operator.name}' has an input", hint="a source reads from outside: use union to merge streams"
            )
        if operator.spec.role is not Role.SOURCE and operator.id not in read:
            raise PlanError(f"'{operator.name}' has no input", hint="only sources begin a pipeline: connect it to a stream")
        if operator.spec.role is Role.SINK and operator.id in feeding:
            raise PlanError(f"the sink '{operator.name}' has an output", hint="a sink ends a stream: branch off before it")
    if not any(operator.spec.role is Role.SINK for operator in graph.operators):
        raise PlanError(
            f"pipeline '{graph.name}' writes nothing", hint="end a stream with .write(sink), or use actorflow.collect(stream)"
        )


def _check_ports(graph: LogicalGraph) -> None:
    fed: dict[OperatorId, set[int]] = {operator.id: set() for operator in graph.operators}
    for edge in graph.edges:
        fed[edge.target].add(edge.port)
    for operator in graph.operators:
        if operator.spec.role is Role.SOURCE:
            continue
        ports = operator.spec.ports
        for port in sorted(fed[operator.id].difference(range(len(ports)))):
            raise PlanError(f"an edge feeds input {port} of '{operator.name}', which has only {len(ports)}: {', '.join(ports)}")
        for port in sorted(set(range(len(ports))) - fed[operator.id]):
            raise PlanError(f"nothing feeds the {ports[port]} input of '{operator.name}'", hint="write left.connect(right)")


def _check_numbers(graph: LogicalGraph) -> None:
    for operator in graph.operators:
        what = f"'{operator.name}'"
        key_groups = graph.max_parallelism if operator.max_parallelism is None else operator.max_parallelism
        check_max_parallelism(what, key_groups)
        if operator.parallelism is not None:
            check_parallelism(what, operator.parallelism, key_groups)


def _check_event_time(graph: LogicalGraph) -> None:
    """Check that records have event times where they are needed. A source has none unless it says so."""
    names = {operator.id: operator.name for operator in graph.operators}
    timed: dict[OperatorId, bool] = {}
    for operator in graph.operators:
        inputs = (edge for edge in graph.inputs(operator.id) if edge.port not in operator.spec.untimed_ports)
        without = next((edge.source for edge in inputs if not timed[edge.source]), None)
        if operator.spec.needs_timestamps and without is not None:
            raise PlanError(
                f"'{operator.name}' goes by event time, and the records from '{names[without]}' have none",
                hint="say what it is, before: stream.with_timestamps('time', af.Watermarks.bounded(out_of_order='10s'))",
            )
        given = operator.spec.timed
        timed[operator.id] = given if given is not None else operator.spec.role is not Role.SOURCE and without is None


def _check_mode(graph: LogicalGraph) -> None:
    if graph.mode != "batch":
        return
    for operator in graph.operators:
        if operator.spec.role is Role.SOURCE and not operator.spec.bounded:
            raise PlanError(
                f"pipeline '{graph.name}' cannot run in batch mode: its source '{operator.name}' never ends",
                hint="batch mode waits for the end of all input: use mode='streaming', or give the source an end",
            )


_CHECKS: tuple[Callable[[LogicalGraph], None], ...] = (
    _check_pipeline,
    _check_identities,
    _check_edges,
    _check_roles,
    _check_ports,
    _check_numbers,
    _check_event_time,
    _check_mode,
)
