"""Latency from source to sink through one shuffle: two sources, key_by, a keyed reduce, two sinks, on two slots.

Once at 10,000 records/s without any tuning, once at 80 % of the highest rate that this machine sustains (measured first, the median
of three runs). The sources are an open loop; the latency of a record is its arrival at the sink minus the time it was due, so whatever delays the
source counts too. The first second of every run is left out (processes start, connections are made).
"""

from __future__ import annotations

import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from clockwork import NS, Clockwork
from harness import Benchmark, Target, percentiles

import actorflow as af
from actorflow.connectors.contracts import Sink, Writer, WriterContext
from actorflow.wire.batch import ObjectBatch

SLOTS = 2
WARM_UP_S = 1.0
OVERLOAD = 20_000_000
"""Records per second that no machine sustains: what arrives then is the highest rate, of a source that does the same work."""


@dataclass(frozen=True)
class Arrivals(Sink):
    """Notes for each record when it was due and when it arrived, and writes that to one file per subtask when the job ends.

    Attributes:
        directory: an existing directory for the files; read them with `arrivals_in`.
    """

    directory: str

    def open(self, ctx: WriterContext) -> Writer:
        """Return the writer of one subtask's file."""
        return _ArrivalsWriter(Path(self.directory) / f"arrivals-{ctx.subtask.index}")


class _ArrivalsWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._due_ns = array("d")
        self._arrived_ns = array("d")

    def write(self, batch: ObjectBatch) -> None:
        now = time.monotonic_ns()
        self._due_ns.extend([due_ns for _, due_ns in batch.records])
        self._arrived_ns.extend([now] * len(batch))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        with self._path.open("wb") as out:
            for column in (self._due_ns, self._arrived_ns):
                column.tofile(out)


def arrivals_in(directory: str) -> Iterator[tuple[array[float], array[float]]]:
    """Return due and arrival times, in ns, of each subtask's records, in the order of the subtasks."""
    for path in sorted(Path(directory).glob("arrivals-*")):
        both = array("d")
        both.frombytes(path.read_bytes())
        half = len(both) // 2
        yield both[:half], both[half:]


def key(record: tuple[int, float]) -> int:
    return record[0] % 1024


def newest(_: tuple[int, float], record: tuple[int, float]) -> tuple[int, float]:
    return record


def latencies_ms(rate: float, seconds: float) -> tuple[list[float], float]:
    """Run the pipeline; return the latency of each record after the warm-up in ms, and the records per second that arrived."""
    with tempfile.TemporaryDirectory() as directory:
        pipeline = af.Pipeline("latency", parallelism=SLOTS)
        source = Clockwork(rate / SLOTS, seconds + WARM_UP_S)
        pipeline.read(source).key_by(key).reduce(newest).write(Arrivals(directory))
        af.run(pipeline, slots=SLOTS)
        arrivals = list(arrivals_in(directory))
    first = min(arrived[0] for _, arrived in arrivals if arrived) + int(WARM_UP_S * NS)
    last = max(arrived[-1] for _, arrived in arrivals if arrived)
    kept = [(a - d) / 1e6 for due, arrived in arrivals for d, a in zip(due, arrived, strict=True) if d >= first]
    in_time = sum(1 for _, arrived in arrivals for a in arrived if a >= first)
    return kept, in_time * NS / (last - first)


def main() -> None:
    bench = Benchmark("latency", __doc__)
    seconds = bench.size(20, quick=2)
    low, _ = latencies_ms(10_000, seconds)
    bench.figures(
        "latency at 10,000 records/s",
        "ms",
        percentiles(low),
        targets=[Target("p50", at_most=2), Target("p99", at_most=5)],
    )
    highest = median(latencies_ms(OVERLOAD, bench.size(5, quick=1))[1] for _ in range(bench.size(3, quick=1)))
    high, rate = latencies_ms(0.8 * highest, seconds)
    bench.figures("highest rate, and the rate that arrived at 80 % of it", "rec/s", {"highest": highest, "at 80 %": rate})
    bench.figures("latency at 80 % of the highest rate", "ms", percentiles(high), targets=[Target("p99", at_most=10)])
    bench.finish()


if __name__ == "__main__":
    main()
