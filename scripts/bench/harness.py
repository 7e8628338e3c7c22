"""What the benchmark commands share: interleaved rounds, an aligned table with ratios, targets, and JSON.

A *contender* is a function that does the work once and returns one figure in the table's unit. All contenders of a table run in
turn, round after round, so that a noisy moment of the machine hits all of them; the best of the rounds is compared (noise only
ever makes a run slower), the median is shown beside it. One contender is the *floor*: the same work as a hand-written loop, or
one polars query. Ratios are "times as good": above 1 is better than the base, for rates and for durations alike.

    bench = Benchmark("actors", __doc__)
    n = bench.size(2_000_000, quick=100_000)
    bench.compare(
        "ping-pong of two local actors",
        "msg/s",
        {
            "actorflow": lambda: per_second(n, lambda: ping_pong(n)),
            "pykka ThreadingActor": lambda: per_second(n // 50, lambda: pykka_ping_pong(n // 50)),
        },
        floor="pykka ThreadingActor",
        targets=[Target("actorflow", at_least=1.5e6), Target("actorflow", times=30, versus="pykka ThreadingActor")],
    )
    bench.finish()

Figures that come many at a time from one run (percentiles, memory) go through `bench.figures`. Targets are printed as reached or
missed, never asserted: the exit code of a benchmark says only whether it ran.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SMALLER_IS_BETTER = frozenset({"s", "ms", "us", "µs", "ns", "bytes", "kB", "MB", "%"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a contender should reach: an absolute figure, or a multiple of another contender.

    Attributes:
        contender: whose figure.
        at_least: smallest good figure, in the table's unit.
        at_most: largest good figure, in the table's unit.
        times: smallest good ratio to `versus` ("times as good").
        versus: name of the contender to compare with.
    """

    contender: str
    at_least: float | None = None
    at_most: float | None = None
    times: float | None = None
    versus: str = ""

    def verdict(self, figures: Mapping[str, float], *, smaller_is_better: bool) -> tuple[str, bool]:
        """Return the target in words with the measured figure, and whether it was reached."""
        figure = figures[self.contender]
        if self.times is not None:
            ratio = _ratio(figure, figures[self.versus], smaller_is_better=smaller_is_better)
            return f"{self.contender} {ratio:.2f} x {self.versus}, target {self.times:g} x", ratio >= self.times
        if self.at_least is not None:
            return f"{self.contender} {_human(figure)}, target at least {_human(self.at_least)}", figure >= self.at_least
        assert self.at_most is not None, "a target is a ratio, a lower or an upper limit"
        return f"{self.contender} {_human(figure)}, target at most {_human(self.at_most)}", figure <= self.at_most


@dataclass(slots=True)
class _Table:
    title: str
    unit: str
    runs: dict[str, list[float]]
    best: dict[str, float]
    floor: str
    targets: list[dict[str, object]] = field(default_factory=list)


