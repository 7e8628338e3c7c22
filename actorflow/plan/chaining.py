"""From what the user wrote to what is deployed: which operators share a subtask, and what is exchanged between those that do not.

A consumer is *chained* to its producer (it runs in the same actor, called directly) when nothing is lost by it:

- records go forward: chosen by the user, or by default between equal parallelisms; or they go by key from an only subtask to an only
  subtask, where all keys meet anyway (one compiled loop instead of two and a list between them), unless the job runs in batch mode, where
  they are sorted by key on the way;
- both have the same parallelism, number of key groups, slot group and dispatcher;
- the edge is the only input of the consumer and the only one that takes the producer's main output;
- the consumer's policy is `always`, and the producer's is not `never` (`head` starts a chain: it has consumers, but no producer).

So a chain is a line. Its side outputs may leave from any of its operators; its main output leaves from the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from actorflow.errors import PlanError
from actorflow.ids import OperatorId, VertexId
from actorflow.plan.channels import lay_channels
from actorflow.plan.checks import check_graph
from actorflow.plan.execution import ExecutionEdge, ExecutionGraph, Origin, Vertex
from actorflow.plan.graph import LogicalEdge, LogicalGraph, LogicalOperator, Partitioner, Partitioning, Role
from actorflow.plan.parallelism import Parallelism, resolve_parallelism

_FORWARD = Partitioner(Partitioning.FORWARD)
_REBALANCE = Partitioner(Partitioning.REBALANCE)


def build_execution_graph(
    graph: LogicalGraph, *, default_parallelism: int, chaining: bool = True, blocking: bool = False
) -> ExecutionGraph:
    """Return the vertices, edges and channels that a logical graph becomes.

    Args:
        graph: what the user wrote.
        default_parallelism: for operators that give none, in pipelines that give none.
        chaining: False puts every operator into a vertex of its own.
        blocking: whether, in batch mode, what is exchanged is written down before it is read.

    Raises:
        PlanError: if the graph fails `check_graph`, a parallelism is out of bounds, or `forward` joins unequal parallelisms.
    """
    check_graph(graph)
    planned = _Planner(graph, resolve_parallelism(graph, default_parallelism), chaining=chaining, blocking=blocking).plan()
    return replace(planned, origin=Origin(replace(graph, config={}), default_parallelism, chaining, blocking))


class _Planner:
    """One run of the planning.

    Args:
        graph: a graph that passed its checks.
        parallelism: the numbers of every operator.
        chaining: whether operators may be chained at all.
        blocking: see `build_execution_graph`.
    """

    def __init__(
        self, graph: LogicalGraph, parallelism: Mapping[OperatorId, Parallelism], *, chaining: bool, blocking: bool
    ) -> None:
        self._graph = graph
        self._parallelism = parallelism
        self._chaining = chaining
        self._blocking = blocking
        self._operators = {operator.id: operator for operator in graph.operators}
        self._inputs: dict[OperatorId, list[LogicalEdge]] = {operator.id: [] for operator in graph.operators}
        self._outputs: dict[OperatorId, list[LogicalEdge]] = {operator.id: [] for operator in graph.operators}
        for edge in graph.edges:
            self._inputs[edge.target].append(edge)
            if edge.tag is None:
                self._outputs[edge.source].append(edge)

    def plan(self) -> ExecutionGraph:
        chains = self._chains()
        vertices = tuple(self._vertex(chain) for chain in chains)
        place = {operator.id: (VertexId(chain[0].id), position) for chain in chains for position, operator in enumerate(chain)}
        edges: list[ExecutionEdge] = []
        for edge in self._graph.edges:
            source, position = place[edge.source]
            target, _ = place[edge.target]
            if source != target:
                partitioner = self._partitioner(edge)
                edges.append(ExecutionEdge(len(edges), source, position, edge.tag, target, edge.port, partitioner))
        for vertex in vertices:
            _check_steering(vertex)
        parallelism = {vertex.id: vertex.parallelism for vertex in vertices}
        channels = lay_channels(edges, parallelism)
        batch = self._graph.mode == "batch"
        return ExecutionGraph(
            self._graph.name, vertices, tuple(edges), channels, batch, self._graph.cached_files, batch and self._blocking
        )

    def _chains(self) -> list[list[LogicalOperator]]:
        """Return the chains in the order of their first operators. That order is topological: a chain is entered only there."""
        chains: list[list[LogicalOperator]] = []
        chain_of: dict[OperatorId, list[LogicalOperator]] = {}
        for operator in self._graph.operators:
            chain = chain_of[self._inputs[operator.id][0].source] if self._joins_its_producer(operator) else []
            if not chain:
                chains.append(chain)
            chain.append(operator)
            chain_of[operator.id] = chain
        return chains

    def _joins_its_producer(self, operator: LogicalOperator) -> bool:
        inputs = self._inputs[operator.id]
        if not self._chaining or operator.chain != "always" or len(inputs) != 1:
            return False
        edge = inputs[0]
        producer = self._operators[edge.source]
        return (
            edge.tag is None
            and len(self._outputs[producer.id]) == 1
            and producer.chain != "never"
            and self._stays_together(edge)
            and self._parallelism[producer.id] == self._parallelism[operator.id]
            and producer.slot_group == operator.slot_group
            and producer.dispatcher == operator.dispatcher
        )

    def _stays_together(self, edge: LogicalEdge) -> bool:
        """Whether a record stays in the subtask with the same index: forward, or by key where all keys meet in the only subtask anyway."""
        kind = self._partitioner(edge).kind
        alone = self._parallelism[edge.source].subtasks == self._parallelism[edge.target].subtasks == 1
        return kind is Partitioning.FORWARD or (alone and kind is Partitioning.HASH and self._graph.mode != "batch")

    def _partitioner(self, edge: LogicalEdge) -> Partitioner:
        producers = self._parallelism[edge.source].subtasks
        consumers = self._parallelism[edge.target].subtasks
        if edge.partitioner is None:
            return _FORWARD if producers == consumers else _REBALANCE
        if edge.partitioner.kind is Partitioning.FORWARD and producers != consumers:
            names = f"'{self._operators[edge.source].name}' to '{self._operators[edge.target].name}'"
            raise PlanError(
                f"cannot forward from {names}: parallelism {producers} against {consumers}",
                hint="forward keeps records in the subtask with the same index: set equal parallelisms, or use rescale() or rebalance()",
            )
        return edge.partitioner

    def _vertex(self, chain: list[LogicalOperator]) -> Vertex:
        first = chain[0]
        numbers = self._parallelism[first.id]
        return Vertex(
            id=VertexId(first.id),
            name=" -> ".join(operator.name for operator in chain),
            operators=tuple(chain),
            parallelism=numbers.subtasks,
            max_parallelism=numbers.key_groups,
            slot_group=first.slot_group,
            dispatcher=first.dispatcher,
        )


def _check_steering(vertex: Vertex) -> None:
    """Check that an operator that says which splits are read knows of which split each record is."""
    for position, operator in enumerate(vertex.operators):
        between = vertex.operators[1:position]
        if operator.spec.steers_source and not (
            vertex.operators[0].spec.role is Role.SOURCE and all(other.spec.immediate for other in between)
        ):
            raise PlanError(
                f"'{operator.name}' cannot align its source: it does not run right behind it, in the same subtask",
                hint="give each source its own with_timestamps(...), directly behind read(...), before union, process, map_async or "
                "another parallelism, and read the source only there",
            )
