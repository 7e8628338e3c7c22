"""Jobs under back-pressure whose barriers overtake: after a failure, what was in flight is processed once, and committed once."""

import contextlib
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from cluster_options import CHECKPOINTS_AND_RESTARTS
from retained_checkpoints import manifests
from visible_output import committed

import actorflow as af
from actorflow.runtime.checkpoints.in_flight import Returned
from actorflow.wire.manifest import decode_manifest

pytestmark = pytest.mark.slow

RECORDS, KEYS = 10000, 17

CONFIG = CHECKPOINTS_AND_RESTARTS | {
    "execution.checkpointing.interval": "20ms",
    "execution.checkpointing.unaligned.enabled": True,
    "execution.checkpointing.num-retained": 2,
    "execution.checkpointing.data-inline-threshold": 0,
    "execution.batch-records.max": 10,
    "taskmanager.network.memory.buffer-debloat.enabled": False,
}


def holding_batches(checkpoints):
    """Return how many completed checkpoints hold batches in flight."""
    found = []
    for path in manifests(checkpoints):
        with contextlib.suppress(FileNotFoundError):  # it was just subsumed
            found.append(decode_manifest(path.read_bytes(), str(path)))
    return sum(any(part.in_flight for vertex in one.vertices for part in vertex.parts) for one in found)


class FailsWithBatchesInFlight:
    """Ends the process, or raises, once the last checkpoint, and the one before, hold batches in flight. A file says that it has happened.

    The very last may be so young that the JobMaster does not know yet that it is complete.
    """

    def __init__(self, directory, how):
        self.directory, self.how, self.seen = Path(directory), how, 0

    def __call__(self, pair):
        self.seen += 1
        if self.seen % 20 == 0 and not (self.directory / "mark").exists() and holding_batches(self.directory / "checkpoints") >= 2:
            (self.directory / "mark").write_text("failed")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("planned")
        return pair


def run(tmp_path, how, slots, **config):
    """Run a job of four stages, which fails once; return what it commits, and its number of attempts."""
    pipeline = af.Pipeline("counting", parallelism=2)
    counts = pipeline.read(af.sources.generator(count=RECORDS)).key_by(lambda number: number % KEYS).count()
    failing = counts.rebalance().map(FailsWithBatchesInFlight(tmp_path, how))
    failing.key_by(lambda pair: pair[1] % 5).sum(1).write(af.sinks.json_lines(str(tmp_path / "out")))
    directory = {"execution.checkpointing.dir": str(tmp_path / "checkpoints")}
    result = af.run(pipeline, slots=slots, config=CONFIG | directory | config)
    return committed(tmp_path / "out"), result.attempts


def is_undisturbed(output):
    """Return whether every record was counted once in each stage. The running sums come in any order, but their last ones do not depend on it."""
    sums, records = Counter(), Counter()
    for number in range(RECORDS):
        count = number // KEYS + 1
        sums[count % 5] += count
        records[count % 5] += 1
    last = Counter()
    for group, total in output:
        last[group] = max(last[group], total)
    return last == sums and Counter(group for group, _ in output) == records


@pytest.mark.parametrize("patience", [0, "1ms"])
@pytest.mark.parametrize(("slots", "how"), [("inline", "raise"), pytest.param(2, "kill", marks=pytest.mark.slow)])
def test_a_job_that_fails_with_batches_in_flight_commits_what_an_undisturbed_one_commits(tmp_path, slots, how, patience):
    output, attempts = run(tmp_path, how, slots, **{"execution.checkpointing.aligned-checkpoint-timeout": patience})

    assert 2 == attempts
    assert is_undisturbed(output)
    assert [] == [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]


class Factors(af.BroadcastOperator):
    factors = af.BroadcastState(int, int)

    def on_broadcast(self, factor, ctx):
        self.factors.put(0, factor)

    def on_record(self, pair, ctx):
        ctx.emit([pair[0], pair[1] * self.factors.get(0, 1)])


@pytest.mark.parametrize(
    ("dispatcher", "count"), [("default", 2 * RECORDS), pytest.param("pinned", 8 * RECORDS, marks=pytest.mark.slow)]
)
def test_records_that_a_broadcast_is_aligned_for_count_once_too(tmp_path, dispatcher, count):
    """One input of an operator keeps its order, and the other is overtaken."""
    pipeline = af.Pipeline("factors", parallelism=2)
    numbers = pipeline.read(af.sources.generator(count=count)).map(lambda number: (number % KEYS, number))
    factors = pipeline.read(af.sources.generator(count=RECORDS, rate=20_000.0)).map(lambda number: 1).broadcast_state()
    failing = numbers.rebalance().map(FailsWithBatchesInFlight(tmp_path, "raise"), dispatcher=dispatcher)
    multiplied = failing.key_by(lambda pair: pair[0]).connect(factors).process(Factors(), dispatcher=dispatcher)
    multiplied.rebalance().write(af.sinks.json_lines(str(tmp_path / "out")))
    config = CONFIG | {"execution.checkpointing.dir": str(tmp_path / "checkpoints")}
    result = af.run(pipeline, slots="inline", config=config)

    assert 2 == result.attempts
    assert sorted(committed(tmp_path / "out")) == sorted([number % KEYS, number] for number in range(count))


def test_a_restore_that_forgets_what_was_in_flight_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(Returned, "inputs", lambda _: [])
    monkeypatch.setattr(Returned, "outputs", lambda _: [])
    output, attempts = run(tmp_path, "raise", "inline")

    assert 2 == attempts
    assert not is_undisturbed(output)


def test_at_least_once_loses_nothing(tmp_path):
    pipeline = af.Pipeline("counting", parallelism=2)
    counts = pipeline.read(af.sources.generator(count=RECORDS, rate=40000.0)).key_by(lambda number: number % KEYS).count()
    failing = counts.rebalance().map(FailsOnce(tmp_path / "mark", RECORDS // KEYS // 2))
    failing.write(af.sinks.json_lines(str(tmp_path / "out")))
    config = CONFIG | {"execution.checkpointing.mode": "at-least-once", "execution.checkpointing.unaligned.enabled": False}
    result = af.run(pipeline, slots="inline", config=config)
    seen = Counter(map(tuple, committed(tmp_path / "out")))

    assert 2 == result.attempts
    assert all(seen[number % KEYS, number // KEYS + 1] >= 1 for number in range(RECORDS))


class FailsOnce:
    def __init__(self, mark, at):
        self.mark, self.at = Path(mark), at

    def __call__(self, pair):
        if pair[1] == self.at and not self.mark.exists():
            self.mark.write_text("failed")
            raise RuntimeError("planned")
        return pair


def test_barriers_that_overtake_and_at_least_once_exclude_each_other(tmp_path):
    with pytest.raises(af.ConfigError, match="nothing that barriers could overtake"):
        run(tmp_path, "raise", "inline", **{"execution.checkpointing.mode": "at-least-once"})
