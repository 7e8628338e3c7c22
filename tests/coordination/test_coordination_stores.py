"""The stores behind the contract: what they keep, and whose writes they refuse."""

import pytest
from coordination_harness import Heard

from actorflow.config import Config
from actorflow.coordination import CheckpointPointer, JobResult, open_coordination
from actorflow.errors import Deposed
from actorflow.ids import JobId

JOB, OTHER = JobId("wordcount-1"), JobId("flights-2")
POINTERS = (CheckpointPointer(1, "/checkpoints/chk-1/manifest.json"), CheckpointPointer(2, "/checkpoints/chk-2/manifest.json"))


@pytest.fixture(params=["none", pytest.param("zookeeper", marks=pytest.mark.slow)])
def leading(request):
    """Give the coordination of a node that leads, and the epoch."""
    if request.param == "zookeeper":
        coordination = request.getfixturevalue("on_zookeeper")()
    else:
        coordination = open_coordination(Config.of({"jobstore.max-capacity": 2}))
    heard = Heard()
    coordination.election.contend(heard.granted, heard.revoked)
    _, epoch = heard.next()
    yield coordination, epoch
    coordination.close()


def test_jobs_are_kept_until_they_are_removed(leading):
    coordination, epoch = leading
    coordination.jobs.put(JOB, b"plan", epoch)
    coordination.jobs.put(OTHER, b"other plan", epoch)
    assert coordination.jobs.read().submissions == {OTHER: b"other plan", JOB: b"plan"}
    coordination.jobs.remove(JOB, epoch)
    coordination.jobs.remove(JOB, epoch)
    assert coordination.jobs.read().submissions == {OTHER: b"other plan"}
    assert coordination.jobs.read().damaged == {}


def test_a_job_that_is_put_again_is_replaced(leading):
    coordination, epoch = leading
    coordination.jobs.put(JOB, b"plan", epoch)
    coordination.jobs.put(JOB, b"rescaled plan", epoch)
    assert coordination.jobs.read().submissions == {JOB: b"rescaled plan"}


def test_the_checkpoints_of_a_job_are_those_recorded_last(leading):
    coordination, epoch = leading
    assert coordination.checkpoints.read(JOB) == ()
    coordination.checkpoints.record(JOB, POINTERS[:1], epoch)
    coordination.checkpoints.record(JOB, POINTERS, epoch)
    assert coordination.checkpoints.read(JOB) == POINTERS
    assert coordination.checkpoints.read(OTHER) == ()
    coordination.checkpoints.remove(JOB, epoch)
    coordination.checkpoints.remove(JOB, epoch)
    assert coordination.checkpoints.read(JOB) == ()


def test_results_are_dirty_until_cleaned(leading):
    coordination, epoch = leading
    coordination.results.put(JOB, b"finished", epoch)
    assert coordination.results.read() == {JOB: JobResult(b"finished", dirty=True)}
    coordination.results.clean(JOB, epoch)
    assert coordination.results.read() == {JOB: JobResult(b"finished", dirty=False)}


def test_the_oldest_clean_results_are_forgotten_first_and_dirty_ones_never(leading):
    coordination, epoch = leading
    coordination.results.put(JobId("dirty"), b"", epoch)
    for number in (3, 1, 2):
        job = JobId(f"job-{number}")
        coordination.results.put(job, b"", epoch)
        coordination.results.clean(job, epoch)
    assert list(coordination.results.read()) == ["dirty", "job-1", "job-2"]


@pytest.mark.parametrize("stale", [-1, 1])
def test_writes_of_another_epoch_are_refused_and_change_nothing(leading, stale):
    coordination, epoch = leading
    coordination.jobs.put(JOB, b"plan", epoch)
    coordination.checkpoints.record(JOB, POINTERS, epoch)
    coordination.results.put(JOB, b"finished", epoch)
    for write in (
        lambda: coordination.jobs.put(JOB, b"stale", epoch + stale),
        lambda: coordination.jobs.remove(JOB, epoch + stale),
        lambda: coordination.checkpoints.record(JOB, (), epoch + stale),
        lambda: coordination.checkpoints.remove(JOB, epoch + stale),
        lambda: coordination.results.put(OTHER, b"stale", epoch + stale),
        lambda: coordination.results.clean(JOB, epoch + stale),
    ):
        with pytest.raises(Deposed):
            write()
    assert coordination.jobs.read().submissions == {JOB: b"plan"}
    assert coordination.checkpoints.read(JOB) == POINTERS
    assert coordination.results.read() == {JOB: JobResult(b"finished", dirty=True)}
