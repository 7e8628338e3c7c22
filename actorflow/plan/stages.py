"""Stages: the failover regions of a batch job whose exchanges are blocking, in the order in which they can run.

A stage begins when all that it reads has been written: its producers have finished, and their partitions are complete. So a stage that has
finished does not care what happens to those after it, which read its partitions again.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.ids import VertexId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.graph import Role
from actorflow.plan.regions import Region, failover_regions


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs together.

    Attributes:
        vertices: a failover region.
        reads: vertices of other stages whose partitions it reads.
        slot_groups: of its vertices. Stages of different groups do not run at the same time: they use the same slots.
        lasting: whether all that it gives is in partitions, so that another run can read them. What sinks have prepared ends with the run.
    """

    vertices: Region
    reads: tuple[VertexId, ...]
    slot_groups: tuple[str, ...]
    lasting: bool


def stages(graph: ExecutionGraph) -> tuple[Stage, ...]:
    """Return the stages of a job, in topological order; none if its exchanges are pipelined."""
    return tuple(_stage(graph, region) for region in failover_regions(graph)) if graph.blocking else ()


def _stage(graph: ExecutionGraph, region: Region) -> Stage:
    reads = dict.fromkeys(edge.source for edge in graph.edges if edge.target in region)
    vertices = [vertex for vertex in graph.vertices if vertex.id in region]
    writes = any(operator.spec.role is Role.SINK for vertex in vertices for operator in vertex.operators)
    read = all(any(edge.source == vertex for edge in graph.edges) for vertex in region)
    return Stage(region, tuple(reads), tuple(dict.fromkeys(vertex.slot_group for vertex in vertices)), read and not writes)
