"""Restarts in virtual time: when a job is run again if nobody says, and that failures on the way back lose nothing."""

import random

import pytest
from planned_failures import AT_ONCE, CHECKPOINTS, POINTS_OF_SINKS, FailingSink, Planned
from visible_output import lines_left

import actorflow as af
from actorflow.connectors.file_formats import JsonLinesFormat
from actorflow.storage.files import as_uri
from actorflow.testing import TestSource, run_test


def numbers(*, aborts=0):
    """60 numbers, one every half second; so many attempts end at number 20."""
    source = TestSource()
    for number in range(60):
        source = source.at(100 * number, number).watermark(100 * number - 1).advance("500ms")
        if number == 20 and aborts:
            source = source.abort("planned", attempts=aborts)
    return source


def counted(source):
    return af.Pipeline("counted").read(source).key_by(lambda number: number % 3).count()


def without_results(source, directory):
    pipeline = af.Pipeline("counted")
    pipeline.read(source).key_by(lambda number: number % 3).count().write(af.sinks.json_lines(str(directory)))
    return pipeline


def test_a_job_with_checkpoints_restarts_after_pauses_that_grow_if_nobody_says_otherwise(tmp_path):
    at_once = run_test(without_results(numbers(aborts=3), tmp_path / "a"), config=CHECKPOINTS | AT_ONCE)
    by_default = run_test(without_results(numbers(aborts=3), tmp_path / "b"), config=CHECKPOINTS)
    pauses_s = 1 + 1.5 + 1.5**2
    assert (4, 4) == (at_once.attempts, by_default.attempts)
    assert by_default.duration_s - at_once.duration_s == pytest.approx(pauses_s, rel=0.1)


def test_who_waits_for_a_job_hears_of_each_failure_that_it_goes_on_from(tmp_path, caplog):
    pipeline = af.Pipeline("failing")
    source = numbers(aborts=1)
    pipeline.read(source).map(lambda number: number).write(af.sinks.json_lines(str(tmp_path / "out")))
    run_test(pipeline, config=CHECKPOINTS)
    [record] = caplog.records
    assert record.getMessage().startswith("attempt 1 of job failing-")
    assert record.getMessage().endswith("has failed, and it runs again: planned")


@pytest.mark.parametrize("config", [{}, CHECKPOINTS | {"restart-strategy.type": "none"}])
def test_a_job_without_checkpoints_or_with_no_strategy_fails_at_its_first_failure(tmp_path, config):
    with pytest.raises(af.JobFailed, match="planned"):
        run_test(without_results(numbers(aborts=1), tmp_path / "a"), config=config)


def test_a_job_that_can_not_go_on_from_checkpoints_is_not_run_again_by_default():
    with pytest.raises(af.JobFailed, match="planned"):
        run_test(counted(numbers(aborts=1)), config=CHECKPOINTS)


# --- failures on the way back ------------------------------------------------------------------------------------------------------


class Sums(af.OperatorActor):
    total = af.ValueState(int, default=0)

    def __init__(self, planned):
        self.planned = planned

    def on_start(self, ctx):
        self.planned.passed("start")

    def on_record(self, record, ctx):
        self.total.set(self.total.get() + record)
        ctx.timers.event(ctx.timestamp + 450)

    def on_timer(self, timestamp, ctx):
        self.planned.passed("timer")
        ctx.emit(["timer", ctx.key, timestamp])
        ctx.emit(["total", ctx.key, self.total.get()])


def test_a_commit_that_fails_after_the_end_of_input_is_tried_again_as_the_strategy_says(tmp_path):
    def run(name, config):
        planned = Planned((("before commit", 1), ("before commit", 2), ("after commit", 1)), str(tmp_path / f"marks of {name}"))
        pipeline = af.Pipeline("one commit", parallelism=2)
        pipeline.read(numbers()).write(FailingSink(as_uri(tmp_path / name), JsonLinesFormat(), planned=planned))
        return run_test(pipeline, config=config).attempts

    assert 1 == run("out", AT_ONCE)
    assert list(range(60)) == sorted(int(line) for path in (tmp_path / "out").iterdir() for line in path.read_text().splitlines())
    with pytest.raises(af.JobFailed, match="planned: before commit"):
        run("failed", {})


POINTS = (*POINTS_OF_SINKS, "start", "timer")


def written(directory, planned, *, seed):
    pipeline = af.Pipeline("recovery", parallelism=2)
    keyed = pipeline.read(numbers()).key_by(lambda number: number % 3)
    windows = keyed.window(af.windows.sliding(1000, 300)).count().map(list)
    texts = pipeline.read(af.sources.collection(range(40))).map(str)  # many splits, all of them read before the first checkpoint
    records = keyed.process(Sums(planned)).union(windows, texts)
    records.write(FailingSink(as_uri(directory), JsonLinesFormat(), planned=planned))
    tolerant = {"execution.checkpointing.tolerable-failed-checkpoints": 99}
    run_test(pipeline, config=CHECKPOINTS | AT_ONCE | tolerant, seed=seed)
    return lines_left(directory)


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 18), marks=pytest.mark.slow)], ids=["few", "many"])
def test_failures_one_after_the_other_lose_and_double_nothing(tmp_path, seeds):
    undisturbed = written(tmp_path / "undisturbed", Planned((), str(tmp_path / "none")), seed=0)
    assert len(undisturbed) > 100
    for seed in seeds:
        draw = random.Random(seed)
        plan = tuple((draw.choice(POINTS), draw.randint(1, 2)) for _ in range(6))
        planned = Planned(plan, str(tmp_path / f"marks-{seed}"))
        assert undisturbed == written(tmp_path / str(seed), planned, seed=seed), f"seed {seed}: {plan}"
        assert planned.done() > 3, f"seed {seed}: {plan}"
