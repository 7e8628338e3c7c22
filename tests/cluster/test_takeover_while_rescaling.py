"""Leaders that are killed in the middle of a rescale, on a real ZooKeeper server: the job runs as wide as before or as was asked for, and loses nothing."""

import contextlib
import json
import signal
import threading

import pytest
from cluster_processes import ROOT, free_ports, running_cluster, until
from test_cluster_takeover import leading_node
from trickling import counting, expected, written

import actorflow as af
from actorflow.errors import ActorflowError
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.runtime.jobs.durable_jobs import NUMBERS_OF_EPOCH

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(zookeeper, tmp_path):
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    options = {
        "jobmanager.hosts": hosts,
        "rest.port": 0,
        "taskmanager.hosts": ["127.0.0.1"],
        "taskmanager.numberOfTaskSlots": 3,
        "high-availability.zookeeper.quorum": zookeeper.quorum,
        "high-availability.zookeeper.client.session-timeout": "2s",
        "high-availability.storageDir": str(tmp_path / "ha"),
        "execution.checkpointing.interval": "10min",
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
    }
    with running_cluster(tmp_path / "run", "rescaling", ROOT / "conf" / "ha.yaml", **options) as cluster:
        cluster.hosts = hosts
        yield cluster


MOMENTS = {
    "when its run is being ended": lambda job, attempt: job.status() is not JobStatus.RUNNING,
    "when it was just asked for": lambda job, attempt: True,
}


def test_a_leader_that_is_killed_in_the_middle_of_a_rescale_leaves_the_job_at_one_parallelism_or_the_other(cluster, tmp_path):
    with af.connect(cluster.conf) as client:
        job, before = client.submit(counting(tmp_path), parallelism=1), 1
        for (moment, has_come), wanted in zip(MOMENTS.items(), (3, 2), strict=True):
            until(job, lambda: job.status() is JobStatus.RUNNING and job.progress()[0] > 0)
            attempt, leader = job.attempts, leading_node(cluster, client)
            asking = threading.Thread(target=asked, args=(job, wanted))
            asking.start()
            until(job, lambda has_come=has_come, attempt=attempt: has_come(job, attempt))
            cluster.signal(leader, signal.SIGKILL)
            leading_node(cluster, client, leader)
            before_takeover = attempt // NUMBERS_OF_EPOCH
            until(job, lambda n=before_takeover: job.attempts // NUMBERS_OF_EPOCH > n and job.status() is JobStatus.RUNNING)
            asking.join(60)
            assert not asking.is_alive(), moment
            until(job, lambda: job.status() is JobStatus.RUNNING)
            shown = json.loads(cluster.command("status", job.id, "--json", "--cluster", cluster.conf))
            assert shown["parallelism"] in {before, wanted}, moment
            before = shown["parallelism"]
            cluster.start("--wait", "0s")
        (tmp_path / "gate").touch()
        job.wait("60s")
    assert expected() == written(tmp_path)


def asked(job, parallelism):
    with contextlib.suppress(ActorflowError):  # the leader that was asked is gone: the next one may know of it or not
        job.rescale(parallelism, timeout="5s")
