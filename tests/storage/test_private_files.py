"""What the engine stores of a job is its owner's alone: state holds whatever the records did."""

import os
import stat

import pytest
from test_checkpoint_files import BIG, manifest_of

from actorflow.savepoint.tables import create
from actorflow.storage.checkpoint_files import CheckpointFiles
from actorflow.storage.files import make_directory, open_output, write_whole
from actorflow.storage.local_copies import LocalCopies
from actorflow.storage.native_savepoint import NativeSavepoint
from actorflow.wire.manifest import SubtaskState


def modes(directory):
    return {stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.rglob("*")] if path.is_file()}


def directory_modes(directory):
    return {stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.rglob("*")] if path.is_dir()}


@pytest.fixture
def ordinary():
    before = os.umask(0o000)
    yield
    os.umask(before)


@pytest.mark.usefixtures("ordinary")
def test_checkpoints_and_savepoints_are_their_owners(tmp_path):
    checkpoints = CheckpointFiles(str(tmp_path / "made" / "checkpoints"), "job-1", inline_bytes_max=0)
    checkpoints = checkpoints.copying(LocalCopies(tmp_path / "made" / "local", "count/0"))
    layer = checkpoints.write_shared(BIG)
    part = SubtaskState(0, checkpoints.write_state(1, "count/0", BIG), {"layer": layer})
    checkpoints.write_manifest(manifest_of(1, part))
    NativeSavepoint(str(tmp_path / "made" / "native")).complete(manifest_of(1, part))
    create("totals").with_operator("totals").with_values("totals", "value", {1: 2}).write(tmp_path / "made" / "canonical")
    assert {0o600} == modes(tmp_path / "made")
    assert {0o700} == directory_modes(tmp_path / "made")


@pytest.mark.usefixtures("ordinary")
def test_what_is_there_already_and_what_users_write_keeps_the_rights_that_it_has(tmp_path):
    make_directory(str(tmp_path / "theirs"))
    write_whole(str(tmp_path / "theirs" / "ours"), b"x")
    with open_output(str(tmp_path / "theirs" / "output")) as stream:
        stream.write(b"x")
    make_directory(str(tmp_path / "theirs"), private=True)
    assert {0o777} == directory_modes(tmp_path / "theirs")
    assert {0o600, 0o666} == modes(tmp_path / "theirs")


def test_a_stricter_umask_is_kept(tmp_path):
    before = os.umask(0o277)
    try:
        write_whole(str(tmp_path / "file"), b"x")
        make_directory(str(tmp_path / "directory"), private=True)
    finally:
        os.umask(before)
    assert 0o400 == stat.S_IMODE((tmp_path / "file").stat().st_mode)
    assert 0o500 == stat.S_IMODE((tmp_path / "directory").stat().st_mode)
