"""Chaining: what shares a subtask, and the exchanges between what does not."""

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_graphs import Joining, Mapping, ReadingAlone, Timing, edge, graph, line, op

from actorflow.errors import PlanError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.channels import consumers_of
from actorflow.plan.graph import LogicalEdge, Partitioner, Partitioning


def plan(logical, default_parallelism=2, **options):
    return build_execution_graph(logical, default_parallelism=default_parallelism, **options)


def chains(execution):
    return [vertex.name for vertex in execution.vertices]


def exchanges(execution):
    return [(edge.source, edge.target, edge.partitioner.kind.value) for edge in execution.edges]


def test_a_line_of_equal_operators_is_one_chain_without_channels():
    execution = plan(line(op("read"), op("map"), op("write")))
    assert chains(execution) == ["read -> map -> write"]
    assert execution.edges == ()
    assert execution.channels == ()


def test_without_chaining_every_operator_is_a_vertex():
    execution = plan(line(op("read"), op("map"), op("write")), chaining=False)
    assert chains(execution) == ["read", "map", "write"]
    assert exchanges(execution) == [("read", "map", "forward"), ("map", "write", "forward")]


def test_a_vertex_has_the_id_of_its_first_operator():
    execution = plan(line(op("read"), op("map", chain="head"), op("write")))
    assert [vertex.id for vertex in execution.vertices] == ["read", "map"]


@pytest.mark.parametrize("kind", ["hash", "rebalance", "rescale", "broadcast", "shuffle", "global", "custom"])
def test_only_forward_edges_are_chained(kind):
    execution = plan(graph([op("read"), op("write")], [edge("read", "write", kind)]))
    assert exchanges(execution) == [("read", "write", kind)]


def test_an_explicit_forward_edge_is_chained():
    assert chains(plan(graph([op("read"), op("write")], [edge("read", "write", "forward")]))) == ["read -> write"]


def test_a_hash_edge_between_single_subtasks_is_chained_and_any_other_is_an_exchange():
    by_key = graph([op("read"), op("write")], [edge("read", "write", "hash")])
    assert chains(plan(by_key, default_parallelism=1)) == ["read -> write"]
    assert exchanges(plan(by_key, default_parallelism=2)) == [("read", "write", "hash")]


def test_in_batch_mode_an_edge_by_key_is_never_chained_and_is_sorted():
    edges = [edge("read", "map", "hash"), edge("map", "write")]
    streaming = plan(graph([op("read"), op("map"), op("write")], edges), default_parallelism=1)
    batch = plan(graph([op("read"), op("map"), op("write")], edges, mode="batch"), default_parallelism=1)
    assert (False, [], True, [("read", "map", "hash")]) == (streaming.batch, exchanges(streaming), batch.batch, exchanges(batch))
    assert [True] == [batch.sorts(each) for each in batch.edges]
    dealt = plan(graph([op("read"), op("write")], [edge("read", "write", "rebalance")]), default_parallelism=1)
    assert exchanges(dealt) == [("read", "write", "rebalance")]


def test_unequal_parallelism_breaks_the_chain_and_rebalances():
    execution = plan(line(op("read", parallelism=1), op("map"), op("write")))
    assert chains(execution) == ["read", "map -> write"]
    assert exchanges(execution) == [("read", "map", "rebalance")]


def test_an_explicit_forward_edge_between_unequal_parallelisms_is_refused():
    with pytest.raises(PlanError, match=r"cannot forward from 'read' to 'write': parallelism 2 against 3 \(hint: .*rescale"):
        plan(graph([op("read"), op("write", parallelism=3)], [edge("read", "write", "forward")]))


@pytest.mark.parametrize(
    "difference",
    [{"slot_group": "other"}, {"dispatcher": "pinned"}, {"max_parallelism": 64}, {"chain": "head"}, {"chain": "never"}],
)
def test_a_consumer_that_differs_starts_a_chain_of_its_own(difference):
    execution = plan(line(op("read"), op("write", **difference)))
    assert chains(execution) == ["read", "write"]
    assert exchanges(execution) == [("read", "write", "forward")]


