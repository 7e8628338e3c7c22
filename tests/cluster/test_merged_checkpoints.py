"""Jobs whose subtasks store their checkpoints in files together: few files, and after failures the same output."""

import shutil
from pathlib import Path

import pytest
from cluster_options import CHECKPOINTS_AND_RESTARTS, REPORT_SOON
from planned_failures import FailsOnce
from retained_checkpoints import newest, wait_for_a_checkpoint
from visible_output import committed, running_counts

import actorflow as af
from actorflow.errors import JobCancelled
from actorflow.storage.checkpoint_files import files_of_part
from actorflow.storage.manifest_files import read_manifest

pytestmark = pytest.mark.slow

RECORDS, KEYS, BRANCHES = 3000, 17, 6


def branches(tmp_path, fails, *, parallelism, rate=6000.0):
    """Count the same numbers several times, each in subtasks of its own."""
    pipeline = af.Pipeline("branches", parallelism=parallelism)
    numbers = pipeline.read(af.sources.generator(count=RECORDS, rate=rate), uid="numbers").map(fails)
    first, *others = [
        numbers.key_by(lambda number: number % KEYS).count(uid=f"count-{branch}").map(lambda pair, branch=branch: [branch, *pair])
        for branch in range(BRANCHES)
    ]
    first.union(*others).write(af.sinks.json_lines(str(tmp_path / "out")), uid="out")
    return pipeline


def config_of(tmp_path, **more):
    return {
        **CHECKPOINTS_AND_RESTARTS,
        **REPORT_SOON,
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "execution.checkpointing.data-inline-threshold": 0,
        "execution.checkpointing.file-merging.enabled": True,
        **more,
    }


EXPECTED = sorted([branch, *pair] for branch in range(BRANCHES) for pair in running_counts(RECORDS, KEYS))


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("slots", "how", "backend", "backup"),
    [
        ("inline", "raise", "hashmap", True),
        ("inline", "raise", "rocksdb", False),
        slow("inline", "raise", "hashmap", False),
        slow("inline", "raise", "rocksdb", True),
        slow(2, "kill", "hashmap", False),
        slow(2, "kill", "hashmap", True),
    ],
)
def test_a_job_that_fails_commits_what_an_undisturbed_one_commits(tmp_path, slots, how, backend, backup):
    copies = {"execution.checkpointing.local-backup.enabled": backup, "execution.state-recovery.from-local": backup}
    config = config_of(tmp_path, **{"state.backend.type": backend, "io.tmp.dirs": str(tmp_path / "local"), **copies})
    fails = FailsOnce(tmp_path / "mark", 2000, how)
    result = af.run(branches(tmp_path, fails, parallelism=2), slots=slots, config=config)
    assert 2 == result.attempts
    assert EXPECTED == sorted(committed(tmp_path / "out"))
    assert [] == [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]


@pytest.mark.parametrize("how", ["retained", slow("native")])
def test_another_job_goes_on_from_segments_with_other_parallelism(tmp_path, how):
    retained = {"execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation"}
    with af.LocalCluster(slots="inline", config=config_of(tmp_path, **retained)) as cluster:
        job = cluster.submit(branches(tmp_path, abs, parallelism=1, rate=1000.0))
        assert job.wait_until(lambda: job.progress()[0] >= 300, 60)
        wait_for_a_checkpoint(job, tmp_path / "checkpoints")
        if how == "native":
            path = job.stop(tmp_path / "savepoints", format="native")
            shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
        else:
            job.cancel()
            with pytest.raises(JobCancelled):
                job.wait()
            path = newest(tmp_path / "checkpoints")
            files = [file for vertex in read_manifest(str(path)).vertices for part in vertex.parts for file in files_of_part(part)]
            assert len(files) > BRANCHES
            assert len({file.uri for file in files}) < len(files) / 2
            assert all(Path(file.uri).exists() for file in files)
    af.run(branches(tmp_path, abs, parallelism=3, rate=50_000.0), slots="inline", from_savepoint=path)
    assert EXPECTED == sorted(committed(tmp_path / "out"))
