"""Jobs that are rescaled while they run write what an undisturbed run would write."""

import json
from pathlib import Path

import pytest
from cluster_options import REPORT_SOON

import actorflow as af
from actorflow.connectors.contracts import END_OF_SPLIT, Pause
from actorflow.errors import RescaleError
from actorflow.wire.batch import ObjectBatch

SPLITS, NUMBERS, KEYS = 6, 1000, 13


class Trickle(af.Source):
    """Numbers, a few at a time, and not the last of a split, until there is a file."""

    def __init__(self, gate):
        self.gate = gate

    def splits(self, parallelism):
        return range(SPLITS)

    def open(self, split, position):
        return Trickling(self.gate, split * NUMBERS, position or 0)


class Trickling:
    def __init__(self, gate, first, given):
        self.gate, self.first, self.given, self.paused = gate, first, given, False

    @property
    def position(self):
        return self.given

    def read(self, records_max):
        if self.given == NUMBERS:
            return END_OF_SPLIT
        opened = Path(self.gate).exists()
        count = min(100, NUMBERS - self.given) if opened else min(3, NUMBERS - 1 - self.given)
        self.paused = not opened and not self.paused
        if self.paused or not count:
            return Pause(0.005)
        start = self.first + self.given
        self.given += count
        return ObjectBatch(list(range(start, start + count)))

    def close(self):
        pass


def counting(tmp_path):
    pipeline = af.Pipeline("counting")
    numbers = pipeline.read(Trickle(str(tmp_path / "gate"))).map(abs, uid="numbers")
    numbers.key_by(lambda number: number % KEYS).count(uid="counts").write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


def written(tmp_path):
    files = [path for path in (tmp_path / "out").rglob("*.jsonl") if not path.name.startswith(".")]
    return sorted(json.loads(line) for path in files for line in path.read_text().splitlines())


def expected():
    return sorted([key, n] for key in range(KEYS) for n in range(1, len(range(key, SPLITS * NUMBERS, KEYS)) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("unaligned", [False, True])
def test_a_rescaled_job_writes_what_an_undisturbed_one_writes(tmp_path, unaligned):
    config = REPORT_SOON | {
        "execution.checkpointing.interval": "10min",
        "execution.checkpointing.unaligned.enabled": unaligned,
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "pipeline.operator-chaining.enabled": not unaligned,
        "restart-strategy.type": "none",
    }
    with af.LocalCluster(task_managers=2, slots=2, config=config) as cluster:
        job = cluster.submit(counting(tmp_path), parallelism=1)
        for parallelism in (3, 1, 2):
            assert job.wait_until(lambda: job.status().final or job.progress()[0] > 0, 20.0)
            job.rescale(parallelism, timeout="30s")
        with pytest.raises(RescaleError, match="would need 5 slots, and there are 4"):
            job.rescale(5)
        with pytest.raises(RescaleError, match="is 129, above its max_parallelism"):
            job.rescale(operators={"numbers": 129})
        (tmp_path / "gate").touch()
        job.wait("60s")
    assert expected() == written(tmp_path)
    assert 4 == job.attempts
