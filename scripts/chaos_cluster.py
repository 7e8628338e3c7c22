"""Chaos for a whole cluster: kills and stops its leaders and TaskManagers under a job, and compares what it commits with an undisturbed run.

Three JobManagers and three TaskManagers, as `actorflow cluster start` has them, on a real ZooKeeper server; a job with counts and windows by
key, which writes two directories of files. For so many seconds one blow follows another, as the seed says:

    leader killed          SIGKILL to the process that leads; it is started again, and stands by
    leader killed twice    and the next one as soon as it leads, before the job runs again
    leader stopped         SIGSTOP; when another leads and the job runs again, SIGCONT: it believes to lead for a moment
    TaskManager killed     SIGKILL to one of those that hold slots or do not; it is started again

In the end the committed lines are those of the undisturbed run, nothing of the job is left in storage, no process lives, and **the history that
ZooKeeper itself has written** tells that never two leaders acted: between the transaction that raises the epoch and the next such one, all
transactions about jobs, checkpoints and results are of the session that raised it. TaskManagers have followed rising epochs only.

Exit code 1 if any of this is not so, with the directory where all logs are.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chaos_rounds import committed, differences

import actorflow as af
from actorflow.cluster.client import Client
from actorflow.cluster.launching import Launcher, planned_nodes
from actorflow.config import Config
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.runtime.jobs.durable_jobs import NUMBERS_OF_EPOCH

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from zookeeper_history import History
from zookeeper_server import ZooKeeperServer, missing

KEYS = 61
AGAIN_S, END_S = 60.0, 120.0
"""How long the job may take to run again after a blow, and to end after the last one."""

BLOWS = ("leader killed", "leader killed", "leader killed twice", "leader stopped", "TaskManager killed")


def job(output: Path, count: int, rate: float) -> af.Pipeline:
    """Return the pipeline. What it writes depends on nothing but the numbers: every reader's are in order, so no record is late."""
    pipeline = af.Pipeline("cluster-chaos", parallelism=2)
    numbers = pipeline.read(af.sources.generator(count=count, rate=rate))
    keyed = numbers.with_timestamps(lambda number: number * 10, af.Watermarks.monotonous()).key_by(lambda number: number % KEYS)
    keyed.count().map(str).write(af.sinks.text(str(output / "counts")))
    sums = keyed.window(af.windows.tumbling("2s")).sum(lambda number: number)
    sums.map(lambda w: f"{w.key} {w.window.start} {w.value}").write(af.sinks.text(str(output / "sums")))
    return pipeline


def undisturbed(count: int) -> Counter[str]:
    """Return the lines of a run that nothing happens to."""
    with tempfile.TemporaryDirectory() as directory:
        af.run(job(Path(directory), count, 1e9), slots="inline", progress=False)
        return committed(Path(directory))


# --- the cluster ---------------------------------------------------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, below those that the kernel gives to connections, and above those of ZooKeeper servers, which are slow to listen."""
    with ExitStack() as stack:
        ports: list[int] = []
        for port in random.Random(os.getpid()).sample(range(30_000, 32_000), 100):
            candidate = stack.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise SystemExit("no ports are free")


