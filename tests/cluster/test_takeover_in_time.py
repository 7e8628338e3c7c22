"""JobManagers that take over from each other, in virtual time: the output is that of an undisturbed run, whatever the one before still does."""

from pathlib import Path

import pytest
from visible_output import lines_of

import actorflow as af
from actorflow.actor import ActorSystem
from actorflow.actor.simulated import SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.cluster.submitting import planned
from actorflow.config import Config
from actorflow.coordination import open_coordination
from actorflow.errors import CoordinationError, Deposed, Retry
from actorflow.ids import Address, NodeId
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointRequested
from actorflow.protocol.jobs.job_follower import DispatcherFound
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.nodes.task_manager import LeaderFound
from actorflow.runtime.jobs.durable_jobs import NUMBERS_OF_EPOCH, DurableJobs
from actorflow.runtime.jobs.spawning import spawn_job_manager
from actorflow.testing import TestSource
from actorflow.wire.batch import SavepointOrder

LIMIT_S = 3600.0


class Succession:
    """One cluster in one simulated process. Its leaders come one after the other, with epochs from 2; an earlier one goes on unless it is killed."""

    def __init__(self, config):
        self.dispatcher = SimulatedDispatcher(0)
        self.system = ActorSystem(NodeId("test"), clock=ManualClock(0.0, 0), dispatcher=self.dispatcher)
        self.cluster = af.LocalCluster(slots=2, system=self.system, config=config)
        self.cluster._desk._outlives = True
        self.coordination = open_coordination(Config())
        self.fence = self.coordination.election._fence
        self.actors = ()
        self.job = None
        self.lead()

    def lead(self):
        """Have another JobManager lead, and everybody hear of it."""
        self.fence.epoch = epoch = max(self.fence.epoch, 1) + 1
        jobs = DurableJobs(self.coordination, epoch)
        inheritance = jobs.inherit()
        self.actors = resource_manager, dispatcher = spawn_job_manager(self.system, self.cluster.config, epoch=epoch, jobs=jobs)
        dispatcher.tell_control(inheritance)
        self.system.resolve("/task-manager-1").tell_control(LeaderFound(epoch, resource_manager.address, dispatcher.address))
        self.leader = DispatcherFound(dispatcher.address, epoch)
        self.cluster._dispatcher = self.cluster._desk._gateway._dispatcher = dispatcher
        if self.job is not None:
            self.system.resolve(f"/client-{self.job.id}").tell_control(self.leader)
        return inheritance

    def kill(self):
        for actor in self.actors:
            actor.stop(block=False, drain=False)
        self.dispatcher.run_until_idle()

    def submit(self, pipeline):
        start = {"from_savepoint": None, "allow_non_restored_state": False, "claim_mode": "no-claim"}
        submission, config = planned(pipeline, self.cluster.config, parallelism=2, slots=2, **start)
        self.job = self.cluster._desk.submit(submission, config, self.leader)
        return self.job

    def run_until(self, condition):
        self.dispatcher.run_until(condition, LIMIT_S)
        assert condition()

    def run_for(self, seconds):
        self.dispatcher.run_for(seconds)

    def pointers(self):
        return self.coordination.checkpoints.read(self.job.id)


CHECKPOINTED = {"execution.checkpointing.interval": "1s", "restart-strategy.type": "none", "slot.request.timeout": "5s"}


@pytest.fixture
def succession(tmp_path):
    """Start clusters."""
    started = []

    def start(**config):
        stored = {"execution.checkpointing.dir": str(tmp_path / "checkpoints")}
        started.append(Succession(CHECKPOINTED | stored | config))
        return started[-1]

    yield start
    for one in started:
        one.cluster.close()


def counting(directory):
    """Running counts of 40 records that come one each second."""
    source = TestSource()
    for number in range(40):
        source = source.records("abc"[number % 3]).advance("1s")
    pipeline = af.Pipeline("counting")
    pipeline.read(source).key_by(lambda word: word).count().map(str).write(af.sinks.text(str(directory)))
    return pipeline


