"""What comes late, twice, or from elsewhere changes nothing in a job."""

import pytest
from job_harness import (
    ERROR,
    FAILURE,
    HOPELESS,
    JOB,
    LISTED,
    LISTING_FAILED,
    POOL,
    READERS,
    WRITERS,
    allocations,
    cancelled,
    committed,
    finished,
    granted,
    job,
    job_at,
    leases,
    opened,
    ready,
    restarted,
    started,
    statuses,
    worker,
)

from actorflow.protocol.checkpoints.commit import AbortLeft, CommitLeft
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    CommitOutput,
    JobStatus,
    NodeLost,
    ProgressReported,
    ResultChunk,
    ResultTaken,
    SlotEnded,
    WorkerFailed,
)
from actorflow.protocol.jobs.splits import SplitFinished, SplitRequested
from actorflow.protocol.machine import Send, TimerFired, WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import SlotsGranted, SlotsLost, SlotsRefused, SlotsReleased
from actorflow.protocol.transfer.delivery import EnvelopeRefused, Undelivered

S = JobStatus


@pytest.mark.parametrize(
    "late",
    [
        *finished(1),
        *started(1)[:1],
        *cancelled(1)[:1],
        FAILURE,
        *ready(1),
        *opened(1),
        *committed(1),
        SlotEnded(allocations()[0], ERROR),
        WorkerFailed(1, allocations()[0], ERROR),
        SlotsLost(JOB, allocations(), "no heartbeat"),
        NodeLost("worker-1.1", "it left"),
        Undelivered(worker(allocations()[0]), CommitOutput(1), "it is odd"),
        EnvelopeRefused(worker(allocations()[0]), "it is odd"),
        SlotsRefused(JOB, 1, HOPELESS),
        ProgressReported(1, allocations()[0], 99, 99),
        ResultChunk(JOB, WRITERS[0], 1, b"void"),
        ResultTaken(WRITERS[0], 1),
        SplitRequested(READERS[0], 1, 1, worker("w")),
        SplitFinished(READERS[0], 1, 0),
        WorkDone(AbortLeft((b"x",)), None),
        WorkFailed(AbortLeft((b"x",)), ERROR),
        WorkDone(CommitLeft(1, allocations()[0], ()), None),
        TimerFired("attempt:read/0:1"),
        TimerFired("opening:1"),
        TimerFired("commit:1"),
        TimerFired("restart"),
    ],
    ids=str,
)
def test_news_of_an_earlier_run_is_dropped(late):
    assert [] == restarted().tell(late)


def test_slots_that_are_granted_to_an_earlier_run_are_given_back():
    probe = restarted()
    probe.tell(granted(1))
    assert [Send(POOL, SlotsReleased(JOB, allocations(1)))] == probe.effects


def test_slots_that_are_granted_while_the_job_pauses_are_given_back():
    probe = job()
    probe.tell(Begin(), LISTING_FAILED)
    probe.tell(granted(1))
    assert [Send(POOL, SlotsReleased(JOB, allocations(1)))] == probe.effects


@pytest.mark.parametrize(
    ("status", "doubled"),
    [
        (S.WAITING_FOR_SLOTS, granted()),
        (S.DEPLOYING, ready()[0]),
        (S.DEPLOYING, opened()[1]),
        (S.RUNNING, started()[0]),
        (S.COMMITTING, finished()[2]),
        (S.RUNNING, LISTED),
    ],
    ids=str,
)
def test_a_doubled_message_changes_nothing(status, doubled):
    assert [] == job_at(status).tell(doubled)


def test_a_doubled_ending_of_a_worker_changes_nothing():
    probe = job_at(S.COMMITTING)
    probe.tell(SlotEnded(allocations()[0], ERROR))
    assert [] == probe.tell(SlotEnded(allocations()[0], ERROR), SlotsLost(JOB, allocations()[:1], "no heartbeat"))


@pytest.mark.parametrize(
    "event", [CancelJob(JOB), granted(), *finished(), SlotsGranted(JOB, 2, leases(2)), LISTED, TimerFired("restart")]
)
def test_nothing_follows_the_end(event):
    assert [] == job_at(S.FINISHED).tell(event)


def test_the_last_finish_may_overtake_the_start():
    probe = job_at(S.DEPLOYING)
    probe.tell(*started()[:3], *finished()[:3])
    probe.tell(finished()[3])
    assert [S.RUNNING, S.COMMITTING] == statuses(probe)


def test_an_unknown_event_is_an_error():
    with pytest.raises(AssertionError, match="unknown event 'hello'"):
        job().tell("hello")
    with pytest.raises(AssertionError, match="unknown work 'dig'"):
        job_at(S.RUNNING).tell(WorkDone("dig", None))
