"""The logical graph: what the user wrote, as an immutable value. Building it runs nothing.

Nodes are operators; edges say how records travel between them. What an operator *does* is in its spec, a frozen value that
`operators/` or `connectors/` defines; the plan knows only the few facts of `OperatorSpec` that planning needs.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from actorflow.ids import OperatorId


class Role(enum.Enum):
    """Where in a pipeline an operator can stand."""

    SOURCE = "source"
    TRANSFORM = "transform"
    SINK = "sink"


class DataPath(enum.Enum):
    """In which form an operator takes or gives records."""

    OBJECTS = "objects"
    COLUMNS = "columns"
    ANY = "any"
    """Takes: either, as it comes. Gives: whatever it was given."""


class OperatorSpec:
    """What planning needs to know of an operator. Subclasses are frozen dataclasses holding functions and parameters.

    Class attributes:
        kind: the verb, such as `map`; also the default name.
        role: source, transform or sink.
        takes: the form in which it wants its input; the runtime converts where the producer gives another.
        gives: the form of its output.
        parallelism_max: the most subtasks it can use, or None; an inherited parallelism above it is lowered to it.
        timed: whether the records that it gives have event times; None: if those that it takes have.
        ports: the names of its inputs; an edge says by number which of them it feeds.
        untimed_ports: numbers of those whose records need no event times for its own to have them.
        needs_timestamps: whether it works only on records with event times.
        immediate: whether all that it gives follows at once from the records that it is being given, and nothing comes later.
        steers_source: whether it tells a source which of its splits may be read, and so has to run in the source's own chain.
        bounded: for a source, whether it ends by itself.
        acts: whether it is there for more than the records that it gives, so that it runs though nobody takes these.
    """

    __slots__ = ()

    kind: ClassVar[str] = "operator"
    role: ClassVar[Role] = Role.TRANSFORM
    takes: ClassVar[DataPath] = DataPath.OBJECTS
    gives: ClassVar[DataPath] = DataPath.OBJECTS
    parallelism_max: ClassVar[int | None] = None
    timed: ClassVar[bool | None] = None
    ports: ClassVar[tuple[str, ...]] = ("input",)
    untimed_ports: ClassVar[frozenset[int]] = frozenset()
    needs_timestamps: ClassVar[bool] = False
    immediate: ClassVar[bool] = False
    steers_source: ClassVar[bool] = False
    bounded: ClassVar[bool] = True
    acts: ClassVar[bool] = False

    def functions(self) -> Mapping[str, object]:
        """Return the user's functions and objects by the attribute path that names them in error messages."""
        return {}


class Partitioning(enum.Enum):
    """The eight ways from the subtasks of one operator to those of the next."""

    FORWARD = "forward"
    HASH = "hash"
    REBALANCE = "rebalance"
    RESCALE = "rescale"
    BROADCAST = "broadcast"
    SHUFFLE = "shuffle"
    GLOBAL = "global"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Partitioner:
    """How an edge spreads records over the consumer's subtasks.

    Attributes:
        kind: which of the eight.
        key: for HASH: `key(record) -> key`.
        choose: for CUSTOM: `choose(key, parallelism) -> subtask index`; `key` then extracts its first argument.
        key_column: for HASH on the column path: the name of the key column, if the key is one.
    """

    kind: Partitioning
    key: Callable[[Any], Any] | None = None
    choose: Callable[[Any, int], int] | None = None
    key_column: str | None = None


ChainPolicy = Literal["always", "head", "never"]
DispatcherKind = Literal["default", "pinned"]


@dataclass(frozen=True, slots=True)
class LogicalOperator:
    """A node of the logical graph.

    Attributes:
        id: stable identity: the `uid`, else derived from the shape of the graph.
        name: for people; unique in its graph.
        spec: what it does.
        uid: the user's own identity for it, if given.
        parallelism: number of subtasks, or None to inherit.
        max_parallelism: number of key groups, or None to inherit the pipeline's.
        slot_group: operators of one group share slots.
        chain: `always` chains with its producer when it can, `head` starts a chain, `never` stands alone.
        dispatcher: `pinned` gives its subtasks a thread of their own.
    """

    id: OperatorId
    name: str
    spec: OperatorSpec
    uid: str | None = None
    parallelism: int | None = None
    max_parallelism: int | None = None
    slot_group: str = "default"
    chain: ChainPolicy = "always"
    dispatcher: DispatcherKind = "default"


@dataclass(frozen=True, slots=True)
class LogicalEdge:
    """Records of `source` (its main output, or the side output `tag`) go to input `port` of `target`.

    A partitioner of None means that the user chose none: planning makes it forward, or rebalance where parallelisms differ.
    """

    source: OperatorId
    target: OperatorId
    partitioner: Partitioner | None = None
    tag: str | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class LogicalGraph:
    """A pipeline as a value.

    Attributes:
        name: the job's name.
        operators: in the order in which they were added; every edge points to a later operator.
        edges: in the order in which they were added.
        parallelism: the pipeline's own default, or None.
        max_parallelism: number of key groups.
        mode: `auto`, `streaming` or `batch`.
        config: option overrides of the pipeline, by full option name.
        cached_files: files and directories that operators find on their own host, by name: their URIs.
    """

    name: str
    operators: tuple[LogicalOperator, ...]
    edges: tuple[LogicalEdge, ...]
    parallelism: int | None = None
    max_parallelism: int = 128
    mode: Literal["auto", "streaming", "batch"] = "auto"
    config: Mapping[str, object] = field(default_factory=dict)
    cached_files: Mapping[str, str] = field(default_factory=dict)

    def operator(self, operator_id: OperatorId) -> LogicalOperator:
        """Return the operator with this id.

        Raises:
            KeyError: if there is none.
        """
        for operator in self.operators:
            if operator.id == operator_id:
                return operator
        raise KeyError(operator_id)

    def inputs(self, operator_id: OperatorId) -> tuple[LogicalEdge, ...]:
        """Return the edges into an operator, in order."""
        return tuple(edge for edge in self.edges if edge.target == operator_id)

    def outputs(self, operator_id: OperatorId) -> tuple[LogicalEdge, ...]:
        """Return the edges out of an operator, in order."""
        return tuple(edge for edge in self.edges if edge.source == operator_id)
