"""Compiled chains alone, without exchange or processes: what the engine adds to a record that runs through operators.

Each chain takes batches as a subtask would give them, beside two floors in the same run: a loop written by hand that calls the same
functions, and one with the expressions written out. The bar is 0.8 of the better one.

    map -> filter -> map     on Python ints
    flat_map -> count        lines split into words, with running counts
    count                    running counts of words, one batch of 1,000 after another
    process                  an OperatorActor with a ValueState, beside a loop that calls a method with a dict, and one whose
                             method makes the same three calls as the operator does, on the simplest objects that have them

`--gc` shows what CPython's garbage collector costs at its default thresholds: every output record is a tuple, and while many live, each
young collection is work for nothing. Elsewhere in this command it runs as a slot worker sets it.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from harness import Benchmark, Target, per_second

from actorflow.clock import SystemClock
from actorflow.cluster.worker import GC_THRESHOLDS
from actorflow.ids import OperatorId, SubtaskId, VertexId
from actorflow.operators.chain import compile_chain
from actorflow.operators.contract import Chain, OutputPort
from actorflow.operators.processing.actor import OperatorActor, OperatorContext
from actorflow.operators.specs import CountSpec, FilterSpec, FlatMapSpec, MapSpec, ProcessSpec
from actorflow.plan.graph import LogicalOperator, OperatorSpec
from actorflow.state.backend import KeyedBackend
from actorflow.state.descriptors import ValueState
from actorflow.state.hashmap import HashMapBackend
from actorflow.wire.batch import Batch, ObjectBatch

BATCH = 1000
WORDS_PER_LINE = 10

Records = list[Any]


class Alone:
    """The subtask of a chain that needs none of its services, but the place of its keyed states."""

    job_name = "bench"
    subtask = SubtaskId(VertexId("chain"), 0)
    parallelism = 1
    max_parallelism = 128
    attempt = 1
    batch = False
    log = logging.getLogger("bench")

    def keyed_backend(self, operator: str) -> KeyedBackend:  # noqa: ARG002 - as the contract has it
        """Return a backend in memory."""
        return HashMapBackend()

    def processing_time(self) -> int:
        """Return the wall clock in ms."""
        return SystemClock().wall_ms()


class Discard:
    """Takes batches and forgets them."""

    def emit(self, batch: Batch) -> None:
        """Drop a batch."""


def triple(n: int) -> int:
    return n * 3


def even(n: int) -> bool:
    return n % 2 == 0


def successor(n: int) -> int:
    return n + 1


class CountingActor(OperatorActor):
    """Counts records of a key in declared state."""

    seen = ValueState(int, default=0)

    def on_record(self, record: str, ctx: OperatorContext) -> None:
        """Emit the record and its number."""
        n = self.seen.get() + 1
        self.seen.set(n)
        ctx.emit((record, n))


class Counter:
    """What one would write without an engine."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.out: list[tuple[str, int]] = []

    def on_record(self, record: str) -> None:
        """Append the record and its number."""
        n = self.seen.get(record, 0) + 1
        self.seen[record] = n
        self.out.append((record, n))


class Value:
    """A value of the current key, without an engine."""

    def __init__(self) -> None:
        self.entries: dict[str, int] = {}
        self.key = ""

    def get(self) -> int:
        """Return it."""
        return self.entries.get(self.key, 0)

    def set(self, value: int) -> None:
        """Replace it."""
        self.entries[self.key] = value


class CallingCounter:
    """The operator's own calls, without an engine."""

    def __init__(self) -> None:
        self.seen = Value()
        self.out: list[tuple[str, int]] = []

    def emit(self, record: tuple[str, int]) -> None:
        """Append a result."""
        self.out.append(record)

    def on_record(self, record: str) -> None:
        """Emit the record and its number."""
        n = self.seen.get() + 1
        self.seen.set(n)
        self.emit((record, n))


def compiled(*specs: OperatorSpec) -> Callable[[Sequence[Records]], None]:
    """Return a function that takes batches through a new chain of these operators, to an output that drops them."""

    def run(batches: Sequence[Records]) -> None:
        operators = [LogicalOperator(OperatorId(str(place)), f"{spec.kind}-{place}", spec) for place, spec in enumerate(specs)]
        chain: Chain = compile_chain(operators, [OutputPort(len(specs) - 1, None, Discard())], Alone())
        chain.open()
        for batch in batches:
            chain.process(ObjectBatch(batch))

    return run


def ints_calling(batches: Sequence[Records]) -> None:
    """Call the functions in a loop."""
    for batch in batches:
        out: Records = []
        append = out.append
        for n in batch:
            tripled = triple(n)
            if even(tripled):
                append(successor(tripled))


def ints_written_out(batches: Sequence[Records]) -> None:
    """Write the expressions out."""
    for batch in batches:
        out: Records = []
        append = out.append
        for n in batch:
            tripled = n * 3
            if tripled % 2 == 0:
                append(tripled + 1)