class Benchmark:
    """One benchmark command: its options, its tables, its JSON.

    Options every command has: `--quick` (small sizes, one round), `--rounds N`, `--peers` (also run other systems), `--json PATH`.

    Args:
        name: name in the JSON.
        description: the command's help; its module docstring.
        arguments: a parser with more options of its own, or None.
    """

    def __init__(self, name: str, description: str | None, arguments: argparse.ArgumentParser | None = None) -> None:
        parser = argparse.ArgumentParser(
            prog=f"scripts/bench/{name}.py",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[arguments] if arguments else [],
        )
        parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it run, not how fast")
        parser.add_argument("--rounds", type=int, help="how often every contender runs (default 5, with --quick 1)")
        parser.add_argument("--peers", action="store_true", help="also run other systems where they are installed")
        parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures to this file")
        self.name = name
        self.options = parser.parse_args()
        self.quick: bool = self.options.quick
        self.peers: bool = self.options.peers
        self.rounds: int = self.options.rounds or (1 if self.quick else 5)
        self._tables: list[_Table] = []
        self._notes: list[str] = []
        print(f"{name}: {_machine_line()}{' (quick: sizes too small for conclusions)' if self.quick else ''}")
        if sys.dont_write_bytecode:
            self._keep_bytecode()

    def size(self, full: int, *, quick: int) -> int:
        """Return how much work to do: `full`, or `quick` with `--quick`."""
        return quick if self.quick else full

    def _keep_bytecode(self) -> None:
        """Have the processes that start from now on keep compiled modules for the next, as they do wherever a package is installed."""
        directory = tempfile.TemporaryDirectory(prefix="bench-bytecode-")
        atexit.register(directory.cleanup)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = directory.name
        self.note(
            "PYTHONDONTWRITEBYTECODE is set: left to it, every process would compile the engine anew, which takes about 0.2 s"
        )

    def note(self, text: str) -> None:
        """Print a remark (a peer that is not installed, say) and keep it for the JSON."""
        self._notes.append(text)
        print(f"  note: {text}")

    def compare(
        self,
        title: str,
        unit: str,
        contenders: Mapping[str, Callable[[], float]],
        *,
        floor: str = "",
        rounds: int | None = None,
        targets: Sequence[Target] = (),
    ) -> dict[str, float]:
        """Run the contenders in turn for some rounds, print the table, and return the best figure of each.

        Args:
            title: what is measured.
            unit: such as `rec/s` or `ms`; for durations, sizes and `%` smaller is better.
            contenders: name to function; a function does the work once and returns its figure.
            floor: the contender that the ratio column divides by; the first one if not given.
            rounds: overrides the command's own number, for slow contenders.
            targets: what should be reached.
        """
        runs: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds or self.rounds):
            for name, run in contenders.items():
                gc.collect()
                runs[name].append(float(run()))
        smaller = unit in _SMALLER_IS_BETTER
        best = {name: (min if smaller else max)(figures) for name, figures in runs.items()}
        table = _Table(title, unit, runs, best, floor or next(iter(contenders)))
        rows = [
            [
                name,
                _human(best[name]),
                _human(statistics.median(figures)),
                f"{_ratio(best[name], best[table.floor], smaller_is_better=smaller):.2f}",
            ]
            for name, figures in runs.items()
        ]
        _print_table(title, ["", f"best {unit}", "median", f"x {table.floor}"], rows)
        self._settle(table, targets)
        return best

    def figures(self, title: str, unit: str, values: Mapping[str, float], *, targets: Sequence[Target] = ()) -> None:
        """Print and keep figures that were measured together, such as percentiles or memory over time."""
        table = _Table(title, unit, {name: [value] for name, value in values.items()}, dict(values), floor="")
        _print_table(title, ["", unit], [[name, _human(value)] for name, value in values.items()])
        self._settle(table, targets)

    def finish(self) -> None:
        """Write the JSON, if asked for. The last call of a command."""
        if self.options.json is None:
            return
        report = {
            "benchmark": self.name,
            "quick": self.quick,
            "machine": machine_facts(),
            "notes": self._notes,
            "tables": [
                {
                    "title": table.title,
                    "unit": table.unit,
                    "floor": table.floor,
                    "best": table.best,
                    "median": {name: statistics.median(figures) for name, figures in table.runs.items()},
                    "runs": table.runs,
                    "targets": table.targets,
                }
                for table in self._tables
            ],
        }
        self.options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"\nwritten to {self.options.json}")

    def _settle(self, table: _Table, targets: Sequence[Target]) -> None:
        for target in targets:
            text, reached = target.verdict(table.best, smaller_is_better=table.unit in _SMALLER_IS_BETTER)
            table.targets.append({"target": text, "reached": reached})
            print(f"  {'reached' if reached else 'MISSED '}  {text}")
        self._tables.append(table)


def per_second(count: int, work: Callable[[], object]) -> float:
    """Run `work`, which handles `count` things, and return things per second."""
    return count / seconds(work)


def seconds(work: Callable[[], object]) -> float:
    """Run `work` and return how many seconds it took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentiles(samples: Sequence[float], ranks: Sequence[float] = (50, 99, 99.9)) -> dict[str, float]:
    """Return `{"p50": …, "p99": …, "p99.9": …, "max": …}` by the nearest-rank rule: each is a sample that occurred."""
    ordered = sorted(samples)
    found = {f"p{rank:g}": ordered[max(0, math.ceil(len(ordered) * rank / 100) - 1)] for rank in ranks}
    return {**found, "max": ordered[-1]}


def machine_facts() -> dict[str, object]:
    """Return what a reader needs to know of this machine to judge the figures."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor_name(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _machine_line() -> str:
    facts = machine_facts()
    return f"{facts['python']}, {facts['cores']} cores of {facts['processor']}, load {facts['load_1min']}"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _ratio(figure: float, base: float, *, smaller_is_better: bool) -> float:
    above, below = (base, figure) if smaller_is_better else (figure, base)
    return above / below if below else math.inf


def _human(figure: float) -> str:
    for limit, suffix in ((1e9, " G"), (1e6, " M")):
        if abs(figure) >= limit:
            return f"{figure / limit:.2f}{suffix}"
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"


def _print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n{title}")
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "   ".join(cells))
    sys.stdout.flush()
