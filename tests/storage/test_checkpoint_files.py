"""Files of checkpoints: whole or not there, named when damaged, and removed when nobody refers to them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actorflow.errors import CheckpointError
from actorflow.storage.checkpoint_files import CheckpointFiles, files_of_part, read_state
from actorflow.storage.manifest_files import MANIFEST, read_manifest
from actorflow.wire.manifest import (
    FORMAT,
    InlineState,
    Manifest,
    StoredFile,
    SubtaskState,
    VertexState,
    decode_part,
    encode_part,
)

BIG = bytes(range(256)) * 8


def manifest_of(number, *parts):
    vertex = VertexState("count", "count", (("count", "count"),), len(parts), 128, tuple(parts))
    return Manifest("job-1", "wordcount", number, 1, 1000 * number, savepoint=False, version="0.1.0", vertices=(vertex,))


def files_in(directory):
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*") if path.is_file())


@pytest.fixture
def checkpoints(tmp_path):
    return CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=100)


def take(checkpoints, number, *shared, data=BIG):
    """Write a checkpoint of two subtasks, a big and a small one; return its location and manifest."""
    parts = [
        SubtaskState(0, checkpoints.write_state(number, "count/0", data), {f"s{place}": file for place, file in enumerate(shared)}),
        SubtaskState(1, checkpoints.write_state(number, "count/1", b"small")),
    ]
    manifest = manifest_of(number, *parts)
    return checkpoints.write_manifest(manifest), manifest


def stored_files(manifest):
    return [file for vertex in manifest.vertices for part in vertex.parts for file in files_of_part(part)]


def test_what_was_written_is_read_again_and_small_state_stands_in_the_manifest(checkpoints):
    location, _ = take(checkpoints, 1)
    (vertex,) = read_manifest(location).vertices
    assert [BIG, b"small"] == [read_state(part.state) for part in vertex.parts]
    assert isinstance(vertex.parts[1].state, InlineState)


def test_a_checkpoint_can_be_moved(checkpoints, tmp_path):
    location, _ = take(checkpoints, 1, checkpoints.write_shared(b"shared"))
    shutil.move(tmp_path / "checkpoints" / "job-1", tmp_path / "moved")
    (vertex,) = read_manifest(str(tmp_path / "moved" / "chk-1")).vertices
    assert BIG == read_state(vertex.parts[0].state)
    assert b"shared" == read_state(vertex.parts[0].files["s0"])
    assert not Path(location).exists()


def test_what_a_later_checkpoint_refers_to_is_kept_when_the_earlier_one_is_discarded(checkpoints, tmp_path):
    shared, own = checkpoints.write_shared(b"both"), checkpoints.write_shared(b"first")
    first, manifest = take(checkpoints, 1, shared, own)
    second, later = take(checkpoints, 2, shared)
    checkpoints.discard(first, stored_files(manifest))
    (vertex,) = read_manifest(second).vertices
    assert b"both" == read_state(vertex.parts[0].files["s0"])
    with pytest.raises(CheckpointError, match="state is missing"):
        read_state(own)
    checkpoints.discard(second, stored_files(later))
    assert [] == files_in(tmp_path)


def test_no_directory_is_left_of_a_checkpoint_that_is_discarded_nor_of_a_job_that_is_over(checkpoints, tmp_path):
    first, manifest = take(checkpoints, 1)
    take(checkpoints, 2, checkpoints.write_shared(b"shared"))
    checkpoints.write_state(3, "count/0", BIG)
    checkpoints.discard(first, stored_files(manifest))
    home = tmp_path / "checkpoints" / "job-1"
    assert ["chk-2", "chk-3", "shared"] == sorted(path.name for path in home.iterdir())
    checkpoints.discard_all()
    assert [] == list((tmp_path / "checkpoints").iterdir())


def test_the_next_leader_keeps_what_the_checkpoint_of_the_one_before_refers_to_until_it_is_discarded(checkpoints, tmp_path):
    shared = checkpoints.write_shared(b"both")
    location, manifest = take(checkpoints, 1, shared)
    leader = CheckpointFiles(str(tmp_path / "checkpoints"), "job-1", inline_bytes_max=100)
    leader.inherit(location, stored_files(manifest))
    leader.discard(None, [shared])  # of a checkpoint above it that was aborted
    assert b"both" == read_state(shared)
    later, _ = take(leader, 2, shared)
    leader.discard(location, stored_files(manifest))
    assert b"both" == read_state(read_manifest(later).vertices[0].parts[0].files["s0"])


def test_discarding_an_aborted_checkpoint_keeps_what_a_completed_one_refers_to(checkpoints):
    shared = checkpoints.write_shared(b"both")
    location, _ = take(checkpoints, 1, shared)
    aborted = checkpoints.write_state(2, "count/0", BIG)
    checkpoints.discard(None, [aborted, shared])
    with pytest.raises(CheckpointError):
        read_state(aborted)
    (vertex,) = read_manifest(location).vertices
    assert b"both" == read_state(vertex.parts[0].files["s0"])


def test_a_manifest_that_refers_to_a_removed_file_is_refused_and_claims_nothing(checkpoints, tmp_path):
    kept, gone = checkpoints.write_shared(b"kept"), checkpoints.write_shared(b"gone")
    first, manifest = take(checkpoints, 1, kept, gone)
    second, later = take(checkpoints, 2, kept)
    checkpoints.discard(first, stored_files(manifest))
    with pytest.raises(CheckpointError, match=r"checkpoint 3 refers to .*which is not there any more"):
        take(checkpoints, 3, kept, gone)
    checkpoints.collect_orphans([read_manifest(second)])
    checkpoints.discard(second, stored_files(later))
    assert [] == files_in(tmp_path)


def test_the_newest_is_found_first_and_what_cannot_be_used_is_named(checkpoints):
    take(checkpoints, 9)
    broken, _ = take(checkpoints, 10)
    checkpoints.write_state(11, "count/0", BIG)
    text = Path(broken).read_bytes()
    Path(broken).write_bytes(text[: len(text) // 2])
    found = checkpoints.find()
    assert [11, 10, 9] == [int(one.location.split("chk-")[1].split("/")[0]) for one in found]
    assert [None, None, 9] == [one.manifest and one.manifest.checkpoint for one in found]
    assert "never completed" in found[0].problem
    assert f"'{broken}' is no manifest, or a truncated one" in found[1].problem


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_changed_bit_in_a_manifest_is_noticed(checkpoints, place):
    location, _ = take(checkpoints, 1)
    data = bytearray(Path(location).read_bytes())
    data[int(len(data) * place)] ^= 1
    Path(location).write_bytes(data)
    with pytest.raises(CheckpointError, match=location):
        read_manifest(location)


def test_a_manifest_of_a_newer_version_is_refused_by_number(checkpoints):
    location, _ = take(checkpoints, 1)
    newer = Path(location).read_text().replace(f'"format":{FORMAT}', f'"format":{FORMAT + 1}')
    Path(location).write_text(newer)
    with pytest.raises(CheckpointError, match=f"has format {FORMAT + 1}, this version reads up to {FORMAT}"):
        read_manifest(location)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 2047 bytes, 2048 were written"),
        (lambda path: path.write_bytes(bytes([1]) + path.read_bytes()[1:]), "is damaged"),
        (lambda path: path.unlink(), "state is missing"),
    ],
    ids=["truncated", "flipped", "missing"],
)
def test_state_that_is_not_what_was_written_is_named(checkpoints, damage, text):
    stored = checkpoints.write_state(1, "count/0", BIG)
    damage(Path(stored.uri))
    with pytest.raises(CheckpointError, match=text) as caught:
        read_state(stored)
    assert stored.uri in str(caught.value)


def test_orphans_are_removed_and_nothing_else(checkpoints, tmp_path):
    location, _ = take(checkpoints, 2, checkpoints.write_shared(b"kept"))
    before = files_in(tmp_path)
    checkpoints.write_state(3, "count/0", BIG)
    checkpoints.write_shared(b"left by a process that died")
    assert 2 == len(checkpoints.collect_orphans([read_manifest(location)]))
    assert before == files_in(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before_and_no_torn_file(tmp_path):
    """A limit on the size of files is what a full disk is like, and needs no disk."""
    script = f"""
