"""A restart on the same host reads the copies of state that the host has, and nothing from where checkpoints are stored."""

import contextlib
import os
import signal
from pathlib import Path

import pytest
from retained_checkpoints import newest

import actorflow as af
from actorflow.protocol.jobs.job_messages import JobStatus

KEYS = 500


class FailsWithACheckpoint:
    """Fails once, when the third checkpoint has its manifest: an earlier one is complete then, and nobody has seen the end of this one."""

    def __init__(self, tmp_path, how, harm):
        self.directory, self.backups, self.mark = (str(tmp_path / name) for name in ("checkpoints", "local", "mark"))
        self.how, self.harm = how, harm

    def __call__(self, number):
        if number % 50 == 0 and not Path(self.mark).exists() and self.third():
            Path(self.mark).write_text("failed")
            for copy in self.copies():
                with contextlib.suppress(FileNotFoundError):  # it was just subsumed
                    if self.harm == "missing":
                        copy.unlink()
                    elif self.harm == "damaged":
                        copy.write_bytes(bytes(copy.stat().st_size))
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("planned")
        return number

    def third(self):
        home = newest(self.directory)
        return home is not None and int(home.name.removeprefix("chk-")) >= 3

    def copies(self):
        files = [Path(home) / name for home, _, names in os.walk(self.backups) for name in names]
        return [path for path in files if path.suffix != ".lock"]


def restored_bytes(tmp_path, slots, how, harm="", **options):
    """Run a job that fails once; return how much of its state came from copies, and how much from where checkpoints are."""
    config = {
        "execution.checkpointing.interval": "50ms",
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "execution.checkpointing.data-inline-threshold": 0,
        "execution.checkpointing.local-backup.enabled": True,
        "execution.state-recovery.from-local": True,
        "io.tmp.dirs": str(tmp_path / "local"),
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.delay": "10ms",
    } | options
    fails = FailsWithACheckpoint(tmp_path, how, harm)
    pipeline = af.Pipeline("counting", parallelism=2, config=config)
    numbers = pipeline.read(af.sources.generator(rate=6000.0)).map(fails)
    numbers.key_by(lambda number: number % KEYS).count().write(af.sinks.discard())
    with af.LocalCluster(slots=slots) as cluster:
        job = cluster.submit(pipeline)
        assert job.wait_until(lambda: job.status() is JobStatus.RUNNING, 30)  # before that there is nobody who could be asked
        seen = (0, 0)
        for _ in range(600):
            job.wait_until(lambda: False, 0.05)
            last = job.checkpoints().completed[-1:]
            times = last[0].times.values() if last else ()
            seen = sum(one.restored_local_bytes for one in times), sum(one.restored_remote_bytes for one in times)
            if any(seen):
                break
        job.cancel()
        assert job.wait_until(lambda: job.status().final, 30)
    assert [] == list((tmp_path / "local").rglob("*"))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["hashmap", "rocksdb"])
def test_after_the_end_of_a_slot_worker_nothing_is_read_from_where_checkpoints_are(tmp_path, backend):
    local, remote = restored_bytes(tmp_path, 2, "kill", **{"state.backend.type": backend})
    assert local > 0
    assert remote == 0


def test_copies_are_read_after_a_failure(tmp_path):
    local, remote = restored_bytes(tmp_path, "inline", "raise")
    assert local > 0
    assert remote == 0


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_where_copies_cannot_be_used_the_files_are_read(tmp_path, harm):
    _, remote = restored_bytes(tmp_path, "inline", "raise", harm)
    assert remote > 0


def test_copies_are_not_looked_for_unless_a_restart_is_to(tmp_path):
    local, remote = restored_bytes(tmp_path, "inline", "raise", **{"execution.state-recovery.from-local": False})
    assert local == 0
    assert remote > 0
