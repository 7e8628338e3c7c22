"""Inspection: what 1,000 questions a second cost a loaded job, and how long an answer takes.

One slot counts words, a record at a time, as fast as it can; its rate is measured while nobody asks, and while a thread of the client asks
its subtasks 1,000 times a second (`observe()` of each in turn, answered between two batches; up to 64 on the way at once). Spells with and without
questions alternate within one run, and the CPU time of the worker's process is measured beside the clock, which other load disturbs.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from harness import Benchmark, Target, percentiles

import actorflow as af
from actorflow.inspection.cluster_view import ClusterView

PER_SECOND = 1_000
UNDER_WAY_MAX = 64
WORDS = ["whale", "ship", "sea", "captain", "harpoon", "rope", "sail", "storm", "crew", "deck"]


class Asking:
    """A thread that asks at a steady rate while it is told to.

    Args:
        view: looks at the cluster.
        job: name of the job whose subtasks are asked.
    """

    def __init__(self, view: ClusterView, job: str) -> None:
        facts = view.job(job)
        self._refs = [view.system.resolve(view.address_of(facts, subtask)) for subtask in facts.workers]
        self.answered = 0
        self.took_ms: list[float] = []
        self._on = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def during(self, seconds: float) -> None:
        """Ask for so long."""
        self._on.set()
        time.sleep(seconds)
        self._on.clear()

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        under_way: deque[tuple[float, Any]] = deque()
        number, due = 0, time.perf_counter()
        while not self._over.is_set():
            while under_way and under_way[0][1].done():
                asked, _ = under_way.popleft()
                self.took_ms.append((time.perf_counter() - asked) * 1000)
                self.answered += 1
            if not self._on.is_set():
                time.sleep(0.001)
                due = time.perf_counter()
                continue
            now = time.perf_counter()
            while due <= now and len(under_way) < UNDER_WAY_MAX:
                under_way.append((time.perf_counter(), self._refs[number % len(self._refs)].look("observe")))
                number += 1
                due += 1 / PER_SECOND
            time.sleep(0.002)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spell(view: ClusterView, job: str, pid: int, seconds: float, asking: Asking | None) -> tuple[float, float]:
    """Return records per second, and records per second of the worker's CPU time, while asked or not."""
    records, cpu, began = _records(view, job), cpu_s(pid), time.perf_counter()
    if asking is None:
        time.sleep(seconds)
    else:
        asking.during(seconds)
    done = _records(view, job) - records
    return done / (time.perf_counter() - began), done / max(1e-9, cpu_s(pid) - cpu)


def _records(view: ClusterView, job: str) -> int:
    seen = view.views(view.job(job))
    return sum(each.metrics.records_in for subtask, each in seen.items() if each is not None and not each.inputs)


def main() -> None:
    bench = Benchmark("inspection", __doc__)
    seconds, spells = bench.size(2, quick=1), bench.size(8, quick=2)
    pipeline = af.Pipeline("words")
    words = pipeline.read(af.sources.generator(lambda n: WORDS[n % 10])).map(str.upper).key_by(lambda word: word)
    words.count(chain="never").write(af.sinks.discard())
    with af.LocalCluster(slots=1) as cluster:
        job = cluster.submit(pipeline, parallelism=1)
        assert job.wait_until(lambda: job.progress()[0] > 100_000, 30)
        view = cluster.look()
        [pid] = [view.actor(row.path).observe()["pid"] for row in view.tree() if row.kind == "SlotProcess"]
        asking = Asking(view, "words")
        free, asked = [], []
        for _ in range(spells):
            free.append(spell(view, "words", pid, seconds, None))
            asked.append(spell(view, "words", pid, seconds, asking))
        asking.close()
    by_clock = [a[0] / f[0] for f, a in zip(free, asked, strict=True)]
    by_cpu = [a[1] / f[1] for f, a in zip(free, asked, strict=True)]
    bench.figures(
        "records per second of a job on one slot",
        "rec/s",
        {"nobody asks": statistics.median(f[0] for f in free), "asked": statistics.median(a[0] for a in asked)},
    )
    bench.figures(
        f"the same job, asked {asking.answered / (seconds * spells):,.0f} times a second",
        "of unasked",
        {"rate": statistics.median(by_clock), "records by CPU time": statistics.median(by_cpu)},
        targets=[Target("rate", at_least=0.98), Target("records by CPU time", at_least=0.98)],
    )
    bench.figures("how long an answer takes", "ms", percentiles(asking.took_ms))
    bench.finish()


if __name__ == "__main__":
    main()
