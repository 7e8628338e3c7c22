"""A cluster on hosts of its own (network namespaces), with keys, whose links are cut, healed and made bad one after the other under a job.

One test, because a cluster takes seconds to start: what it goes through is in its functions, and a failure shows which.
"""

import json
import os
import sys
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path

import network_hosts
import pytest
import zookeeper_server
from script_harness import environment_of
from zookeeper_history import History
from zookeeper_server import ZooKeeperServer

import actorflow as af
from actorflow.cluster.launching import planned_nodes
from actorflow.config import Config
from actorflow.errors import TransportError
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.runtime.jobs.durable_jobs import NUMBERS_OF_EPOCH
from actorflow.transport.curve import CurveKeys

MISSING = network_hosts.missing() or zookeeper_server.missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

DEADLINE_S = 60
SHORT_S = 0.3
"""How long a cut lasts that nobody is to notice; connections are cut that are silent for five times as long."""

KEYS = 7


class Cluster:
    """Two JobManagers and three TaskManagers with one slot each, a ZooKeeper server and a client, all on hosts of their own."""

    def __init__(self, directory):
        self.directory = directory
        self.network = network_hosts.Network()
        self.mark = uuid.uuid4().hex
        self.jobmanagers = {f"jobmanager-{number}": self.network.host(f"jm{number}") for number in (1, 2)}
        self.taskmanagers = {f"taskmanager-{number}": self.network.host(f"tm{number}") for number in (1, 2, 3)}
        self.ensemble, self.here = self.network.host("zk"), self.network.host("client")
        (directory / "zookeeper").mkdir()
        self.zookeeper = ZooKeeperServer(directory / "zookeeper", self.ensemble.address, self.ensemble.prefix())
        CurveKeys.make().save(directory / "key")
        places = [f"{host.address}:6123" for host in self.jobmanagers.values()]
        self.conf = self.configure("conf.yaml", places, self.taskmanagers.values(), directory / "key")

    def configure(self, name, places, taskmanagers, key):
        """Write a file of options."""
        self.settings = {
            "cluster.id": "faults",
            "env.log.level": "info",
            "env.pid.dir": str(self.directory / "run"),
            "jobmanager.hosts": places,
            "taskmanager.hosts": [host.address for host in taskmanagers],
            "taskmanager.numberOfTaskSlots": 1,
            "actorflow.security.curve.key-file": str(key),
            "heartbeat.interval": "500ms",
            "heartbeat.timeout": "3s",
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": self.zookeeper.quorum,
            "high-availability.zookeeper.client.session-timeout": "2s",
            "high-availability.storageDir": str(self.directory / "ha"),
            "execution.checkpointing.interval": "200ms",
            "execution.checkpointing.dir": str(self.directory / "checkpoints"),
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10_000,
            "restart-strategy.fixed-delay.delay": "100ms",
        }
        (self.directory / name).write_text(json.dumps(self.settings))
        return self.directory / name

    def start(self, host, name, conf=None):
        """Start a node on a host; return its process."""
        conf = conf or self.conf
        plans = {plan.name: plan for plan in planned_nodes(Config.of(self.settings, "test"), str(conf))}
        command = [sys.executable, "-m", "actorflow.cli.main", *plans[name].command]
        path = os.pathsep.join(sys.path)
        return host.run(command, self.directory / f"{host.space}.log", PYTHONPATH=path, ACTORFLOW_TEST=self.mark)

    def processes(self):
        needle = f"ACTORFLOW_TEST={self.mark}".encode()
        return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and needle in environment_of(entry)]

    def written(self):
        """Return what readers see: by key the counts, in order."""
        counts = defaultdict(list)
        for path in (self.directory / "out").glob("[!.]*"):
            for line in path.read_text().splitlines():
                key, count = json.loads(line)
                counts[key].append(count)
        return {key: sorted(found) for key, found in counts.items()}

    def lines(self):
        return sum(map(len, self.written().values()))


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.network.close()
    cluster.zookeeper.kill()


