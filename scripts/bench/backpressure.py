"""Back-pressure: four sources feed four consumers one to one, and one consumer is far too slow.

Two figures: the memory of all processes must stay flat (credits bound what is in flight), and the other three consumers must go
on at the rate of a run without a slow one. The sources are rate-limited, so that the cores are not what the four compete for, and
the consumers have slots of their own, so that the slow one's thread is nobody else's.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clockwork import NS, Clockwork
from harness import Benchmark, Target

import actorflow as af
from actorflow.connectors.contracts import Sink, Writer, WriterContext
from actorflow.operators.processing.actor import OperatorContext
from actorflow.wire.batch import ObjectBatch

SUBTASKS = 4
RATE = 10_000
SLOW_S = 0.0005
"""For each record: five times too slow, and yet what is in flight at the end is worked off in seconds."""
WARM_UP_S = 2


@dataclass
class SlowAtIndex(af.OperatorActor):
    """Passes records on; the subtask with index `slow` sleeps for each (-1: none does)."""

    slow: int

    def on_record(self, record: tuple[int, float], ctx: OperatorContext) -> None:
        """Pass one record on."""
        if ctx.parallel_index == self.slow:
            time.sleep(SLOW_S)
        ctx.emit(record)


@dataclass(frozen=True)
class Tally(Sink):
    """Counts records by the second of their arrival (it must not grow with them), and writes that to a file when the job ends."""

    directory: str

    def open(self, ctx: WriterContext) -> Writer:
        """Return the writer of one subtask's file."""
        return _TallyWriter(Path(self.directory) / f"tally-{ctx.subtask.index}")


class _TallyWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrived: Counter[int] = Counter()

    def write(self, batch: ObjectBatch) -> None:
        self._arrived[time.monotonic_ns() // NS] += len(batch)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._path.write_text(json.dumps(sorted(self._arrived.items())))


class Memory:
    """Samples the resident memory of this process and all its descendants, in MB, every half second while it is entered."""

    def __enter__(self) -> Self:
        self.samples: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.5):
            self.samples.append((time.monotonic(), resident_mb(os.getpid())))


def resident_mb(root: int) -> float:
    """Return the resident memory of a process and its descendants, pages shared between them counted once (PSS), in MB."""
    total, pending = 0, [root]
    while pending:
        process = Path("/proc") / str(pending.pop())
        try:
            children = (process / "task").glob("*/children")
            pending += [int(pid) for path in children for pid in path.read_text().split()]
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def run(slow: int, seconds: int) -> tuple[list[float], list[float]]:
    """Run the pipeline; return records per second of each consumer, and the memory samples in MB, both after the warm-up."""
    with tempfile.TemporaryDirectory() as directory, Memory() as memory:
        pipeline = af.Pipeline("backpressure", parallelism=SUBTASKS)
        consumers = pipeline.read(Clockwork(RATE, seconds + 2 * WARM_UP_S)).rescale()
        consumers.process(SlowAtIndex(slow), slot_group="consumers", chain="never").write(Tally(directory), slot_group="consumers")
        af.run(pipeline, slots=2 * SUBTASKS)
        tallies = [dict(json.loads(path.read_text())) for path in sorted(Path(directory).glob("tally-*"))]
    begin = max(min(tally) for tally in tallies) + WARM_UP_S
    end = begin + seconds
    rates = [sum(tally.get(second, 0) for second in range(begin, end)) / seconds for tally in tallies]
    return rates, [megabytes for at, megabytes in memory.samples if begin <= at < end]


def main() -> None:
    bench = Benchmark("backpressure", __doc__)
    seconds = bench.size(60, quick=6)
    free, _ = run(-1, min(seconds, 20))
    slowed, memory = run(0, seconds)
    others = sum(slowed[1:]) / sum(free[1:])
    bench.figures("records per second of each consumer, none slow", "rec/s", {f"consumer {i}": r for i, r in enumerate(free)})
    bench.figures("the same, consumer 0 slow", "rec/s", {f"consumer {i}": r for i, r in enumerate(slowed)})
    bench.figures("rate of the other three", "of free", {"others": others}, targets=[Target("others", at_least=0.95)])
    third = max(1, len(memory) // 3)
    early, late = sum(memory[:third]) / third, sum(memory[-third:]) / third
    bench.figures(
        f"memory of all processes over {seconds} s",
        "MB",
        {"first third": early, "last third": late, "highest": max(memory), "growth": late - early},
        targets=[Target("growth", at_most=0.05 * early)],
    )
    bench.finish()


if __name__ == "__main__":
    main()
