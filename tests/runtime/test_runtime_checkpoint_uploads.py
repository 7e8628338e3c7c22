"""A slot worker's uploads of checkpoints, message by message: what nobody needs any more is not stored."""

import pytest
from msgspec.structs import replace
from test_runtime_slot_worker import Bench, count_words, started

from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAborted, CheckpointAcknowledged, TriggerCheckpoint
from actorflow.protocol.jobs.deployment import CancelSubtask


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A worker that runs a job with checkpoints in files; what it gives to its pool waits in `bench.pool`."""
    options = {
        "execution.checkpointing.interval": 3600.0,
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "execution.checkpointing.data-inline-threshold": 0,
        "execution.checkpointing.file-merging.enabled": True,
    }
    bench = Bench(count_words())
    bench.opening = replace(bench.opening, options=options)
    bench.pool = []
    monkeypatch.setattr(bench.system, "submit_work", bench.pool.append)
    started(bench)
    return bench


def trigger(bench, checkpoint):
    """Take a checkpoint, as far as to where it is stored."""
    bench.say(TriggerCheckpoint(bench.subtasks[0], 3, checkpoint, 0))
    assert len(bench.subtasks) == len(bench.pool)


def store(bench):
    while bench.pool:
        bench.pool.pop(0)()
    bench.dispatcher.run_until_idle()
    return {news.subtask for news in bench.news(CheckpointAcknowledged)}


def files(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_snapshots_of_a_checkpoint_that_is_given_up_before_their_turn_are_not_stored(bench, tmp_path):
    trigger(bench, 1)
    bench.say(*(CheckpointAborted(subtask, 3, 1) for subtask in bench.subtasks))
    assert set() == store(bench)
    assert [] == files(tmp_path)
    trigger(bench, 2)
    assert set(bench.subtasks) == store(bench)
    assert 1 == len(files(tmp_path))


def test_a_subtask_that_is_cancelled_leaves_no_files_behind_when_its_turn_comes(bench, tmp_path):
    trigger(bench, 1)
    bench.say(*(CancelSubtask(subtask, 3) for subtask in bench.subtasks))
    assert set() == store(bench)
    assert [] == files(tmp_path)
