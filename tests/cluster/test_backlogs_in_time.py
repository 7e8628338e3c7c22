"""Checkpoints of jobs whose sources work off a backlog, in virtual time."""

from pathlib import Path

import actorflow as af
from actorflow.connectors.contracts import END_OF_SPLIT, Backlog, Pause
from actorflow.testing import run_test
from actorflow.wire.batch import ObjectBatch

BEHIND = 100
"""Records of a backlog, one each 100 ms; as many follow."""


class Reader:
    """Notes the seconds at which its position goes into a checkpoint."""

    def __init__(self, ctx, log):
        self.clock = ctx.clock
        self.began_s = ctx.clock.now()
        self.log = log
        self.next = 0
        self.told = []

    @property
    def position(self):
        with Path(self.log).open("a") as log:
            print(self.clock.now() - self.began_s, file=log)
        return self.next

    def read(self, records_max):
        for at, backlog in ((0, True), (BEHIND, False)):
            if self.next >= at and backlog not in self.told:
                self.told.append(backlog)
                return Backlog(under_way=backlog)
        if self.next == 2 * BEHIND:
            return END_OF_SPLIT
        due_s = self.began_s + 0.1 * self.next
        if self.clock.now() < due_s:
            return Pause(due_s - self.clock.now())
        self.next += 1
        return ObjectBatch([self.next])

    def close(self):
        pass


class Lagging(af.Source):
    def __init__(self, log):
        self.log = str(log)

    def splits(self, parallelism):
        return [0]

    def open(self, split, position):
        raise AssertionError("its readers look at the clock")

    def open_reader(self, split, position, ctx):
        return Reader(ctx, self.log)


def checkpoints(directory, **config):
    """Return at which seconds checkpoints were taken while the backlog was worked off, and how many were afterwards."""
    log = directory / "log"
    log.touch()
    pipeline = af.Pipeline("lagging")
    pipeline.read(Lagging(log)).write(af.sinks.discard())
    run = run_test(pipeline, config={"execution.checkpointing.interval": "1s", **config})
    assert run.records_out == 2 * BEHIND
    taken = [float(line) for line in log.read_text().splitlines()]
    return [round(at) for at in taken if at < 9.5], sum(at > 9.5 for at in taken)


def test_they_are_taken_as_usual_unless_the_options_say_otherwise(tmp_path):
    during, after = checkpoints(tmp_path)
    assert [1, 2, 3, 4, 5, 6, 7, 8, 9] == during
    assert after >= 9


def test_they_are_taken_more_seldom_while_a_backlog_is_worked_off(tmp_path):
    during, after = checkpoints(tmp_path, **{"execution.checkpointing.interval-during-backlog": "4s"})
    assert [4, 8] == during
    assert after >= 9


def test_none_are_taken_while_a_backlog_is_worked_off_if_its_interval_is_zero(tmp_path):
    during, after = checkpoints(tmp_path, **{"execution.checkpointing.interval-during-backlog": 0})
    assert [] == during
    assert after >= 9
