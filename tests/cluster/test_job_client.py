"""The client's end of a job: results are taken one by one, and nothing stays behind a job but its handle."""

import gc
import time
import weakref

import pytest

import actorflow as af
from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.cluster.job_news import JobClient, JobNews
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId
from actorflow.protocol.jobs.job_follower import DispatcherFound, JobFollower
from actorflow.protocol.jobs.job_messages import JobStatus, JobStatusChanged
from actorflow.protocol.nodes.client_messages import AttachClient, ResultsReceived, ResultsSent

JOB = JobId("job")
WRITER = SubtaskId(VertexId("write"), 1)


class Ear(Actor):
    """Stands for the Dispatcher: keeps what it hears."""

    def __init__(self, heard):
        super().__init__()
        self.heard = heard

    def on_receive(self, message):
        self.heard.append(message)


@pytest.fixture
def client():
    """Return a function that tells a client messages; it returns whether the client lives, what it knows, and what the Dispatcher hears."""
    system = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))
    heard, news = [], JobNews()
    system.spawn(Ear, heard, name="dispatcher")
    follower = JobFollower(JOB, Address("sim/client"), None, None)
    ref = system.spawn(JobClient, follower, news, name="client")
    ref.tell_control(DispatcherFound(Address("sim/dispatcher"), 1))

    def tell(*messages):
        for message in messages:
            ref.tell_control(message)
        system.dispatcher.run_until_idle()
        return system.find("/client") is not None, news, heard

    return tell


def test_a_chunk_is_acknowledged_when_it_was_taken(client):
    _, news, heard = client(ResultsSent(JOB, WRITER, 2, 1, b"a"), ResultsSent(JOB, WRITER, 2, 2, b"b"))
    acknowledged = [ResultsReceived(JOB, WRITER, 2, number) for number in (1, 2)]
    assert ({WRITER: [b"a", b"b"]}, [AttachClient(JOB, Address("sim/client")), *acknowledged]) == (news.chunks, heard)


@pytest.mark.parametrize("status", [status for status in JobStatus if status.final])
def test_a_client_ends_with_its_job_and_what_it_knows_stays(client, status):
    assert client(JobStatusChanged(JOB, JobStatus.RUNNING, 1))[0]
    alive, news, _ = client(ResultsSent(JOB, WRITER, 1, 1, b"a"), JobStatusChanged(JOB, status, 1))
    assert (False, status, {WRITER: [b"a"]}) == (alive, news.status, news.chunks)


# --- what a cluster keeps of a job ----------------------------------------------------------------------------------------------


class Payload:
    """A record that can be looked for."""


def collecting(records, fail=False):
    pipeline = af.Pipeline("kept")
    pipeline.read(af.sources.collection(records)).map(lambda n: 1 // 0 if fail else n).write(af.sinks.collect())
    return pipeline


@pytest.mark.parametrize("fail", [False, True])
def test_of_a_job_that_is_over_no_actor_stays(slots, fail):
    with af.LocalCluster(slots=slots) as cluster:
        before = set()
        for _ in range(3):
            job = cluster.submit(collecting(range(10), fail), parallelism=1)
            assert job.wait_until(lambda job=job: job.status().final, 20)
            deadline = time.monotonic() + 20
            while kept(cluster) and time.monotonic() < deadline:
                job.wait_until(lambda: not kept(cluster), 0.02)  # of a job that is over there is no news to wait for
            before |= kept(cluster)
        assert set() == before


def kept(cluster):
    return {row.path for row in cluster.system.tree() if "kept" in row.path}


def test_the_records_of_a_job_that_is_over_are_forgotten_with_its_pipeline_and_handle():
    record = Payload()
    gone = weakref.ref(record)
    with af.LocalCluster(slots="inline") as cluster:
        assert 1 == len(cluster.submit(collecting([record]), parallelism=1).wait("20s").results)
        second = cluster.submit(collecting([1]), parallelism=1)
        second.wait("20s")
        del record
        # The worker of a job ends a moment after the job.
        assert second.wait_until(lambda: gc.collect() >= 0 and gone() is None and not cluster._planes, 20)


def test_an_operator_of_a_job_that_is_over_cannot_be_reached():
    with af.LocalCluster(slots="inline") as cluster:
        job = cluster.submit(collecting([1]), parallelism=1)
        job.wait("20s")
        with pytest.raises(af.ActorflowError, match="job 'kept' does not run now: it is finished"):
            job.operator("map")