def test_head_takes_consumers_but_no_producer():
    assert chains(plan(line(op("read"), op("map", chain="head"), op("write")))) == ["read", "map -> write"]


def test_never_takes_neither_consumers_nor_a_producer():
    assert chains(plan(line(op("read"), op("map", chain="never"), op("write")))) == ["read", "map", "write"]


def test_two_consumers_of_one_output_are_not_chained():
    execution = plan(graph([op("read"), op("write-1"), op("write-2")], [edge("read", "write-1"), edge("read", "write-2")]))
    assert chains(execution) == ["read", "write-1", "write-2"]


def test_two_inputs_are_not_chained():
    execution = plan(graph([op("read-1"), op("read-2"), op("write")], [edge("read-1", "write"), edge("read-2", "write")]))
    assert chains(execution) == ["read-1", "read-2", "write"]


def test_a_stream_united_with_itself_has_two_edges():
    execution = plan(graph([op("read"), op("write")], [edge("read", "write"), edge("read", "write")]))
    assert exchanges(execution) == [("read", "write", "forward"), ("read", "write", "forward")]


def test_a_side_output_leaves_from_the_middle_of_a_chain():
    operators = [op("read"), op("map"), op("write"), op("write-late")]
    edges = [edge("read", "map"), edge("map", "write"), edge("map", "write-late", tag="late")]
    execution = plan(graph(operators, edges))
    assert chains(execution) == ["read -> map -> write", "write-late"]
    (exchange,) = execution.edges
    assert (exchange.source, exchange.operator, exchange.tag, exchange.target) == ("read", 1, "late", "write-late")


def test_the_port_of_an_edge_is_kept():
    operators = [op("read-1"), op("read-2"), op("join", Joining()), op("write")]
    edges = [edge("read-1", "join", "hash"), edge("read-2", "join", "hash", port=1), edge("join", "write")]
    assert [exchange.port for exchange in plan(graph(operators, edges)).edges] == [0, 1]


def test_a_chain_whose_tail_is_written_after_another_branch_stays_in_topological_order():
    operators = [op("read"), op("a"), op("write-a"), op("b"), op("write-b")]
    edges = [edge("read", "a"), edge("a", "write-a"), edge("read", "b", "hash"), edge("b", "write-b")]
    execution = plan(graph(operators, edges))
    order = {vertex.id: place for place, vertex in enumerate(execution.vertices)}
    assert all(order[exchange.source] < order[exchange.target] for exchange in execution.edges)


def test_parallelism_of_the_operator_goes_before_the_pipeline_and_the_default():
    logical = line(op("read", parallelism=3), op("write", chain="never"), parallelism=4)
    assert [vertex.parallelism for vertex in plan(logical, default_parallelism=5).vertices] == [3, 4]


def test_the_default_holds_where_neither_operator_nor_pipeline_says():
    assert [vertex.parallelism for vertex in plan(line(op("read"), op("write")), default_parallelism=5).vertices] == [5]


def test_an_inherited_parallelism_is_lowered_to_what_the_operator_can_use():
    execution = plan(line(op("read", ReadingAlone()), op("write")), default_parallelism=4)
    assert [(vertex.name, vertex.parallelism) for vertex in execution.vertices] == [("read", 1), ("write", 4)]
    assert exchanges(execution) == [("read", "write", "rebalance")]


def test_a_given_parallelism_above_what_the_operator_can_use_is_refused():
    with pytest.raises(PlanError, match="parallelism of 'read' is 2, but it can use at most 1"):
        plan(line(op("read", ReadingAlone(), parallelism=2), op("write")))


def test_a_default_above_the_number_of_key_groups_is_refused():
    with pytest.raises(PlanError, match="parallelism of 'read' is 200, above its max_parallelism of 128"):
        plan(line(op("read"), op("write")), default_parallelism=200)


def test_a_default_below_one_is_refused():
    with pytest.raises(PlanError, match="parallelism of 'read' must be at least 1, not 0"):
        plan(line(op("read"), op("write")), default_parallelism=0)


