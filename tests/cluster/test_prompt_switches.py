"""A thread that waits for the interpreter beside a busy job gets it: it asks for it before the dispatcher's next poll."""

import sys

import pytest

import actorflow as af
from actorflow.actor import prompt_switches
from actorflow.actor.dispatcher import SLICE_S


@pytest.fixture
def usual():
    """Begin and end with an interval that is longer than a slice, as CPython's is."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield 0.005
    sys.setswitchinterval(before)


def test_functions_of_users_run_with_an_interval_shorter_than_a_slice(slots, usual):
    intervals = af.Pipeline("intervals").read(af.sources.collection(range(3))).map(lambda _: sys.getswitchinterval())

    assert all(0 < interval < SLICE_S for interval in af.collect(intervals, slots=slots))
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_the_interval_is_the_former_one_again_after_a_failure(usual):
    with pytest.raises(ZeroDivisionError), prompt_switches():
        assert sys.getswitchinterval() < SLICE_S
        _ = 1 / 0

    assert sys.getswitchinterval() == pytest.approx(usual)


def test_a_shorter_interval_is_left_alone(usual):
    sys.setswitchinterval(0.0001)
    with prompt_switches():
        assert sys.getswitchinterval() == pytest.approx(0.0001)
    assert sys.getswitchinterval() == pytest.approx(0.0001)
