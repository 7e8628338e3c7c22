"""What event time costs, and how long results wait for it.

- with_timestamps: processor time of a chain of one slot with and without it, beside the hand-written loop that does the same.
- interval: processor time, over all processes, of a count by key on two slots, by how often watermarks are made.
- delay: from a record's event time (the wall clock at its making) to the timer that is set for it, by the same.

Processor time says little about a busy machine's mood; delays are wall-clock time, so measure them on a quiet one.
"""

from __future__ import annotations

import resource
import time

from harness import Benchmark, Target, percentiles

import actorflow as af

INTERVALS = ("200ms", "50ms", "20ms", "5ms", 0)
START_MS = 1_700_000_000_000


def make(number):
    return {"time": START_MS + number // 100, "key": number * 7919 % 1000, "value": number}


def doubled(record):
    return record["value"] * 2


def same(record):
    return record


def processor_s() -> float:
    """Return the processor time of this process and of those of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def cost_s(build, count, **options) -> float:
    """Return the processor time of a pipeline over `count` records."""
    pipeline = af.Pipeline("event-time", **options)
    build(pipeline.read(af.sources.generator(make, count=count))).write(af.sinks.discard())
    begun = processor_s()
    af.run(pipeline, slots="inline" if options["parallelism"] == 1 else 2, progress=False)
    return processor_s() - begun


def floor_s(count) -> float:
    """Return the processor time of a loop that makes the records, reads their times, keeps the latest of each thousand, and maps them."""
    begun = processor_s()
    latest = 0
    for first in range(0, count, 1000):
        records = [make(number) for number in range(first, first + 1000)]
        times = [record["time"] for record in records]
        latest = max(latest, *times)
        [doubled(record) for record in records]
    return processor_s() - begun


class _Delay(af.OperatorActor):
    """Sets a timer for each record's own event time, and tells by how much later it fires."""

    def on_record(self, record, ctx):
        ctx.timers.event(record[0])

    def on_timer(self, timestamp, ctx):
        ctx.emit(time.time() * 1000 - timestamp)


def now_ms(number):
    return int(time.time() * 1000), number % 50


def delays_ms(interval, count) -> list[float]:
    """Return the delays of a job that reads 10,000 records a second."""
    pipeline = af.Pipeline("delay", parallelism=2, config={"pipeline.auto-watermark-interval": interval})
    timed = pipeline.read(af.sources.generator(now_ms, rate=10_000, count=count)).with_timestamps(
        lambda record: record[0], af.Watermarks.monotonous()
    )
    return af.collect(timed.key_by(lambda record: record[1]).process(_Delay()), slots=2, progress=False)


def counted(watermarks):
    """Return what builds a count by key behind such watermarks."""
    return lambda stream: stream.with_timestamps("time", watermarks).key_by(lambda record: record["key"]).count()


if __name__ == "__main__":
    bench = Benchmark("event_time", __doc__)
    n = bench.size(2_000_000, quick=50_000)
    bounded = af.Watermarks.bounded("10s")
    cost_s(lambda stream: stream.map(same), 1000, parallelism=1)  # what is imported on first use
    bench.compare(
        f"{n:,} records through one chain, processor time",
        "s",
        {
            "floor: a loop": lambda: floor_s(n),
            "map, map": lambda: cost_s(lambda stream: stream.map(same).map(doubled), n, parallelism=1),
            "with_timestamps of a field, map": lambda: cost_s(
                lambda stream: stream.with_timestamps("time", bounded).map(doubled), n, parallelism=1
            ),
            "with_timestamps of a function, map": lambda: cost_s(
                lambda stream: stream.with_timestamps(lambda record: record["time"], bounded).map(doubled), n, parallelism=1
            ),
        },
        targets=[Target("with_timestamps of a field, map", times=0.95, versus="map, map")],
    )
    contenders = {"no watermarks": lambda: cost_s(counted(af.Watermarks.none()), n, parallelism=2)}
    for interval in INTERVALS:
        config = {"pipeline.auto-watermark-interval": interval}
        contenders[f"every {interval}" if interval else "behind every batch"] = lambda config=config: cost_s(
            counted(bounded), n, parallelism=2, config=config
        )
    bench.compare(f"{n:,} records by key on two slots, processor time", "s", contenders)
    for interval in INTERVALS:
        bench.figures(
            f"from event time to timer, watermarks every {interval}",
            "ms",
            percentiles(delays_ms(interval, bench.size(50_000, quick=2000))),
        )
    bench.finish()
