"""Jobs run with the slots there are while TaskManagers come and go: all that holds in a cluster holds still, and nobody waits who could run."""

import pytest
from cluster_adaptive import BUGS, AdaptiveWorld

from actorflow.errors import InvariantViolated
from actorflow.testing.simulation import first_failure, sweep


def run(seed, **options):
    return AdaptiveWorld(seed, **options).run()


def test_adaptive_jobs_end_as_they_must_over_some_seeds():
    sweep(run, range(4))


@pytest.mark.slow
def test_adaptive_jobs_end_as_they_must_over_many_seeds():
    sweep(run, range(4, 80))


@pytest.mark.slow
@pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in BUGS.items()])
def test_a_bug_that_is_planted_in_adaptive_jobs_is_found(bug):
    failure = first_failure(lambda seed: run(seed, master=bug), range(60))
    assert failure is not None
    assert isinstance(failure.__cause__, InvariantViolated), f"it is not the bug that was found, but {failure}"
