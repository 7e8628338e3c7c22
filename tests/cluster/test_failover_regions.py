"""A pipeline of parts that have nothing to do with each other: where one fails the others keep running, in the same slots."""

import json
from collections import Counter
from pathlib import Path

import pytest

import actorflow as af

pytestmark = pytest.mark.slow

RECORDS, KEYS = 3000, 7
CONFIG = {
    "execution.checkpointing.interval": "50ms",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 3,
    "restart-strategy.fixed-delay.delay": "10ms",
}


class FailsOnce:
    def __init__(self, mark, at):
        self.mark, self.at = str(mark), at

    def __call__(self, number):
        if number == self.at and not Path(self.mark).exists():
            Path(self.mark).write_text("failed")
            raise RuntimeError("planned")
        return number


class Started(af.OperatorActor):
    """Notes each start of its subtask."""

    def __init__(self, directory, branch):
        self.path = f"{directory}/starts-{branch}"

    def on_start(self, ctx):
        with Path(self.path).open("a") as notes:
            notes.write("started\n")

    def on_record(self, record, ctx):
        ctx.emit(record)


def branches(tmp_path, *, parallelism, config=CONFIG):
    pipeline = af.Pipeline("branches", parallelism=parallelism, config=config)
    for branch, fails_at in (("steady", -1), ("failing", 1500)):
        numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0), name=f"numbers {branch}")
        failing = numbers.map(FailsOnce(tmp_path / "mark", fails_at)).process(Started(tmp_path, branch), name=f"start {branch}")
        counts = failing.key_by(lambda number: number % KEYS).count(name=f"count {branch}")
        counts.write(af.sinks.json_lines(str(tmp_path / branch)), name=f"write {branch}")
    return pipeline


def starts(tmp_path, branch):
    return len((tmp_path / f"starts-{branch}").read_text().splitlines())


def committed(directory):
    """Return what readers see; nothing else is there."""
    visible = list(Path(directory).iterdir())
    assert [] == [path for path in visible if path.name.startswith(".")]
    return Counter(tuple(json.loads(line)) for path in visible for line in path.read_text().splitlines())


def expected():
    totals = Counter(number % KEYS for number in range(RECORDS))
    return Counter((key, count) for key, total in totals.items() for count in range(1, total + 1))


@pytest.mark.parametrize("slots", ["inline", pytest.param(2, marks=pytest.mark.slow)])
def test_the_part_that_fails_comes_back_and_the_other_one_never_stops(tmp_path, slots):
    af.run(branches(tmp_path, parallelism=2), slots=slots)
    assert (2, 4) == (starts(tmp_path, "steady"), starts(tmp_path, "failing"))
    for branch in ("steady", "failing"):
        assert expected() == committed(tmp_path / branch)


def test_without_checkpoints_the_part_begins_anew(tmp_path):
    config = {"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "10ms"}
    af.run(branches(tmp_path, parallelism=1, config=config), slots="inline")
    assert (1, 2) == (starts(tmp_path, "steady"), starts(tmp_path, "failing"))
    for branch in ("steady", "failing"):
        assert expected() == committed(tmp_path / branch)


def test_all_parts_fail_together_if_the_options_say_so(tmp_path):
    config = CONFIG | {"jobmanager.execution.failover-strategy": "full"}
    af.run(branches(tmp_path, parallelism=1, config=config), slots="inline")
    assert (2, 2) == (starts(tmp_path, "steady"), starts(tmp_path, "failing"))
    for branch in ("steady", "failing"):
        assert expected() == committed(tmp_path / branch)


def test_the_plan_says_what_fails_alone(tmp_path):
    assert "failover regions: chains 1, 2; chains 3, 4" in branches(tmp_path, parallelism=2).explain()
