"""A sink that buffers is flushed in time, also where nothing ever comes to rest."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import actorflow as af


class Lines(af.Sink):
    """Keeps lines until it is flushed."""

    def __init__(self, path):
        self.path = path

    def open(self, ctx):
        return LinesWriter(Path(self.path))


class LinesWriter:
    def __init__(self, path):
        self.path = path
        self.lines = []

    def write(self, batch):
        self.lines += [f"{record}\n" for record in batch.records]

    def flush(self):
        with self.path.open("a") as out:
            out.writelines(self.lines)
        self.lines = []

    def close(self):
        self.lines = []


@pytest.mark.parametrize("busy", [False, True], ids=["slow stream", "stream that never rests"])
@pytest.mark.parametrize("dispatcher", ["default", "pinned"])
def test_what_was_written_shows_while_the_job_runs(dispatcher, busy, tmp_path):
    out = tmp_path / "lines"
    pipeline = af.Pipeline("lines", parallelism=1)
    if busy:
        records = pipeline.read(af.sources.generator(lambda n: n), dispatcher=dispatcher)
        rare = records.filter(lambda n: n % 10_000 == 1, dispatcher=dispatcher)
    else:
        rare = pipeline.read(af.sources.generator(rate=20), dispatcher=dispatcher)
    rare.write(Lines(str(out)), dispatcher=dispatcher)
    with af.LocalCluster(slots="inline") as cluster:
        job = cluster.submit(pipeline)
        deadline = time.monotonic() + 20
        shown = job.wait_until(lambda: out.exists() or time.monotonic() > deadline, 20)
        job.cancel()

    assert shown
    assert out.read_text()
