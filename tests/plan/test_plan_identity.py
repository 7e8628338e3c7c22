"""Operator ids: equal in every process, and indifferent to what does not concern the operator's state."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import PlanError
from actorflow.plan.identity import NAME_LENGTH_MAX, Shape, check_name, operator_ids, operator_names

WORDCOUNT = (
    Shape("source"),
    Shape("flat_map", ((0, None, 0),)),
    Shape("count", ((1, None, 0),)),
    Shape("sink", ((2, None, 0),)),
)


def test_the_ids_of_a_known_graph_never_change():
    assert operator_ids(WORDCOUNT) == ("source-dd436c68df39", "flat_map-891b561f69ab", "count-1f0846801a16", "sink-fe59274789f3")


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_another_process_with_another_hash_seed_derives_the_same_ids(seed):
    program = f"from actorflow.plan.identity import *\nprint(*operator_ids(({', '.join(map(repr, WORDCOUNT))})))"
    ran = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == list(operator_ids(WORDCOUNT))


def test_a_uid_is_the_id():
    assert operator_ids([Shape("source", uid="lines")]) == ("lines",)


def test_a_branch_added_later_changes_no_id():
    more = (*WORDCOUNT, Shape("source"), Shape("map", ((1, None, 0),)), Shape("sink", ((5, None, 0),)))
    assert operator_ids(more)[:4] == operator_ids(WORDCOUNT)


def test_a_branch_of_another_shape_added_before_changes_no_id():
    before = (Shape("source", uid="other"), Shape("sink", ((0, None, 0),)))
    moved = tuple(Shape(shape.kind, tuple((p + 2, tag, port) for p, tag, port in shape.inputs)) for shape in WORDCOUNT)
    assert operator_ids((*before, *moved))[2:] == operator_ids(WORDCOUNT)


def test_below_a_uid_nothing_depends_on_what_is_above_it():
    short = (Shape("source"), Shape("map", ((0, None, 0),), uid="clean"), Shape("count", ((1, None, 0),)))
    long = (
        Shape("source"),
        Shape("filter", ((0, None, 0),)),
        Shape("map", ((1, None, 0),), uid="clean"),
        Shape("count", ((2, None, 0),)),
    )
    assert operator_ids(short)[-1] == operator_ids(long)[-1]


def test_twins_get_ids_of_their_own():
    assert len(set(operator_ids([Shape("source"), Shape("source"), Shape("source")]))) == 3


@pytest.mark.parametrize("inputs", [((0, "late", 0),), ((0, None, 1),), ((0, None, 0), (0, None, 0)), ((1, None, 0),)])
def test_tag_port_number_and_producer_of_inputs_count(inputs):
    ids = operator_ids([Shape("source"), Shape("source"), Shape("map", ((0, None, 0),)), Shape("map", inputs)])
    reference = operator_ids([Shape("source"), Shape("source"), Shape("map", inputs)])
    assert ids[3] == reference[2]
    assert ids[3] != ids[2]


def test_the_order_of_a_union_does_not_count():
    one = operator_ids([Shape("source"), Shape("source"), Shape("map", ((0, None, 0), (1, None, 0)))])
    other = operator_ids([Shape("source"), Shape("source"), Shape("map", ((1, None, 0), (0, None, 0)))])
    assert one == other


@st.composite
def shapes(draw):
    result = []
    for position in range(draw(st.integers(0, 12))):
        producers = draw(st.lists(st.integers(0, position - 1), max_size=3)) if position else []
        inputs = tuple((producer, draw(st.sampled_from([None, "a", "b"])), draw(st.integers(0, 1))) for producer in producers)
        result.append(Shape(draw(st.sampled_from(["map", "filter"])), inputs))
    return result


@given(shapes())
def test_ids_are_distinct_and_those_of_a_prefix_are_a_prefix(graph):
    ids = operator_ids(graph)
    assert len(set(ids)) == len(graph)
    for length in range(len(graph)):
        assert operator_ids(graph[:length]) == ids[:length]


def test_names_default_to_the_kind_and_are_numbered():
    assert operator_names(["map", "map", "filter", "map"], [None] * 4) == ("map", "map-2", "filter", "map-3")


def test_a_default_name_gives_way_to_one_that_is_given_later():
    assert operator_names(["map", "map", "map"], [None, "map-2", None]) == ("map", "map-2", "map-3")


@pytest.mark.parametrize("name", ["", " map", "a/b", "a\nb", "x" * (NAME_LENGTH_MAX + 1), 7, None])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name):
    with pytest.raises(PlanError, match="the name of an operator must"):
        check_name("the name of an operator", name)


def test_a_name_may_have_spaces_and_letters_of_any_script():
    assert check_name("name", "Zähle Wörter ✓") == "Zähle Wörter ✓"
