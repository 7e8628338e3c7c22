"""Jobs that are stopped with a savepoint and go on from it: what they commit together is what one undisturbed job commits."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from cluster_options import REPORT_SOON
from saved_programs import KEYS, RECORDS, counting, everything
from timed_programs import expected_of_timed
from visible_output import committed, running_counts

import actorflow as af
from actorflow.errors import CheckpointError, IncompatibleState
from actorflow.state.descriptors import ValueState

pytestmark = pytest.mark.slow


def stopped(pipeline, at, where, *, slots="inline", **options):
    """Run a job until it has read so many records, and stop it with a savepoint; return its path."""
    start = {name: options.pop(name) for name in ("from_savepoint", "allow_non_restored_state") if name in options}
    with af.LocalCluster(slots=slots, config=REPORT_SOON) as cluster:
        job = cluster.submit(pipeline, **start)
        assert job.wait_until(lambda: job.progress()[0] >= at, 60)
        return job.stop(where, timeout="60s", **options)


@pytest.mark.parametrize(
    ("slots", "backends"),
    [("inline", ("hashmap", "rocksdb", "hashmap")), pytest.param(3, ("rocksdb", "hashmap", "rocksdb"), marks=pytest.mark.slow)],
)
def test_a_job_that_is_stopped_twice_and_goes_on_elsewhere_commits_what_an_undisturbed_one_commits(tmp_path, slots, backends):
    out = tmp_path / "job" / "out"
    first = stopped(everything(out, parallelism=1, backend=backends[0]), 600, tmp_path / "a", slots=slots)
    moved = shutil.move(first, tmp_path / "moved")
    again = everything(out, parallelism=3, backend=backends[1])
    second = stopped(again, 400, tmp_path / "b", slots=slots, from_savepoint=moved)
    af.run(everything(out, parallelism=2, backend=backends[2], rate=50_000.0), slots=slots, from_savepoint=second)
    assert expected_of_timed(RECORDS, KEYS) == sorted(committed(out))
    kept = [int(path.read_text()) for path in out.parent.iterdir() if path.is_file()]
    assert [RECORDS] == [sum(kept)]


def windowed(out):
    pipeline = af.Pipeline("windowed", parallelism=1)
    numbers = pipeline.read(af.sources.generator(count=400, rate=2000.0))
    stamped = numbers.with_timestamps(lambda number: number * 10, af.Watermarks.bounded(out_of_order=0))
    counts = stamped.key_by(lambda number: number % 3).window(af.windows.tumbling("1h")).count()
    counts.map(lambda w: [w.key, w.value]).write(af.sinks.json_lines(str(out)))
    return pipeline


def test_windows_stay_for_the_next_job_unless_the_job_is_drained(tmp_path):
    path = stopped(windowed(tmp_path / "stopped"), 50, tmp_path)
    assert [] == sorted(committed(tmp_path / "stopped"))
    af.run(windowed(tmp_path / "stopped"), slots="inline", from_savepoint=path)
    assert [[0, 134], [1, 133], [2, 133]] == sorted(committed(tmp_path / "stopped"))
    drained = stopped(windowed(tmp_path / "drained"), 50, tmp_path, drain=True)
    assert 50 <= sum(count for _, count in committed(tmp_path / "drained")) < 400
    af.run(windowed(tmp_path / "drained"), slots="inline", from_savepoint=drained)
    assert 400 > sum(count for _, count in committed(tmp_path / "drained"))  # what came later is late


def test_a_job_goes_on_after_a_savepoint_and_another_goes_on_from_it(tmp_path):
    with af.LocalCluster(slots="inline", config=REPORT_SOON) as cluster:
        job = cluster.submit(counting(tmp_path / "out"))
        assert job.wait_until(lambda: job.progress()[0] >= 100, 60)
        path = job.savepoint(tmp_path / "savepoints")
        read = sum(pl.read_parquet(f"{path}/count-*/*.parquet")["value"])
        job.wait()
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))
    af.run(counting(tmp_path / "rest"), slots="inline", from_savepoint=path)
    rest = committed(tmp_path / "rest")
    assert RECORDS - read == len(rest) < RECORDS
    assert not Counter(map(tuple, rest)) - Counter(map(tuple, running_counts(RECORDS, KEYS)))


def test_a_savepoint_that_cannot_be_stored_leaves_the_job_as_it_was(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with af.LocalCluster(slots="inline", config=REPORT_SOON) as cluster:
        job = cluster.submit(counting(tmp_path / "out"))
        assert job.wait_until(lambda: job.progress()[0] >= 100, 60)
        with pytest.raises(CheckpointError, match="no savepoint of job 'counting': cannot store state"):
            job.stop(tmp_path / "file" / "savepoints")
        job.wait()
        with pytest.raises(CheckpointError, match="it is finished"):
            job.savepoint(tmp_path)
        with pytest.raises(af.ConfigError, match="nobody says where"):
            job.savepoint()
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))


def test_state_that_no_operator_takes_is_refused_with_both_graphs_and_the_nearest_name(tmp_path):
    path = stopped(counting(tmp_path / "out", uid="counts"), 100, tmp_path)
    renamed = counting(tmp_path / "other", uid="count")
    with pytest.raises(CheckpointError, match=r"no operator takes the state that 'count' \(id 'counts'\) had") as caught:
        af.run(renamed, slots="inline", from_savepoint=path)
    assert "  - counts 'count'   with state\n" in caught.value.message
    assert "  + count 'count'" in caught.value.message
    assert "did you mean 'count'?" in caught.value.hint
    af.run(renamed, slots="inline", from_savepoint=path, allow_non_restored_state=True)
    assert 1 in {count for _, count in committed(tmp_path / "other")}  # they begin anew


def test_operators_are_found_by_uid_wherever_they_stand_in_the_new_pipeline(tmp_path):
    path = stopped(counting(tmp_path / "out", uid="counts"), 100, tmp_path)
    pipeline = af.Pipeline("renamed", parallelism=2)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=50_000.0), uid="numbers", name="all")
    counts = (
        numbers.map(lambda number: number, chain="never").key_by(lambda number: number % KEYS).count(uid="counts", name="per key")
    )
    counts.filter(lambda _: True).write(af.sinks.json_lines(str(tmp_path / "out")), uid="out")
    af.run(pipeline, slots="inline", from_savepoint=path)
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))


def profiles(of, out):
    class Visits(af.OperatorActor):
        profile = ValueState(of)

        def on_record(self, number, ctx):
            known = self.profile.get() or of(0)
            self.profile.set(dataclasses.replace(known, visits=known.visits + 1))
            ctx.emit([ctx.key, list(dataclasses.astuple(self.profile.get()))])

    pipeline = af.Pipeline("profiles", parallelism=1)
    numbers = pipeline.read(af.sources.generator(count=400, rate=1000.0))
    numbers.key_by(lambda number: number % 2).process(Visits(), name="visits").write(af.sinks.json_lines(str(out)))
    return pipeline


def version(**fields):
    return dataclasses.make_dataclass("Profile", [("visits", int), *((name, type(value), value) for name, value in fields.items())])


@pytest.mark.parametrize("backend", ["hashmap", "rocksdb"])
def test_the_type_of_a_state_may_change_between_a_savepoint_and_the_next_job(tmp_path, backend):
    path = stopped(profiles(version(), tmp_path / "out"), 100, tmp_path)
    af.run(
        profiles(version(city="Rome"), tmp_path / "out"),
        slots="inline",
        from_savepoint=path,
        config={"state.backend.type": backend},
    )
    assert [[0, [200, "Rome"]], [1, [200, "Rome"]]] == [row for row in committed(tmp_path / "out") if row[1][0] == 200]
    wrong = dataclasses.make_dataclass("Profile", [("visits", str)])
    with pytest.raises(IncompatibleState, match="'profile' of 'visits': visits was int, is str"):
        af.run(profiles(wrong, tmp_path / "out"), slots="inline", from_savepoint=path)


def test_a_claimed_savepoint_is_removed_when_the_job_does_not_need_it_any_more(tmp_path):
    path = Path(stopped(counting(tmp_path / "out"), 100, tmp_path))
    af.run(counting(tmp_path / "out"), slots="inline", from_savepoint=path, claim_mode="claim")
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))
    assert [] == [file for file in path.rglob("*") if file.is_file()]


class FailsAt:
    def __init__(self, at):
        self.at = at

    def __call__(self, number):
        if number == self.at:
            raise RuntimeError("planned")
        return number


@pytest.mark.parametrize("inline_bytes", [0, 1 << 20])
def test_a_retained_checkpoint_is_gone_on_from_with_other_parallelism(tmp_path, inline_bytes):
    checkpoints = {
        "execution.checkpointing.interval": "50ms",
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation",
        "execution.checkpointing.data-inline-threshold": inline_bytes,
        "restart-strategy.type": "none",
    }

    def failing(at, parallelism):
        pipeline = af.Pipeline("failing", parallelism=parallelism)
        numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=6000.0)).map(FailsAt(at))
        numbers.key_by(lambda number: number % KEYS).count().write(af.sinks.json_lines(str(tmp_path / "out")))
        return pipeline

    with pytest.raises(af.JobFailed, match="planned"):
        af.run(failing(2000, 2), slots="inline", config=checkpoints)
    (retained,) = (tmp_path / "checkpoints").glob("*/chk-*/manifest.json")
    af.run(failing(-1, 3), slots="inline", from_savepoint=retained.parent)
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text[:-20], "is no manifest of a savepoint, or a truncated one"),
        (lambda text: text.replace('"rows": 17', '"rows": 18'), "is damaged"),
        (lambda text: text.replace('"version":1', '"version":9'), "version 9, this version reads"),
        (lambda _: None, "no savepoint or checkpoint at"),
    ],
    ids=["truncated", "changed", "newer", "missing"],
)
def test_a_manifest_that_is_not_whole_is_named(tmp_path, change, match):
    path = Path(stopped(counting(tmp_path / "out"), 100, tmp_path))
    manifest = path / "manifest.json"
    text = change(manifest.read_text())
    if text is None:
        manifest.unlink()
    else:
        manifest.write_text(text)
    with pytest.raises(CheckpointError, match=match) as caught:
        af.run(counting(tmp_path / "out"), slots="inline", from_savepoint=path)
    assert str(path) in str(caught.value)
