"""Operators as they are added, and the immutable graph that they make.

A pipeline and all its streams share one builder. It only ever grows; a graph taken from it does not change afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from actorflow.api.options import Options
from actorflow.plan.graph import LogicalEdge, LogicalGraph, LogicalOperator, OperatorSpec, Partitioner
from actorflow.plan.identity import Shape, operator_ids, operator_names

Mode = Literal["auto", "streaming", "batch"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """One thing that a stream reads.

    Attributes:
        operator: position of the producer in its builder.
        tag: its side output, or None for the main output.
        partitioner: how the next operator's subtasks get the records, if the user said.
        port: which input of the next operator it feeds.
    """

    operator: int
    tag: str | None = None
    partitioner: Partitioner | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class _Draft:
    """An operator before the whole graph is known, which gives it id and name."""

    spec: OperatorSpec
    upstreams: tuple[Upstream, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class GraphBuilder:
    """Collects the operators of one pipeline.

    Attributes: see `LogicalGraph`.
    """

    name: str
    parallelism: int | None = None
    max_parallelism: int = 128
    mode: Mode = "auto"
    config: Mapping[str, object] = field(default_factory=dict)
    cached_files: dict[str, str] = field(default_factory=dict)
    _drafts: list[_Draft] = field(default_factory=list, repr=False)

    def add(self, spec: OperatorSpec, upstreams: Sequence[Upstream], options: Options) -> int:
        """Add an operator that reads `upstreams`; return its position."""
        self._drafts.append(_Draft(spec, tuple(upstreams), options))
        return len(self._drafts) - 1

    def label(self, position: int) -> str:
        """Return how to call an operator while the graph is not complete: the name it was given, else its verb."""
        draft = self._drafts[position]
        return draft.options.name or draft.spec.kind

    def graph(self) -> LogicalGraph:
        """Return the graph of all operators added so far."""
        return self._assemble(self._drafts, range(len(self._drafts)))

    def graph_behind(self, upstreams: Sequence[Upstream], sink: OperatorSpec) -> LogicalGraph:
        """Return the graph of one new sink that reads `upstreams`, and only what these need.

        Operators have the ids and names that they have in the whole graph.
        """
        drafts = [*self._drafts, _Draft(sink, tuple(upstreams), Options())]
        needed: set[int] = set()
        waiting = [len(drafts) - 1]
        while waiting:
            position = waiting.pop()
            if position not in needed:
                needed.add(position)
                waiting.extend(upstream.operator for upstream in drafts[position].upstreams)
        return self._assemble(drafts, needed)

    def _assemble(self, drafts: Sequence[_Draft], wanted: Collection[int]) -> LogicalGraph:
        shapes = [
            Shape(draft.spec.kind, tuple((up.operator, up.tag, up.port) for up in draft.upstreams), draft.options.uid)
            for draft in drafts
        ]
        ids = operator_ids(shapes)
        names = operator_names([draft.spec.kind for draft in drafts], [draft.options.name for draft in drafts])
        operators: list[LogicalOperator] = []
        edges: list[LogicalEdge] = []
        for position, draft in enumerate(drafts):
            if position not in wanted:
                continue
            options = draft.options
            operators.append(
                LogicalOperator(
                    id=ids[position],
                    name=names[position],
                    spec=draft.spec,
                    uid=options.uid,
                    parallelism=options.parallelism,
                    max_parallelism=options.max_parallelism,
                    slot_group=options.slot_group,
                    chain=options.chain,
                    dispatcher=options.dispatcher,
                )
            )
            edges.extend(LogicalEdge(ids[up.operator], ids[position], up.partitioner, up.tag, up.port) for up in draft.upstreams)
        return LogicalGraph(
            self.name,
            tuple(operators),
            tuple(edges),
            self.parallelism,
            self.max_parallelism,
            self.mode,
            self.config,
            dict(self.cached_files),
        )