def eventually(condition, what):
    """Wait for what files or other processes show."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


class Watched:
    """The job, with the client that watches it."""

    def __init__(self, cluster, client):
        self.cluster, self.client = cluster, client
        self.job = client.submit(counting(cluster.directory / "out"), parallelism=2)
        self.goes_on()

    def goes_on(self):
        """Wait until readers see more."""
        before = self.cluster.lines()
        eventually(lambda: self.cluster.lines() > before, f"nothing more is committed: {self.job.status()}")

    def runs_after(self, attempt):
        """Wait until the client hears that a later attempt runs, and readers see more."""
        job = self.job
        assert job.wait_until(lambda: job.attempts > attempt and job.status() is JobStatus.RUNNING, DEADLINE_S), job.status()
        self.goes_on()

    def leader(self):
        """Return the host that leads, and the other one."""
        leader = self.client._link.leader()
        hosts = list(self.cluster.jobmanagers.values())
        return sorted(hosts, key=lambda host: f"-{host.address}-" not in leader.node)

    def registered(self):
        return len(self.client.cluster().task_managers)


def counting(directory):
    """Counts by key for ever: what is visible of a key is 1, 2, 3 and so on, each once, or something was lost or doubled."""
    pipeline = af.Pipeline("counting")
    numbers = pipeline.read(af.sources.generator(rate=1_000))
    numbers.key_by(lambda number: number % KEYS).count().map(list).write(af.sinks.json_lines(str(directory)))
    return pipeline


def started_in_the_wrong_order(cluster):
    """TaskManagers before JobManagers, and ZooKeeper later than both."""
    for hosts in (cluster.taskmanagers, cluster.jobmanagers):
        for name, host in hosts.items():
            cluster.start(host, name)
        logs = [cluster.directory / f"{host.space}.log" for host in hosts.values()]
        eventually(lambda logs=logs: all(" listens at " in log.read_text() for log in logs), "a node does not listen")
    cluster.zookeeper.start()


def short_cuts(watched):
    """Healed before anybody takes another for lost: the job goes on as if nothing had happened."""
    cluster, attempt = watched.cluster, watched.job.attempts
    leader, standby = watched.leader()
    one, *others = cluster.taskmanagers.values()
    for here, there in ((leader, [one]), (one, others), (cluster.here, [leader, standby])):
        cluster.network.cut(here, *there)
        threading.Event().wait(SHORT_S)
        cluster.network.heal()
        watched.goes_on()
    assert attempt == watched.job.attempts


def bad_links(watched):
    """What TaskManagers send is late, and some of it lost: whether a connection breaks or not, the job goes on."""
    cluster = watched.cluster
    for host in cluster.taskmanagers.values():
        cluster.network.delay_and_lose(host)
    watched.goes_on()
    watched.goes_on()
    cluster.network.heal()
    watched.goes_on()


def taskmanager_cut_off(watched):
    """From the JobManagers, for longer than it is waited for: the job goes on with the spare one, and the TaskManager comes back."""
    cluster, attempt = watched.cluster, watched.job.attempts
    places = str(watched.client._link.facts(watched.job.id).endpoints)
    working = next(host for host in cluster.taskmanagers.values() if f"//{host.address}:" in places)
    cluster.network.cut(working, *cluster.jobmanagers.values())
    watched.runs_after(attempt)
    assert 2 == watched.registered()
    cluster.network.heal()
    eventually(lambda: watched.registered() == 3, "the TaskManager does not come back")


def taskmanagers_cut_off_from_each_other(watched):
    """Data do not pass, messages of the leader do: the job begins again, from its last checkpoint, until data pass."""
    cluster, attempt = watched.cluster, watched.job.attempts
    one, two, three = cluster.taskmanagers.values()
    cluster.network.cut(one, two, three)
    cluster.network.cut(two, three)
    job = watched.job
    assert job.wait_until(lambda: job.attempts > attempt, DEADLINE_S), "the job does not begin again"
    cluster.network.heal()
    watched.runs_after(attempt)


def leader_cut_off_from_zookeeper(watched):
    """Another one leads, and takes the job over; the one before finds out by itself that it leads no longer."""
    cluster = watched.cluster
    leader, _ = watched.leader()
    epoch = watched.client._link.leader().epoch
    cluster.network.cut(leader, cluster.ensemble)
    watched.runs_after(epoch * NUMBERS_OF_EPOCH)
    log = cluster.directory / f"{leader.space}.log"
    eventually(lambda: "leads no longer" in log.read_text(), "the leader goes on")
    cluster.network.heal()
    watched.goes_on()


def client_cut_off(watched):
    """From all JobManagers, for longer than anybody waits: the job goes on, and the client hears of it again."""
    cluster, job = watched.cluster, watched.job
    cluster.network.cut(cluster.here, *cluster.jobmanagers.values())
    heard = job.progress()
    with pytest.raises(TransportError, match="does not answer"):
        watched.client.cluster()
    watched.goes_on()
    cluster.network.heal()
    assert job.wait_until(lambda: job.progress() > heard, DEADLINE_S), "the client hears nothing any more"
    assert 3 == watched.registered()


def stranger(watched):
    """Who has another key is let in by nobody, though ZooKeeper tells where everybody is."""
    cluster = watched.cluster
    CurveKeys.make().save(cluster.directory / "other-key")
    host = cluster.network.host("stranger")
    places = [f"{leader.address}:6123" for leader in cluster.jobmanagers.values()]
    conf = cluster.configure("stranger.yaml", places, [host], cluster.directory / "other-key")
    cluster.start(host, "taskmanager-1", conf)
    log = cluster.directory / f"{host.space}.log"
    eventually(lambda: "follows faults-jobmanager" in log.read_text(), "the stranger does not try")
    with host.inside(), pytest.raises(TransportError, match="does not let us in"):
        af.connect(conf, timeout="2s")
    assert 3 == watched.registered()
    watched.goes_on()


def leaders_move(watched):
    """Both JobManagers end, and one begins at an address that nobody knew: TaskManagers, client and job go on with it."""
    cluster = watched.cluster
    epoch = watched.client._link.leader().epoch
    host = cluster.network.host("jm3")
    conf = cluster.configure("moved.yaml", [f"{host.address}:6123"], [], cluster.directory / "key")
    for old in cluster.jobmanagers.values():
        old.end()
    cluster.start(host, "jobmanager-1", conf)
    watched.runs_after(epoch * NUMBERS_OF_EPOCH)
    eventually(lambda: watched.registered() == 3, "not all TaskManagers have followed")


def test_a_job_survives_whatever_happens_to_the_network(cluster):
    started_in_the_wrong_order(cluster)
    with cluster.here.inside():
        client = af.connect(cluster.conf, timeout="60s")
    with client:
        watched = Watched(cluster, client)
        short_cuts(watched)
        bad_links(watched)
        taskmanager_cut_off(watched)
        taskmanagers_cut_off_from_each_other(watched)
        leader_cut_off_from_zookeeper(watched)
        client_cut_off(watched)
        stranger(watched)
        leaders_move(watched)
        watched.job.stop(cluster.directory / "savepoint", timeout="60s")
    cluster.network.stop()
    assert [] == cluster.processes()
    for counts in cluster.written().values():
        assert counts == list(range(1, len(counts) + 1))
    cluster.zookeeper.kill()
    history = History.read(cluster.directory / "zookeeper")
    assert [] == history.faults
    assert 3 <= history.epochs
