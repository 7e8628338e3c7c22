"""The execution graph: vertices (chains of operators) with a parallelism, the subtasks of each, and the channels between them.

    logical graph ── chaining ──► vertices and edges ── parallelism ──► subtasks and channels

A channel joins one producing subtask to one consuming subtask. Its id is its position in `channels`, the same on every node
because the graph is a value that is computed once and sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from actorflow.ids import ChannelId, SubtaskId, VertexId
from actorflow.plan.graph import DispatcherKind, LogicalGraph, LogicalOperator, Partitioner, Partitioning


@dataclass(frozen=True, slots=True)
class Vertex:
    """A chain of operators that run as one subtask actor, `parallelism` times.

    Attributes:
        id: the id of its first operator.
        name: names of its operators joined by ` -> `.
        operators: the chain, first to last; each feeds its main output to the next.
        parallelism: number of subtasks.
        max_parallelism: number of key groups.
        slot_group: which slots it may share.
        dispatcher: `pinned` if any of its operators asks for it.
    """

    id: VertexId
    name: str
    operators: tuple[LogicalOperator, ...]
    parallelism: int
    max_parallelism: int
    slot_group: str
    dispatcher: DispatcherKind


@dataclass(frozen=True, slots=True)
class ExecutionEdge:
    """An exchange between two vertices.

    Attributes:
        index: position in `ExecutionGraph.edges`.
        source: producing vertex.
        operator: position in the producer's chain of the operator whose output this is.
        tag: the side output, or None for the main output.
        target: consuming vertex.
        port: which input of the consumer's first operator.
        partitioner: how records are spread.
    """

    index: int
    source: VertexId
    operator: int
    tag: str | None
    target: VertexId
    port: int
    partitioner: Partitioner


@dataclass(frozen=True, slots=True)
class Channel:
    """One producing subtask to one consuming subtask, along one edge."""

    id: ChannelId
    edge: int
    producer: SubtaskId
    consumer: SubtaskId


@dataclass(frozen=True, slots=True)
class Origin:
    """What a graph was planned from, so that it can be planned anew for another parallelism.

    Attributes:
        graph: what the user wrote.
        default_parallelism: of operators and pipelines that give none.
        chaining: whether operators may be chained.
        blocking: whether a batch job runs in stages.
    """

    graph: LogicalGraph
    default_parallelism: int
    chaining: bool
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionGraph:
    """What is deployed.

    Attributes:
        name: the job's name.
        vertices: in topological order.
        edges: in order.
        channels: in the order edge, producer index, consumer index; `channels[i].id == i`.
        batch: whether the job gives final results only: input by key is sorted, and no watermark passes before the end of input.
        cached_files: see `LogicalGraph`.
        blocking: whether what a vertex gives to others is written down, and read when the vertex has finished.
        origin: what it was planned from; workers are not told.
    """

    name: str
    vertices: tuple[Vertex, ...]
    edges: tuple[ExecutionEdge, ...]
    channels: tuple[Channel, ...]
    batch: bool = False
    cached_files: Mapping[str, str] = field(default_factory=dict)
    blocking: bool = False
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def sorts(self, edge: ExecutionEdge) -> bool:
        """Return whether what comes along an edge is sorted by key before the consumer sees any of it."""
        return self.batch and edge.partitioner.kind is Partitioning.HASH

    def channels_of(self, edge: ExecutionEdge, producer: SubtaskId) -> tuple[Channel, ...]:
        """Return the channels from a producer along an edge, in the order of their consumers."""
        return tuple(channel for channel in self.channels if channel.edge == edge.index and channel.producer == producer)

    def vertex(self, vertex_id: VertexId) -> Vertex:
        """Return the vertex with this id.

        Raises:
            KeyError: if there is none.
        """
        for vertex in self.vertices:
            if vertex.id == vertex_id:
                return vertex
        raise KeyError(vertex_id)

    def subtasks(self) -> tuple[SubtaskId, ...]:
        """Return all subtasks, vertex by vertex in topological order."""
        return tuple(SubtaskId(vertex.id, index) for vertex in self.vertices for index in range(vertex.parallelism))

    @property
    def parallelism(self) -> int:
        """The highest number of subtasks of a vertex."""
        return max((vertex.parallelism for vertex in self.vertices), default=0)

    def slots_needed(self) -> int:
        """Return the number of slots: for each slot group its highest parallelism, summed; between stages the groups take turns."""
        if self.blocking:
            return max((vertex.parallelism for vertex in self.vertices), default=0)
        highest: dict[str, int] = {}
        for vertex in self.vertices:
            highest[vertex.slot_group] = max(highest.get(vertex.slot_group, 0), vertex.parallelism)
        return sum(highest.values())
