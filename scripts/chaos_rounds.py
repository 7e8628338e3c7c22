"""Chaos: kills the workers of a job with SIGKILL at random moments, and compares what it commits with an undisturbed run.

The job reads numbers in event time, keeps state and timers by key, fires windows of three kinds, has asynchronous calls in flight, and
writes two directories of files. Workers are killed in two ways, as the seed of a round says:

    at a point      the worker itself strikes when it gets there for the n-th time: when a sink is opened (which is during a restore),
                    before and after a sink prepares, before, between and after the renames of a commit, in a timer of the user
    at a moment     a random worker is killed a random time after the job was seen running, deploying or restarting, or if that point or this
                    is not reached for half a second

At the end the committed lines are those of the undisturbed run, no hidden file and no file of a checkpoint is left, no process lives. Exit
code 1 and the command that plays a round again if not; moments depend on the machine, so that may need more than one try.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import actorflow as af
from actorflow.config.load import from_assignments
from actorflow.connectors.contracts import WriterContext
from actorflow.connectors.file_formats import JsonLinesFormat, TextFormat
from actorflow.connectors.file_sinks import FileFormat, FileSink, FileWriter, Finished, Rolling
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.storage.files import as_uri

RECORDS, RATE = 8000, 4000.0
KEYS, TEXTS = 61, 40
BACKENDS = ("hashmap", "rocksdb")
ROUND_S, PATIENCE_S = 120.0, 0.5
"""A round that takes longer does not end; a point or a moment is waited for so long."""

POINTS = ("open", "before prepare", "after prepare", "before commit", "amid commit", "after commit", "timer")
MOMENTS = (JobStatus.RUNNING, JobStatus.RUNNING, JobStatus.RUNNING, JobStatus.DEPLOYING, JobStatus.RESTARTING)


@dataclass(frozen=True)
class Strike:
    """One kill: at the n-th pass of a point, or so many seconds after the job was seen in a status."""

    point: str = ""
    passes: int = 0
    status: JobStatus | None = None
    after_s: float = 0.0

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.point} #{self.passes}"
        return f"{self.status.value} + {self.after_s * 1000:.0f} ms"


@dataclass(frozen=True)
class Strikes:
    """What is to be struck, one after the other; files in a directory say how far that is, for all processes.

    Attributes:
        plan: the strikes, in order.
        directory: where the files are.
        owner: the process that is never struck: it runs the cluster.
    """

    plan: tuple[Strike, ...]
    directory: str
    owner: int

    def done(self) -> int:
        """Return how many strikes were carried out."""
        return sum(entry.name.startswith("struck-") for entry in os.scandir(self.directory))

    def claim(self, number: int) -> bool:
        """Return whether this process is the one that carries out a strike."""
        try:
            os.close(os.open(f"{self.directory}/struck-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def passed(self, point: str) -> None:
        """Kill this process, if the next strike is due at this point."""
        number = self.done()
        if os.getpid() == self.owner or number >= len(self.plan) or self.plan[number].point != point:
            return
        with Path(self.directory, f"passes-{number}").open("ab") as passes:
            passes.write(b".")
            passes.flush()
            due = passes.tell() >= self.plan[number].passes
        if due and self.claim(number):
            os.kill(os.getpid(), signal.SIGKILL)


def planned(draw: random.Random, count: int) -> tuple[Strike, ...]:
    """Return strikes at random."""
    return tuple(
        Strike(point=draw.choice(POINTS), passes=draw.randint(1, 6))
        if draw.random() < 0.5
        else Strike(status=draw.choice(MOMENTS), after_s=draw.choice((0.0, 0.02, 0.1, 0.4)) * draw.random())
        for _ in range(count)
    )


# --- the job -------------------------------------------------------------------------------------------------------------------


class StruckWriter(FileWriter):
    """Writes files, and strikes around `prepare`."""

    strikes: Strikes

    def prepare(self) -> Finished | None:
        """Finish a file, between two points."""
        self.strikes.passed("before prepare")
        finished = super().prepare()
        self.strikes.passed("after prepare")
        return finished


@dataclass(frozen=True)
class StruckSink(FileSink):
    """Writes files, and strikes when it is opened and around `commit`."""

    strikes: Strikes = Strikes((), "", 0)

    def open(self, ctx: WriterContext) -> FileWriter:
        """Open a writer, after a point."""
        self.strikes.passed("open")
        writer = super().open(ctx)
        writer.__class__ = StruckWriter
        vars(writer)["strikes"] = self.strikes
        return writer

    def commit(self, committables: Sequence[Finished]) -> None:
        """Commit, among points."""
        self.strikes.passed("before commit")
        for finished in committables:
            for file in finished:
                super().commit([(file,)])
                self.strikes.passed("amid commit")
        self.strikes.passed("after commit")


class Remembers(af.OperatorActor):
    """Counts by key in state of two kinds, and says at a timer how far it was: a lost or doubled value or timer shows."""

    seen = af.ValueState(int, default=0)
    last = af.MapState(int, int)

    def __init__(self, strikes: Strikes) -> None:
        self.strikes = strikes

    def on_record(self, record: int, ctx: Any) -> None:
        """Count, and set a timer."""
        self.seen.set(self.seen.get() + 1)
        self.last.put(record % 5, record)
        ctx.timers.event(ctx.timestamp + 700)

    def on_timer(self, timestamp: int, ctx: Any) -> None:
        """Say what is remembered: everything up to here has been counted, and a timer comes before later records."""
        self.strikes.passed("timer")
        ctx.emit(["timer", ctx.key, timestamp])
        if timestamp % 1000 == 0:
            ctx.emit(["last", ctx.key, timestamp, len(self.last.items()) > 0, self.seen.get() > 0])


async def looked_up(number: int) -> int:
    """Answer a little later."""
    await asyncio.sleep(0.002)
    return number


def job(output: Path, strikes: Strikes, parallelism: int = 1, dispatcher: Literal["default", "pinned"] = "default") -> af.Pipeline:
    """Return the pipeline. What it writes depends on nothing but the numbers: every reader's are in order, so no record is late."""
    pipeline = af.Pipeline("chaos", parallelism=parallelism)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=RATE))
    stamped = numbers.with_timestamps(lambda number: number * 10, af.Watermarks.monotonous())
    keyed = stamped.map_async(looked_up, capacity=50).key_by(lambda number: number % KEYS)
    counts = keyed.count().map(lambda counted: f"{counted[0]} {counted[1]}")
    few = pipeline.read(af.sources.collection("abc"))  # one of its readers has nothing to do, and the other is soon done
    texts = pipeline.read(af.sources.text(texts_for(output))).map(slowly)
    counts.union(few, texts).write(sink(output / "counts", TextFormat(), strikes), dispatcher=dispatcher)
    tumbling = keyed.window(af.windows.tumbling("2s")).sum(lambda number: number).map(lambda w: ["tumbling", *row(w)])
    sliding = keyed.window(af.windows.sliding("4s", "1s")).count().map(lambda w: ["sliding", *row(w)])
    sessions = stamped.key_by(lambda number: number // 7).window(af.windows.session("500ms")).count()
    remembered = keyed.process(Remembers(strikes), dispatcher=dispatcher)
    thirds = stamped.key_by(lambda number: number % 3)
    near = thirds.interval_join(thirds, lower=-30, upper=60).filter(lambda pair: pair[0] % 9 == 0).map(lambda pair: ["near", *pair])
    fired = tumbling.union(sliding, sessions.map(lambda w: ["session", *row(w)]), remembered, near)
    fired.write(sink(output / "fired", JsonLinesFormat(), strikes))
    return pipeline


def slowly(line: str) -> str:
    """Take so long with a line that files are read all through the round."""
    time.sleep(0.001)
    return line


def texts_for(output: Path) -> Path:
    """Write files beside the output, many more than readers: each is a split of its own."""
    directory = output.with_name("texts")
    directory.mkdir(exist_ok=True)
    for number in range(TEXTS):
        (directory / f"{number}.txt").write_text("".join(f"text {number} line {line}\n" for line in range(25)), encoding="utf-8")
    return directory


def row(windowed: Any) -> tuple[int, int, int]:
    """Return what a window has come to."""
    return windowed.key, windowed.window.start, windowed.value


def sink(directory: Path, form: FileFormat, strikes: Strikes) -> StruckSink:
    """Return a sink of files that strikes."""
    return StruckSink(as_uri(directory), form, Rolling(bytes_max=20_000), strikes=strikes)


def committed(output: Path) -> Counter[str]:
    """Return the lines that readers see, with the directory that they are in."""
    seen: Counter[str] = Counter()
    for path in sorted(output.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            seen.update(f"{path.parent.name}: {line}" for line in path.read_text(encoding="utf-8").splitlines())
    return seen


# --- a round -------------------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """How a round went."""

    strikes: tuple[Strike, ...]
    struck: int = 0
    attempts: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def workers() -> list[int]:
    """Return the process ids of the slot workers: children of the fork server, which is a child of this process."""
    return [worker for server in children_of(os.getpid()) for worker in children_of(server)]


def children_of(pid: int) -> list[int]:
    """Return the process ids of all children of a process."""
    with contextlib.suppress(OSError):
        texts = [path.read_text() for path in sorted(Path(f"/proc/{pid}/task").glob("*/children"))]
        return [int(text) for line in texts for text in line.split()]
    return []


def strike_moments(running: af.Job, strikes: Strikes, draw: random.Random, deadline: float) -> None:
    """Carry out the strikes at moments until the job has ended; those at points the workers carry out, unless it takes them too long."""
    while not running.status().final and time.monotonic() < deadline:
        number = strikes.done()
        if number == len(strikes.plan):
            running.wait_until(lambda: running.status().final, 0.2)
            continue
        awaited = strikes.plan[number].status
        running.wait_until(
            lambda number=number, awaited=awaited: running.status() in {awaited, *_OVER} or strikes.done() > number, PATIENCE_S
        )
        if strikes.done() > number or running.status().final:
            continue
        time.sleep(strikes.plan[number].after_s)
        living = workers()
        if living and strikes.claim(number):
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(living), signal.SIGKILL)


_OVER = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED)