def words_by_hand(batches: Sequence[Records]) -> None:
    """Split lines and count words."""
    counts: dict[str, int] = {}
    get = counts.get
    for batch in batches:
        out: Records = []
        append = out.append
        for line in batch:
            for word in line.split():
                n = get(word, 0) + 1
                counts[word] = n
                append((word, n))


def counts_by_hand(batches: Sequence[Records]) -> None:
    """Count words."""
    counts: dict[str, int] = {}
    get = counts.get
    for batch in batches:
        out: Records = []
        append = out.append
        for word in batch:
            n = get(word, 0) + 1
            counts[word] = n
            append((word, n))


def method_by_hand(batches: Sequence[Records]) -> None:
    """Call a method for each word."""
    counter = Counter()
    for batch in batches:
        counter.out = []
        on_record = counter.on_record
        for word in batch:
            on_record(word)


def methods_by_hand(batches: Sequence[Records]) -> None:
    """Call a method that calls three more, for each word."""
    counter = CallingCounter()
    for batch in batches:
        counter.out = []
        on_record, seen = counter.on_record, counter.seen
        for word in batch:
            seen.key = word
            on_record(word)


def in_batches(records: Records, size: int) -> list[Records]:
    """Cut a list."""
    return [records[start : start + size] for start in range(0, len(records), size)]


def zipf_words(count: int) -> list[str]:
    """Return words whose frequencies fall as those of a language do, the same in every run."""
    ranks = range(1, 50_001)
    weights = list(itertools.accumulate(1 / rank for rank in ranks))
    return random.Random(7).choices([f"word{rank}" for rank in ranks], cum_weights=weights, k=count)


def compare_all(bench: Benchmark, suffix: str = "") -> None:
    """Run all tables."""
    count = bench.size(1_000_000, quick=50_000)
    ints = in_batches(list(range(count)), BATCH)
    words = zipf_words(count)
    word_batches = in_batches(words, BATCH)
    lines = [" ".join(words[start : start + WORDS_PER_LINE]) for start in range(0, count, WORDS_PER_LINE)]
    line_batches = in_batches(lines, BATCH // WORDS_PER_LINE)

    def rate(work: Callable[[Sequence[Records]], None], batches: Sequence[Records]) -> Callable[[], float]:
        return lambda: per_second(count, lambda: work(batches))

    bench.compare(
        f"map -> filter -> map on ints{suffix}",
        "rec/s",
        {
            "loop, written out": rate(ints_written_out, ints),
            "loop, calling": rate(ints_calling, ints),
            "chain": rate(compiled(MapSpec(triple), FilterSpec(even), MapSpec(successor)), ints),
        },
        targets=[Target("chain", times=0.8, versus="loop, written out")],
    )
    bench.compare(
        f"flat_map -> count on lines{suffix}",
        "words/s",
        {
            "loop": rate(words_by_hand, line_batches),
            "chain": rate(compiled(FlatMapSpec(str.split), CountSpec(lambda word: word)), line_batches),
        },
        targets=[Target("chain", times=0.8, versus="loop")],
    )
    bench.compare(
        f"count on words{suffix}",
        "words/s",
        {"loop": rate(counts_by_hand, word_batches), "chain": rate(compiled(CountSpec(lambda word: word)), word_batches)},
        targets=[Target("chain", times=0.8, versus="loop")],
    )
    bench.compare(
        f"process(OperatorActor) on words{suffix}",
        "words/s",
        {
            "loop, a method": rate(method_by_hand, word_batches),
            "loop, the same calls": rate(methods_by_hand, word_batches),
            "chain": rate(compiled(ProcessSpec(lambda word: word, CountingActor())), word_batches),
        },
        targets=[Target("chain", times=0.8, versus="loop, the same calls")],
    )


def compare_collector(bench: Benchmark) -> None:
    """Count words into output that stays alive, with the collector's thresholds as CPython and as a slot worker has them."""
    count = bench.size(1_000_000, quick=50_000)
    words = zipf_words(count)

    def kept() -> float:
        counts: dict[str, int] = {}
        alive: Records = []

        def work() -> None:
            for word in words:
                n = counts[word] = counts.get(word, 0) + 1
                alive.append((word, n))

        return per_second(count, work)

    def with_thresholds(*thresholds: int) -> Callable[[], float]:
        def measure() -> float:
            before = gc.get_threshold()
            gc.set_threshold(*thresholds)
            try:
                return kept()
            finally:
                gc.set_threshold(*before)

        return measure

    bench.compare(
        "a million live tuples and the garbage collector",
        "words/s",
        {
            "off": with_thresholds(0),
            "as a slot worker": with_thresholds(*GC_THRESHOLDS),
            "default": with_thresholds(700, 10, 10),
        },
    )


def main() -> None:
    arguments = argparse.ArgumentParser(add_help=False)
    arguments.add_argument("--gc", action="store_true", help="also measure what the garbage collector costs")
    bench = Benchmark("chain", __doc__, arguments)
    default_thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    compare_all(bench)
    if bench.options.gc:
        gc.set_threshold(*default_thresholds)
        compare_all(bench, " (default gc)")
        compare_collector(bench)
    bench.finish()


if __name__ == "__main__":
    main()
