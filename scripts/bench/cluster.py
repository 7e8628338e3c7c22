"""A cluster of processes: how fast it starts, goes on without a TaskManager, deploys and cancels, and whether a job suffers from another one.

*Start*: from `actorflow cluster start` until it says that two TaskManagers have registered, interpreter start included. *Loss*: a job of two
subtasks on two of three TaskManagers of one slot each, checkpoints twice a second, options as they are by default; from the signal to one of the two
until the process that takes its place has its first record. *Deployment*: ten operators that are not chained, in slots that they share, from the
submission until all run, and from the cancellation until all have ended. *Neighbour*: what a busy job reads in a second
while another one, whose user code ends its process by a bad memory access, restarts five times a second; in turn with and without it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from first_records import FirstRecords
from harness import Benchmark, Target, seconds

import actorflow as af

DEADLINE_S = 60.0
ACTORFLOW = [sys.executable, "-m", "actorflow.cli.main"]


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} takes too long"
        time.sleep(0.005)


# --- the start of a cluster ------------------------------------------------------------------------------------------------------


def start(directory: Path) -> float:
    """Return how long `actorflow cluster start` takes."""
    file = configured(directory, "taskmanager.hosts: [127.0.0.1, 127.0.0.1]", "taskmanager.numberOfTaskSlots: 2")
    try:
        return seconds(lambda: run("cluster", "start", file))
    finally:
        run("cluster", "stop", file)


def configured(directory: Path, *lines: str) -> Path:
    """Write the configuration of a cluster of its own."""
    file = directory / "cluster.yaml"
    own = ("cluster.id: bench", "jobmanager.hosts: ['127.0.0.1:0']", f"env.pid.dir: {directory}", *lines)
    file.write_text("\n".join(own), encoding="utf-8")
    return file


def run(*arguments: str | Path) -> None:
    subprocess.run([*ACTORFLOW, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


# --- the loss of a TaskManager ---------------------------------------------------------------------------------------------------


@contextmanager
def three_task_managers(directory: Path) -> Iterator[tuple[af.Client, dict[str, subprocess.Popen[bytes]]]]:
    """Run a cluster whose TaskManagers are known by name."""
    file = configured(directory, "taskmanager.numberOfTaskSlots: 1")
    command = ["--config", str(file)]
    names = [f"tm-{number}" for number in range(3)]
    with (directory / "log").open("ab") as log:

        def begin(*arguments: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen([*ACTORFLOW, *arguments], stdout=log, stderr=log)

        leader = begin("jobmanager", *command)
        processes = {name: begin("taskmanager", *command, "-D", f"taskmanager.resource-id={name}") for name in names}
    try:
        with af.connect(file, timeout="30s") as client:
            wait(lambda: client.cluster().slots == len(names), "registering")
            yield client, processes
    finally:
        for process in (*processes.values(), leader):
            process.terminate()
            process.wait()


def lose(number: int, directory: Path) -> float:
    """Return how long a job pauses when a TaskManager gets signal `number`."""
    first = FirstRecords(directory / "notes")
    config = {"execution.checkpointing.interval": "500ms", "execution.checkpointing.dir": str(directory / "checkpoints")}
    pipeline = af.Pipeline("loss", config=config)
    numbers = pipeline.read(af.sources.generator(rate=20_000.0))
    numbers.key_by(lambda n: n % 1_000).count().write(first)
    with three_task_managers(directory) as (client, processes):
        job = client.submit(pipeline, parallelism=2)
        wait(lambda: len(first.noted()) == 2, "the job")
        wait(lambda: bool(job.checkpoints().completed), "a checkpoint")
        used = next(name for name, (_, free) in client.cluster().task_managers.items() if free == 0)
        before, at = len(first.noted()), time.monotonic()
        processes[used].send_signal(number)
        wait(lambda: len(first.noted()) > before, "going on")
        paused_s = first.noted()[before].at - at
        job.cancel()
        job.wait_until(lambda: job.status().final, DEADLINE_S)
    return paused_s


# --- many subtasks ---------------------------------------------------------------------------------------------------------------


def deploy(parallelism: int, operators: int = 10) -> dict[str, float]:
    """Return how long `operators` x `parallelism` subtasks take to be deployed, and to be cancelled."""
    pipeline = af.Pipeline("many")
    stream = pipeline.read(af.sources.generator(rate=10.0))
    for _ in range(operators - 2):
        stream = stream.map(_same, chain="never")
    stream.write(af.sinks.discard(), chain="never")
    with af.LocalCluster(task_managers=2, slots=-(-parallelism // 2)) as cluster:
        begun = time.monotonic()
        job = cluster.submit(pipeline, parallelism=parallelism)
        assert job.wait_until(lambda: job.status().name == "RUNNING", DEADLINE_S), job.status()
        running = time.monotonic()
        job.cancel()
        assert job.wait_until(lambda: job.status().final, DEADLINE_S), job.status()
        return {"deployed": running - begun, "cancelled": time.monotonic() - running}


def _same(record: int) -> int:
    return record


# --- a neighbour that crashes ----------------------------------------------------------------------------------------------------


def _crash(_: int) -> None:
    faulthandler.disable()  # its pages of stacks are not what is measured
    ctypes.string_at(0)


def neighbour(rounds: int, window_s: float) -> tuple[dict[str, float], int, int]:
    """Return records a second of a job alone and beside one that crashes, how often that one began, and how often the job itself did."""
    busy = af.Pipeline("busy")
    busy.read(af.sources.generator()).key_by(lambda n: n % 1_000).count().write(af.sinks.discard())
    again = {
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 1_000_000,
        "restart-strategy.fixed-delay.delay": "200ms",
    }
    crashing = af.Pipeline("crashing", config=again)
    crashing.read(af.sources.generator(rate=100.0)).map(_crash).write(af.sinks.discard())
    read, crashes = {"alone": 0.0, "beside it": 0.0}, 0
    with af.LocalCluster(task_managers=2, slots=1, config={"actorflow.worker.report-interval": "20ms"}) as cluster:
        job = cluster.submit(busy, parallelism=1)
        wait(lambda: job.progress()[0] > 0, "the first record")
        for _ in range(rounds):
            read["alone"] += rate(job, window_s) / rounds
            other = cluster.submit(crashing, parallelism=1)
            wait(lambda other=other: other.attempts > 1, "the first crash")
            read["beside it"] += rate(job, window_s) / rounds
            crashes += other.attempts
            other.cancel()
            other.wait_until(lambda other=other: other.status().final, DEADLINE_S)
        attempts = job.attempts
        job.cancel()
        with suppress(af.ActorflowError):
            job.wait("60s")
    return read, crashes, attempts


def rate(job: af.Job, window_s: float) -> float:
    first, begun = job.progress()[0], time.monotonic()
    job.wait_until(lambda: False, window_s)
    return (job.progress()[0] - first) / (time.monotonic() - begun)


def in_a_directory(work: Callable[[Path], float]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        return work(Path(directory))


def main() -> None:
    bench = Benchmark("cluster", __doc__)
    rounds = bench.size(5, quick=1)
    bench.compare(
        "start of a cluster, 2 TaskManagers",
        "s",
        {"to all slots registered": lambda: in_a_directory(start)},
        rounds=rounds,
        targets=[Target("to all slots registered", at_most=2.0)],
    )
    bench.compare(
        "a TaskManager is lost, a spare one is there",
        "s",
        {
            "SIGTERM": lambda: in_a_directory(lambda directory: lose(signal.SIGTERM, directory)),
            "SIGKILL": lambda: in_a_directory(lambda directory: lose(signal.SIGKILL, directory)),
        },
        rounds=rounds,
        targets=[Target("SIGTERM", at_most=3.0), Target("SIGKILL", at_most=5.0)],
    )
    slots = bench.size(20, quick=4)
    bench.figures(
        f"{10 * slots} subtasks in {slots} slots",
        "s",
        deploy(slots),
        targets=[Target("deployed", at_most=10.0), Target("cancelled", at_most=10.0)],
    )
    logging.getLogger("actorflow").setLevel(logging.ERROR)  # it would tell of every crash
    read, crashes, attempts = neighbour(bench.size(4, quick=1), bench.size(3, quick=1))
    bench.note(f"the other job began {crashes} times, the busy one {attempts} time")
    bench.figures("a busy job beside one that crashes", "rec/s", read, targets=[Target("beside it", times=0.95, versus="alone")])
    bench.finish()


if __name__ == "__main__":
    main()
