"""Jobs become wider and narrower, asked or by themselves, while workers fail, TaskManagers come and go and links lose messages."""

import pytest
from cluster_scaling import AdaptiveMaster, ScalingWorld
from cluster_world import JobMaster
from scaling_bugs import BUGS

from actorflow.errors import InvariantViolated
from actorflow.testing.simulation import first_failure, sweep

KINDS = pytest.mark.parametrize("kind", [JobMaster, AdaptiveMaster], ids=["rescaled", "adaptive"])


def run(seed, master):
    return ScalingWorld(seed, master=master).run()


@KINDS
def test_jobs_of_changing_width_end_as_they_must_over_some_seeds(kind):
    sweep(lambda seed: run(seed, kind), range(4))


@KINDS
@pytest.mark.slow
def test_jobs_of_changing_width_end_as_they_must_over_many_seeds(kind):
    sweep(lambda seed: run(seed, kind), range(4, 80))


@pytest.mark.slow
@pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in BUGS.items()])
def test_a_bug_that_is_planted_in_the_width_of_jobs_is_found(bug):
    failure = first_failure(lambda seed: run(seed, bug), range(250))
    assert failure is not None
    assert isinstance(failure.__cause__, InvariantViolated), f"it is not the bug that was found, but {failure}"
