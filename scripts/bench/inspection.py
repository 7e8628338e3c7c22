"""Inspection: what 1,000 questions a second cost a loaded job, and how long an answer takes.

A question is one `observe()` of one actor, answered between two batches to whoever asked. One slot counts words, a record at a time, as fast as it
can; its rate is measured while nobody asks, and while a thread of the client asks its subtasks in turn 1,000 times a second, up to 64 on the way at once:
*alike*, as people ask, so that those that wait together for the same actor share what it shows; and *no two alike*, so that each is observed for itself, a
thousand times a second. Spells without and with questions take turns within one run, two of four without: what these differ by is the noise of the machine. The CPU time of the
worker's process is measured beside the clock, which other load disturbs.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
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
        self._alike = True
        self._on = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def during(self, seconds: float, *, alike: bool) -> None:
        """Ask for so long; not alike, each question differs from all others in the number that `observe` has no use for."""
        self._alike = alike
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
                under_way.append(
                    (time.perf_counter(), self._refs[number % len(self._refs)].look("observe", 0 if self._alike else number))
                )
                number += 1
                due += 1 / PER_SECOND
            time.sleep(0.002)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, from its clock on Linux (`clock_getcpuclockid`): /proc counts in hundredths of a second."""
    return time.clock_gettime(~pid << 3 | 2)


def spell(view: ClusterView, job: str, pid: int, seconds: float, ask: Callable[[float], None] = time.sleep) -> tuple[float, float]:
    """Return records per second, and records per second of the worker's CPU time, while it is asked or not."""
    records, cpu, began = _records(view, job), cpu_s(pid), time.perf_counter()
    ask(seconds)
    done = _records(view, job) - records
    return done / (time.perf_counter() - began), done / max(1e-9, cpu_s(pid) - cpu)


def _records(view: ClusterView, job: str) -> int:
    seen = view.views(view.job(job))
    return sum(each.metrics.records_in for subtask, each in seen.items() if each is not None and not each.inputs)


def main() -> None:
    bench = Benchmark("inspection", __doc__)
    seconds, spells = bench.size(2, quick=1), bench.size(6, quick=2)
    pipeline = af.Pipeline("words")
    words = pipeline.read(af.sources.generator(lambda n: WORDS[n % 10])).map(str.upper).key_by(lambda word: word)
    words.count(chain="never").write(af.sinks.discard())
    with af.LocalCluster(slots=1) as cluster:
        job = cluster.submit(pipeline, parallelism=1)
        assert job.wait_until(lambda: job.progress()[0] > 100_000, 30)
        view = cluster.look()
        [pid] = [view.actor(row.path).observe()["pid"] for row in view.tree() if row.kind == "SlotProcess"]
        asking = Asking(view, "words")
        ways = {
            "nobody asks": time.sleep,
            "nobody asks, again": time.sleep,
            "asked": partial(asking.during, alike=True),
            "asked, no two alike": partial(asking.during, alike=False),
        }
        figures: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(spells):
            order = deque(ways.items())
            order.rotate(number)  # so that no way always follows the same other
            for way, ask in order:
                figures[way].append(spell(view, "words", pid, seconds, ask))
        asking.close()
    free = figures.pop("nobody asks")
    bench.figures(
        "records per second of a job on one slot",
        "rec/s",
        {way: statistics.median(rate for rate, _ in each) for way, each in {"nobody asks": free, **figures}.items()},
    )
    bench.figures(
        f"the same job, asked {asking.answered / (seconds * spells * 2):,.0f} times a second",
        "of unasked",
        {
            f"{way}, {figure}": statistics.median(a[index] / f[index] for f, a in zip(free, each, strict=True))
            for way, each in figures.items()
            for index, figure in enumerate(("by the clock", "by CPU time"))
        },
        targets=[Target(f"{way}, by CPU time", at_least=0.98) for way in figures if way.startswith("asked")],
    )
    bench.figures("how long an answer takes", "ms", percentiles(asking.took_ms))
    bench.finish()


if __name__ == "__main__":
    main()