class Cluster:
    """The processes of a cluster, each of which can be struck and started again.

    Args:
        directory: for all that they write.
        quorum: where ZooKeeper is.
        session_timeout_s: how long a silent leader stays the leader.
    """

    def __init__(self, directory: Path, quorum: str, session_timeout_s: float) -> None:
        self.conf = directory / "conf.yaml"
        self.ports = free_ports(3)
        settings = {
            "cluster.id": "chaos",
            "env.log.level": "info",
            "env.pid.dir": str(directory / "run"),
            "jobmanager.hosts": [f"127.0.0.1:{port}" for port in self.ports],
            "taskmanager.hosts": ["127.0.0.1"] * 3,
            "taskmanager.numberOfTaskSlots": 1,
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": quorum,
            "high-availability.zookeeper.client.session-timeout": f"{session_timeout_s}s",
            "high-availability.storageDir": str(directory / "ha"),
            "execution.checkpointing.interval": "300ms",
            "execution.checkpointing.dir": str(directory / "checkpoints"),
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10_000,
            "restart-strategy.fixed-delay.delay": "100ms",
        }
        self.conf.write_text(json.dumps(settings), encoding="utf-8")
        (directory / "run").mkdir(mode=0o700)
        self.logs = directory / "logs"
        self._launcher = Launcher(directory / "run", self.logs)
        self._plans = {plan.name: plan for plan in planned_nodes(Config.of(settings, "chaos"), str(self.conf))}

    @property
    def names(self) -> list[str]:
        """The nodes, JobManagers first."""
        return list(self._plans)

    def start(self, *names: str) -> None:
        """Start nodes that do not run."""
        for name in names:
            self._launcher.start(self._plans[name])

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node; return when it has ended, if it is killed."""
        pid = self._launcher.pid(name)
        assert pid is not None, f"{name} does not run"
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, number)
        if number == signal.SIGKILL:
            select.select([process], [], [])
        os.close(process)

    def stop(self) -> list[str]:
        """End all nodes; return those that did not end by themselves."""
        return self._launcher.stop(self.names)

    def log(self, name: str) -> str:
        """Return what a node has logged so far."""
        return self._launcher.log_of(name).read_text(encoding="utf-8", errors="replace")

    def leader(self) -> tuple[int, str] | None:
        """Return the highest epoch that JobManagers say to lead in, and the name of that one."""
        led = [(max(epochs), name) for name in self.names if (epochs := self.epochs(name, r"leads in epoch (\d+), with"))]
        return max(led, default=None)

    def epochs(self, name: str, pattern: str) -> list[int]:
        """Return the epochs that a node's log names."""
        return [int(epoch) for epoch in re.findall(pattern, self.log(name))] if self._launcher.log_of(name).exists() else []