import resource, signal
from actorflow.errors import CheckpointError
from actorflow.storage.checkpoint_files import CheckpointFiles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    CheckpointFiles({str(tmp_path)!r}, "job-1", inline_bytes_max=0).write_state(2, "count/0", bytes(5000))
except CheckpointError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, env={**os.environ})
    assert "cannot store state: cannot write" in out.stdout
    assert "file too large" in out.stdout
    assert [] == files_in(tmp_path)


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    checkpoints = CheckpointFiles(str(tmp_path / "file"), "job-1", inline_bytes_max=0)
    with pytest.raises(CheckpointError, match="cannot store state: cannot write"):
        checkpoints.write_state(1, "count/0", BIG)


def test_a_part_travels_as_bytes():
    part = SubtaskState(3, StoredFile("/x/part", 10, "00"), {"a": StoredFile("/x/shared", 1, "01")})
    assert part == decode_part(encode_part(part))
    with pytest.raises(CheckpointError, match="cannot be read"):
        decode_part(b"\x00garbage")


def test_manifests_are_json_that_anyone_can_read(checkpoints):
    import json

    location, _ = take(checkpoints, 7)
    assert location.endswith(MANIFEST)
    plain = json.loads(Path(location).read_text())
    assert ("wordcount", 7) == (plain["manifest"]["name"], plain["manifest"]["checkpoint"])