def play(seed: int, kills: int, config: Mapping[str, object], expected: Counter[str]) -> Outcome:
    """Run the job, strike it, and say what is wrong with what is left."""
    draw = random.Random(seed)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    (directory / "strikes").mkdir()
    strikes = Strikes(planned(draw, kills), str(directory / "strikes"), os.getpid())
    outcome, began = Outcome(strikes.plan), time.monotonic()
    parallelism = draw.choice((1, 2, 2, 3))
    pipeline = job(directory / "out", strikes, parallelism, draw.choice(("default", "default", "pinned")))
    managers = draw.choice((1, 2))
    with af.LocalCluster(task_managers=managers, slots=parallelism, config=options_of(draw, directory, config)) as cluster:
        running = cluster.submit(pipeline)
        strike_moments(running, strikes, draw, began + ROUND_S)
        try:
            running.wait(timeout=max(1.0, began + ROUND_S - time.monotonic()) * 1000)
        except (af.ActorflowError, TimeoutError) as error:
            outcome.faults.append(str(error))
        outcome.attempts = running.attempts
    outcome.struck, outcome.seconds = strikes.done(), time.monotonic() - began
    outcome.faults += differences(expected, committed(directory / "out"))
    outcome.faults += [f"left: {path.relative_to(directory)}" for path in leftovers(directory)]
    outcome.faults += [f"left: process {pid}" for pid in workers()]
    if outcome.faults:
        outcome.faults.append(f"see {directory}")
    else:
        shutil.rmtree(directory)
    return outcome


