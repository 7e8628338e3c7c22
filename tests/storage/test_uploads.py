"""Checkpoints are written at a pace, and a few at once, whatever their number."""

import pytest

from actorflow.clock import ManualClock
from actorflow.storage.checkpoint_files import CheckpointFiles, read_state
from actorflow.storage.native_savepoint import NativeSavepoint
from actorflow.storage.uploads import FewAtOnce, UploadPace


@pytest.mark.parametrize("files", ["checkpoint", "savepoint"])
def test_state_is_written_no_faster_than_the_rate(tmp_path, files):
    clock = ManualClock()
    pace = UploadPace(1 << 20, clock, wait=clock.advance)
    data = bytes(5 << 20)
    if files == "checkpoint":
        file = CheckpointFiles(str(tmp_path), "job-1", inline_bytes_max=0, pace=pace).write_shared(data)
    else:
        file = NativeSavepoint(str(tmp_path / "saved"), 0, pace).write_layer(data)
    assert data == read_state(file)
    assert 4.8 <= clock.now() <= 5.0


def test_without_a_rate_nobody_waits():
    clock = ManualClock()
    UploadPace(0, clock, wait=clock.advance)(1 << 40)
    assert clock.now() == 0.0


def test_so_many_run_at_once_and_the_others_in_their_order():
    pool, done = [], []
    few = FewAtOnce(pool.append, 2)
    for number in range(5):
        few(lambda number=number: done.append(number))
    assert len(pool) == 2
    while pool:
        pool.pop(0)()
        assert len(pool) <= 2
    assert [0, 1, 2, 3, 4] == done


def test_what_fails_makes_room_as_well():
    pool, done = [], []
    few = FewAtOnce(pool.append, 1)
    few(lambda: 1 / 0)
    few(lambda: done.append("next"))
    with pytest.raises(ZeroDivisionError):
        pool.pop(0)()
    pool.pop(0)()
    few(lambda: done.append("later"))
    pool.pop(0)()
    assert ["next", "later"] == done
