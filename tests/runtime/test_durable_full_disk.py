"""A shared directory that is full: a job is refused by name, nothing is left of it, and what was stored is as it was."""

import errno
from dataclasses import replace

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from small_disk import small_disk

from actorflow.actor import ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.config import Config
from actorflow.coordination import open_coordination
from actorflow.errors import CoordinationError, StorageError
from actorflow.ids import Address, JobId, NodeId
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.jobs.job_messages import JobStatus, SubmitJob
from actorflow.runtime.blobs.durable import DurableBlobs
from actorflow.runtime.jobs.durable_jobs import STORAGE_TRIES, DurableJobs, until_written
from actorflow.runtime.jobs.spawning import spawn_job_manager
from actorflow.storage import files
from actorflow.storage.blob_files import BlobFiles
from actorflow.wire.user_code import dumps_code

SMALL, LARGE = JobId("small"), JobId("large")


class FullFileSystem(MemoryFileSystem):
    """A remote store that takes `room` bytes, and no more."""

    protocol = "full"
    store, pseudo_dirs = {}, [""]
    room = 60_000

    def _open(self, path, mode="rb", **settings):
        stream = super()._open(path, mode, **settings)
        if mode == "wb":
            write = stream.write

            def bounded(data):
                if sum(file.getbuffer().nbytes for file in self.store.values()) + len(data) > self.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return write(data)

            stream.write = bounded
        return stream


@pytest.fixture(params=["tmpfs", "remote"])
def shared(request, tmp_path):
    """Give the URI of a directory with room for some 60 kB."""
    if request.param == "remote":
        fsspec.register_implementation("full", FullFileSystem, clobber=True)
        FullFileSystem.store.clear()
        yield "full://ha"
        FullFileSystem.store.clear()
    else:
        with small_disk(tmp_path / "ha") as disk:
            yield str(disk)


@pytest.fixture
def coordination():
    coordination = open_coordination(Config())
    coordination.election.contend(lambda _: None, lambda: None)
    return coordination


class Leader:
    def __init__(self, directory, shared, coordination):
        self.shared = shared
        self.here = BlobFiles(directory / "here")
        self.here.directory.mkdir()
        self.jobs = DurableJobs(coordination, 1, DurableBlobs(shared, 1, self.here))

    def put(self, job, *sizes):
        blobs = tuple(self.here.add(bytes([number]) * size) for number, size in enumerate(sizes))
        self.jobs.put(SubmitJob(job, job, b"", {}, Address("client/ear"), files=blobs))

    def stored(self):
        return sorted(info.size_bytes for info in files.list_files(f"{self.shared}/blobs"))


@pytest.fixture
def leader(tmp_path, shared, coordination):
    return Leader(tmp_path, shared, coordination)


def test_files_for_which_there_is_no_room_are_refused_by_name_and_none_of_them_is_left(leader, shared, coordination):
    leader.put(SMALL, 10_000)
    with pytest.raises(StorageError, match=r"cannot store the files of job 'large': .* [Nn]o space left on device") as caught:
        leader.put(LARGE, 20_000, 100_000)
    assert f"make room in '{shared}/blobs', and submit it again" in caught.value.hint
    assert caught.value.hint.startswith("it needs 120,000 bytes")
    assert ("are free" in caught.value.hint) == shared.startswith("/")
    assert [10_000] == leader.stored()
    leader.put(JobId("next"), 20_000)
    assert [SMALL, JobId("next")] == sorted((job.submission.job for job in leader.jobs.inherit().jobs), reverse=True)


def test_files_of_a_job_whose_entry_has_no_room_are_not_left(leader, coordination, monkeypatch):
    def refused(*_):
        raise StorageError("no space left on device")

    monkeypatch.setattr(coordination.jobs, "put", refused)
    with pytest.raises(StorageError):
        leader.put(SMALL, 10_000)
    assert [] == leader.stored()


class FullStore:
    """A store of jobs that has no room for the large ones, and counts how often it has said so."""

    def __init__(self, store):
        self.store, self.refused = store, 0

    def put(self, job, submission, epoch):
        if job == LARGE:
            self.refused += 1
            raise StorageError(f"cannot store job '{job}' in '/ha/jobs': no space left on device")
        self.store.put(job, submission, epoch)

    def __getattr__(self, name):
        return getattr(self.store, name)


def test_who_submits_a_job_for_which_there_is_no_room_is_told_and_the_next_job_is_accepted(coordination, monkeypatch):
    monkeypatch.setattr("actorflow.runtime.jobs.durable_jobs.WRITE_AGAIN_S", 0.0)
    store = FullStore(coordination.jobs)
    system = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))
    jobs = DurableJobs(replace(coordination, jobs=store), 1)
    _, dispatcher = spawn_job_manager(system, Config(), jobs=jobs)
    plan = dumps_code(ExecutionGraph("words", (), (), ()))
    for job in (LARGE, SMALL):
        dispatcher.tell_control(SubmitJob(job, "words", plan, {}, Address("sim/ear")))
    system.dispatcher.run_until_idle()
    board = system.find("/job-manager").actor._board
    failed = next(job for job in board.listed(0.0).jobs if job.job == LARGE)
    assert JobStatus.FAILED is failed.status
    assert "no space left on device" in failed.error.message
    assert STORAGE_TRIES == store.refused
    assert [SMALL] == list(coordination.jobs.read().submissions)


def test_what_the_directory_refuses_for_ever_is_not_tried_for_ever(monkeypatch):
    monkeypatch.setattr("actorflow.runtime.jobs.durable_jobs.WRITE_AGAIN_S", 0.0)
    answers = [CoordinationError("no connection")] * 5 + [StorageError("full")] * 2

    def write():
        raise answers.pop(0)

    with pytest.raises(StorageError):
        until_written(write, "job", storage_tries=2)
    assert [] == answers
