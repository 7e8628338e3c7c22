"""The books of a blob server: what it may be sent, what it keeps for whom, and what goes when."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import PlanError
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.blobs.blob import BlobRef, SentFile, blob_server_beside
from actorflow.protocol.blobs.ledger import BlobLedger

CLIENT, OTHER = NodeId("~client-1"), NodeId("~client-2")
JOB, SECOND = JobId("one"), JobId("two")


def ref(n, size=10):
    return BlobRef(hashlib.sha256(b"%d" % n).hexdigest(), size)


A, B = ref(1), ref(2)


def ledger(*, bytes_max=1_000):
    return BlobLedger(bytes_max)


def test_what_is_missing_is_asked_for_and_nothing_twice():
    books = ledger()
    assert (A.digest, B.digest) == books.offer(JOB, CLIENT, [A, B, A])
    books.stored(A.digest)
    assert (B.digest,) == books.offer(JOB, CLIENT, [A, B])
    assert (B.digest,) == books.offer(SECOND, OTHER, [B, A])


def test_only_what_was_offered_is_taken_and_only_of_the_node_that_has_offered_it():
    books = ledger()
    assert books.size_awaited(CLIENT, A.digest) is None
    books.offer(JOB, CLIENT, [A])
    assert (10, None, None) == (
        books.size_awaited(CLIENT, A.digest),
        books.size_awaited(OTHER, A.digest),
        books.size_awaited(CLIENT, B.digest),
    )
    books.stored(A.digest)
    assert books.size_awaited(CLIENT, A.digest) is None


def test_a_job_keeps_its_blobs_when_its_client_leaves_and_loses_them_when_it_is_over():
    books = ledger()
    books.offer(JOB, CLIENT, [A])
    books.stored(A.digest)
    assert () == books.hold(JOB, [A])
    assert () == books.lost(CLIENT)
    assert (A.digest,) == books.release(JOB)
    assert () == books.release(JOB)


def test_a_client_that_leaves_before_it_submits_leaves_nothing():
    books = ledger()
    books.offer(JOB, CLIENT, [A, B])
    books.stored(A.digest)
    assert (A.digest,) == books.lost(CLIENT)
    assert ({}, {}, {}) == (books.observe().stored, books.observe().awaited, books.observe().jobs)
    assert not books.stored(B.digest), "what arrives late is needed by nobody"


def test_what_two_jobs_need_goes_with_the_last():
    books = ledger()
    for job in (JOB, SECOND):
        books.offer(job, CLIENT, [A])
    books.stored(A.digest)
    assert () == books.hold(JOB, [A]) == books.hold(SECOND, [A])
    assert ((), (A.digest,)) == (books.release(JOB), books.release(SECOND))


def test_a_job_whose_blobs_are_not_here_is_told_which():
    books = ledger()
    books.offer(JOB, CLIENT, [A, B])
    books.stored(A.digest)
    assert (B.digest,) == books.hold(JOB, [A, B])


@pytest.mark.parametrize(
    "blobs",
    [
        [BlobRef("../../etc/passwd", 1)],
        [BlobRef("A" * 64, 1)],
        [BlobRef("0" * 63, 1)],
        [BlobRef("0" * 64, -1)],
        [A, ref(1, 11)],
    ],
    ids=["a path", "capitals", "short", "negative", "two sizes"],
)
def test_what_cannot_be_a_blob_is_refused(blobs):
    books = ledger()
    books.offer(SECOND, OTHER, [A])
    with pytest.raises(PlanError, match="cannot be"):
        books.offer(JOB, CLIENT, blobs)
    assert {SECOND: 1} == books.observe().jobs


def test_what_is_too_much_is_refused_with_the_figures_and_nothing_of_it_is_awaited():
    books = ledger(bytes_max=3 << 20)
    books.offer(JOB, CLIENT, [ref(1, 2 << 20)])
    with pytest.raises(PlanError, match="take 2 MB more, and the JobManager has 2 of at most 3 MB"):
        books.offer(SECOND, CLIENT, [ref(2, 2 << 20)])
    assert [ref(1).digest] == list(books.observe().awaited)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "stored", "hold", "release", "lost", "put"]),
            st.sampled_from([JOB, SECOND, JobId("three")]),
            st.lists(st.integers(0, 3), min_size=1, max_size=3),
            st.sampled_from([CLIENT, OTHER]),
        )
    )
)
def test_whatever_happens_the_books_agree_and_nothing_stays_of_jobs_that_are_over(steps):
    books = ledger()
    jobs = set()
    for step, job, numbers, client in steps:
        blobs = [ref(n) for n in numbers]
        jobs.add(job)
        match step:
            case "offer":
                books.offer(job, client, blobs)
            case "stored":
                books.stored(blobs[0].digest)
            case "hold":
                books.hold(job, blobs)
            case "release":
                books.release(job)
            case "lost":
                books.lost(client)
            case "put":
                books.put(job, blobs[0])
        books.check()
    for job in sorted(jobs):
        books.release(job)
    assert ({}, {}, {}) == (books.observe().stored, books.observe().awaited, books.observe().jobs)


def test_a_file_that_was_sent_is_a_uri_and_others_are_not():
    for sent in (SentFile(A.digest, "model 1.bin", directory=False), SentFile(A.digest, "models", directory=True)):
        assert sent == SentFile.parse(sent.uri)
    assert [None] * 3 == [SentFile.parse(uri) for uri in ("/blob", "s3://blob/x", "file:///blob")]


def test_the_blob_server_is_beside_its_dispatcher():
    assert ["jm/blob-server", "jm/blob-server-7"] == [
        blob_server_beside(Address(each)) for each in ("jm/job-manager", "jm/job-manager-7")
    ]
