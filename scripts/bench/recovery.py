"""Recovery of a killed slot worker: from SIGKILL to the first record that the next one gives its sink, with 100 MB of keyed state.

One slot holds a hundred thousand keys of a kilobyte each. Once a checkpoint holds them all the worker is killed; the next one goes on from
that checkpoint, with a restart strategy that waits a tenth of a second. The state is read from copies on the host (local recovery), or from where
checkpoints are stored: here a directory of the same disk, so that what a real distance would cost comes on top of it. The bytes that were
read from either are counted by the subtasks themselves.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from first_records import FirstRecords
from harness import Benchmark, Target

import actorflow as af
from actorflow.ids import SubtaskId
from actorflow.protocol.checkpoints.checkpoint_messages import SubtaskTimes

VALUE_BYTES = 1000
RATE = 40_000.0


class Remember(af.OperatorActor):
    """Keeps a value for each key, and passes every record on."""

    value = af.ValueState(bytes)

    def on_record(self, record: int, ctx: af.OperatorContext) -> None:
        """Make a value of a key that has none."""
        if self.value.get() is None:
            self.value.set(random.Random(record).randbytes(VALUE_BYTES))
        ctx.emit(record)


def recover(keys: int, backend: str, directory: Path, *, local: bool) -> tuple[float, dict[str, int]]:
    """Return the seconds from the kill to the first record, and how many bytes were read from where."""
    first = FirstRecords(directory / "notes")
    config = {
        "state.backend.type": backend,
        "execution.checkpointing.interval": "500ms",
        "execution.checkpointing.dir": str(directory / "checkpoints"),
        "execution.checkpointing.local-backup.enabled": local,
        "execution.state-recovery.from-local": local,
        "io.tmp.dirs": str(directory / "local"),
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.delay": "100ms",
    }
    pipeline = af.Pipeline("recovery", parallelism=1, config=config)
    numbers = pipeline.read(af.sources.generator(rate=RATE)).map(partial(_key, keys))
    numbers.key_by(_itself).process(Remember()).write(first)
    with af.LocalCluster(slots=1) as cluster:
        job = cluster.submit(pipeline)
        wait(job, lambda: len(first.noted()) == 1)
        wait(job, lambda: state_bytes(job) >= keys * VALUE_BYTES)
        worker = first.noted()[0].pid
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        wait(job, lambda: len(first.noted()) > 1)
        wait(job, lambda: sum(restored(job)) > 0)
        local_bytes, remote_bytes = restored(job)
        job.cancel()
        job.wait_until(lambda: job.status().final, 30)
    return first.noted()[1].at - killed, {"from copies": local_bytes, "from checkpoints": remote_bytes}


def _key(keys: int, number: int) -> int:
    return number % keys


def _itself(number: int) -> int:
    return number


def wait(job: af.Job, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"the job does not get there: {job.status()}"
        assert not job.status().final, f"the job has ended: {job.status()}"
        job.wait_until(lambda: False, 0.02)


def state_bytes(job: af.Job) -> int:
    return sum(times.state_bytes for times in last(job).values())


def restored(job: af.Job) -> tuple[int, int]:
    times = last(job).values()
    return sum(one.restored_local_bytes for one in times), sum(one.restored_remote_bytes for one in times)


def last(job: af.Job) -> Mapping[SubtaskId, SubtaskTimes]:
    completed = job.checkpoints().completed
    return completed[-1].times if completed else {}


def main() -> None:
    bench = Benchmark("recovery", __doc__)
    keys = bench.size(100_000, quick=10_000)
    for backend in ("hashmap", "rocksdb"):
        read_bytes: dict[str, int] = {}

        def once(backend: str, seen: dict[str, int], *, local: bool) -> float:
            with tempfile.TemporaryDirectory() as directory:
                seconds, sources = recover(keys, backend, Path(directory), local=local)
            if local:
                seen.update(sources)
            return seconds

        bench.compare(
            f"kill to the first record again, {keys * VALUE_BYTES / 1e6:g} MB, state in {backend}",
            "s",
            {
                "local copies": partial(once, backend, read_bytes, local=True),
                "checkpoint directory": partial(once, backend, read_bytes, local=False),
            },
            floor="checkpoint directory",
            targets=[Target("local copies", at_most=2.0)],
        )
        bench.figures(
            f"read with local copies, state in {backend}",
            "bytes",
            {name: float(count) for name, count in read_bytes.items()},
            targets=[Target("from checkpoints", at_most=0)],
        )
    bench.finish()


if __name__ == "__main__":
    main()
