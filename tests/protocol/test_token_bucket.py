"""The token bucket on a virtual clock: nobody gets more than the rate, in whatever portions it is taken."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.protocol.transfer.token_bucket import TokenBucket

ROUNDING_S = 1e-9
"""How far sums of times, as floats, may be from the times: far less than anybody waits."""


def test_what_is_there_is_given_at_once_and_the_rest_as_it_flows_in():
    bucket = TokenBucket(rate=100, burst=50, now=0.0)
    assert [0.0, 0.5, 1.5] == [bucket.take(50, 0.0), bucket.take(50, 0.0), bucket.take(100, 0.0)]
    assert bucket.take(100, 1.5) == pytest.approx(1.0)
    assert bucket.take(10, 60.0) == 0.0
    assert bucket.observe() == 40


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 3)), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 100))
def test_no_window_of_time_has_more_than_the_rate_and_a_burst(taken, rate, burst):
    bucket, now = TokenBucket(rate, burst, 0.0), 0.0
    used = []
    for size, pause_s in taken:
        used.append((now + bucket.take(size, now), size))
        bucket.check()
        now += pause_s
    assert all(earlier <= later + ROUNDING_S for (earlier, _), (later, _) in pairwise(used))
    for first, (begin, _) in enumerate(used):
        for last in range(first, len(used)):
            total = sum(size for _, size in used[first + 1 : last + 1])
            assert total <= burst + rate * (used[last][0] - begin) + 1e-6


def test_a_clock_that_goes_back_gives_nothing():
    bucket = TokenBucket(10, 10, 5.0)
    bucket.take(10, 5.0)
    assert bucket.take(10, 4.0) == 1.0
