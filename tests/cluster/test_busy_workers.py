"""Workers that are busy with user code for longer than `heartbeat.timeout` are not lost."""

import time

import pytest

import actorflow as af


def sleep_at(n):
    if n == 40:
        time.sleep(3)  # the user's work, not a wait of the test
    return n


@pytest.mark.slow
def test_a_function_that_takes_longer_than_the_heartbeat_timeout_fails_nothing():
    pipeline = af.Pipeline("busy")
    numbers = pipeline.read(af.sources.collection(range(200))).rebalance().map(sleep_at)
    config = {"heartbeat.interval": "200ms", "heartbeat.timeout": "600ms"}
    assert sorted(range(200)) == sorted(af.collect(numbers, slots=2, config=config))