def options_of(draw: random.Random, directory: Path, config: Mapping[str, object]) -> dict[str, object]:
    """Return the options of a round, which differ from round to round: where checkpoints are, how fast the job restarts, and more."""
    where = draw.choice(("memory", "files", "manifest"))
    chosen: dict[str, object] = {
        "execution.checkpointing.interval": draw.choice(("40ms", "100ms", "250ms")),
        "execution.checkpointing.tolerable-failed-checkpoints": 10,
        "execution.checkpointing.max-concurrent-checkpoints": draw.choice((1, 1, 3)),
        "execution.checkpointing.num-retained": draw.choice((1, 2)),
        "pipeline.operator-chaining.enabled": draw.random() < 0.8,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 1000,
        "restart-strategy.fixed-delay.delay": draw.choice(("0ms", "10ms", "100ms")),
    }
    if where != "memory":
        chosen["execution.checkpointing.dir"] = str(directory / "checkpoints")
    if where == "files":
        chosen["execution.checkpointing.data-inline-threshold"] = 0
    return chosen | dict(config)


def differences(expected: Counter[str], seen: Counter[str]) -> list[str]:
    """Return what is missing and what is too much, by the first few lines."""
    faults = []
    for what, lines in (("missing", expected - seen), ("too much", seen - expected)):
        if lines:
            faults.append(f"{lines.total()} lines {what}, as: {', '.join(sorted(lines)[:4])}")
    return faults


