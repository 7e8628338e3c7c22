"""Failover regions: what has to fail together because records go from one to the other.

A vertex whose input was cut off, or is about to come a second time, cannot go on as if nothing had happened; nor can who fed it. So a region is
what exchanges join, in whatever direction. What no exchange joins has nothing to do with each other, though it may share slots.

What goes through a blocking exchange has been written down before it is read: it can be read again, and joins nothing. The regions of a job
with such exchanges are its stages (see `stages`).
"""

from __future__ import annotations

from actorflow.ids import VertexId
from actorflow.plan.execution import ExecutionGraph

Region = tuple[VertexId, ...]


def failover_regions(graph: ExecutionGraph) -> tuple[Region, ...]:
    """Return the regions of a graph, and the vertices of each, in topological order."""
    region = {vertex.id: {vertex.id: None} for vertex in graph.vertices}
    for edge in () if graph.blocking else graph.edges:
        joined = region[edge.source] | region[edge.target]
        for vertex in joined:
            region[vertex] = joined
    found: dict[frozenset[VertexId], None] = dict.fromkeys(frozenset(region[vertex.id]) for vertex in graph.vertices)
    return tuple(tuple(vertex.id for vertex in graph.vertices if vertex.id in members) for members in found)
