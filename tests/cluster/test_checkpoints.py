"""Jobs that fail and go on from their last checkpoint: what is committed is that of an undisturbed run."""

from collections import Counter
from pathlib import Path

import pytest
from cluster_options import CHECKPOINTS_AND_RESTARTS
from planned_failures import FailsOnce
from timed_programs import expected_of_timed, timed
from visible_output import committed, running_counts

import actorflow as af

RECORDS, KEYS = 3000, 17


def counting(tmp_path, fails, *, parallelism):
    pipeline = af.Pipeline("counting", parallelism=parallelism)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0)).map(fails)
    numbers.key_by(lambda number: number % KEYS).count().write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


@pytest.mark.parametrize("storage", ["memory", "files"])
@pytest.mark.parametrize(("slots", "how"), [("inline", "raise"), pytest.param(2, "kill", marks=pytest.mark.slow)])
def test_a_job_that_fails_commits_what_an_undisturbed_one_commits(tmp_path, slots, how, storage):
    config = dict(CHECKPOINTS_AND_RESTARTS)
    if storage == "files":
        config |= {"execution.checkpointing.dir": str(tmp_path / "checkpoints"), "execution.checkpointing.data-inline-threshold": 0}
    fails = FailsOnce(tmp_path / "mark", 2000, how)
    result = af.run(counting(tmp_path, fails, parallelism=2), slots=slots, config=config)
    assert 2 == result.attempts
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))
    if storage == "files":
        assert [] == [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]


def test_output_is_visible_while_the_job_runs_and_stays_when_it_fails_for_good(tmp_path):
    fails = FailsOnce(tmp_path / "mark", 2500, "raise")
    with pytest.raises(af.JobFailed, match="planned"):
        af.run(
            counting(tmp_path, fails, parallelism=1),
            slots="inline",
            config=CHECKPOINTS_AND_RESTARTS | {"restart-strategy.type": "none"},
        )
    seen = sorted(committed(tmp_path / "out"))
    assert 0 < len(seen) < RECORDS
    assert not Counter(map(tuple, seen)) - Counter(map(tuple, running_counts(RECORDS, KEYS)))


def timed_job(tmp_path, fails, backend):
    config = {"state.backend.type": backend, "pipeline.auto-watermark-interval": 0}
    pipeline = af.Pipeline("timed", parallelism=2, config=config)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0)).map(fails)
    timed(numbers, KEYS).write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["hashmap", "rocksdb"])
@pytest.mark.parametrize(("slots", "how"), [("inline", "raise"), (2, "kill")])
def test_windows_sessions_and_timers_go_on_from_a_checkpoint(tmp_path, slots, how, backend):
    fails = FailsOnce(tmp_path / "mark", 2000, how)
    result = af.run(timed_job(tmp_path, fails, backend), slots=slots, config=CHECKPOINTS_AND_RESTARTS)
    assert 2 == result.attempts
    assert expected_of_timed(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))


@pytest.mark.parametrize("backend", ["hashmap", pytest.param("rocksdb", marks=pytest.mark.slow)])
def test_windows_that_have_fired_do_not_fire_again_after_a_restore(tmp_path, backend):
    """One reader, in order: windows fire all the time, and those that overlap hold records of windows that have fired."""
    fails = FailsOnce(tmp_path / "mark", 2000, "raise")
    config = {"state.backend.type": backend, "pipeline.auto-watermark-interval": 0}
    pipeline = af.Pipeline("overlapping", parallelism=1, config=config)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0)).map(fails)
    stamped = numbers.with_timestamps(lambda number: number, af.Watermarks.monotonous())
    counts = stamped.key_by(lambda number: number % KEYS).window(af.windows.sliding(500, 50)).count()
    counts.map(lambda w: [w.key, w.window.start, w.value]).write(af.sinks.json_lines(str(tmp_path / "out")))
    result = af.run(pipeline, slots="inline", config=CHECKPOINTS_AND_RESTARTS)
    expected = Counter()
    for number in range(RECORDS):
        for start in range(number // 50 * 50 - 450, number // 50 * 50 + 50, 50):
            expected[number % KEYS, start] += 1
    assert 2 == result.attempts
    assert sorted([key, start, count] for (key, start), count in expected.items()) == sorted(committed(tmp_path / "out"))


def growing(tmp_path, fails, backend, parallelism):
    """Keys that come once and stay, so that most of the state does not change from one checkpoint to the next."""
    pipeline = af.Pipeline("growing", parallelism=parallelism, config={"state.backend.type": backend})
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0))
    for fail in fails:
        numbers = numbers.map(fail)
    totals = numbers.key_by(lambda number: number % 1500).aggregate(Listed())
    totals.write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


