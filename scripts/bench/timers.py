"""A million timers that are due at one watermark: how long they take to fire, and how soon messages are answered meanwhile.

Every key of a keyed operator sets a timer; one watermark makes all of them due. Each reads the state of its key, clears it and emits. While they fire, the client asks the operator again and again (`on_message`): the answers travel from process to process and back, on the
control lane like all questions. The floor does the same to a dict of keys in one loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness import Benchmark, Target, percentiles

import actorflow as af
from actorflow.connectors.contracts import Pause, Reader
from actorflow.wire.batch import ObjectBatch, Watermark

DUE = 1_000_000
QUIET_S = 1.0
"""Between the last record and the watermark: the client begins to ask."""


@dataclass(frozen=True)
class Numbers(af.Source):
    """Numbers from 0, a pause, and a watermark; no end.

    Attributes:
        count: how many.
    """

    count: int

    bounded = False
    timed = True

    def splits(self, parallelism: int) -> Iterable[int]:  # noqa: ARG002 - one reader is enough
        """Give one split."""
        return [0]

    def open(self, split: int, position: Any) -> Reader:  # noqa: ARG002 - it is never read again
        """Start at 0."""
        return _Counting(self.count)


class _Counting:
    def __init__(self, count: int) -> None:
        self.position = 0
        self._count = count
        self._rest = iter((Pause(QUIET_S), Watermark(DUE)))

    def read(self, records_max: int) -> ObjectBatch | Pause | Watermark:
        first, self.position = self.position, min(self._count, self.position + records_max)
        if first < self.position:
            return ObjectBatch(list(range(first, self.position)), [0] * (self.position - first))
        return next(self._rest, Pause(3600.0))

    def close(self) -> None:
        pass


class _Waking(af.OperatorActor):
    """Sets a timer for each key; each that fires takes the value of its key. Answers how many have fired, and in how many ns.

    Args:
        timers: how many there will be.
    """

    seen = af.ValueState(int, default=0)

    def __init__(self, timers):
        self.timers = timers

    def on_start(self, _ctx):
        self.fired = self.first_ns = self.took_ns = 0

    def on_record(self, record, ctx):
        self.seen.set(record)
        ctx.timers.event(DUE)

    def on_timer(self, _timestamp, ctx):
        if not self.fired:
            self.first_ns = time.monotonic_ns()
        self.fired += 1
        ctx.emit(self.seen.get())
        self.seen.clear()
        if self.fired == self.timers:
            self.took_ns = time.monotonic_ns() - self.first_ns

    def on_message(self, _message, ctx):
        ctx.reply((self.fired, self.took_ns))


def identity(record):
    return record


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        fired_s: from the first timer to the last.
        answers_ms: how long each answer took that came while timers fired.
    """

    fired_s: float
    answers_ms: list[float]


def run(timers: int) -> Measured:
    """Run the job once, and ask its operator until all timers have fired."""
    pipeline = af.Pipeline("timers", parallelism=1)
    waking = pipeline.read(Numbers(timers)).key_by(identity).process(_Waking(timers), name="waking")
    waking.write(af.sinks.discard())
    answers_ms: list[float] = []
    took_ns = 0
    with af.LocalCluster(slots=1) as cluster:
        job = cluster.submit(pipeline)
        job.wait_until(lambda: job.progress()[0] == timers, 120)
        operator = job.operator("waking")
        while not took_ns:
            asked = time.perf_counter()
            fired, took_ns = operator.ask("how many?", timeout="60s")
            if fired:
                answers_ms.append((time.perf_counter() - asked) * 1000)
        job.cancel()
    return Measured(took_ns / 1e9, answers_ms)


def floor_s(timers: int) -> float:
    """Return how long a loop takes that does the same to a dict of keys."""
    seen = {key: key for key in range(timers)}
    waiting = dict.fromkeys(range(timers))
    emitted: list[int] = []
    begun = time.perf_counter()
    for key in list(waiting):
        del waiting[key]
        emitted.append(seen.get(key, 0))
        del seen[key]
    return time.perf_counter() - begun


if __name__ == "__main__":
    bench = Benchmark("timers", __doc__)
    n = bench.size(1_000_000, quick=50_000)
    answers: list[float] = []

    def fire() -> float:
        """Return the seconds of one run, and keep its answers."""
        measured = run(n)
        answers.extend(measured.answers_ms)
        return measured.fired_s

    bench.compare(
        f"{n:,} timers due at one watermark",
        "s",
        {"actorflow": fire, "floor: a loop over a dict": lambda: floor_s(n)},
        floor="floor: a loop over a dict",
        targets=[Target("actorflow", at_most=2.0)],
    )
    figures = percentiles(answers)
    bench.figures(
        f"answers of the operator while they fire ({len(answers)} questions)", "ms", figures, targets=[Target("max", at_most=20.0)]
    )
    bench.finish()
