"""Native savepoints of running jobs: they hold what a canonical one holds, and need no checkpoint of the job that they were taken of."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from retained_checkpoints import checkpointed, newest
from saved_programs import KEYS, RECORDS, counting, everything
from timed_programs import expected_of_timed
from visible_output import committed, running_counts

import actorflow as af
from actorflow.errors import CheckpointError, ConfigError, JobCancelled

pytestmark = pytest.mark.slow


def stopped(pipeline, at, where, config, **start):
    """Run a job until it has read so many records, and stop it with a native savepoint; return its path."""
    with af.LocalCluster(slots="inline", config=config) as cluster:
        job = cluster.submit(pipeline, **start)
        assert job.wait_until(lambda: job.progress()[0] >= at, 60)
        return job.stop(where, format="native", timeout="60s")


@pytest.mark.parametrize("storage", ["files", *(pytest.param(storage, marks=pytest.mark.slow) for storage in ("memory", "none"))])
def test_a_job_stopped_natively_goes_on_elsewhere_without_its_checkpoints(tmp_path, storage):
    directory = tmp_path / "checkpoints"
    config = checkpointed(directory)
    if storage != "files":
        del config["execution.checkpointing.dir"]
    if storage == "none":
        del config["execution.checkpointing.interval"]
    out = tmp_path / "job" / "out"
    first = stopped(everything(out, parallelism=1, backend="hashmap"), 600, tmp_path / "a", config)
    shutil.rmtree(directory, ignore_errors=True)
    moved = shutil.move(first, tmp_path / "moved")
    again = everything(out, parallelism=3, backend="rocksdb")
    second = stopped(again, 400, tmp_path / "b", config, from_savepoint=moved)
    af.run(everything(out, parallelism=2, backend="hashmap", rate=50_000.0), slots="inline", from_savepoint=second)
    assert expected_of_timed(RECORDS, KEYS) == sorted(committed(out))


def test_a_job_goes_on_after_a_native_savepoint_and_its_later_checkpoints_are_whole(tmp_path):
    config = checkpointed(
        tmp_path / "checkpoints", **{"execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation"}
    )
    with af.LocalCluster(slots="inline", config=config) as cluster:
        job = cluster.submit(counting(tmp_path / "out", parallelism=2))
        paths = []
        for at in (200, 600):
            assert job.wait_until(lambda at=at: job.progress()[0] >= at, 60)
            paths.append(job.savepoint(tmp_path / "savepoints", format="native"))
        assert job.wait_until(lambda: job.progress()[0] >= 1600 and newest(tmp_path / "checkpoints") is not None, 60)
        job.cancel()
        with pytest.raises(JobCancelled):
            job.wait()
    retained = newest(tmp_path / "checkpoints")
    af.run(counting(tmp_path / "out", parallelism=3), slots="inline", from_savepoint=retained, claim_mode="claim")
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))
    assert not (retained / "manifest.json").exists()
    shutil.rmtree(tmp_path / "checkpoints")
    for number, path in enumerate(paths):
        af.run(counting(tmp_path / f"rest-{number}", parallelism=1), slots="inline", from_savepoint=path)
        rest = committed(tmp_path / f"rest-{number}")
        assert 0 < len(rest) < RECORDS
        assert not Counter(map(tuple, rest)) - Counter(map(tuple, running_counts(RECORDS, KEYS)))


def test_a_claimed_native_savepoint_is_removed_when_the_job_does_not_need_it_any_more(tmp_path):
    path = Path(stopped(counting(tmp_path / "out"), 100, tmp_path, checkpointed(tmp_path / "checkpoints")))
    af.run(counting(tmp_path / "out"), slots="inline", from_savepoint=path, claim_mode="claim")
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))
    assert [] == [file for file in path.rglob("*") if file.is_file()]


def test_a_native_savepoint_that_cannot_be_stored_leaves_the_job_as_it_was(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with af.LocalCluster(slots="inline", config=checkpointed(tmp_path / "checkpoints")) as cluster:
        job = cluster.submit(counting(tmp_path / "out"))
        assert job.wait_until(lambda: job.progress()[0] >= 100, 60)
        with pytest.raises(CheckpointError, match="no savepoint of job 'counting': cannot store state"):
            job.stop(tmp_path / "file" / "savepoints", format="native")
        with pytest.raises(ConfigError, match="a savepoint cannot be 'binary'"):
            job.savepoint(tmp_path, format="binary")
        job.wait()
    assert running_counts(RECORDS, KEYS) == sorted(committed(tmp_path / "out"))


def test_what_only_a_canonical_savepoint_can_do_is_refused_by_name(tmp_path):
    path = stopped(counting(tmp_path / "out"), 100, tmp_path, checkpointed(tmp_path / "checkpoints"))
    with pytest.raises(CheckpointError, match="savepoint is native") as refused:
        af.savepoint.read(path)
    assert path in refused.value.message
