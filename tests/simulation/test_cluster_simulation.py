"""A cluster of the real control machines: workers fail, hang and die, TaskManagers crash, links lose, double and reorder messages.

Every job ends as it must, and nothing is lost, doubled or left.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_bugs import PLANTED
from cluster_invariants import EveryJobEnds, StatusesFollowTheDiagram, cluster_invariants
from cluster_region_bugs import IN_REGIONS
from cluster_stages import IN_STAGES
from cluster_world import World

from actorflow.errors import InvariantViolated
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.testing.simulation import first_failure, sweep


def run(seed, *, invariants=cluster_invariants, **machines):
    return World(seed, invariants, **machines).run()


@pytest.mark.slow
def test_every_job_ends_as_it_must_and_leaves_nothing_over_many_seeds():
    sweep(run, range(200))


@pytest.mark.slow
def test_every_job_ends_as_it_must_and_leaves_nothing_over_very_many_seeds():
    sweep(run, range(200, 1_000))


def test_regions_come_back_alone_over_some_seeds():
    sweep(lambda seed: run(seed, regional=True), range(10))


@pytest.mark.slow
def test_regions_come_back_alone_over_many_seeds():
    sweep(lambda seed: run(seed, regional=True), range(10, 80))


def test_stages_last_over_some_seeds():
    sweep(lambda seed: run(seed, staged=True), range(10))


@pytest.mark.slow
def test_stages_last_over_many_seeds():
    sweep(lambda seed: run(seed, staged=True, regional=seed % 2 == 1), range(10, 120))


def test_the_seeds_see_every_ending_and_several_runs():
    endings, runs = {}, {}
    for seed in range(40):
        watched = [EveryJobEnds(), StatusesFollowTheDiagram()]
        run(seed, invariants=lambda _, watched=watched: watched)
        endings |= dict.fromkeys(watched[0].over.values())
        runs |= dict.fromkeys(attempt for _, attempt in watched[1].last.values())
    assert {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED} == set(endings)
    assert {1, 2, 3} <= set(runs)


@pytest.mark.slow
@pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in (PLANTED | IN_REGIONS | IN_STAGES).items()])
def test_a_planted_bug_is_found(bug):
    failure = first_failure(lambda seed: run(seed, **bug), range(200))
    assert failure is not None
    assert isinstance(failure.__cause__, InvariantViolated), f"it is not the bug that was found, but {failure}"


# --- one seed, one history ---------------------------------------------------------------------------------------------------


def histories(hash_seed):
    """Return the history digest of some seeds, from a fresh process with this `PYTHONHASHSEED`."""
    program = "from test_cluster_simulation import run; print([run(seed).history_hash() for seed in range(5)])"
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_one_seed_is_one_history_in_every_process():
    assert histories(1) == histories(2)
