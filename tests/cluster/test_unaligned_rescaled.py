"""A job goes on from an unaligned checkpoint of another parallelism: what was in flight is processed once, by whoever has its key."""

import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest

import actorflow as af
from actorflow.protocol.checkpoint_plan import Restored
from actorflow.protocol.job_checkpoints import JobCheckpoints, _splits_of
from actorflow.protocol.job_messages import JobStatus
from actorflow.storage.checkpoint_files import read_manifest
from actorflow.wire.manifest import encode_part

FILES, LINES, KEYS = 6, 2500, 17


def write_input(directory):
    directory.mkdir()
    for number in range(FILES):
        lines = "".join(f"{number * LINES + line}\n" for line in range(LINES))
        (directory / f"{number}.txt").write_text(lines)


def pipeline_of(tmp_path):
    """Return a job of four stages, with keyed, custom and keyless edges."""
    pipeline = af.Pipeline("counting")
    counts = pipeline.read(af.sources.text(str(tmp_path / "in"))).map(int).key_by(lambda number: number % KEYS).count()
    spread = counts.rebalance().map(lambda pair: (pair[1] % 5, pair[1]))
    mine = spread.partition_by(lambda group, parallelism: group % parallelism, key=lambda pair: pair[0]).map(lambda pair: pair)
    mine.key_by(lambda pair: pair[0]).sum(1).write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


CONFIG = {
    "execution.checkpointing.interval": "10ms",
    "execution.checkpointing.unaligned.enabled": True,
    "execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation",
    "execution.batch-records.max": 10,
    "taskmanager.network.memory.buffer-debloat.enabled": False,
}


def latest(checkpoints):
    """Return the newest checkpoint that is complete, and whether it holds batches in flight of inputs or outputs."""
    manifests = []
    for path in Path(checkpoints).rglob("manifest.json"):
        with contextlib.suppress(af.ActorflowError):  # it was just subsumed
            manifests.append(read_manifest(path.as_uri()))
    newest = max(manifests, key=lambda one: one.checkpoint, default=None)
    return newest, newest is not None and sum(bool(part.in_flight) for vertex in newest.vertices for part in vertex.parts) > 3


def cut_off(tmp_path, parallelism):
    """Run the job, and cancel it when its newest checkpoint holds batches in flight; return that checkpoint."""
    config = CONFIG | {"execution.checkpointing.dir": str(tmp_path / "checkpoints")}
    with af.LocalCluster(slots="inline", config=config) as cluster:
        job = cluster.submit(pipeline_of(tmp_path), parallelism=parallelism)
        assert job.wait_until(lambda: job.status().final or latest(tmp_path / "checkpoints")[1], 60.0)
        job.cancel()
        assert job.wait_until(lambda: job.status().final, 60.0)
    assert job.status() is JobStatus.CANCELLED
    manifest, holding = latest(tmp_path / "checkpoints")
    return manifest if holding else None


def go_on(tmp_path, manifest, parallelism, monkeypatch):
    """Run the job to its end, from that checkpoint."""
    parts = {vertex.id: tuple(map(encode_part, vertex.parts)) for vertex in manifest.vertices}

    def restored(self):
        return Restored(manifest.checkpoint, parts, {source: _splits_of(parts[source]) for source in self._sources})

    with monkeypatch.context() as patched:
        patched.setattr(JobCheckpoints, "restored", restored)
        af.run(pipeline_of(tmp_path), parallelism=parallelism, slots="inline", config={"execution.checkpointing.interval": "1h"})
    visible = [path for path in sorted((tmp_path / "out").iterdir()) if not path.name.startswith(".")]
    return [json.loads(line) for path in visible for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("before", "after"), [(2, 3), (4, 2)])
def test_a_job_that_goes_on_with_another_parallelism_commits_what_an_undisturbed_one_commits(tmp_path, monkeypatch, before, after):
    write_input(tmp_path / "in")
    manifest = cut_off(tmp_path, before)
    assert manifest is not None
    output = go_on(tmp_path, manifest, after, monkeypatch)
    sums, records = Counter(), Counter()
    for number in range(FILES * LINES):
        count = number // KEYS + 1
        sums[count % 5] += count
        records[count % 5] += 1

    assert Counter(group for group, _ in output) == records
    assert {group: max(total for one, total in output if one == group) for group in sums} == dict(sums)
