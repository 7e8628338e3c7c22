"""A pipeline of parts that have nothing to do with each other: where one fails the others keep running, in the same slots."""

import json
from pathlib import Path

import pytest
from cluster_options import CHECKPOINTS_AND_RESTARTS
from planned_failures import FailsOnce
from visible_output import lines_left, running_counts

import actorflow as af

pytestmark = pytest.mark.slow

RECORDS, KEYS = 3000, 7
EXPECTED = running_counts(RECORDS, KEYS)


class Started(af.OperatorActor):
    """Notes each start of its subtask."""

    def __init__(self, directory, branch):
        self.path = f"{directory}/starts-{branch}"

    def on_start(self, ctx):
        with Path(self.path).open("a") as notes:
            notes.write("started\n")

    def on_record(self, record, ctx):
        ctx.emit(record)


def branches(tmp_path, *, parallelism, config=CHECKPOINTS_AND_RESTARTS):
    pipeline = af.Pipeline("branches", parallelism=parallelism, config=config)
    for branch, fails_at in (("steady", -1), ("failing", 1500)):
        numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0), name=f"numbers {branch}")
        failing = numbers.map(FailsOnce(tmp_path / "mark", fails_at)).process(Started(tmp_path, branch), name=f"start {branch}")
        counts = failing.key_by(lambda number: number % KEYS).count(name=f"count {branch}")
        counts.write(af.sinks.json_lines(str(tmp_path / branch)), name=f"write {branch}")
    return pipeline


def starts(tmp_path, branch):
    return len((tmp_path / f"starts-{branch}").read_text().splitlines())


@pytest.mark.parametrize("slots", ["inline", pytest.param(2, marks=pytest.mark.slow)])
def test_the_part_that_fails_comes_back_and_the_other_one_never_stops(tmp_path, slots):
    af.run(branches(tmp_path, parallelism=2), slots=slots)
    assert (2, 4) == (starts(tmp_path, "steady"), starts(tmp_path, "failing"))
    for branch in ("steady", "failing"):
        assert EXPECTED == sorted(map(json.loads, lines_left(tmp_path / branch)))


def test_without_checkpoints_the_part_begins_anew(tmp_path):
    config = {"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "10ms"}
    af.run(branches(tmp_path, parallelism=1, config=config), slots="inline")
    assert (1, 2) == (starts(tmp_path, "steady"), starts(tmp_path, "failing"))
    for branch in ("steady", "failing"):
        assert EXPECTED == sorted(map(json.loads, lines_left(tmp_path / branch)))


def test_all_parts_fail_together_if_the_options_say_so(tmp_path):
    config = CHECKPOINTS_AND_RESTARTS | {"jobmanager.execution.failover-strategy": "full"}
    af.run(branches(tmp_path, parallelism=1, config=config), slots="inline")
    assert (2, 2) == (starts(tmp_path, "steady"), starts(tmp_path, "failing"))
    for branch in ("steady", "failing"):
        assert EXPECTED == sorted(map(json.loads, lines_left(tmp_path / branch)))


def test_the_plan_says_what_fails_alone(tmp_path):
    assert "failover regions: chains 1, 2; chains 3, 4" in branches(tmp_path, parallelism=2).explain()
