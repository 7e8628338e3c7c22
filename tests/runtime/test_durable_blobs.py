"""Blobs for the next leader: stored before the job is, there when it goes on, removed when it is over, and never by who was deposed."""

import pytest

from actorflow.config import Config
from actorflow.coordination import open_coordination
from actorflow.errors import CheckpointError, CoordinationError
from actorflow.ids import Address, JobId
from actorflow.protocol.jobs.job_messages import JobStatus, JobStatusChanged, SubmitJob
from actorflow.runtime.blobs.durable import DurableBlobs
from actorflow.runtime.jobs.durable_jobs import DurableJobs
from actorflow.storage.blob_files import BlobFiles

JOB, OTHER = JobId("words/../x"), JobId("words")
CODE, FILE = b"code" * 1000, b"file" * 1000


class Leader:
    def __init__(self, directory, coordination, epoch):
        self.here = BlobFiles(directory / f"leader-{epoch}")
        self.here.directory.mkdir()
        coordination.election._fence.epoch = epoch
        self.blobs = DurableBlobs(str(directory / "ha"), epoch, self.here)
        self.jobs = DurableJobs(coordination, epoch, self.blobs)

    def submitted(self, job=JOB):
        code, file = self.here.add(CODE + job.encode()), self.here.add(FILE + job.encode())
        submission = SubmitJob(job, "words", b"", {}, Address("client/ear"), code=code, files=(file,))
        self.jobs.put(submission)
        return submission


@pytest.fixture
def coordination():
    coordination = open_coordination(Config())
    coordination.election.contend(lambda _: None, lambda: None)
    return coordination


@pytest.fixture
def lead(tmp_path, coordination):
    return lambda epoch: Leader(tmp_path, coordination, epoch)


def stored(tmp_path):
    return sorted(path.name for path in (tmp_path / "ha" / "blobs").iterdir())


def test_the_next_leader_has_the_blobs_of_a_job_that_it_goes_on_with(tmp_path, lead):
    submission = lead(1).submitted()
    second = lead(2)
    [job] = second.jobs.inherit().jobs
    assert (submission.code, submission.files) == (job.submission.code, job.submission.files)
    assert [CODE + JOB.encode(), FILE + JOB.encode()] == [second.blobs.read(blob) for blob in (submission.code, *submission.files)]
    third = lead(3)
    third.jobs.inherit()
    assert CODE + JOB.encode() == third.blobs.read(submission.code), "they stay where the first has stored them"
    assert 2 == len(stored(tmp_path))


def test_nobody_but_their_owner_can_read_them(tmp_path, lead):
    lead(1).submitted()
    assert [0o700, 0o700] == [path.stat().st_mode & 0o777 for path in (tmp_path / "ha", tmp_path / "ha" / "blobs")]


@pytest.mark.parametrize("inherited", [False, True])
def test_they_are_removed_when_the_job_is_over_and_those_of_other_jobs_are_not(tmp_path, lead, inherited):
    leader = lead(1)
    submission = leader.submitted()
    leader.submitted(OTHER)
    if inherited:
        leader = lead(2)
        [submission] = [job.submission for job in leader.jobs.inherit().jobs if job.submission.job == JOB]
    leader.jobs.job(submission, None).end(JobStatusChanged(JOB, JobStatus.FINISHED))
    assert [leader.blobs.kept_at(OTHER).removeprefix(f"{leader.blobs._epoch}-")] * 2 == [
        name.split("-")[1] for name in stored(tmp_path)
    ]


def test_a_leader_removes_what_was_never_accepted_or_is_over_but_nothing_of_its_successor(tmp_path, lead):
    first = lead(1)
    first.blobs.keep(SubmitJob(OTHER, "words", b"", {}, Address("client/ear"), code=first.here.add(CODE)))
    successor = lead(3)
    successor.submitted()
    lead(2).blobs.collect(set())
    assert {"3"} == {name.partition("-")[0] for name in stored(tmp_path)}


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"torn")], ids=["gone", "torn"])
def test_a_job_whose_blobs_are_damaged_is_lost_by_name_and_others_go_on(tmp_path, lead, damage):
    first = lead(1)
    submission = first.submitted()
    first.submitted(OTHER)
    damage(tmp_path / "ha" / "blobs" / f"{first.blobs.kept_at(JOB)}-{submission.code.digest}")
    inheritance = lead(2).jobs.inherit()
    assert [OTHER] == [job.submission.job for job in inheritance.jobs]
    [lost] = inheritance.over
    assert (JOB, True) == (lost.news.job, "a file that it needs is lost" in lost.news.error.message)


def test_what_cannot_be_stored_keeps_the_job_from_being_accepted(tmp_path, lead):
    leader = lead(1)
    (tmp_path / "ha").write_text("in the way")
    with pytest.raises(CoordinationError, match="cannot store the files of job"):
        leader.submitted()
    assert {} == leader.jobs._coordination.jobs.read().submissions


def test_a_job_without_blobs_stores_none(tmp_path, lead):
    leader = lead(1)
    leader.jobs.put(SubmitJob(JOB, "words", b"plan", {}, Address("client/ear")))
    assert not (tmp_path / "ha").exists()
    assert [JOB] == [job.submission.job for job in lead(2).jobs.inherit().jobs]


def test_what_is_lost_is_an_error_of_its_own(lead):
    submission = lead(1).submitted()
    with pytest.raises(CheckpointError, match="is lost"):
        lead(2).blobs.bring(submission.replaced(kept_at="1-nowhere"))
