"""Native savepoints: complete in their own directory, whatever becomes of the checkpoints that they were made of."""

import shutil
from pathlib import Path

import pytest
from test_checkpoint_files import BIG, files_in, manifest_of

from actorflow.errors import CheckpointError
from actorflow.savepoint.opening import remove_snapshot
from actorflow.storage.checkpoint_files import CheckpointFiles, read_state
from actorflow.storage.files import open_output
from actorflow.storage.manifest_files import read_manifest
from actorflow.storage.native_savepoint import NativeSavepoint
from actorflow.wire.manifest import StoredFile, SubtaskState, checksum


@pytest.fixture
def checkpoints(tmp_path):
    return CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=100)


def part_of(files, *layers):
    names = {f"layer-{place}": file for place, file in enumerate(layers)}
    return SubtaskState(0, files.write_state("count/0", BIG), names, layers=tuple(names), base=len(layers))


def test_a_savepoint_can_be_moved_and_needs_no_checkpoint(checkpoints, tmp_path):
    layer = checkpoints.write_shared(b"layer")
    files = NativeSavepoint(str(tmp_path / "saved"))
    manifest = manifest_of(3, part_of(files, files.take(layer), files.write_layer(b"more")))
    assert str(tmp_path / "saved") == files.complete(manifest)
    shutil.rmtree(tmp_path / "checkpoints")
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    (vertex,) = read_manifest(str(tmp_path / "moved")).vertices
    (part,) = vertex.parts
    assert [BIG, b"layer", b"more"] == [read_state(state) for state in (part.state, *part.files.values())]


def test_what_is_stored_on_the_same_disk_is_linked_and_not_written_again(checkpoints, tmp_path):
    layer = checkpoints.write_shared(b"layer")
    taken = NativeSavepoint(str(tmp_path / "saved")).take(layer)
    assert Path(layer.uri).samefile(taken.uri)


def test_what_is_stored_elsewhere_is_copied(tmp_path):
    with open_output("memory://elsewhere/layer") as stream:
        stream.write(b"layer")
    elsewhere = StoredFile("memory://elsewhere/layer", 5, checksum(b"layer"))
    assert b"layer" == read_state(NativeSavepoint(str(tmp_path / "saved")).take(elsewhere))
    copied = NativeSavepoint("memory://saved").take(elsewhere)
    assert copied.uri.startswith("memory://saved/")
    assert b"layer" == read_state(copied)


def test_what_finished_subtasks_have_left_in_a_checkpoint_is_taken_when_the_savepoint_is_completed(checkpoints, tmp_path):
    left = SubtaskState(0, checkpoints.write_state(2, "count/0", BIG))
    home = NativeSavepoint(str(tmp_path / "saved")).complete(manifest_of(3, left))
    shutil.rmtree(tmp_path / "checkpoints")
    (vertex,) = read_manifest(home).vertices
    assert BIG == read_state(vertex.parts[0].state)


@pytest.mark.parametrize(
    ("damage", "message"), [(Path.unlink, "no such file"), (lambda file: file.write_bytes(b"lay"), "has 3 bytes, 5 were")]
)
def test_a_savepoint_of_damaged_files_is_refused_by_their_name_and_leaves_nothing(checkpoints, tmp_path, damage, message):
    layer, lost = checkpoints.write_shared(b"layer"), checkpoints.write_shared(b"layer")
    damage(Path(lost.uri))
    part = SubtaskState(0, layer, {"layer-0": lost})
    with pytest.raises(CheckpointError, match=message) as refused:
        NativeSavepoint(str(tmp_path / "saved")).complete(manifest_of(3, part))
    assert lost.uri in refused.value.message
    assert [] == files_in(tmp_path / "saved")
    assert b"layer" == read_state(layer)


def test_a_checkpoint_that_was_claimed_goes_with_the_shared_files_that_no_other_one_names(checkpoints, tmp_path):
    both, own = checkpoints.write_shared(b"both"), checkpoints.write_shared(b"own")
    older = checkpoints.write_manifest(manifest_of(1, SubtaskState(0, checkpoints.write_state(1, "count/0", BIG), {"a": both})))
    newer = checkpoints.write_manifest(
        manifest_of(2, SubtaskState(0, checkpoints.write_state(2, "count/0", BIG), {"a": both, "b": own}))
    )
    remove_snapshot(newer)
    assert not Path(own.uri).exists()
    assert not Path(newer).exists()
    remove_snapshot(older)
    assert [] == files_in(tmp_path / "checkpoints")
