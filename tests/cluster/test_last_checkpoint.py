"""The checkpoint that a bounded job takes at its end: it holds what no other does, before any of it is visible, and all of it can be had from there."""

from collections import Counter
from pathlib import Path

import pytest
from timed_programs import Sums, by_key, expected_of_sums
from visible_output import committed, running_counts

import actorflow as af

RECORDS, KEYS = 3000, 17


class Refusing(af.TwoPhaseSink):
    """Makes nothing visible while there is a file that says so."""

    def __init__(self, inner, mark):
        self.inner, self.mark = inner, str(mark)
        self.takes = inner.takes

    def open(self, ctx):
        return self.inner.open(ctx)

    def commit(self, committables):
        if Path(self.mark).exists():
            raise RuntimeError("not now")
        self.inner.commit(committables)

    def abort(self, committables):
        self.inner.abort(committables)

    def clean_up(self, job_id, attempt):
        self.inner.clean_up(job_id, attempt)


def pipeline(tmp_path):
    """Running counts, and timers of which the last fire at the end of input."""
    made = af.Pipeline("ending", parallelism=2)
    numbers = made.read(af.sources.generator(count=RECORDS))
    counts = numbers.key_by(lambda number: number % KEYS).count()
    _, keyed = by_key(numbers, KEYS)
    counts.union(keyed.process(Sums())).write(Refusing(af.sinks.json_lines(str(tmp_path / "out")), tmp_path / "mark"))
    return made


def expected():
    return Counter(map(tuple, running_counts(RECORDS, KEYS) + expected_of_sums(RECORDS, KEYS)))


def test_a_job_that_could_not_commit_its_end_can_be_ended_from_its_last_checkpoint(tmp_path):
    config = {
        "execution.checkpointing.interval": "1h",
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation",
        "restart-strategy.type": "none",
    }
    (tmp_path / "mark").write_text("refuse")
    with pytest.raises(af.JobFailed, match="not now"):
        af.run(pipeline(tmp_path), slots="inline", config=config)
    assert [] == committed(tmp_path / "out")
    (manifest,) = (tmp_path / "checkpoints").rglob("manifest.json")
    (tmp_path / "mark").unlink()
    with af.LocalCluster(slots="inline", config=config) as cluster:
        cluster.submit(pipeline(tmp_path), from_savepoint=manifest.parent).wait()
    assert expected() == Counter(map(tuple, committed(tmp_path / "out")))
