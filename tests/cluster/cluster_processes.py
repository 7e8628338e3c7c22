"""A cluster of real processes from `conf/cluster.yaml`, at free ports, and the command line that a user would have."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import actorflow as af

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf" / "cluster.yaml"
DEADLINE_S = 60


class Cluster:
    """A cluster that runs. `directory` is its run directory."""

    def __init__(self, conf, parent, name, environment):
        self.conf, self.directory, self.environment = conf, parent / name, environment

    def ran(self, *arguments):
        """Run `actorflow`; return how it ended."""
        return subprocess.run(
            [sys.executable, "-m", "actorflow.cli.main", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=self.environment,
            check=False,
        )

    def command(self, *arguments, code=0):
        """Run `actorflow`; return what it prints."""
        done = self.ran(*arguments)
        assert code == done.returncode, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def start(self, *arguments):
        return self.command("cluster", "start", self.conf, *arguments)

    def stop(self, *arguments):
        return self.command("cluster", "stop", self.conf, *arguments)

    def status(self, code=0):
        done = self.ran("cluster", "status", self.conf, "--json")
        assert (code, "") == (done.returncode, done.stderr)
        return json.loads(done.stdout)

    def pid(self, node):
        return json.loads((self.directory / f"{node}.pid").read_text())["pid"]

    def signal(self, node, number=signal.SIGKILL):
        os.kill(self.pid(node), number)


@contextmanager
def running_cluster(parent, name, conf=CONF, **options):
    """Start a cluster of a file in `conf/` with other options, and make this process a place where clients find it."""
    settings = {"cluster.id": name, "jobmanager.hosts": "127.0.0.1:0", "env.pid.dir": str(parent), **options}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTORFLOW_OVERRIDES", json.dumps(settings))
        cluster = Cluster(conf, parent, name, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        cluster.started = cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def free_ports(count):
    """Return ports that are free now, below the ephemeral ones: each process that runs tests has some of its own to choose from."""
    ports, sockets = [], []
    first = 11_000 + os.getpid() % 200 * 100
    for port in range(first, first + 100):
        candidate = socket.socket()
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            candidate.close()
            continue
        sockets.append(candidate)
        ports.append(port)
        if len(ports) == count:
            break
    for each in sockets:
        each.close()
    return ports


def until(job, condition):
    """Wait until there is news of a job by which `condition()` holds."""
    assert job.wait_until(condition, DEADLINE_S), (job.status(), job.progress())


def endless(name="endless"):
    """A pipeline that counts numbers, and has no end."""
    pipeline = af.Pipeline(name)
    numbers = pipeline.read(af.sources.generator(lambda n: n % 10, rate=2_000))
    numbers.key_by(lambda n: n).count().write(af.sinks.discard())
    return pipeline