EXPECTED = sorted(str(("abc"[number % 3], number // 3 + 1)) for number in range(40))


def test_the_next_leader_goes_on_from_the_last_checkpoint_of_the_one_before(succession, tmp_path):
    cluster = succession()
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: len(cluster.pointers()) > 0 and len(lines_of(tmp_path / "out")) > 5)
    cluster.kill()
    inheritance = cluster.lead()
    assert [one.submission.job for one in inheritance.jobs] == [job.id]
    assert inheritance.jobs[0].earlier.completed != ()
    cluster.run_until(lambda: job.status().final)
    assert job.status() is JobStatus.FINISHED
    assert sorted(lines_of(tmp_path / "out")) == EXPECTED


@pytest.mark.slow
def test_a_leader_that_does_not_know_that_it_was_deposed_does_no_harm(succession, tmp_path):
    cluster = succession(**{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": 3})
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: len(lines_of(tmp_path / "out")) > 5)
    cluster.lead()
    cluster.run_until(lambda: len(lines_of(tmp_path / "out")) > 15)
    cluster.lead()
    cluster.run_until(lambda: job.status().final)
    cluster.run_for(60)
    assert job.status() is JobStatus.FINISHED
    assert sorted(lines_of(tmp_path / "out")) == EXPECTED


def test_a_deposed_leader_removes_nothing_that_the_next_one_needs(succession, tmp_path):
    cluster = succession()
    cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: len(cluster.pointers()) > 0)
    cluster.fence.epoch += 1
    before = cluster.pointers()
    cluster.run_for(300)
    assert cluster.pointers() == before
    assert all(Path(pointer.location).exists() for pointer in before)
    assert list(cluster.coordination.jobs.read().submissions) == [cluster.job.id]
    assert not cluster.job.status().final


@pytest.mark.slow
def test_without_checkpoints_the_next_leader_begins_anew(succession, tmp_path):
    cluster = succession(**{"execution.checkpointing.interval": None})
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_for(10)
    cluster.kill()
    cluster.lead()
    cluster.run_until(lambda: job.status().final)
    assert sorted(lines_of(tmp_path / "out")) == EXPECTED


@pytest.mark.parametrize("interval", [None, "1s"], ids=["no checkpoints", "checkpoints in no directory"])
def test_what_a_leader_committed_that_was_lost_before_it_could_write_down_the_end_is_not_committed_again(
    succession, tmp_path, monkeypatch, interval
):
    stored = {"high-availability.type": "zookeeper", "high-availability.zookeeper.quorum": "none:1"}
    options = {"execution.checkpointing.interval": interval, "execution.checkpointing.dir": None}
    cluster = succession(**stored, **options, **{"high-availability.storageDir": str(tmp_path / "ha")})
    refused = []

    def lost(*_):
        refused.append(1)
        raise Deposed("the leader is lost")

    with monkeypatch.context() as patched:
        patched.setattr(type(cluster.coordination.results), "put", lost)
        job = cluster.submit(counting(tmp_path / "out"))
        cluster.run_until(lambda: refused)
    assert sorted(lines_of(tmp_path / "out")) == EXPECTED
    cluster.kill()
    cluster.lead()
    cluster.run_until(lambda: job.status().final)
    assert job.status() is JobStatus.FINISHED
    assert sorted(lines_of(tmp_path / "out")) == EXPECTED
    assert not [path for path in (tmp_path / "ha").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_job_that_had_stopped_with_a_savepoint_goes_on_from_there_if_nobody_knew(succession, tmp_path):
    cluster = succession(**{"execution.checkpointing.interval": "1h"})
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_for(20)
    order = SavepointOrder(str(tmp_path / "savepoint"), "stop")
    cluster.system.send(Address(f"{cluster.leader.dispatcher}/{job.id}"), CheckpointRequested("stop", job._client, order))
    cluster.run_until(lambda: [pointer.location for pointer in cluster.pointers()] == [str(tmp_path / "savepoint")])
    cluster.kill()
    cluster.lead()
    cluster.run_until(lambda: job.status().final)
    assert job.status() is JobStatus.FINISHED
    assert sorted(lines_of(tmp_path / "out")) == EXPECTED


@pytest.mark.slow
def test_numbers_of_runs_and_checkpoints_are_of_their_epoch(succession, tmp_path):
    cluster = succession()
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: len(cluster.pointers()) > 0)
    assert cluster.pointers()[-1].checkpoint == NUMBERS_OF_EPOCH + 1
    assert job.attempts == NUMBERS_OF_EPOCH + 1
    cluster.kill()
    cluster.lead()
    cluster.run_until(lambda: cluster.pointers()[-1].checkpoint > 2 * NUMBERS_OF_EPOCH)
    assert job.attempts == 2 * NUMBERS_OF_EPOCH + 1


def test_a_job_that_is_over_is_not_run_again_and_leaves_nothing_but_its_result(succession, tmp_path):
    cluster = succession()
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: job.status().final)
    cluster.kill()
    inheritance = cluster.lead()
    assert inheritance.jobs == ()
    assert [(one.name, one.news.status) for one in inheritance.over] == [("counting", JobStatus.FINISHED)]
    assert cluster.coordination.jobs.read().submissions == {}
    assert cluster.pointers() == ()
    assert not [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_who_asks_the_next_leader_for_a_job_that_is_over_hears_how_it_ended(succession, tmp_path):
    cluster = succession()
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: job.status().final)
    cluster.kill()
    cluster.lead()
    again = cluster.cluster._desk.attach(job.id, "counting", cluster.leader, None)
    cluster.run_until(lambda: again.status().final)
    assert again.status() is JobStatus.FINISHED


@pytest.mark.slow
def test_a_job_is_accepted_when_it_is_stored_and_not_before(succession, tmp_path, monkeypatch):
    cluster = succession()
    answers = [CoordinationError("not now"), None]
    put = type(cluster.coordination.jobs).put

    def failing(store, *arguments):
        error = answers.pop(0)
        if error is not None:
            assert not job.status().final
            assert cluster.coordination.jobs.read().submissions == {}
            raise error
        put(store, *arguments)

    monkeypatch.setattr(type(cluster.coordination.jobs), "put", failing)
    monkeypatch.setattr("actorflow.runtime.jobs.durable_jobs.WRITE_AGAIN_S", 0.0)
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: job.status().final)
    assert answers == []
    assert job.status() is JobStatus.FINISHED


