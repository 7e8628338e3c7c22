"""Batch jobs in stages on several hosts (network namespaces), with keys: partitions are read from one to the other, and written again if a host is lost."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import network_hosts
import pytest

import actorflow as af
from actorflow.cluster.launching import planned_nodes
from actorflow.config import Config
from actorflow.transport.curve import CurveKeys

MISSING = network_hosts.missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

DEADLINE_S = 60
RECORDS, GROUPS = 20_000, 100


class Cluster:
    """A JobManager, three TaskManagers with one slot each, and a client, all on hosts of their own."""

    def __init__(self, directory):
        self.directory = directory
        self.network = network_hosts.Network()
        self.leader, self.here = self.network.host("jm"), self.network.host("client")
        self.taskmanagers = {f"taskmanager-{number}": self.network.host(f"tm{number}") for number in (1, 2, 3)}
        CurveKeys.make().save(directory / "key")
        self.settings = {
            "cluster.id": "stages",
            "env.log.level": "info",
            "env.pid.dir": str(directory / "run"),
            "jobmanager.hosts": [f"{self.leader.address}:6123"],
            "taskmanager.hosts": [host.address for host in self.taskmanagers.values()],
            "taskmanager.numberOfTaskSlots": 1,
            "actorflow.security.curve.key-file": str(directory / "key"),
            "heartbeat.interval": "500ms",
            "heartbeat.timeout": "3s",
        }
        self.conf = directory / "conf.yaml"
        self.conf.write_text(json.dumps(self.settings))
        self.start(self.leader, "jobmanager-1")
        for name, host in self.taskmanagers.items():
            self.start(host, name)
        logs = [directory / f"{host.space}.log" for host in (self.leader, *self.taskmanagers.values())]
        eventually(lambda: all(" listens at " in log.read_text() for log in logs), "a node does not listen")

    def start(self, host, name):
        plans = {plan.name: plan for plan in planned_nodes(Config.of(self.settings, "test"), str(self.conf))}
        command = [sys.executable, "-m", "actorflow.cli.main", *plans[name].command]
        host.run(command, self.directory / f"{host.space}.log", PYTHONPATH=os.pathsep.join(sys.path))


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.network.close()


def eventually(condition, what):
    """Wait for what files or other processes show."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


def counting(directory):
    """Count numbers by groups, and groups by their counts, in two more stages. The last waits for a file `go` once it runs."""

    def first(number):
        return number, "x" * 50

    def last(pair):
        (directory / "reached").touch()
        while not (directory / "go").exists():
            time.sleep(0.01)
        return list(pair)

    config = {
        "execution.batch-shuffle-mode": "ALL_EXCHANGES_BLOCKING",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 2,
        "restart-strategy.fixed-delay.delay": "100ms",
        "execution.batch-records.max": 200,
    }
    pipeline = af.Pipeline("stages", mode="batch", parallelism=2, config=config)
    numbers = pipeline.read(af.sources.collection(range(RECORDS))).map(first)
    counted = numbers.key_by(lambda record: record[0] % GROUPS).count()
    counted.key_by(lambda pair: pair[0] % 10).sum(1).map(last).write(af.sinks.json_lines(str(directory / "out")))
    return pipeline


def test_stages_read_from_other_hosts_and_go_on_without_one_that_is_killed(cluster):
    directory = cluster.directory
    with cluster.here.inside():
        client = af.connect(cluster.conf, timeout="60s")
    with client:
        eventually(lambda: len(client.cluster().task_managers) == 3, "not all TaskManagers have registered")
        job = client.submit(counting(directory), parallelism=2)
        eventually((directory / "reached").exists, f"the last stage does not run: {job.status()}")
        places = str(client._link.facts(job.id).endpoints)
        working = [host for host in cluster.taskmanagers.values() if f"//{host.address}:" in places]
        assert 2 == len(working)
        working[0].end()
        (directory / "go").touch()
        result = job.wait(f"{DEADLINE_S}s")
    assert (RECORDS, 2) == (result.records_in, result.attempts)
    written = [json.loads(line) for path in Path(directory / "out").glob("[!.]*") for line in path.read_text().splitlines()]
    assert [[group, RECORDS // 10] for group in range(10)] == sorted(written)
