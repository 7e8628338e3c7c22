"""Failures that are planned: one at a certain record, or where they hurt most, one after the other, for jobs that run in this process."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from actorflow.connectors.file_sinks import FileSink

CHECKPOINTS = {"execution.checkpointing.interval": "1s"}
AT_ONCE = {
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 99,
    "restart-strategy.fixed-delay.delay": 0,
}
POINTS_OF_SINKS = ("open", "before prepare", "after prepare", "before commit", "after commit")


@dataclass(frozen=True)
class Planned:
    """Failures one after the other, each when a point is passed for the n-th time; a file counts for all attempts and subtasks."""

    plan: tuple[tuple[str, int], ...]
    file: str

    def passed(self, point):
        path = Path(self.file)
        done, passes = map(int, path.read_text().split()) if path.exists() else (0, 0)
        if done < len(self.plan) and self.plan[done][0] == point:
            passes += 1
            due = passes == self.plan[done][1]
            path.write_text(f"{done + due} {0 if due else passes}")
            if due:
                raise RuntimeError(f"planned: {point}")

    def done(self):
        return int(Path(self.file).read_text().split()[0])


@dataclass(frozen=True)
class FailingSink(FileSink):
    planned: Planned = Planned((), "")

    def open(self, ctx):
        self.planned.passed("open")
        writer = super().open(ctx)
        prepare = writer.prepare

        def failing_prepare():
            self.planned.passed("before prepare")
            finished = prepare()
            self.planned.passed("after prepare")
            return finished

        writer.prepare = failing_prepare
        return writer

    def commit(self, committables):
        for file in committables:
            self.planned.passed("before commit")
            super().commit([file])
            self.planned.passed("after commit")


class FailsOnce:
    """Ends the process, or raises, at one record of the whole job: a file says that it has happened."""

    def __init__(self, mark, at, how="raise"):
        self.mark, self.at, self.how = str(mark), at, how

    def __call__(self, number):
        if number == self.at and not Path(self.mark).exists():
            Path(self.mark).write_text("failed")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("planned")
        return number
