"""Checkpoints under back-pressure: a slow sink holds back ten seconds of records, and barriers wait behind them, or overtake them.

Figures, for aligned barriers, unaligned ones, and aligned ones that overtake after a while: how long each checkpoint takes from its trigger to its
manifest, how long a subtask waited at most for its first barrier and from there to its last, and how much was in flight. The sink's rate does not
depend on the machine, so neither does what is queued: full buffers between source, keyed count and sink, worth ten seconds of writing. Buffers are
not made smaller for the slow consumer (`buffer-debloat` is off, as it is in Flink): that would be another way to keep checkpoints short. A barrier
that overtakes still waits for the batch in hand, and for those of the other subtasks of its slot: a third of a second each here.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass

from harness import Benchmark, Target

import actorflow as af
from actorflow.cluster.job import Job
from actorflow.connectors.contracts import Sink, Writer, WriterContext
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointStatistics
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.wire.batch import ObjectBatch

PARALLELISM = 2
BATCH_RECORDS = 100
EXCLUSIVE, FLOATING, WAITING = 2, 8, 10
"""Buffers of a channel and of a gate at the receiver, and of a channel at the sender."""
IN_FLIGHT_BATCHES = PARALLELISM * EXCLUSIVE + FLOATING + PARALLELISM * WAITING
"""Full buffers before one subtask of the sink, between it and the count."""
MODES: dict[str, dict[str, object]] = {
    "aligned": {},
    "unaligned": {"execution.checkpointing.unaligned.enabled": True},
    "aligned for 500 ms": {
        "execution.checkpointing.unaligned.enabled": True,
        "execution.checkpointing.aligned-checkpoint-timeout": "500ms",
    },
}


@dataclass(frozen=True)
class SlowSink(Sink):
    """Takes its time with each record.

    Attributes:
        record_s: how long one takes.
    """

    record_s: float

    def open(self, ctx: WriterContext) -> Writer:  # noqa: ARG002 - it writes nothing
        """Return the writer of one subtask."""
        return _SlowWriter(self.record_s)


class _SlowWriter:
    def __init__(self, record_s: float) -> None:
        self._record_s = record_s

    def write(self, batch: ObjectBatch) -> None:
        time.sleep(self._record_s * len(batch))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def run(config: dict[str, object], queued_s: float, checkpoints: int) -> list[CheckpointStatistics]:
    """Run the job until so many checkpoints are complete that began when all buffers were full; return these."""
    record_s = queued_s / (IN_FLIGHT_BATCHES * BATCH_RECORDS)
    config = {
        "execution.batch-records.max": BATCH_RECORDS,
        "taskmanager.network.memory.buffer-debloat.enabled": False,
        "taskmanager.network.memory.buffers-per-channel": EXCLUSIVE,
        "taskmanager.network.memory.floating-buffers-per-gate": FLOATING,
        "taskmanager.network.memory.max-buffers-per-channel": WAITING,
        "execution.checkpointing.interval": f"{max(1.0, queued_s / 4)}s",
        **config,
    }
    with tempfile.TemporaryDirectory() as directory:
        config["execution.checkpointing.dir"] = directory
        pipeline = af.Pipeline("unaligned", parallelism=PARALLELISM)
        counts = pipeline.read(af.sources.generator()).key_by(lambda number: number % 1000).count()
        counts.rebalance().write(SlowSink(record_s))
        with af.LocalCluster(slots=PARALLELISM, config=config) as cluster:
            job = cluster.submit(pipeline)
            return measured(job, checkpoints, deadline=time.monotonic() + 12 * queued_s + 30)


def measured(job: Job, checkpoints: int, deadline: float) -> list[CheckpointStatistics]:
    """Wait for the checkpoints after the first, and end the job."""
    done: dict[int, CheckpointStatistics] = {}
    job.wait_until(lambda: job.status() is JobStatus.RUNNING, 30.0)
    while len(done) < checkpoints + 1 and time.monotonic() < deadline:
        job.wait_until(lambda: job.status().final, 0.25)
        done |= {one.checkpoint: one for one in job.checkpoints().completed}
    job.cancel()
    job.wait_until(lambda: job.status().final, 30.0)
    return [done[number] for number in sorted(done)][1:]


def main() -> None:
    bench = Benchmark("unaligned", __doc__)
    queued_s = float(bench.size(10, quick=2))
    durations, starts, alignments, sizes = {}, {}, {}, {}
    for mode, config in MODES.items():
        taken = run(config, queued_s, checkpoints=2 if mode == "aligned" else 4)
        times = [each for one in taken for each in one.times.values()]
        durations[mode] = max(one.duration_s for one in taken)
        starts[mode] = max(each.start_delay_ms for each in times)
        alignments[mode] = max(each.alignment_ms for each in times)
        sizes[mode] = max(sum(each.in_flight_bytes for each in one.times.values()) for one in taken) / 1e6
    title = f"with {queued_s:g} s of queued records"
    bench.figures(f"longest checkpoint, {title}", "s", durations, targets=[Target("unaligned", at_most=1.0)])
    bench.figures(f"longest wait for a first barrier, {title}", "ms", starts)
    bench.figures(f"longest wait from the first barrier to the last, {title}", "ms", alignments)
    bench.figures(f"in flight in one checkpoint, {title}", "MB", sizes)
    bench.finish()


if __name__ == "__main__":
    main()
