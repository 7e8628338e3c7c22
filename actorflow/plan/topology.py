"""The shape of a job without its code: what people and tools are shown of an execution graph, and what can travel as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.ids import OperatorId, SubtaskId, VertexId
from actorflow.plan.channels import consumers_of
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.graph import Partitioning


@dataclass(frozen=True, slots=True)
class VertexShape:
    """A chain of operators.

    Attributes:
        id: its id.
        name: names of its operators joined by ` -> `.
        operators: their names, first to last.
        parallelism: number of subtasks.
        max_parallelism: number of key groups.
        source: whether it reads from a source: nothing feeds it.
        uids: ids of its operators, first to last.
    """

    id: VertexId
    name: str
    operators: tuple[str, ...]
    parallelism: int
    max_parallelism: int
    source: bool
    uids: tuple[OperatorId, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeShape:
    """An exchange between two vertices; `partitioning` as in `plan.graph.Partitioning`, by value."""

    source: VertexId
    target: VertexId
    partitioning: str


@dataclass(frozen=True, slots=True)
class Topology:
    """An execution graph without user code.

    Attributes:
        name: the job's name.
        batch: whether it gives final results only.
        vertices: in topological order.
        edges: in the graph's order.
    """

    name: str
    batch: bool
    vertices: tuple[VertexShape, ...]
    edges: tuple[EdgeShape, ...]

    @staticmethod
    def of(graph: ExecutionGraph) -> Topology:
        """Return the shape of a graph."""
        fed = {edge.target for edge in graph.edges}
        vertices = tuple(
            VertexShape(
                vertex.id,
                vertex.name,
                tuple(operator.name for operator in vertex.operators),
                vertex.parallelism,
                vertex.max_parallelism,
                vertex.id not in fed,
                tuple(operator.id for operator in vertex.operators),
            )
            for vertex in graph.vertices
        )
        edges = tuple(EdgeShape(edge.source, edge.target, edge.partitioner.kind.value) for edge in graph.edges)
        return Topology(graph.name, graph.batch, vertices, edges)

    def subtasks(self) -> tuple[SubtaskId, ...]:
        """Return all subtasks, vertex by vertex in topological order."""
        return tuple(SubtaskId(vertex.id, index) for vertex in self.vertices for index in range(vertex.parallelism))

    def vertex(self, vertex_id: VertexId) -> VertexShape:
        """Return the vertex with this id.

        Raises:
            KeyError: if there is none.
        """
        for vertex in self.vertices:
            if vertex.id == vertex_id:
                return vertex
        raise KeyError(vertex_id)

    def running(self, operator: str) -> VertexShape | None:
        """Return the vertex that runs the operator of this name."""
        return next((vertex for vertex in self.vertices if operator in vertex.operators), None)

    def channels(self) -> tuple[tuple[SubtaskId, SubtaskId], ...]:
        """Return producer and consumer of each channel; `ExecutionGraph.channels` has them in the same order."""
        parallelism = {vertex.id: vertex.parallelism for vertex in self.vertices}
        return tuple(
            (SubtaskId(edge.source, producer), SubtaskId(edge.target, consumer))
            for edge in self.edges
            for producer in range(parallelism[edge.source])
            for consumer in consumers_of(
                Partitioning(edge.partitioning), producer, parallelism[edge.source], parallelism[edge.target]
            )
        )
