"""Copies on the host: read instead of the files, never trusted, and removed with what nobody needs any more."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import CheckpointError
from actorflow.storage.checkpoint_files import CheckpointFiles
from actorflow.storage.local_copies import LocalCopies, StateReader
from actorflow.wire.manifest import InlineState

BIG = bytes(range(256)) * 8


@pytest.fixture
def backup(tmp_path):
    return tmp_path / "backup"


def writer(tmp_path, copies, attempt=1):
    files = CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=0, attempt=attempt)
    return files.copying(copies)


def names_in(directory):
    return {path.name for path in Path(directory).rglob("*") if path.is_file()}


def name_of(file):
    return file.uri.rpartition("/")[2]


def test_a_copy_is_read_instead_of_the_file_by_any_subtask(tmp_path, backup):
    files = writer(tmp_path, LocalCopies(backup, "count/0"))
    written = [files.write_shared(BIG), files.write_state(1, "count/0", BIG)]
    for file in written:
        Path(file.uri).unlink()
    read = StateReader(backup)
    assert [BIG, BIG, b"here"] == [read(state) for state in [*written, InlineState(b"here")]]
    assert (2 * len(BIG), 0) == (read.local_bytes, read.remote_bytes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(bytes([1]) + path.read_bytes()[1:]),
        lambda path: path.unlink(),
    ],
    ids=["truncated", "flipped", "missing"],
)
def test_without_a_good_copy_the_file_is_read(tmp_path, backup, damage):
    file = writer(tmp_path, LocalCopies(backup, "count/0")).write_shared(BIG)
    damage(next(backup.rglob(name_of(file))))
    read = StateReader(backup)
    assert BIG == read(file)
    assert (0, len(BIG)) == (read.local_bytes, read.remote_bytes)
    Path(file.uri).unlink()
    with pytest.raises(CheckpointError, match="state is missing"):
        StateReader(backup)(file)


@pytest.mark.parametrize("directory", [None, "nowhere"])
def test_without_a_directory_the_file_is_read(tmp_path, directory):
    file = CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=0).write_shared(BIG)
    read = StateReader(directory and tmp_path / directory)
    assert BIG == read(file)
    assert (0, len(BIG)) == (read.local_bytes, read.remote_bytes)


def test_subtasks_whose_names_differ_in_a_character_keep_to_themselves(tmp_path, backup):
    written = [writer(tmp_path, LocalCopies(backup, name)).write_shared(BIG) for name in ("my count/0", "my-count/0", "x" * 300)]
    assert {name_of(file) for file in written} == names_in(backup)


def test_a_copy_that_cannot_be_written_does_not_fail_the_checkpoint(tmp_path, backup):
    backup.write_text("in the way")
    file = writer(tmp_path, LocalCopies(backup, "count/0")).write_shared(BIG)
    assert BIG == StateReader(backup)(file)


def test_a_withdrawn_file_goes_with_its_copy(tmp_path, backup):
    files = writer(tmp_path, LocalCopies(backup, "count/0"))
    files.withdraw(files.write_shared(BIG))
    assert set() == names_in(tmp_path)


def test_a_new_attempt_keeps_the_copies_that_it_was_restored_from(tmp_path, backup):
    files = writer(tmp_path, LocalCopies(backup, "count/0"))
    kept, left = files.write_shared(b"kept"), files.write_shared(b"left")
    other = writer(tmp_path, LocalCopies(backup, "count/1")).write_shared(b"of another subtask")
    LocalCopies(backup, "count/0", [kept])
    assert {name_of(kept), name_of(other)} == names_in(backup)
    assert name_of(left) not in names_in(backup)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["completed", "given up", "unheard of"])), max_size=8))
def test_copies_of_the_last_completed_part_and_of_what_came_since_stay(ends):
    """Each part names a file of its own, and perhaps those of the last completed part."""
    with tempfile.TemporaryDirectory() as directory:
        backup = Path(directory) / "backup"
        copies = LocalCopies(backup, "count/0")
        files = writer(Path(directory), copies)
        completed, since = [], {}
        for number, (builds_upon, end) in enumerate(ends, start=1):
            part = [*(completed if builds_upon else []), files.write_shared(b"x")]
            copies.stored(number, part)
            if end == "completed":
                copies.completed(number)
                completed, since = part, {}
            elif end == "given up":
                copies.given_up(number)
            else:
                since[number] = part
            expected = {name_of(file) for one in [completed, *since.values()] for file in one}
            assert expected == names_in(backup)
