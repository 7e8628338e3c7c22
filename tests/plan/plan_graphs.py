"""Small graphs for the tests of the plan: operators by name, edges by a word."""

import itertools
from typing import ClassVar

from actorflow.plan.graph import (
    DataPath,
    LogicalEdge,
    LogicalGraph,
    LogicalOperator,
    OperatorSpec,
    Partitioner,
    Partitioning,
    Role,
)


class Reading(OperatorSpec):
    kind: ClassVar[str] = "source"
    role: ClassVar[Role] = Role.SOURCE


class ReadingColumns(Reading):
    gives: ClassVar[DataPath] = DataPath.COLUMNS


class ReadingAlone(Reading):
    parallelism_max: ClassVar[int | None] = 1


class ReadingForEver(Reading):
    bounded: ClassVar[bool] = False


class Mapping(OperatorSpec):
    kind: ClassVar[str] = "map"


class Passing(OperatorSpec):
    kind: ClassVar[str] = "pass"
    takes: ClassVar[DataPath] = DataPath.ANY
    gives: ClassVar[DataPath] = DataPath.ANY


class Timing(OperatorSpec):
    kind: ClassVar[str] = "with_timestamps"
    timed: ClassVar[bool | None] = True


class ReadingTimed(Reading):
    timed: ClassVar[bool | None] = True


class Windowing(OperatorSpec):
    kind: ClassVar[str] = "window"
    needs_timestamps: ClassVar[bool] = True


class Joining(OperatorSpec):
    kind: ClassVar[str] = "join"
    ports: ClassVar[tuple[str, ...]] = ("left", "right")


class MappingColumns(OperatorSpec):
    kind: ClassVar[str] = "map_batches"
    takes: ClassVar[DataPath] = DataPath.COLUMNS
    gives: ClassVar[DataPath] = DataPath.COLUMNS


class Writing(OperatorSpec):
    kind: ClassVar[str] = "sink"
    role: ClassVar[Role] = Role.SINK


def op(name, spec=None, **fields):
    """An operator whose id is its name; the spec follows from the name (`read…`, `write…`, else a map)."""
    if spec is None:
        spec = Reading() if name.startswith("read") else Writing() if name.startswith("write") else Mapping()
    return LogicalOperator(id=name, name=name, spec=spec, **fields)


def edge(source, target, kind=None, **fields):
    """An edge; `kind` is one of the eight partitionings by its value, or None."""
    partitioner = None if kind is None else Partitioner(Partitioning(kind), key=str if kind == "hash" else None)
    return LogicalEdge(source, target, partitioner, **fields)


def graph(operators, edges, **fields):
    return LogicalGraph("job", tuple(operators), tuple(edges), **fields)


def line(*operators, **fields):
    """A graph in which each operator feeds the next."""
    return graph(operators, [edge(a.id, b.id) for a, b in itertools.pairwise(operators)], **fields)
