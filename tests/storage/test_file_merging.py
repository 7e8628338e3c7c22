"""Files that several subtasks write together: each finds its own again, nobody hears of it before it is on disk, and no file goes while it is used."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_checkpoint_files import BIG, files_in, manifest_of, stored_files

from actorflow.errors import CheckpointError
from actorflow.storage.checkpoint_files import CheckpointFiles, read_state
from actorflow.storage.local_copies import LocalCopies, StateReader
from actorflow.storage.manifest_files import read_manifest
from actorflow.storage.native_savepoint import NativeSavepoint
from actorflow.storage.uploads import Upload
from actorflow.wire.manifest import SubtaskState

SEGMENTS = [bytes([number]) * (number + 1) * 50 for number in range(5)]


@pytest.fixture
def checkpoints(tmp_path):
    return CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=0)


def upload(burst):
    return Upload(lambda size: None, lambda: False, burst)


def merged(checkpoints, number, segments, bytes_max=1 << 20):
    """Have subtasks store a layer each, at the same time; return their parts."""
    merging = checkpoints.merging(bytes_max)
    bursts = [upload(merging.join(number)) for _ in segments]
    heard, parts = [], []
    for index, (burst, data) in enumerate(zip(bursts, segments, strict=True)):
        parts.append(SubtaskState(index, checkpoints.write_shared(data, burst), {"layer-0": checkpoints.write_shared(data, burst)}))
        assert [] == heard
        burst.leave(heard.append)
    assert [None] * len(segments) == heard
    return parts


def test_what_is_stored_at_the_same_time_is_one_file(checkpoints, tmp_path):
    parts = merged(checkpoints, 1, SEGMENTS)
    assert SEGMENTS == [read_state(part.state) for part in parts] == [read_state(part.files["layer-0"]) for part in parts]
    assert 1 == len(files_in(tmp_path / "checkpoints"))


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=12), st.integers(1, 100))
def test_no_file_is_larger_than_it_may_be_and_every_segment_is_found(tmp_path_factory, segments, bytes_max):
    directory = tmp_path_factory.mktemp("merged")
    parts = merged(CheckpointFiles(str(directory), "job-1", inline_bytes_max=0), 1, segments, bytes_max)
    assert segments == [read_state(part.state) for part in parts]
    sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
    assert all(size <= max(bytes_max, *map(len, segments)) for size in sizes)


def test_a_subtask_that_comes_when_the_others_have_left_has_a_file_of_its_own(checkpoints, tmp_path):
    merging = checkpoints.merging(1 << 20)
    for _ in range(2):
        burst = upload(merging.join(1))
        checkpoints.write_shared(BIG, burst)
        burst.leave(lambda error: None)
    assert 2 == len(files_in(tmp_path / "checkpoints"))


def test_a_file_stays_while_any_checkpoint_refers_to_a_part_of_it(checkpoints, tmp_path):
    parts = merged(checkpoints, 1, SEGMENTS)
    first, second = manifest_of(1, *parts), manifest_of(2, parts[3])
    one, two = checkpoints.write_manifest(first), checkpoints.write_manifest(second)
    checkpoints.discard(one, stored_files(first))
    (vertex,) = read_manifest(two).vertices
    assert SEGMENTS[3] == read_state(vertex.parts[0].state)
    checkpoints.discard(two, stored_files(second))
    assert [] == files_in(tmp_path / "checkpoints")


def test_if_a_file_cannot_be_written_all_hear_of_it_and_nothing_is_left(checkpoints, tmp_path):
    merging = checkpoints.merging(len(BIG) + 10)
    bursts = [upload(merging.join(1)) for _ in range(3)]
    heard = []
    for index, burst in enumerate(bursts):
        checkpoints.write_shared(BIG, burst)
        if index == 1:  # the first file has been written: now there is no room any more
            shutil.rmtree(tmp_path / "checkpoints")
            (tmp_path / "checkpoints").write_text("no directory")
        burst.leave(heard.append)
    assert all("cannot store state" in error.message for error in heard)
    assert 3 == len(heard)


def test_nothing_is_written_of_subtasks_that_have_all_failed(checkpoints, tmp_path):
    burst = upload(checkpoints.merging(1 << 20).join(1))
    checkpoints.write_shared(BIG, burst)
    burst.leave(None)
    assert [] == files_in(tmp_path / "checkpoints")


def test_to_withdraw_a_segment_leaves_those_of_others(checkpoints):
    parts = merged(checkpoints, 1, SEGMENTS)
    checkpoints.withdraw(parts[0].state)
    assert SEGMENTS[1] == read_state(parts[1].state)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path, at: path.write_bytes(path.read_bytes()[: at + 3]), "has 3 bytes from byte {at} on, 250 were written"),
        (flip, "is damaged from byte {at} on"),
        (lambda path, at: path.unlink(), "state is missing"),
    ],
    ids=["truncated", "flipped", "missing"],
)
def test_a_damaged_segment_is_named_by_file_and_place_and_others_are_read(checkpoints, damage, message):
    parts = merged(checkpoints, 1, SEGMENTS)
    hurt = parts[4].state
    damage(Path(hurt.uri), hurt.offset)
    with pytest.raises(CheckpointError, match=message.format(at=hurt.offset)) as named:
        read_state(hurt)
    assert hurt.uri in named.value.message
    if Path(hurt.uri).exists():
        assert SEGMENTS[0] == read_state(parts[0].state)


def test_local_copies_are_of_segments(checkpoints, tmp_path):
    copying = checkpoints.copying(LocalCopies(tmp_path / "local", "count/0"))
    parts = merged(copying, 1, SEGMENTS)
    Path(parts[0].state.uri).unlink()
    read = StateReader(tmp_path / "local")
    assert SEGMENTS == [read(part.state) for part in parts]
    assert read.remote_bytes == 0


def test_a_native_savepoint_takes_the_segments_that_are_its_own(checkpoints, tmp_path):
    parts = merged(checkpoints, 1, SEGMENTS)
    home = NativeSavepoint(str(tmp_path / "saved")).complete(manifest_of(2, parts[1]))
    shutil.rmtree(tmp_path / "checkpoints")
    (vertex,) = read_manifest(home).vertices
    assert SEGMENTS[1] == read_state(vertex.parts[0].state) == read_state(vertex.parts[0].files["layer-0"])
