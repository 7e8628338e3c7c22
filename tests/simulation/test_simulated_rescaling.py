"""Jobs are rescaled while workers fail, TaskManagers crash and links lose messages: all that holds in a cluster holds still."""

import pytest
from cluster_rescaling import BUGS, RescalingWorld

from actorflow.errors import InvariantViolated
from actorflow.testing.simulation import first_failure, sweep


def run(seed, **options):
    return RescalingWorld(seed, **options).run()


def test_rescaled_jobs_end_as_they_must_over_some_seeds():
    sweep(run, range(4))


@pytest.mark.slow
def test_rescaled_jobs_end_as_they_must_over_many_seeds():
    sweep(run, range(4, 80))


@pytest.mark.slow
@pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in BUGS.items()])
def test_a_bug_that_is_planted_in_rescaling_is_found(bug):
    failure = first_failure(lambda seed: run(seed, master=bug), range(60))
    assert failure is not None
    assert isinstance(failure.__cause__, InvariantViolated), f"it is not the bug that was found, but {failure}"