def test_channels_are_numbered_by_edge_then_producer_then_consumer():
    operators = [op("read", parallelism=2), op("map", parallelism=3), op("write", parallelism=3, chain="never")]
    channels = plan(line(*operators)).channels
    assert [(channel.edge, channel.producer.index, channel.consumer.index) for channel in channels] == [
        *((0, producer, consumer) for producer in range(2) for consumer in range(3)),
        *((1, index, index) for index in range(3)),
    ]
    assert [channel.id for channel in channels] == list(range(9))


@given(st.integers(1, 40), st.integers(1, 40))
def test_rescale_gives_each_subtask_a_fair_share_of_the_other_side(producers, consumers):
    joined = [list(consumers_of(Partitioning.RESCALE, producer, producers, consumers)) for producer in range(producers)]
    fan_in = [sum(consumer in targets for targets in joined) for consumer in range(consumers)]
    fan_out = [len(targets) for targets in joined]
    assert sum(fan_out) == max(producers, consumers)
    assert min(fan_in) >= 1
    assert min(fan_out) >= 1
    assert max(fan_in) - min(fan_in) <= 1
    assert max(fan_out) - min(fan_out) <= 1
    assert [consumer for targets in joined for consumer in targets] == sorted(
        consumer for targets in joined for consumer in targets
    )


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "hash", "rebalance"]), st.integers(1, 3), st.sampled_from(["always", "head", "never"]))
    )
)
def test_a_line_is_cut_exactly_where_a_rule_says(steps):
    operators = [op("read", parallelism=1)]
    edges = []
    breaks = []
    for number, (kind, parallelism, policy) in enumerate([*steps, (None, 1, "always")]):
        name = f"op-{number}" if number < len(steps) else "write"
        edges.append(edge(operators[-1].id, name, kind))
        before = operators[-1]
        operators.append(op(name, parallelism=parallelism, chain=policy))
        by_key_alone = kind == "hash" and before.parallelism == parallelism == 1
        if (
            (kind is not None and not by_key_alone)
            or before.parallelism != parallelism
            or before.chain == "never"
            or policy != "always"
        ):
            breaks.append(name)
    execution = plan(graph(operators, edges))
    assert [vertex.id for vertex in execution.vertices] == ["read", *breaks]
    assert [vertex_op.id for vertex in execution.vertices for vertex_op in vertex.operators] == [each.id for each in operators]


def test_slots_are_shared_within_a_group_and_added_over_groups():
    execution = plan(line(op("read", parallelism=2), op("map", parallelism=3), op("write", parallelism=1, slot_group="out")))
    assert execution.slots_needed() == 4


def test_a_custom_partitioner_keeps_its_functions():
    chosen = Partitioner(Partitioning.CUSTOM, key=len, choose=max)
    (exchange,) = plan(graph([op("read"), op("write")], [LogicalEdge("read", "write", chosen)])).edges
    assert exchange.partitioner is chosen


# --- alignment -------------------------------------------------------------------------------------------------------------------


class Aligning(Timing):
    steers_source: ClassVar[bool] = True


class MappingAtOnce(Mapping):
    immediate: ClassVar[bool] = True


ALIGNED = op("times", Aligning())


@pytest.mark.parametrize("before", [(), (op("map", MappingAtOnce()),)])
def test_what_aligns_a_source_runs_right_behind_it(before):
    assert len(plan(line(op("read"), *before, ALIGNED, op("write"))).vertices) == 1


@pytest.mark.parametrize(
    ("logical", "chaining"),
    [
        (line(op("read"), op("process"), ALIGNED, op("write")), True),
        (line(op("read"), op("times", Aligning(), chain="never"), op("write")), True),
        (line(op("read"), op("times", Aligning(), parallelism=1), op("write")), True),
        (line(op("read"), ALIGNED, op("write")), False),
        (
            graph(
                [op("read"), op("read-2"), ALIGNED, op("write")],
                [edge("read", "times"), edge("read-2", "times"), edge("times", "write")],
            ),
            True,
        ),
    ],
)
def test_what_aligns_a_source_from_elsewhere_is_refused(logical, chaining):
    with pytest.raises(PlanError, match=r"'times' cannot align its source.*hint: give each source its own with_timestamps"):
        plan(logical, chaining=chaining)
