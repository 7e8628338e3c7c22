"""From what actors say to what the server answers about parts of a job: pure functions, under Flink's names. See `answers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from actorflow.ids import SubtaskId
from actorflow.inspection.facts import JobFacts
from actorflow.inspection.node_view import NodeFacts
from actorflow.plan.topology import VertexShape
from actorflow.protocol.jobs.run_numbers import run_of_leader
from actorflow.rest import part_shapes as shapes
from actorflow.runtime.subtasks.subtask_contract import SubtaskView
from actorflow.wire.batch import MIN_TIMESTAMP

_LEVELS = ((0.5, "high"), (0.1, "low"), (0.0, "ok"))
"""Flink's names for shares of time, each above its bound."""


def plan(facts: JobFacts) -> shapes.Plan:
    """Return what a job is made of."""
    kind = "BATCH" if facts.topology.batch else "STREAMING"
    nodes = [_node(facts, vertex) for vertex in facts.topology.vertices]
    return {"plan": {"jid": facts.job, "name": facts.name, "type": kind, "nodes": nodes}}


def _node(facts: JobFacts, vertex: VertexShape) -> shapes.PlanNode:
    feeding = [edge for edge in facts.topology.edges if edge.target == vertex.id]
    exchange = "blocking" if facts.topology.batch else "pipelined_bounded"
    return {
        "id": vertex.id,
        "parallelism": vertex.parallelism,
        "operator": "",
        "operator_strategy": "",
        "description": vertex.name,
        "inputs": [
            {"num": number, "id": edge.source, "ship_strategy": edge.partitioning.upper(), "exchange": exchange}
            for number, edge in enumerate(feeding)
        ],
    }


def back_pressure(
    facts: JobFacts, vertex: VertexShape, views: Mapping[SubtaskId, SubtaskView | None], now_ms: int
) -> shapes.BackPressure:
    """Return how much of the last second the subtasks of a vertex were held up by their outputs; those that do not answer are left out."""
    seen = [(index, views.get(SubtaskId(vertex.id, index))) for index in range(vertex.parallelism)]
    subtasks: list[shapes.Pressure] = [
        {
            "subtask": index,
            "attempt-number": run_of_leader(facts.attempt),
            "backpressure-level": _level(view.metrics.back_pressured_ms_per_second / 1000),
            "ratio": view.metrics.back_pressured_ms_per_second / 1000,
            "idleRatio": view.metrics.idle_ms_per_second / 1000,
            "busyRatio": view.metrics.busy_ms_per_second / 1000,
        }
        for index, view in seen
        if view is not None
    ]
    worst = max((each["ratio"] for each in subtasks), default=0.0)
    status = "ok" if subtasks else "deprecated"
    return {"status": status, "backpressure-level": _level(worst), "end-timestamp": now_ms, "subtasks": subtasks}


def _level(ratio: float) -> str:
    return next((name for bound, name in _LEVELS if ratio > bound), "ok")


def watermarks(vertex: VertexShape, views: Mapping[SubtaskId, SubtaskView | None]) -> list[shapes.Figure]:
    """Return the event time that each subtask of a vertex has reached, in ms; those that have reached none are left out."""
    seen = ((index, views.get(SubtaskId(vertex.id, index))) for index in range(vertex.parallelism))
    return [
        {"id": f"{index}.currentInputWatermark", "value": str(view.watermark)}
        for index, view in seen
        if view is not None and view.watermark > MIN_TIMESTAMP
    ]


def figures(values: Mapping[str, float], wanted: str | None) -> list[shapes.Figure]:
    """Return the names of metrics, or, of those that are wanted and known, the values.

    Args:
        values: by name.
        wanted: names with commas between them; None for the names alone.
    """
    if wanted is None:
        return [{"id": name} for name in values]
    names = dict.fromkeys(name.strip() for name in wanted.split(","))
    return [
        {"id": name, "value": f"{values[name]:g}" if values[name] % 1 else str(int(values[name]))}
        for name in names
        if name in values
    ]


_SPREADS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "avg": lambda values: sum(values) / len(values),
    "sum": sum,
}
"""What can be asked for of a metric that several have, by Flink's names."""


def spreads(several: Iterable[Mapping[str, float]], wanted: str | None, kinds: str | None) -> list[shapes.Spread]:
    """Return the names of metrics, or, of those that are wanted and known, what they are together.

    Args:
        several: the metrics by name of each that has some.
        wanted: names with commas between them; None for the names alone.
        kinds: names of `_SPREADS` with commas between them; None for all.
    """
    seen: dict[str, list[float]] = {}
    for each in several:
        for name, value in each.items():
            seen.setdefault(name, []).append(value)
    if wanted is None:
        return [{"id": name} for name in seen]
    names = dict.fromkeys(name.strip() for name in wanted.split(","))
    chosen = _SPREADS.keys() if kinds is None else {kind.strip() for kind in kinds.split(",")}
    return [
        {"id": name, **{kind: of(seen[name]) for kind, of in _SPREADS.items() if kind in chosen}}  # type: ignore[typeddict-item]
        for name in names
        if name in seen
    ]


def thread_dump(stacks: Mapping[str, str]) -> shapes.ThreadDump:
    """Return where processes stand, by the name of each."""
    return {"threadInfos": [{"threadName": name, "stringifiedThreadInfo": text} for name, text in stacks.items()]}


def logs(node: NodeFacts) -> shapes.Logs:
    """Return the files of a node."""
    return {"logs": [{"name": file.name, "size": file.size_bytes, "mtime": file.written_ms} for file in node.files]}
