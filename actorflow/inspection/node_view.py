"""A node, to look at: its figures, its files, and where its threads stand. Its desk tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actorflow.actor import ActorDeadError, AskTimeout
from actorflow.errors import ActorflowError
from actorflow.ids import Address, NodeId, address
from actorflow.runtime.nodes.node_desk import NODE_DESK_PATH
from actorflow.runtime.nodes.node_files import FileRequested, NodeFile
from actorflow.runtime.workers.stacks import StackRequested
from actorflow.wire.plain_form import typed

if TYPE_CHECKING:
    from actorflow.inspection.cluster_view import ClusterView


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself.

    Attributes:
        figures: of its process and its connections, by name.
        log: the name of its log, empty if that goes to no file.
        stdout: the name of the file with what it prints, empty if there is none.
        files: those that can be looked at.
    """

    figures: Mapping[str, float]
    log: str
    stdout: str
    files: tuple[NodeFile, ...]


class NodeView:
    """A node of a JobManager or a TaskManager, to look at.

    Args:
        cluster: how to reach it.
        node: its id.
    """

    def __init__(self, cluster: ClusterView, node: NodeId) -> None:
        self.node = node
        self._cluster = cluster
        self._desk = desk_of(node)

    def facts(self) -> NodeFacts:
        """Return what it says of itself.

        Raises:
            ActorflowError: if it does not answer.
        """
        return _facts(self._cluster.shown(self._desk))

    def end_of(self, name: str) -> str | None:
        """Return the end of one of its files; None if it has no such file.

        Raises:
            ActorflowError: if it does not answer.
        """
        text: str | None = self._answered(FileRequested(name))
        return text

    def stacks(self) -> str:
        """Return where the threads of its process stand.

        Raises:
            ActorflowError: if it does not answer.
        """
        return str(self._answered(StackRequested()))

    def _answered(self, question: FileRequested | StackRequested) -> Any:
        timeout_s = self._cluster.timeout_s
        try:
            future = self._cluster.system.resolve(self._desk).ask(question, block=False, timeout=timeout_s, control=True)
            return future.get(timeout=timeout_s)
        except (ActorDeadError, AskTimeout) as error:
            raise ActorflowError(f"node '{self.node}' does not answer: {error}") from None


def desk_of(node: NodeId) -> Address:
    """Return the address of a node's desk."""
    return address(node, NODE_DESK_PATH)


def facts_of_nodes(cluster: ClusterView, nodes: Sequence[NodeId]) -> dict[NodeId, NodeFacts]:
    """Return what nodes say of themselves, all of them asked at once; those that do not answer are left out."""
    seen = cluster.look([desk_of(node) for node in nodes])
    return {node: _facts(plain) for node, plain in zip(nodes, seen, strict=True) if plain is not None}


def _facts(plain: Any) -> NodeFacts:
    return typed(plain, NodeFacts)
