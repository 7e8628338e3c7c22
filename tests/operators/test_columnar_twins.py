"""Running aggregations over columns: the same values as over objects, for every key."""

import pytest
from chain_harness import Collected, Subtask, chain_of, operators, port
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chains import SPECS, column_batches, columns_of, compare_columns

from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.chain import compile_chain
from actorflow.operators.specs import CountSpec, FilterSpec, MapSpec, MaxSpec, MinSpec, SumSpec
from actorflow.plan.graph import DataPath
from actorflow.wire.batch import ColumnBatch, ObjectBatch


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@settings(max_examples=60, deadline=None)
@given(batches=column_batches(), mixed=st.booleans())
def test_columns_and_objects_give_the_same_last_value_for_every_key(spec, batches, mixed):
    compare_columns(spec, batches, Subtask(), mixed=mixed)


def test_a_column_batch_gives_one_row_for_each_of_its_keys_with_the_latest_time():
    chain, output = chain_of(SumSpec("k", "v"))
    chain.process(columns_of([{"k": "b", "v": 1}, {"k": "a", "v": 2}, {"k": "b", "v": 3}], [7, 5, 6]))
    chain.process(columns_of([{"k": "b", "v": 10}], [8]))
    assert all(isinstance(batch, ColumnBatch) for batch in output.batches)
    assert [(("b", 4), 7), (("a", 2), 5), (("b", 14), 8)] == output.stamped


def test_operators_behind_get_the_rows_as_pairs():
    chain, output = chain_of(CountSpec("k"), FilterSpec(lambda pair: pair[1] > 1), MapSpec(lambda pair: pair[0]))
    chain.process(columns_of([{"k": "b"}, {"k": "a"}, {"k": "b"}]))
    assert ["b"] == output.records


def test_outputs_before_and_behind_the_twin_get_columns_whole():
    before, behind, other = Collected(), Collected(), Collected()
    chain = compile_chain(operators(CountSpec("k")), [port(before, -1), port(behind, 0), port(other, 0)], Subtask())
    chain.process(columns_of([{"k": "a"}, {"k": "a"}]))
    assert ([{"k": "a"}, {"k": "a"}], [("a", 2)], [("a", 2)]) == (before.records, behind.records, other.records)


def test_totals_beyond_64_bits_stay_exact():
    chain, output = chain_of(SumSpec("k", "v"))
    for _ in range(3):
        chain.process(columns_of([{"k": "a", "v": 2**62}]))
    assert [("a", 2**62), ("a", 2**63), ("a", 3 * 2**62)] == output.records


def test_strings_have_a_smallest_and_a_largest_but_no_sum():
    rows = [{"k": 1, "v": "pear"}, {"k": 1, "v": "fig"}, {"k": 1, "v": "\U0001f34f"}, {"k": 1, "v": "\uffee"}]
    for spec, expected in ((MinSpec("k", "v"), "fig"), (MaxSpec("k", "v"), "\U0001f34f")):
        chain, output = chain_of(spec)
        chain.process(columns_of(rows))
        assert [(1, expected)] == output.records
    chain, _ = chain_of(SumSpec("k", "v"))
    with pytest.raises(UserFunctionError, match="TypeError"):
        chain.process(columns_of(rows))


def test_a_missing_value_fails_like_a_none_among_objects():
    chain, _ = chain_of(SumSpec("k", "v"))
    with pytest.raises(UserFunctionError) as caught:
        chain.process(columns_of([{"k": "a", "v": 1}, {"k": "a", "v": None}]))
    assert "{'k': 'a', 'v': None}" == caught.value.error.context["record"]


def test_nan_is_compared_as_python_does():
    nan = float("nan")
    for rows in ([{"k": 1, "v": nan}, {"k": 1, "v": 1.0}], [{"k": 1, "v": 1.0}, {"k": 1, "v": nan}]):
        by_columns, columns_out = chain_of(MinSpec("k", "v"))
        by_objects, objects_out = chain_of(MinSpec("k", "v"))
        by_columns.process(columns_of(rows))
        by_objects.process(ObjectBatch(rows))
        assert repr(objects_out.records) == repr(columns_out.records)


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    chain, _ = chain_of(SumSpec("k", "price"))
    with pytest.raises(PlanError, match=r"'sum-0' has no column 'price'.*the columns are k, v"):
        chain.process(columns_of([{"k": 1, "v": 2}]))


def test_selectors_decide_which_form_an_aggregation_takes():
    assert (DataPath.ANY, DataPath.ANY) == (SumSpec("k", "v").takes, SumSpec("k", "v").gives)
    assert (DataPath.ANY, DataPath.ANY) == (CountSpec("k").takes, CountSpec("k").gives)
    for spec in (SumSpec("k"), SumSpec("k", abs), CountSpec(abs)):
        assert (DataPath.OBJECTS, DataPath.OBJECTS) == (spec.takes, spec.gives)