class Listed(af.Aggregate):
    """Collects in a list, which is changed in place."""

    def create(self):
        return []

    def add(self, accumulator, record):
        accumulator.append(record)
        return accumulator

    def merge(self, left, right):
        return left + right

    def result(self, accumulator):
        return sum(accumulator)


@pytest.mark.parametrize("backend", ["hashmap", "rocksdb"])
def test_state_is_restored_from_layers_of_several_checkpoints(tmp_path, backend):
    """Twice: the second run builds upon the layers of the first."""
    fails = [FailsOnce(tmp_path / "first", 1500, "raise"), FailsOnce(tmp_path / "second", 2500, "raise")]
    files = {"execution.checkpointing.dir": str(tmp_path / "checkpoints"), "execution.checkpointing.data-inline-threshold": 0}
    result = af.run(growing(tmp_path, fails, backend, 2), slots="inline", config=CHECKPOINTS_AND_RESTARTS | files)
    assert 3 == result.attempts
    expected = [[number % 1500, number if number < 1500 else 2 * number - 1500] for number in range(RECORDS)]
    assert sorted(expected) == sorted(committed(tmp_path / "out"))
    assert [] == [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]


def test_state_too_large_for_the_memory_of_the_job_manager_fails_the_checkpoint_by_name(tmp_path):
    limited = {"execution.checkpointing.memory-size-max": 100, "restart-strategy.type": "none"}
    with pytest.raises(af.JobFailed, match=r"the state of '.*' has .* bytes; the JobManager's memory takes 100"):
        af.run(counting(tmp_path, int, parallelism=1), slots="inline", config=CHECKPOINTS_AND_RESTARTS | limited)


class LeavesAnOrphan:
    """Leaves a file as a killed worker does, at one record of the first attempt, and fails."""

    def __init__(self, directory):
        self.directory = str(directory)

    def __call__(self, number):
        if number >= 500:
            (job,) = Path(self.directory).iterdir()
            orphan = job / "shared" / "1-left-by-a-killed-worker"
            mark = Path(f"{self.directory}-mark")
            if not mark.exists():
                mark.write_text(str(orphan))
                orphan.parent.mkdir(exist_ok=True)
                orphan.write_bytes(b"state")
                raise RuntimeError("planned")
        return number


def test_what_an_attempt_has_left_is_removed_when_the_next_one_runs(tmp_path):
    directory = tmp_path / "checkpoints"
    files = {"execution.checkpointing.dir": str(directory), "execution.checkpointing.data-inline-threshold": 0}
    pipeline = af.Pipeline("counting", config=CHECKPOINTS_AND_RESTARTS | files)
    numbers = pipeline.read(af.sources.generator(rate=6000.0)).map(LeavesAnOrphan(directory))
    numbers.key_by(lambda number: number % KEYS).count().write(af.sinks.discard())
    with af.LocalCluster(slots="inline") as cluster:
        job = cluster.submit(pipeline)
        mark = Path(f"{directory}-mark")
        assert job.wait_until(lambda: mark.exists() and not Path(mark.read_text()).exists(), 30)
        job.cancel()
    assert [] == [path for path in directory.rglob("*") if path.is_file()]