@pytest.mark.slow
def test_a_job_that_cannot_be_stored_fails_by_name(succession, tmp_path, monkeypatch):
    cluster = succession()

    def refused(*_):
        raise CoordinationError("permission denied", retry=Retry.NEVER)

    monkeypatch.setattr(type(cluster.coordination.jobs), "put", refused)
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: job.status().final)
    with pytest.raises(af.JobFailed, match="permission denied"):
        job.result()


@pytest.mark.slow
def test_a_job_whose_checkpoints_are_lost_fails_by_name_and_the_others_go_on(succession, tmp_path):
    cluster = succession()
    job = cluster.submit(counting(tmp_path / "out"))
    cluster.run_until(lambda: len(cluster.pointers()) > 0)
    cluster.kill()
    for pointer in cluster.pointers():
        Path(pointer.location).write_bytes(b"torn")
    other = cluster.submit(counting(tmp_path / "other"))
    inheritance = cluster.lead()
    assert inheritance.jobs == ()
    (lost,) = inheritance.over
    assert (lost.news.job, lost.news.status) == (job.id, JobStatus.FAILED)
    assert "its last checkpoint cannot be read" in str(lost.news.error)
    cluster.run_until(lambda: other.status().final)
    assert sorted(lines_of(tmp_path / "other")) == EXPECTED
