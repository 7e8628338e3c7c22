"""Blobs from a client through the server to a TaskManager: only what was offered, whole or not at all, and gone when nobody needs it."""

import os
import shutil
from types import SimpleNamespace

import pytest

from actorflow.errors import FrameRefused, PlanError
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.blobs.blob import BlobRef, FetchBlob, OfferBlobs
from actorflow.protocol.jobs.job_messages import SubmitJob
from actorflow.runtime.blobs.intake import BlobIntake
from actorflow.runtime.blobs.server import BlobServer
from actorflow.storage.blob_files import BlobFiles, pieces_of, ref_of
from actorflow.transport.blobs import BlobPiece

CLIENT, JOB = NodeId("~client-1"), JobId("words")
CACHE = Address("tm/blob-cache")
DATA = bytes(range(256)) * 100


class World:
    def __init__(self, directory):
        self.sent, self.ends = [], []
        self.server = BlobServer(
            Address("jm/blob-server"),
            directory / "server",
            lambda node, digest, pieces, on_end: (self.sent.append((node, digest, b"".join(pieces))), self.ends.append(on_end)),
            bytes_max=1 << 20,
            submit_work=lambda work: work(),
        )
        self.ref = BlobFiles(directory).add(DATA)

    def offer(self, *blobs, client=CLIENT, job=JOB):
        return self.server.offered(OfferBlobs(job, client, blobs or (self.ref,)))

    def send(self, data=DATA, client=CLIENT, key=None, size=10_000):
        starts = range(0, max(len(data), 1), size)
        for at in starts:
            piece = memoryview(data)[at : at + size]
            self.server.take(BlobPiece(client, key or self.ref.digest, at, piece, at == starts[-1]))

    def files(self):
        return sorted(path.name for path in self.server.files.directory.iterdir())


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.server.close()


def submission(*files):
    return SubmitJob(JOB, "words", b"plan", {}, Address(f"{CLIENT}/client"), files=files)


def test_what_is_offered_and_sent_is_there_for_the_job_until_that_is_over(world):
    assert (world.ref.digest,) == world.offer().missing
    world.send()
    assert () == world.offer().missing
    world.server.hold(submission(world.ref))
    world.server.lost(CLIENT)
    assert [world.ref.digest] == world.files()
    world.server.release(JOB)
    assert [] == world.files()


def test_what_nobody_has_offered_is_refused_and_leaves_nothing(world):
    with pytest.raises(FrameRefused, match="nobody here awaits it"):
        world.send()
    world.offer()
    with pytest.raises(FrameRefused, match="nobody here awaits it"):
        world.send(client=NodeId("~stranger"))
    with pytest.raises(FrameRefused, match="nobody here awaits it"):
        world.send(key="../../../etc/cron.d/x")
    assert [] == world.files()


@pytest.mark.parametrize(
    ("data", "reason"), [(DATA[:-1] + b"x", "other contents"), (DATA + b"x", "more than the"), (DATA[:100], "other contents")]
)
def test_what_is_not_what_was_offered_is_refused_and_the_client_learns_why(world, data, reason):
    world.offer()
    with pytest.raises(FrameRefused, match=reason):
        world.send(data)
    assert [] == world.files()
    answer = world.offer()
    assert ((world.ref.digest,), True) == (answer.missing, reason in answer.error.message)
    assert world.offer().error is None


def test_one_that_breaks_off_is_begun_anew(world):
    world.offer()
    world.server.take(BlobPiece(CLIENT, world.ref.digest, 0, memoryview(DATA)[:10], False))
    world.server.take(BlobPiece(CLIENT, world.ref.digest, 10, memoryview(b""), False, aborted=True))
    assert [] == world.files()
    world.send()
    assert [world.ref.digest] == world.files()


def test_a_disk_that_is_full_is_said_before_anything_is_sent(world, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    answer = world.offer()
    assert ((), True) == (answer.missing, "the JobManager has 0 MB left for them" in answer.error.message)
    with pytest.raises(FrameRefused):
        world.send()


def test_a_directory_that_somebody_has_removed_is_said_to_the_client(world):
    world.server.files.directory.rmdir()
    answer = world.offer()
    assert () == answer.missing
    assert str(world.server.files.directory) in answer.error.message


def test_a_task_manager_gets_what_it_asks_for_once_at_a_time(world):
    world.offer()
    world.send()
    for _ in range(3):
        assert world.server.fetch(FetchBlob(world.ref.digest, CACHE)) is None
    assert [("tm", world.ref.digest, DATA)] == world.sent
    world.ends[0](False)
    world.server.fetch(FetchBlob(world.ref.digest, CACHE))
    assert 2 == len(world.sent)


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", ""])
def test_what_is_not_there_is_not_sent(world, digest):
    assert "has no blob" in world.server.fetch(FetchBlob(digest, CACHE)).error.message
    assert [] == world.sent


def test_a_job_whose_files_did_not_come_is_refused(world):
    with pytest.raises(PlanError, match="has 0 of the 1 files of job 'words'"):
        world.server.hold(submission(world.ref))


def test_a_client_that_leaves_leaves_nothing_and_neither_does_the_server(world):
    world.offer()
    world.send()
    world.server.lost(CLIENT)
    assert [] == world.files()
    world.server.close()
    assert not world.server.files.directory.exists()


def test_a_server_that_was_killed_leaves_nothing_for_long(tmp_path):
    first = World(tmp_path)
    first.offer()
    first.send()
    os.close(first.server._directory._lock)  # as the kernel does when a process ends
    World(tmp_path).server.close()
    assert not first.server.files.directory.exists()


def test_blob_files_never_make_a_path_of_what_is_no_digest(tmp_path):
    for name in ("../x", "/etc/passwd", "a" * 63, "A" * 64, ""):
        with pytest.raises(Exception, match="cannot be the digest of a blob"):
            BlobFiles(tmp_path).path(name)


def test_the_blob_of_a_file_is_named_by_its_contents(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    ref = ref_of(tmp_path / "file")
    assert ref == BlobFiles(tmp_path).add(DATA)
    assert DATA == b"".join(pieces_of(tmp_path / ref.digest))
    assert 0o400 == (tmp_path / ref.digest).stat().st_mode & 0o777


def test_an_empty_blob_is_one_too(tmp_path):
    ended = []
    files = BlobFiles(tmp_path / "to")
    files.directory.mkdir()
    empty = BlobFiles(tmp_path).add(b"")
    intake = BlobIntake(files, lambda node, digest: 0, lambda *end: ended.append(end))
    intake.take(BlobPiece(CLIENT, empty.digest, 0, memoryview(b""), True))
    assert (BlobRef(empty.digest, 0), [(CLIENT, empty.digest, None)]) == (ref_of(files.path(empty.digest)), ended)
