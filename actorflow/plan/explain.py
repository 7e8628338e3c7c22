"""A plan as text: which operators share an actor, how many of each there are, and how records get from one to the next.

pipeline 'wordcount' (mode auto): 4 operators in 2 chains, 4 subtasks, 4 channels, 2 slots

chain  operator  kind      subtasks  key groups  slot group  dispatcher
1      source    source           2         128  default     default
1      flat_map  flat_map         2         128  default     default
2      count     count            2         128  default     default
2      sink      sink             2         128  default     default

from      to        partitioner  channels  path
source    flat_map  forward       chained  objects
flat_map  count     hash                4  objects
count     sink      forward       chained  objects

Where parts have nothing to do with each other, so that each fails alone, a line under the first says which: `failover regions: chains 1, 2; chain 3`.

With blocking exchanges that line has the stages: `stages: chain 1; chain 2 after 1`, and their edges say so: `hash, sorted, blocking`.

An operator with several inputs is shown with the one that an edge feeds: `co_process (left)`.

In batch mode, what is sorted by key before its consumer sees it says so: `hash, sorted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from actorflow.ids import OperatorId
from actorflow.plan.data_path import EdgePath, edge_paths
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.plan.graph import DataPath, LogicalEdge, LogicalGraph, Partitioner
from actorflow.plan.regions import Region, failover_regions
from actorflow.plan.stages import stages

_FORM = {DataPath.OBJECTS: "objects", DataPath.COLUMNS: "columns", DataPath.ANY: "objects or columns"}


def explain(graph: LogicalGraph, execution: ExecutionGraph) -> str:
    """Return the plan as aligned text of three parts: a summary line, the operators by chain, the edges.

    Args:
        graph: what the user wrote.
        execution: what `build_execution_graph` made of this very graph.
    """
    return "\n\n".join((_summary(graph, execution), _operators(execution), _edges(graph, execution))) + "\n"


def _summary(graph: LogicalGraph, execution: ExecutionGraph) -> str:
    parts = ", ".join(
        (
            f"{_count(len(graph.operators), 'operator')} in {_count(len(execution.vertices), 'chain')}",
            _count(len(execution.subtasks()), "subtask"),
            _count(len(execution.channels), "channel"),
            _count(execution.slots_needed(), "slot"),
        )
    )
    summary = f"pipeline '{graph.name}' (mode {graph.mode}): {parts}"
    if execution.blocking:
        return f"{summary}\n{_stages(execution)}"
    regions = failover_regions(execution)
    return summary if len(regions) < 2 else f"{summary}\n{_regions(regions, execution)}"


def _regions(regions: Sequence[Region], execution: ExecutionGraph) -> str:
    chains = {vertex.id: str(number) for number, vertex in enumerate(execution.vertices, start=1)}
    each = "; ".join(_chains([chains[vertex] for vertex in region]) for region in regions)
    return f"failover regions: {each}"


def _stages(execution: ExecutionGraph) -> str:
    chains = {vertex.id: str(number) for number, vertex in enumerate(execution.vertices, start=1)}
    texts = []
    for stage in stages(execution):
        after = ", ".join(chains[vertex] for vertex in stage.reads)
        texts.append(_chains([chains[vertex] for vertex in stage.vertices]) + (f" after {after}" if after else ""))
    return f"stages: {'; '.join(texts)}"


def _chains(numbers: Sequence[str]) -> str:
    return f"chain{'' if len(numbers) == 1 else 's'} {', '.join(numbers)}"


def _operators(execution: ExecutionGraph) -> str:
    rows = [
        (
            str(number),
            operator.name,
            operator.spec.kind,
            str(vertex.parallelism),
            str(vertex.max_parallelism),
            vertex.slot_group,
            vertex.dispatcher,
        )
        for number, vertex in enumerate(execution.vertices, start=1)
        for operator in vertex.operators
    ]
    heads = ("chain", "operator", "kind", "subtasks", "key groups", "slot group", "dispatcher")
    return _table(heads, rows, frozenset({"subtasks", "key groups"}))


def _edges(graph: LogicalGraph, execution: ExecutionGraph) -> str:
    home: dict[OperatorId, Vertex] = {operator.id: vertex for vertex in execution.vertices for operator in vertex.operators}
    names = {operator.id: operator.name for operator in graph.operators}
    ports = {operator.id: operator.spec.ports for operator in graph.operators}
    exchanges = iter(execution.edges)
    channels = Counter(channel.edge for channel in execution.channels)
    rows: list[tuple[str, ...]] = []
    for edge, path in zip(graph.edges, edge_paths(graph), strict=True):
        source = names[edge.source] if edge.tag is None else f"{names[edge.source]}[{edge.tag}]"
        if home[edge.source] is home[edge.target]:
            how, number = "forward", "chained"
        else:
            exchange = next(exchanges)
            how, number = _partitioner(exchange.partitioner), str(channels[exchange.index])
            if execution.sorts(exchange):
                how += ", sorted"
            if execution.blocking:
                how += ", blocking"
        target = names[edge.target] if len(ports[edge.target]) == 1 else f"{names[edge.target]} ({ports[edge.target][edge.port]})"
        rows.append((source, target, how, number, _path(edge, path, names)))
    return _table(("from", "to", "partitioner", "channels", "path"), rows, frozenset({"channels"}))


def _partitioner(partitioner: Partitioner) -> str:
    name = partitioner.kind.value
    return name if partitioner.key_column is None else f"{name} on column '{partitioner.key_column}'"


def _path(edge: LogicalEdge, path: EdgePath, names: dict[OperatorId, str]) -> str:
    text = _FORM[path.given]
    if path.converted_by_producer:
        text += f" -> {_FORM[path.carried]} (converted by '{names[edge.source]}': a function chooses the subtask)"
    if path.converted_by_consumer:
        text += f" -> {_FORM[path.taken]} (converted by '{names[edge.target]}')"
    return text


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], to_right: frozenset[str]) -> str:
    """Return rows under heads, columns two spaces apart; those in `to_right` end under each other, as numbers do."""
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    lines = [
        "  ".join(
            cell.rjust(width) if head in to_right else cell.ljust(width)
            for cell, width, head in zip(line, widths, heads, strict=True)
        )
        for line in (heads, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
