"""A slot worker's uploads of checkpoints, message by message: what nobody needs any more is not stored."""

import errno

import pytest
from msgspec.structs import replace
from test_runtime_slot_worker import Bench, count_words, finish_sources, started

from actorflow.errors import SinkError
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointDeclined,
    TriggerCheckpoint,
)
from actorflow.protocol.jobs.deployment import CancelSubtask, SubtaskFailed, SubtaskFinished
from actorflow.protocol.jobs.splits import SplitAssigned
from actorflow.storage import file_merging
from actorflow.storage.checkpoint_files import files_of_part
from actorflow.storage.uploads import UploadPace
from actorflow.wire.batch import SavepointOrder
from actorflow.wire.manifest import decode_part
from actorflow.wire.user_code import dumps_code


def checkpointing(tmp_path, monkeypatch, *, merges, output=None):
    """Return a worker that runs a job with checkpoints in files; what it gives to its pool waits in `bench.pool`."""
    options = {
        "execution.checkpointing.interval": 3600.0,
        "execution.checkpointing.dir": str(tmp_path / "checkpoints"),
        "execution.checkpointing.data-inline-threshold": 0,
        "execution.checkpointing.file-merging.enabled": merges,
        "execution.checkpointing.file-merging.max-file-size": 4096,
    }
    bench = Bench(count_words(output))
    bench.opening = replace(bench.opening, options=options)
    bench.pool = []
    monkeypatch.setattr(bench.system, "submit_work", bench.pool.append)
    started(bench)
    return bench


@pytest.fixture(params=[True, False], ids=["merged", "alone"])
def bench(request, tmp_path, monkeypatch):
    return checkpointing(tmp_path, monkeypatch, merges=request.param)


def trigger(bench, checkpoint, savepoint=None):
    """Take a checkpoint, as far as to where it is stored."""
    bench.say(TriggerCheckpoint(bench.subtasks[0], 3, checkpoint, 0, savepoint=savepoint))
    assert len(bench.subtasks) == len(bench.pool)


def use_pool(bench):
    while bench.pool:
        bench.pool.pop(0)()
    bench.dispatcher.run_until_idle()


def store(bench):
    use_pool(bench)
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
    assert files(tmp_path)


def test_a_subtask_that_is_cancelled_leaves_no_files_behind_when_its_turn_comes(bench, tmp_path):
    trigger(bench, 1)
    bench.say(*(CancelSubtask(subtask, 3) for subtask in bench.subtasks))
    assert set() == store(bench)
    assert [] == files(tmp_path)


@pytest.fixture
def meanwhile(bench, monkeypatch):
    """Gives the function that says what happens while the first piece of a file is written, and counts pieces."""
    pieces = []

    def happens(*messages):
        def wait(_, size):
            pieces.append(size)
            if len(pieces) == 1:
                bench.say(*messages)

        monkeypatch.setattr(UploadPace, "__call__", wait)
        return pieces

    return happens


@pytest.mark.parametrize("savepoint", [None, "native", "canonical"])
def test_the_upload_of_a_checkpoint_that_is_given_up_stops_at_the_next_piece_and_leaves_nothing(
    bench, tmp_path, meanwhile, savepoint
):
    order = savepoint and SavepointOrder(str(tmp_path / "savepoint"), "go on", savepoint)
    bench.say(SplitAssigned(bench.subtasks[0], 3, 1, 0, dumps_code(["a b", "a"])))
    pieces = meanwhile(*(CheckpointAborted(subtask, 3, 1) for subtask in bench.subtasks))
    trigger(bench, 1, order)
    use_pool(bench)
    assert 1 == len(pieces)
    assert [] == bench.news(CheckpointAcknowledged, CheckpointDeclined)
    assert [] == files(tmp_path)


def test_the_upload_of_a_subtask_that_is_cancelled_stops_and_leaves_nothing(bench, tmp_path, meanwhile):
    pieces = meanwhile(*(CancelSubtask(subtask, 3) for subtask in bench.subtasks))
    trigger(bench, 1)
    assert set() == store(bench)
    assert (1, []) == (len(pieces), files(tmp_path))


def test_what_is_too_large_to_be_merged_goes_with_what_is_merged_if_that_cannot_be_written(tmp_path, monkeypatch):
    def full(uri, *_):
        assert files(tmp_path / "checkpoints")
        raise SinkError(f"cannot write '{uri}': no space left on device")

    monkeypatch.setattr(file_merging, "write_whole", full)
    bench = checkpointing(tmp_path, monkeypatch, merges=True, output=tmp_path / "output")
    bench.say(SplitAssigned(bench.subtasks[0], 3, 1, 0, dumps_code([" ".join(map(str, range(10_000)))])))
    trigger(bench, 1)
    use_pool(bench)
    assert [CheckpointDeclined] == list(map(type, bench.news(CheckpointAcknowledged, CheckpointDeclined)))
    assert [] == files(tmp_path / "checkpoints")


def test_what_subtasks_leave_at_their_end_is_stored_on_the_pool_and_they_finish_once_it_is(bench, tmp_path):
    finish_sources(bench)
    assert ([], []) == (bench.news(SubtaskFinished), files(tmp_path))
    assert len(bench.subtasks) == len(bench.pool)
    use_pool(bench)
    finished = bench.news(SubtaskFinished)
    assert list(bench.subtasks) == [news.subtask for news in finished]
    named = {file.uri for news in finished for file in files_of_part(decode_part(news.state))}
    assert named == {str(path) for path in files(tmp_path)} != set()


def test_a_subtask_fails_if_what_it_leaves_at_its_end_cannot_be_stored(bench, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(UploadPace, "__call__", full)
    finish_sources(bench)
    use_pool(bench)
    failed = bench.news(SubtaskFailed)
    assert set(bench.subtasks) == {news.subtask for news in failed}
    assert all("no space left on device" in news.error.message for news in failed)
    assert [] == files(tmp_path)


def test_what_a_cancelled_subtask_was_leaving_at_its_end_is_not_stored(bench, tmp_path):
    finish_sources(bench)
    bench.say(*(CancelSubtask(subtask, 3) for subtask in bench.subtasks))
    store(bench)
    assert [] == files(tmp_path)


def test_a_canonical_savepoint_is_written_at_the_rate_of_checkpoints(bench, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(UploadPace, "__call__", lambda _, size: sizes.append(size))
    bench.say(SplitAssigned(bench.subtasks[0], 3, 1, 0, dumps_code(["a b", "a"])))
    trigger(bench, 1, SavepointOrder(str(tmp_path / "savepoint")))
    assert set(bench.subtasks) == store(bench)
    assert sum(sizes) == sum(path.stat().st_size for path in files(tmp_path)) > 0
