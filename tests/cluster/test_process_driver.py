"""TaskManagers that the JobManager starts itself: real processes, which come when jobs need them, and are never left behind."""

import os
import select
import signal
import threading
import time
from contextlib import suppress

import pytest
from cluster_processes import CONF, DEADLINE_S, ROOT, endless, free_ports, running_cluster, until

import actorflow as af
from actorflow.cluster.process_driver import ProcessDriver
from actorflow.cluster.resource_drivers import end_task_managers
from actorflow.config import Config, layered
from actorflow.ids import NodeId

pytestmark = pytest.mark.slow

HA_CONF = ROOT / "conf" / "ha.yaml"
ELASTIC = {
    "actorflow.resourcemanager.driver": "process",
    "slotmanager.number-of-slots.max": 4,
    "taskmanager.numberOfTaskSlots": 2,
    "taskmanager.hosts": "",
}


def driver_of(parent, name):
    return ProcessDriver(layered(Config.of({"cluster.id": name, "env.pid.dir": str(parent), "jobmanager.rpc.port": 0})))


def wait_for_the_end_of(*pids):
    """Wait until processes have ended that are nobody's children here."""
    for pid in pids:
        with suppress(ProcessLookupError):
            watched = os.pidfd_open(pid)
            ended, _, _ = select.select([watched], [], [], DEADLINE_S)
            os.close(watched)
            assert ended, f"process {pid} does not end"


def wait_until(condition):
    """Ask until the answer is as it should be: nobody tells of this by itself."""
    deadline, nothing = time.monotonic() + DEADLINE_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this in time"
        nothing.wait(0.02)


def test_a_task_manager_is_found_by_whoever_looks_for_as_long_as_it_lives(tmp_path):
    driver, next_leader = driver_of(tmp_path, "a"), driver_of(tmp_path, "a")
    try:
        for name in ("a-1", "a-2"):
            driver.request_task_manager(NodeId(name))
        assert ["a-1", "a-2"] == sorted(driver.task_managers())
        wait_until(lambda: driver.found() == next_leader.found())
        assert [] == list(driver_of(tmp_path, "b").task_managers()), "another cluster's are none of its own"
        assert 0o600 == (tmp_path / "a" / "taskmanager.json").stat().st_mode & 0o777
        next_leader.release_task_manager(NodeId("a-1"))
        assert ["a-2"] == list(driver.task_managers())
        pid = driver.found()["a-2"]
        os.kill(pid, signal.SIGKILL)
        wait_for_the_end_of(pid)
        assert [] == list(driver.task_managers())
        driver.release_task_manager(NodeId("a-2"))
    finally:
        end_task_managers(driver)


def test_one_that_no_leader_wants_ends_by_itself(tmp_path):
    config = {
        "cluster.id": "a",
        "env.pid.dir": str(tmp_path),
        "jobmanager.rpc.port": 0,
        "taskmanager.registration.timeout": "200ms",
    }
    driver = ProcessDriver(layered(Config.of(config)))
    driver.request_task_manager(NodeId("a-1"))
    wait_for_the_end_of(*driver.found().values())
    assert "no JobManager has taken its slots for 0.2 s" in (tmp_path / "a" / "log" / "a-1.out").read_text()


def test_they_come_when_a_job_lacks_slots_and_go_when_they_are_idle(tmp_path):
    with running_cluster(tmp_path, "elastic", **ELASTIC, **{"resourcemanager.taskmanager-timeout": "100ms"}) as cluster:
        driver = driver_of(tmp_path, "elastic")
        assert "0 TaskManagers with 0 slots" in cluster.started
        with af.connect(str(CONF)) as client:
            job = client.submit(endless(), parallelism=3)
            until(job, lambda: job.status().name == "RUNNING")
            started = driver.found()
            shown = [node["state"] for node in cluster.status()["nodes"][1:]]
            assert sorted(f"process {pid}" for pid in started.values()) == sorted(shown)
            assert 2 == len(shown)
            job.cancel()
            until(job, lambda: job.status().final)
        wait_for_the_end_of(*started.values())
        assert {} == driver.found()


def test_they_survive_their_leader_serve_the_next_one_and_end_with_the_cluster(tmp_path):
    options = {**ELASTIC, "slotmanager.number-of-slots.min": 4, "actorflow.slot.offer-interval": "200ms"}
    with running_cluster(tmp_path, "elastic", **options) as cluster:
        driver = driver_of(tmp_path, "elastic")
        with af.connect(str(CONF)) as client:
            wait_until(lambda: client.cluster().slots == 4)
        first = driver.found()
        leader = cluster.pid("jobmanager-1")
        os.kill(leader, signal.SIGKILL)
        wait_for_the_end_of(leader)
        assert first == driver.found(), "nobody has told them to end"
        cluster.start()
        with af.connect(str(CONF)) as client:
            wait_until(lambda: client.cluster().slots == 4)
            assert (set(first), first) == (set(client.cluster().task_managers), driver.found())
            job = client.submit(endless(), parallelism=4)
            until(job, lambda: job.status().name == "RUNNING")
    assert {} == driver.found()


def test_a_job_goes_on_under_the_next_leader_on_the_same_task_managers(tmp_path, zookeeper):
    options = {
        **ELASTIC,
        "jobmanager.hosts": [f"127.0.0.1:{port}" for port in free_ports(2)],
        "high-availability.zookeeper.quorum": zookeeper.quorum,
        "high-availability.zookeeper.client.session-timeout": "1s",
        "high-availability.storageDir": str(tmp_path / "ha"),
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
    }
    with running_cluster(tmp_path, "elastic-ha", HA_CONF, **options) as cluster:
        driver = driver_of(tmp_path, "elastic-ha")
        with af.connect(str(HA_CONF)) as client:
            job = client.submit(endless(), parallelism=3)
            until(job, lambda: job.status().name == "RUNNING")
            first, leader = driver.found(), client.cluster().leader
            before = job.attempts
            cluster.signal(f"jobmanager-{1 + options['jobmanager.hosts'].index(leader.removeprefix('tcp://'))}")
            until(job, lambda: job.attempts > before and job.status().name == "RUNNING")
            assert first == driver.found()
    assert {} == driver.found()


def test_why_none_comes_is_in_the_status_of_the_job_that_waits(tmp_path, monkeypatch):
    (tmp_path / "broken_driver.py").write_text(
        "class Broken:\n"
        "    def __init__(self, config): ...\n"
        "    def request_task_manager(self, name): raise RuntimeError('the cloud is full')\n"
        "    def release_task_manager(self, name): ...\n"
        "    def task_managers(self): return []\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    options = {**ELASTIC, "actorflow.resourcemanager.driver": "broken_driver:Broken"}
    with running_cluster(tmp_path, "broken", **options) as cluster, af.connect(str(CONF)) as client:
        job = client.submit(endless(), parallelism=2)
        wait_until(lambda: (error := client.find(job.id).error) is not None and "none is coming" in error.message)
        said = cluster.command("status", job.id, "--cluster", CONF)
        assert "needs 2 slots, 0 of 0 registered on 0 TaskManagers are free; none is coming: the cloud is full" in " ".join(
            said.split()
        )
