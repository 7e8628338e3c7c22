"""Restart strategies: how often, and after how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import ErrorInfo, Retry
from actorflow.protocol.jobs.restarts import Backoff, ExponentialDelay, FailureRate, FixedDelay, GiveUp, NoRestart, Restart

FAILURE = ErrorInfo("ValueError", "bad record")
HOPELESS = ErrorInfo("PlanError", "no such operator", retry=Retry.NEVER)


@pytest.mark.parametrize("strategy", [NoRestart(), FixedDelay(5), FailureRate(5), ExponentialDelay()])
def test_an_error_that_no_retry_can_help_ends_the_job_under_every_strategy(strategy):
    assert GiveUp("PlanError cannot succeed by trying again") == strategy.decide(HOPELESS, 0.0, 0.5)


def test_without_restarts_the_first_failure_is_final():
    assert GiveUp("the restart strategy is 'none'") == NoRestart().decide(FAILURE, 0.0, 0.5)


def test_fixed_delay_restarts_a_number_of_times():
    strategy = FixedDelay(attempts_max=2, delay_s=3.0)
    decisions = [strategy.decide(FAILURE, now, 0.5) for now in (0.0, 1000.0, 2000.0)]
    strategy.check()
    assert [Restart(3.0), Restart(3.0), GiveUp("all 2 restarts of the fixed-delay strategy are used up")] == decisions


def test_failure_rate_forgets_failures_that_have_left_the_interval():
    strategy = FailureRate(failures_max=2, interval_s=60.0, delay_s=1.0)
    decisions = [strategy.decide(FAILURE, now, 0.5) for now in (0.0, 30.0, 61.0, 62.0)]
    strategy.check()
    assert [Restart(1.0), Restart(1.0), Restart(1.0), GiveUp("more than 2 failures within 60 s")] == decisions


def test_exponential_delay_grows_up_to_its_longest_pause():
    strategy = ExponentialDelay(Backoff(initial_s=1.0, max_s=3.0, multiplier=2.0))
    assert [Restart(1.0), Restart(2.0), Restart(3.0), Restart(3.0)] == [strategy.decide(FAILURE, now, 0.5) for now in range(4)]


def test_exponential_delay_starts_over_after_a_long_good_run():
    strategy = ExponentialDelay(Backoff(initial_s=1.0, max_s=60.0, multiplier=2.0, reset_after_s=100.0))
    decisions = [strategy.decide(FAILURE, now, 0.5) for now in (0.0, 10.0, 111.9, 213.0)]
    assert [Restart(1.0), Restart(2.0), Restart(4.0), Restart(8.0)] == decisions
    assert Restart(1.0) == strategy.decide(FAILURE, 213.0 + 8.0 + 100.0, 0.5)


def test_exponential_delay_gives_up_when_its_attempts_are_used_up():
    strategy = ExponentialDelay(Backoff(attempts_max=1))
    strategy.decide(FAILURE, 0.0, 0.5)
    assert GiveUp("all 1 restarts of the exponential-delay strategy are used up") == strategy.decide(FAILURE, 1.0, 0.5)


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 1, exclude_max=True)), max_size=50))
def test_jitter_keeps_each_pause_within_its_share(failures):
    backoff = Backoff(initial_s=1.0, max_s=60.0, multiplier=1.5, jitter=0.1)
    jittered, plain = ExponentialDelay(backoff), ExponentialDelay(Backoff(1.0, 60.0, 1.5, jitter=0.0, reset_after_s=1e12))
    now = 0.0
    for pause, chance in failures:
        now += min(pause, 3000.0)
        jittered.check()
        got, base = jittered.decide(FAILURE, now, chance), plain.decide(FAILURE, now, 0.0)
        assert base.after_s * 0.9 <= got.after_s <= base.after_s * 1.1
