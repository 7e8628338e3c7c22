"""Keyed state in RocksDB beside keyed state in memory: running counts by key, and memory against the limit that was set.

Each contender is a process of its own, which counts records by key in one compiled chain, a batch of 1,024 at a time; making the records
is not measured. Rates are records for each second of the thread that runs the chain (`CPU`), which is what a busy machine leaves alone, and for
each second of the clock. RocksDB's own threads flush and compact beside it; their time shows in the second table only.

    zipf       text keys of which the one of rank r comes with a probability proportional to 1/r; also with an eighth of the memory
    uniform    integer keys, all alike: hardly one is still in memory when it comes again
    memory     integer keys, new ones first, then any

Memory is the most that the process had at any moment, less what it had before there was state; the program's text that RocksDB adds is counted,
the text keys of `zipf`, which exist before, are not. `--limit` is `state.backend.rocksdb.memory.fixed-per-slot`.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import Benchmark, Target

from actorflow.config.values import memory_bytes

BATCH = 1024
AT_ONCE = 64 * BATCH


@dataclass(frozen=True)
class Work:
    """What one process does.

    Attributes:
        backend: `hashmap` or `rocksdb`.
        keys: `zipf`, `uniform` or `memory`.
        key_count: how many different ones there are.
        records: how many are counted.
        limit: memory of the slot's state.
    """

    backend: str
    keys: str
    key_count: int
    records: int
    limit: str


def batches(work: Work) -> Iterator[list[Any]]:
    """Give the records, which are their own keys. Always the same ones."""
    import numpy as np

    draw = np.random.default_rng(20)
    if work.keys == "zipf":
        names = [f"user-{rank}" for rank in range(work.key_count)]
        cumulated = np.cumsum(1 / np.arange(1, work.key_count + 1))
    for start in range(0, work.records, AT_ONCE):
        count = min(AT_ONCE, work.records - start)
        if work.keys == "zipf":
            ranks = np.searchsorted(cumulated, draw.random(count) * cumulated[-1])
            found = [names[rank] for rank in ranks.tolist()]
        elif work.keys == "memory" and start < work.key_count:
            found = list(range(start, start + count))
        else:
            found = draw.integers(0, work.key_count, count).tolist()
        for place in range(0, count, BATCH):
            yield found[place : place + BATCH]


def memory_mb(field: str) -> float:
    """Return a memory figure of this process: `VmRSS` is what it has now, `VmHWM` the most it ever had."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(fields[field].split()[0]) / 1024


def count(work: Work) -> dict[str, float]:
    """Do the work in this process; return what was measured."""
    from actorflow.cluster.worker import GC_THRESHOLDS
    from actorflow.config import Config
    from actorflow.ids import JobId, OperatorId, SubtaskId, VertexId
    from actorflow.operators.chain import compile_chain
    from actorflow.operators.contract import OutputPort
    from actorflow.operators.specs import CountSpec
    from actorflow.plan.graph import LogicalOperator
    from actorflow.state.backends import StateBackends
    from actorflow.wire.batch import ObjectBatch

    class Subtask:
        """A subtask with nothing but state."""

        subtask = SubtaskId(VertexId("count"), 0)
        parallelism = 1
        max_parallelism = 128
        batch = False

        def keyed_backend(self, operator: str) -> Any:
            return made.make(operator, self.subtask, self.max_parallelism, lambda: 0)

    class Nowhere:
        def emit(self, batch: Any) -> None:
            pass

    with tempfile.TemporaryDirectory() as directory:
        options = {
            "state.backend.type": work.backend,
            "state.backend.rocksdb.localdir": directory,
            "state.backend.rocksdb.memory.fixed-per-slot": work.limit,
        }
        made = StateBackends(Config.of(options, "bench"), JobId("bench"))
        operator = LogicalOperator(OperatorId("count"), "count", CountSpec(lambda key: key))
        chain = compile_chain([operator], [OutputPort(0, None, Nowhere())], Subtask())  # type: ignore[arg-type]
        gc.set_threshold(*GC_THRESHOLDS)
        made_records = batches(work)
        given = itertools.chain([next(made_records)], made_records)
        before = memory_mb("VmRSS")
        cpu = wall = 0.0
        whole = time.process_time()
        for records in given:
            batch = ObjectBatch(records)
            cpu -= time.thread_time()
            wall -= time.perf_counter()
            chain.process(batch)
            cpu += time.thread_time()
            wall += time.perf_counter()
        whole = time.process_time() - whole
        size = sum(file.stat().st_size for file in Path(directory).rglob("*.sst"))
        chain.close()
    return {
        "CPU": work.records / cpu,
        "clock": work.records / wall,
        "all threads": whole,
        "memory MB": memory_mb("VmHWM") - before,
        "on disk MB": size / 2**20,
    }


def measured(work: Work) -> dict[str, float]:
    """Do the work in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--work", json.dumps(asdict(work))], stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(bench: Benchmark, title: str, works: dict[str, Work], targets: list[Target]) -> None:
    """Show the rates of some works, and what else was measured in the last round."""
    last: dict[str, dict[str, float]] = {}

    def run(name: str) -> float:
        last[name] = measured(works[name])
        return last[name]["CPU"]

    contenders = {name: functools.partial(run, name) for name in works}
    bench.compare(title, "rec/s of CPU", contenders, floor="hashmap", targets=targets, rounds=min(2, bench.rounds))
    others = {f"{name}: {what}": value for name, found in last.items() for what, value in found.items() if what != "CPU"}
    bench.figures(f"{title}: rec/s by the clock, seconds of CPU with RocksDB's threads, memory", "", others)


def main() -> None:
    """Run the benchmark, or one process of it."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--work", help=argparse.SUPPRESS)
    options.add_argument("--limit", default="512mb", help="memory of the slot's state (default 512mb)")
    options.add_argument("--only", choices=["zipf", "uniform", "memory"], help="only this part")
    if "--work" in sys.argv:
        print(json.dumps(count(Work(**json.loads(sys.argv[sys.argv.index("--work") + 1])))))
        return
    bench = Benchmark("state", __doc__, options)
    only, limit = bench.options.only, bench.options.limit
    bench.note(f"the slot's state may take {limit}")
    for keys, key_count, records, ratio in (
        ("zipf", bench.size(1_000_000, quick=100_000), bench.size(10_000_000, quick=500_000), 0.5),
        ("uniform", bench.size(10_000_000, quick=500_000), bench.size(20_000_000, quick=1_000_000), 0.2),
    ):
        if only in {None, keys}:
            works = {backend: Work(backend, keys, key_count, records, limit) for backend in ("hashmap", "rocksdb")}
            if keys == "zipf":
                small = f"{memory_bytes(limit) // 8 >> 20}mb"
                works[f"rocksdb in {small}"] = Work("rocksdb", keys, key_count, records, small)
            title = f"running count, {keys} over {key_count:,} keys"
            compare(bench, title, works, [Target("rocksdb", times=ratio, versus="hashmap")])
    if only in {None, "memory"}:
        key_count = bench.size(30_000_000, quick=1_000_000)
        found = measured(Work("rocksdb", "memory", key_count, key_count + key_count // 10, limit))
        bench.figures(f"rocksdb, {key_count:,} keys in {limit}", "", found)
    bench.finish()


if __name__ == "__main__":
    main()
