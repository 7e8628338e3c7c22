"""Failover regions: what exchanges join, in whatever direction, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from actorflow.plan.execution import ExecutionEdge, ExecutionGraph, Vertex
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.plan.regions import failover_regions


def graph(count, edges):
    vertices = tuple(Vertex(f"v{number}", f"v{number}", (), 1, 128, "default", "default") for number in range(count))
    joins = tuple(
        ExecutionEdge(index, f"v{source}", 0, None, f"v{target}", 0, Partitioner(Partitioning.FORWARD))
        for index, (source, target) in enumerate(edges)
    )
    return ExecutionGraph("job", vertices, joins, ())


def test_what_meets_in_one_consumer_or_comes_from_one_producer_is_one_region():
    assert (("v0", "v1", "v2"),) == failover_regions(graph(3, [(0, 2), (1, 2)]))
    assert (("v0", "v1", "v2"),) == failover_regions(graph(3, [(0, 1), (0, 2)]))


def test_what_no_exchange_joins_is_regions_of_its_own_in_the_order_of_the_graph():
    assert (("v0", "v2"), ("v1", "v4"), ("v3",)) == failover_regions(graph(5, [(0, 2), (1, 4)]))


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=10))
def test_regions_are_the_classes_of_what_can_be_reached(edges):
    reached = {number: {number} for number in range(8)}
    for _ in range(8):
        for source, target in edges:
            for number in range(8):
                if reached[number] & {source, target}:
                    reached[number] |= {source, target}
    expected = {frozenset(f"v{number}" for number in members) for members in reached.values()}
    regions = failover_regions(graph(8, edges))
    assert expected == {frozenset(region) for region in regions}
    assert sorted(vertex for region in regions for vertex in region) == [f"v{number}" for number in range(8)]
