"""Retry policies as values."""

import pickle

import pytest

from actorflow.errors import PlanError
from actorflow.operators.asynchronous.retry import RetryPolicy


def test_a_fixed_delay_stays_the_same():
    policy = RetryPolicy.fixed(delay_ms=250)
    assert [0.25] * 4 == [policy.delay_s(attempt) for attempt in range(1, 5)]


def test_an_exponential_delay_grows_up_to_its_maximum():
    policy = RetryPolicy.exponential(delay_ms=100, multiplier=3, delay_max_ms=1000)
    assert [0.1, 0.3, 0.9, 1.0, 1.0] == [policy.delay_s(attempt) for attempt in range(1, 6)]


def test_exceptions_are_chosen_by_type_or_by_predicate():
    by_type = RetryPolicy.fixed(retry_on=(OSError, KeyError))
    by_text = RetryPolicy.fixed(retry_on=lambda error: "busy" in str(error))
    assert [True, True, False] == [by_type.wants_retry_after(error) for error in (ConnectionError(), KeyError(), ValueError())]
    assert [True, False] == [by_text.wants_retry_after(error) for error in (ValueError("busy"), ValueError("no"))]


def test_a_process_ending_exception_is_not_retried_unless_asked():
    assert not RetryPolicy.fixed().wants_retry_after(SystemExit())


def test_results_are_chosen_by_predicate():
    policy = RetryPolicy.fixed(retry_if=lambda result: result < 0)
    assert [True, False] == [policy.wants_better_than(result) for result in (-1, 1)]
    assert not RetryPolicy.fixed().wants_better_than(None)


@pytest.mark.parametrize("wrong", [{"attempts_max": 0}, {"delay_ms": -1}, {"multiplier": 0.5}, {"delay_max_ms": -1}])
def test_an_impossible_policy_is_refused(wrong):
    with pytest.raises(PlanError, match="a retry policy cannot have"):
        RetryPolicy.exponential(**wrong)


def test_a_policy_is_a_value():
    policy = RetryPolicy.fixed(retry_on=OSError)
    assert policy == pickle.loads(pickle.dumps(policy))
