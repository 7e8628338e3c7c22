"""Specs as values, and what cannot be compiled."""

import pytest
from chain_harness import Collected, Subtask, operators, port

from actorflow.errors import PlanError
from actorflow.operators.asynchronous.retry import RetryPolicy
from actorflow.operators.chain import compile_chain
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import CountSpec, MapAsyncSpec, MapSpec, ProcessSpec, ReduceSpec, SumSpec
from actorflow.plan.graph import OperatorSpec
from actorflow.wire.batch import ObjectBatch


def test_specs_name_the_users_functions_for_error_messages():
    actor, retry = OperatorActor(), RetryPolicy.fixed()
    assert {"fn": abs} == MapSpec(abs).functions()
    assert {"key": abs, "fn": max} == ReduceSpec(abs, max).functions()
    assert {"value": abs} == SumSpec("k", abs).functions()
    assert {} == SumSpec("k").functions()
    assert {"fn": abs, "retry": retry} == MapAsyncSpec(abs, retry=retry).functions()
    assert {"key": abs, "operator": actor} == ProcessSpec(abs, actor).functions()
    assert {"operator": actor} == ProcessSpec(None, actor).functions()


def test_specs_are_values():
    assert MapSpec(abs) == MapSpec(abs)
    assert CountSpec("k") != CountSpec("v")
    assert 1 == len({SumSpec("k", "v"), SumSpec("k", "v")})


def test_an_operator_that_is_no_transform_is_refused():
    with pytest.raises(PlanError, match=r"'operator-1' \(operator\) cannot run inside a chain"):
        compile_chain(operators(MapSpec(abs), OperatorSpec()), [], Subtask())


@pytest.mark.parametrize("position", [-2, 1])
def test_an_output_at_a_position_that_does_not_exist_is_refused(position):
    with pytest.raises(PlanError, match=f"leaves position {position} of a chain of 1 operators"):
        compile_chain(operators(MapSpec(abs)), [port(Collected(), position)], Subtask())


def test_a_chain_without_operators_passes_batches_on_untouched():
    first, second = Collected(), Collected()
    batch = ObjectBatch([1])
    chain = compile_chain([], [port(first), port(second)], Subtask())
    chain.process(batch)
    chain.process(ObjectBatch([]))
    assert ([batch], [batch]) == (first.batches, second.batches)


def test_observe_tells_only_counts_that_are_known():
    from actorflow.operators.specs import FilterSpec

    chain = compile_chain(
        operators(MapSpec(abs), FilterSpec(bool), FilterSpec(bool), MapSpec(abs)), [port(Collected(), 3)], Subtask()
    )
    chain.process(ObjectBatch([0, 1, 2]))
    assert {
        "map-0": {"records_in": 3, "records_out": 3},
        "filter-1": {"records_in": 3},
        "filter-2": {"records_out": 2},
        "map-3": {"records_in": 2, "records_out": 2},
    } == chain.observe()