# --- blows -----------------------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A job on a cluster that is struck."""

    cluster: Cluster
    client: Client
    running: af.Job
    draw: random.Random
    blows: Counter[str] = field(default_factory=Counter)
    takeovers_s: list[float] = field(default_factory=list)
    """From SIGKILL to a leader until the job runs again under another one."""

    def strike(self, blow: str) -> None:
        """Carry out one blow, and wait until the job runs again, or is over."""
        self.blows[blow] += 1
        match blow:
            case "TaskManager killed":
                name = self.draw.choice(self.cluster.names[3:])
                self.cluster.send(name, signal.SIGKILL)
                self.cluster.start(name)
            case "leader stopped":
                epoch, name = self._led_after(0)
                self.cluster.send(name, signal.SIGSTOP)
                self._again_after(epoch)
                self.cluster.send(name, signal.SIGCONT)
            case _:
                epoch, name = self._led_after(0)
                self.cluster.send(name, signal.SIGKILL)
                killed = [name]
                if blow == "leader killed twice":
                    epoch, name = self._led_after(epoch)
                    self.cluster.send(name, signal.SIGKILL)
                    killed.append(name)
                began = time.monotonic()
                self._again_after(epoch)
                self.takeovers_s.append(time.monotonic() - began)
                self.cluster.start(*killed)

    def _led_after(self, epoch: int) -> tuple[int, str]:
        """Wait until somebody leads in a later epoch; return that, and who."""
        deadline = time.monotonic() + AGAIN_S
        while (led := self.cluster.leader()) is None or led[0] <= epoch:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody leads after epoch {epoch}")
            time.sleep(0.005)
        return led

    def _again_after(self, epoch: int) -> None:
        def again() -> bool:
            led = self.running.attempts > epoch * NUMBERS_OF_EPOCH
            return self.running.status().final or (led and self.running.status() is JobStatus.RUNNING)

        if not self.running.wait_until(again, AGAIN_S):
            raise TimeoutError(
                f"the job is {self.running.status().value} {AGAIN_S:g} s after the leader of epoch {epoch} was struck"
            )

    def strike_for(self, seconds: float, pause_s: float) -> None:
        """Strike for so long, unless the job ends."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.running.status().final:
            self.strike(self.draw.choice(BLOWS))
            time.sleep(self.draw.uniform(0, 2 * pause_s))


def play(directory: Path, given: argparse.Namespace, say: Callable[[str], None]) -> list[str]:
    """Run the job, strike the cluster, and return what is wrong."""
    count = int(given.seconds * given.rate * 0.6)
    expected = undisturbed(count)
    (directory / "zookeeper").mkdir()
    zookeeper = ZooKeeperServer(directory / "zookeeper")
    cluster = Cluster(directory, zookeeper.start().quorum, given.session_timeout)
    faults = []
    try:
        cluster.start(*cluster.names)
        with af.connect(cluster.conf, timeout="30s") as client:
            running = client.submit(job(directory / "out", count, given.rate))
            if not running.wait_until(lambda: running.status() is JobStatus.RUNNING, AGAIN_S):
                raise TimeoutError("the job does not begin")
            run = Run(cluster, client, running, random.Random(given.seed))
            run.strike_for(given.seconds, given.pause)
            running.wait(timeout=END_S * 1000)
    except (af.ActorflowError, TimeoutError) as error:
        faults.append(str(error))
    finally:
        faults += [f"{name} did not end by itself" for name in cluster.stop()]
        zookeeper.kill()
    if not faults:
        say(", ".join(f"{blow}: {times}" for blow, times in sorted(run.blows.items())))
        took = sorted(run.takeovers_s) or [0.0]
        bar_s = given.session_timeout + 2
        say(
            f"SIGKILL of a leader to the job running again: {took[0]:.2f} s to {took[-1]:.2f} s, median {took[len(took) // 2]:.2f} s"
            f" (session time-out {given.session_timeout:g} s; {sum(one > bar_s for one in took)} of {len(took)} above {bar_s:g} s)"
        )
    history = History.read(directory / "zookeeper")
    say(
        f"{history.epochs} epochs, {history.writes} writes of leaders, {len(history.faults)} of them by another than that of the epoch"
    )
    faults += history.faults + differences(expected, committed(directory / "out"))
    for name in cluster.names[3:]:
        followed = cluster.epochs(name, r"follows \S+, which leads in epoch (\d+)")
        if followed != sorted(followed):  # a process that is started again may see the same one again
            faults.append(f"{name} has followed epochs {followed}")
    return faults + [f"left: {path.relative_to(directory)}" for path in leftovers(directory)]


def leftovers(directory: Path) -> list[Path]:
    """Return the files of the job that should not be there after its end."""
    stored = [path for kept in ("checkpoints", "ha") for path in sorted((directory / kept).rglob("*")) if path.is_file()]
    stored = [path for path in stored if path.parent.name != "archive"]  # how it looked at its end is kept
    return stored + sorted((directory / "out").glob("*/.*"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; return 1 if something went wrong, else 0."""
    parser = argparse.ArgumentParser(prog="scripts/chaos --cluster", description="Strike the processes of a cluster under a job.")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to strike (120); the job takes longer")
    parser.add_argument(
        "--pause", type=float, default=1.0, help="seconds between the job running again and the next blow, on average (1)"
    )
    parser.add_argument("--rate", type=float, default=1000.0, help="records a second (1000)")
    parser.add_argument("--session-timeout", type=float, default=2.0, help="of ZooKeeper, in seconds (2)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="which blows")
    given = parser.parse_args(arguments)
    reason = missing()
    if reason is not None:
        print(f"scripts/chaos --cluster: {reason}", file=sys.stderr)
        return 2
    logging.getLogger("actorflow").setLevel(logging.CRITICAL)  # it warns of each failure, and these are meant
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    faults = play(directory, given, print)
    verdict = "FAILED" if faults else "identical"
    print(f"seed {given.seed} {time.monotonic() - began:.0f} s  {verdict}")
    print("".join(f"  {fault}\n" for fault in faults), end="")
    if faults:
        print(f"  see {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