def leftovers(directory: Path) -> Iterator[Path]:
    """Give the files that should not be there after the end."""
    for path in sorted(directory.rglob("*")):
        hidden = path.name.startswith(".") or path.is_relative_to(directory / "checkpoints")
        if path.is_file() and hidden:
            yield path


def undisturbed() -> Counter[str]:
    """Return the lines of a run that nothing happens to."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "out")
        af.run(job(output, Strikes((), directory, os.getpid())), slots="inline", progress=False)
        return committed(output)


# --- the command ---------------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rounds; return 1 if one went wrong, else 0."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Kill workers of a job, and compare what it commits.")
    parser.add_argument("--rounds", type=int, default=10, help="how many jobs to run (10)")
    parser.add_argument("--kills", type=int, default=5, help="how many kills to plan for each (5)")
    parser.add_argument("--seed", type=int, help="of the first round; each has its predecessor's plus 1")
    parser.add_argument("--backend", choices=BACKENDS, help="state backend; both in turn if not given")
    parser.add_argument("--unaligned", action="store_true", help="with unaligned checkpoints")
    parser.add_argument("-D", action="append", default=[], metavar="KEY=VALUE", dest="options", help="an option of the job")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    extra = [*given.options, *(["execution.checkpointing.unaligned.enabled=true"] if given.unaligned else [])]
    logging.getLogger("actorflow").setLevel(logging.ERROR)  # it warns of each failure, and these are meant
    expected = undisturbed()
    struck = failed = 0
    for number in range(seed, seed + given.rounds):
        backend = given.backend or BACKENDS[number % 2]
        config = {**from_assignments(extra).plain(), "state.backend.type": backend}
        outcome = play(number, given.kills, config, expected)
        struck += outcome.struck
        verdict = "FAILED" if outcome.faults else "identical"
        print(f"seed {number} {backend:7} {outcome.struck} kills {outcome.attempts} attempts {outcome.seconds:5.1f} s  {verdict}")
        if outcome.faults:
            failed += 1
            print("\n".join(["  " + text for text in (*outcome.faults, "planned: " + ", ".join(map(str, outcome.strikes)))]))
            again = [f"--kills {given.kills}", f"--backend {backend}", *(f"-D {option}" for option in extra)]
            print(f"  again: scripts/chaos --rounds 1 --seed {number} {' '.join(again)}")
    print(f"{given.rounds} rounds, {struck} kills, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
