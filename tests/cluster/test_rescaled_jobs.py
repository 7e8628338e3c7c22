"""Jobs that are rescaled while they run write what an undisturbed run would write."""

import json
import time

import pytest
from cluster_options import REPORT_SOON

import actorflow as af
from actorflow.errors import RescaleError

FILES, LINES, KEYS = 6, 1000, 13


def slowly(line):
    time.sleep(0.0002)
    return int(line)


def counting(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        lines = "".join(f"{number * LINES + line}\n" for line in range(LINES))
        (tmp_path / "in" / f"{number}.txt").write_text(lines)
    pipeline = af.Pipeline("counting")
    numbers = pipeline.read(af.sources.text(str(tmp_path / "in"))).map(slowly, uid="numbers")
    numbers.key_by(lambda number: number % KEYS).count(uid="counts").write(af.sinks.json_lines(str(tmp_path / "out")))
    return pipeline


def written(tmp_path):
    files = [path for path in (tmp_path / "out").rglob("*.jsonl") if not path.name.startswith(".")]
    return sorted(json.loads(line) for path in files for line in path.read_text().splitlines())


def expected():
    seen = dict.fromkeys(range(KEYS), 0)
    pairs = []
    for number in range(FILES * LINES):
        seen[number % KEYS] += 1
        pairs.append([number % KEYS, seen[number % KEYS]])
    return sorted(pairs)


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
            before = job.progress()[0]
            assert job.wait_until(lambda before=before: job.status().final or job.progress()[0] != before, 20.0)
            job.rescale(parallelism, timeout="30s")
            assert parallelism == job._facts().parallelism
        with pytest.raises(RescaleError, match="would need 5 slots, and there are 4"):
            job.rescale(5)
        with pytest.raises(RescaleError, match="is 129, above its max_parallelism"):
            job.rescale(operators={"numbers": 129})
        job.wait("60s")
    assert expected() == written(tmp_path)
    assert 4 == job.attempts
