"""A job that was submitted, planned for another parallelism."""

import pytest

import actorflow as af
from actorflow.errors import PlanError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.scale import Scale, reactive, scaled


def submitted(parallelism=1, *, fixed=None):
    pipeline = af.Pipeline("counting", max_parallelism=8)
    read = pipeline.read(af.sources.collection([1, 2, 3])).map(str, uid="as-text", parallelism=fixed)
    read.key_by(lambda text: text).count(uid="counted").write(af.sinks.discard())
    return build_execution_graph(pipeline.graph(), default_parallelism=parallelism)


def widths(graph):
    return {operator.id: vertex.parallelism for vertex in graph.vertices for operator in vertex.operators}


def chains(graph):
    return [len(vertex.operators) for vertex in graph.vertices]


def test_a_job_that_was_not_rescaled_is_what_was_submitted():
    graph = submitted(2)
    assert graph is scaled(graph, Scale())


def test_what_keys_keep_together_in_one_subtask_is_apart_in_several_and_together_again():
    graph = submitted(1)
    wide = scaled(graph, Scale(3))
    assert ([4], [2, 2]) == (chains(graph), chains(wide))
    assert {3} == set(widths(wide).values())
    assert [4] == chains(scaled(wide, Scale(1)))


def test_an_operator_that_gives_its_own_parallelism_keeps_it_unless_it_is_named():
    graph = submitted(2, fixed=1)
    assert (1, 4) == (widths(scaled(graph, Scale(4)))["as-text"], widths(scaled(graph, Scale(4)))["counted"])
    assert 3 == widths(scaled(graph, Scale(operators={"as-text": 3})))["as-text"]


def test_a_bound_is_for_operators_that_give_their_own_parallelism_too():
    assert {2} == set(widths(scaled(submitted(4, fixed=3), Scale(most=2))).values())


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        (Scale(9), "max_parallelism of 8"),
        (Scale(0), "must be at least 1"),
        (Scale(operators={"counted": 9}), "'count' is 9"),
        (Scale(operators={"count": 2}), "no operator with the uid 'count'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(scale, text):
    with pytest.raises(PlanError) as refused:
        scaled(submitted(2), scale)
    assert text in str(refused.value)


def test_a_reactive_job_wants_all_that_its_key_groups_allow_except_where_a_parallelism_was_given():
    graph = submitted(fixed=2)
    wide = widths(scaled(graph, reactive(graph, Scale())))
    assert (2, 8) == (wide["as-text"], wide["counted"])
    assert 3 == widths(scaled(graph, reactive(graph, Scale(most=3))))["counted"]
    assert reactive(graph, Scale(parallelism=4)) == Scale(parallelism=4)


def test_no_operator_gets_less_than_it_must_have_nor_more_than_it_wants():
    narrow = widths(scaled(submitted(4, fixed=2), Scale(most=1, least=3)))
    assert (2, 3) == (narrow["as-text"], narrow["counted"])
    single = widths(scaled(submitted(4), Scale(most=1, operators_least={"counted": 2})))
    assert (1, 2) == (single["as-text"], single["counted"])
    assert {4} == set(widths(scaled(submitted(4), Scale(least=2))).values())


def test_an_operator_that_must_have_something_has_to_be_there():
    with pytest.raises(PlanError, match="no operator with the uid 'count'"):
        scaled(submitted(2), Scale(operators_least={"count": 2}))
