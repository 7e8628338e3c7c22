"""Batch mode against streaming: the same keyed programs over bounded input, in one slot.

Counts are combined before they are sorted, so with few keys they cost what running counts cost. A process function sees its input sorted, every
record of it, which costs the sort. With many keys the figures also show what it costs not to keep them all in memory.

A job of three chains, all of whose records are exchanged twice, shows what it costs to write them to disk and read them back, stage by stage
(blocking exchanges), against handing them over (pipelined ones): in one slot by reference, in two as frames.

The floor is the same work as a hand-written loop over a dict. Seconds are those of `af.run`, with the start of its process.
"""

from __future__ import annotations

from collections.abc import Callable

from harness import Benchmark, per_second

import actorflow as af

FEW, MANY = 1_000, 500_000


class Counting(af.OperatorActor):
    """Counts the records of a key, and gives every count."""

    count = af.ValueState(int, default=0)

    def on_record(self, record: int, ctx: af.OperatorContext) -> None:  # noqa: ARG002
        """Count."""
        count = self.count.get() + 1
        self.count.set(count)
        ctx.emit((ctx.key, count))


def run(mode: str, count: int, keys: int, build: Callable[[af.KeyedStream[int, int]], af.Stream[object]]) -> None:
    pipeline = af.Pipeline("batch mode", mode=mode, parallelism=1)
    numbers = pipeline.read(af.sources.generator(lambda n: n * 7919, count=count))
    build(numbers.key_by(lambda n: n % keys)).write(af.sinks.discard())
    af.run(pipeline, slots=1, progress=False)


def run_exchanging(shuffle: str, count: int, slots: int) -> None:
    config = {"execution.batch-shuffle-mode": f"all-exchanges-{shuffle}"}
    pipeline = af.Pipeline("stages", mode="batch", parallelism=slots, config=config)
    numbers = pipeline.read(af.sources.generator(lambda n: n * 7919, count=count))
    moved = numbers.rebalance().map(lambda n: (n % MANY, n), chain="never")
    moved.rebalance().filter(lambda pair: pair[1] >= 0, chain="never").write(af.sinks.discard())
    af.run(pipeline, slots=slots, progress=False)


def loop(count: int, keys: int) -> None:
    counts: dict[int, int] = {}
    for n in range(count):
        key = n * 7919 % keys
        counts[key] = counts.get(key, 0) + 1


def main() -> None:
    bench = Benchmark("batch_mode", __doc__)
    count = bench.size(3_000_000, quick=30_000)
    for keys in (FEW, MANY):
        programs: dict[str, Callable[[af.KeyedStream[int, int]], af.Stream[object]]] = {
            "count": lambda keyed: keyed.count(),
            "process": lambda keyed: keyed.process(Counting()),
        }
        for name, build in programs.items():
            contenders: dict[str, Callable[[], float]] = {"loop": lambda keys=keys: per_second(count, lambda: loop(count, keys))}
            for mode in ("streaming", "batch"):
                contenders[mode] = lambda mode=mode, keys=keys, build=build: per_second(
                    count, lambda: run(mode, count, keys, build)
                )
            bench.compare(f"{name} by {keys:,} keys", "records/s", contenders, floor="streaming")
    for slots in (1, 2):
        exchanging: dict[str, Callable[[], float]] = {
            shuffle: lambda shuffle=shuffle, slots=slots: per_second(count, lambda: run_exchanging(shuffle, count, slots))
            for shuffle in ("pipelined", "blocking")
        }
        bench.compare(f"two exchanges, {slots} slot{'s'[: slots - 1]}", "records/s", exchanging, floor="pipelined")
    bench.finish()


if __name__ == "__main__":
    main()
