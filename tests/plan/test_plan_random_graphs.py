"""Any graph whatsoever: the plan keeps every operator and every edge, chains all that the rules allow and nothing else."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from plan_graphs import edge, graph, op

from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.explain import explain
from actorflow.plan.graph import Partitioning

KINDS = st.sampled_from([None, None, None, "hash", "rebalance", "rescale", "broadcast"])
POLICIES = st.sampled_from(["always", "always", "always", "head", "never"])


@st.composite
def graphs(draw):
    """A graph of sources, maps with one to three inputs (some of them side outputs), and a sink for every tail."""
    operators = [op(f"read-{number}", parallelism=draw(st.integers(1, 3))) for number in range(draw(st.integers(1, 3)))]
    edges = []
    for number in range(draw(st.integers(0, 8))):
        name = f"map-{number}"
        producers = draw(st.lists(st.sampled_from(operators), min_size=1, max_size=3))
        edges += [edge(each.id, name, draw(KINDS), tag=draw(st.sampled_from([None, None, "side"]))) for each in producers]
        operators.append(op(name, parallelism=draw(st.integers(1, 3)), chain=draw(POLICIES)))
    for tail in [each for each in operators if each.id not in {each.source for each in edges}]:
        edges.append(edge(tail.id, f"write-{tail.id}", draw(KINDS)))
        operators.append(op(f"write-{tail.id}", parallelism=draw(st.integers(1, 3))))
    return graph(operators, edges)


def may_chain(logical, candidate):
    """The rules once more, as plainly as they can be said."""
    producer, consumer = logical.operator(candidate.source), logical.operator(candidate.target)
    by_key = candidate.partitioner is not None and candidate.partitioner.kind is Partitioning.HASH
    return (
        (candidate.partitioner is None or (by_key and producer.parallelism == 1))
        and producer.parallelism == consumer.parallelism
        and candidate.tag is None
        and sum(other.target == consumer.id for other in logical.edges) == 1
        and sum(other.source == producer.id and other.tag is None for other in logical.edges) == 1
        and consumer.chain == "always"
        and producer.chain != "never"
    )


@settings(max_examples=60)
@given(graphs())
def test_exactly_the_edges_that_may_be_chained_are_chained(logical):
    execution = build_execution_graph(logical, default_parallelism=1)
    chained = {(a.id, b.id) for vertex in execution.vertices for a, b in itertools.pairwise(vertex.operators)}
    assert chained == {(each.source, each.target) for each in logical.edges if may_chain(logical, each)}


@settings(max_examples=60)
@given(graphs())
def test_every_operator_has_one_place_and_every_other_edge_is_an_exchange(logical):
    execution = build_execution_graph(logical, default_parallelism=1)
    placed = [operator.id for vertex in execution.vertices for operator in vertex.operators]
    assert sorted(placed) == sorted(operator.id for operator in logical.operators)
    exchanged = [
        (execution.vertex(each.source).operators[each.operator].id, execution.vertex(each.target).operators[0].id, each.tag)
        for each in execution.edges
    ]
    assert exchanged == [(each.source, each.target, each.tag) for each in logical.edges if not may_chain(logical, each)]


@settings(max_examples=60)
@given(graphs())
def test_vertices_are_in_topological_order_and_channels_join_subtasks_that_exist(logical):
    execution = build_execution_graph(logical, default_parallelism=1)
    order = {vertex.id: place for place, vertex in enumerate(execution.vertices)}
    assert all(order[each.source] < order[each.target] for each in execution.edges)
    assert [channel.id for channel in execution.channels] == list(range(len(execution.channels)))
    assert {end for channel in execution.channels for end in (channel.producer, channel.consumer)} <= set(execution.subtasks())
    joined = {(channel.edge, end) for channel in execution.channels for end in (channel.producer, channel.consumer)}
    for each in execution.edges:
        for vertex in (execution.vertex(each.source), execution.vertex(each.target)):
            assert {(each.index, subtask) for subtask in execution.subtasks() if subtask.vertex == vertex.id} <= joined


@settings(max_examples=30)
@given(graphs())
def test_every_plan_can_be_explained_with_a_row_for_each_operator_and_each_edge(logical):
    text = explain(logical, build_execution_graph(logical, default_parallelism=1))
    _, operators, edges = text.split("\n\n")
    assert len(operators.splitlines()) == 1 + len(logical.operators)
    assert len(edges.splitlines()) == 1 + len(logical.edges)
