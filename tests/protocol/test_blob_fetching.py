"""What a TaskManager fetches: each blob once, for all jobs that need it; and what it does about those it cannot have."""

import hashlib

import pytest

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.blobs.blob import BlobRef, BlobUnavailable, FetchBlob, JobBlobs
from actorflow.protocol.blobs.fetching import BlobArrived, BlobBroken, BlobFetching, BlobNeedless, BlobsHere, NeedBlobs
from actorflow.protocol.machine import Report, Send
from actorflow.protocol.nodes.slot_messages import JobReleased
from actorflow.testing.probe import Probe

ME, SERVER, NEXT = Address("tm/blob-cache"), Address("jm/blob-server"), Address("jm-2/blob-server-2")
JOB, SECOND = JobId("one"), JobId("two")
A, B = (BlobRef(hashlib.sha256(name).hexdigest(), 10) for name in (b"a", b"b"))


def need(job, *blobs, server=SERVER):
    return NeedBlobs(job, JobBlobs(server, blobs))


def asked(blob, server=SERVER):
    return Send(server, FetchBlob(blob.digest, ME))


@pytest.fixture
def probe():
    return Probe(BlobFetching(ME, retries=2))


def test_a_job_has_its_blobs_when_the_last_is_here(probe):
    assert [asked(A), asked(B)] == probe.tell(need(JOB, A, B))
    assert [] == probe.tell(BlobArrived(B.digest))
    assert [Report(BlobsHere(JOB))] == probe.tell(BlobArrived(A.digest))
    assert [Report(BlobsHere(JOB))] == probe.tell(need(JOB, A, B)), "another slot of it is leased"


def test_a_blob_that_is_here_is_not_fetched_for_another_job(probe):
    probe.tell(need(JOB, A), BlobArrived(A.digest))
    assert [asked(B)] == probe.tell(need(SECOND, A, B))


def test_what_two_jobs_wait_for_is_told_to_both(probe):
    probe.tell(need(JOB, A), need(SECOND, A))
    assert [Report(BlobsHere(JOB)), Report(BlobsHere(SECOND))] == probe.tell(BlobArrived(A.digest))


def test_it_goes_with_the_last_job_that_needs_it(probe):
    probe.tell(need(JOB, A, B), need(SECOND, A), BlobArrived(A.digest), BlobArrived(B.digest))
    assert [Report(BlobNeedless(B.digest))] == probe.tell(JobReleased(JOB))
    assert [Report(BlobNeedless(A.digest))] == probe.tell(JobReleased(SECOND))
    assert [] == probe.tell(JobReleased(SECOND))


def test_what_arrives_for_a_job_that_is_over_goes_at_once(probe):
    probe.tell(need(JOB, A), JobReleased(JOB))
    assert [Report(BlobNeedless(A.digest))] == probe.tell(BlobArrived(A.digest))


def test_what_did_not_arrive_whole_is_asked_for_again_and_not_for_ever(probe):
    probe.tell(need(JOB, A))
    assert [[asked(A)], [asked(A)]] == [probe.tell(BlobBroken(A.digest, "it was torn")) for _ in range(2)]
    [report] = probe.tell(BlobBroken(A.digest, "it was torn"))
    assert "it was torn, 3 times" in report.value.error.message
    assert [asked(A)] == probe.tell(need(JOB, A)), "the next worker tries again"


def test_what_the_server_does_not_have_fails_the_jobs_that_wait_for_it(probe):
    error = ErrorInfo("TransportError", "it has none")
    probe.tell(need(JOB, A), need(SECOND, A, B))
    assert [Report(BlobsHere(JOB, error)), Report(BlobsHere(SECOND, error))] == probe.tell(BlobUnavailable(A.digest, error))


def test_under_a_new_leader_the_new_one_is_asked_and_only_it_may_answer(probe):
    probe.tell(need(JOB, A))
    machine = probe.machine
    assert (10, None) == (machine.size_awaited(NodeId("jm"), A.digest), machine.size_awaited(NodeId("jm-2"), A.digest))
    assert [asked(A, NEXT)] == probe.tell(need(JOB, A, server=NEXT))
    assert (None, 10) == (machine.size_awaited(NodeId("jm"), A.digest), machine.size_awaited(NodeId("jm-2"), A.digest))
    probe.tell(BlobArrived(A.digest))
    assert machine.size_awaited(NodeId("jm-2"), A.digest) is None


def test_a_name_that_is_none_is_never_asked_for(probe):
    [report] = probe.tell(need(JOB, BlobRef("../../x", 1)))
    assert (JOB, True) == (report.value.job, report.value.error is not None)


def test_a_message_that_is_not_for_it_is_dropped(probe):
    assert [] == probe.tell(FetchBlob(A.digest, ME), "garbage")
