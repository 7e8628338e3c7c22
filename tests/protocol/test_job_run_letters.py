"""Whom a run writes to, and what becomes of it when it cannot."""

import pytest
from job_harness import ERROR, allocations, granted, opened, ready, run_at, started, worker

from actorflow.errors import Retry
from actorflow.protocol.jobs.job_messages import CommitOutput, NodeLost, SlotEnded
from actorflow.protocol.machine import Report, Send
from actorflow.protocol.transfer.delivery import EnvelopeRefused, PeerLost, PeerStarted, Undelivered

FIRST, SECOND = allocations()
RUNNING = [granted(), *ready(), *opened(), *started()]


def test_a_run_says_whom_it_begins_to_write_to_and_who_is_gone():
    probe = run_at(granted(), *ready())
    assert [PeerStarted(worker(FIRST), 1), PeerStarted(worker(SECOND), 1)] == probe.reports(PeerStarted)
    told = [
        effect.value.peer if isinstance(effect, Report) else effect.to
        for effect in probe.effects
        if isinstance(effect, Report | Send)
    ]
    assert [worker(FIRST), worker(SECOND), worker(FIRST), worker(SECOND)] == told[-4:]
    probe.tell(SlotEnded(FIRST, ERROR))
    assert [PeerLost(worker(FIRST), 1)] == probe.reports(PeerLost)
    probe.tell("cancel", "give back")
    assert [PeerLost(worker(SECOND), 1)] == probe.reports(PeerLost)


NOT_DELIVERED = [
    (Undelivered(worker(SECOND), CommitOutput(1), "it is odd"), "'CommitOutput' cannot be sent to worker-1.2/worker: it is odd"),
    (EnvelopeRefused(worker(SECOND), "it is odd"), "there is no reading what came from worker-1.2/worker: it is odd"),
]


@pytest.mark.parametrize(("news", "text"), NOT_DELIVERED)
def test_a_worker_that_cannot_be_told_or_read_fails_the_run(news, text):
    probe = run_at(*RUNNING)
    [failed] = probe.perform(probe.machine.run.not_delivered(news))
    assert (text, Retry.NEVER) == (failed.value.error.message, failed.value.error.retry)


@pytest.mark.parametrize("news", [news for news, _ in NOT_DELIVERED])
def test_that_a_worker_that_is_gone_cannot_be_told_or_read_changes_nothing(news):
    probe = run_at(*RUNNING, SlotEnded(SECOND, ERROR))
    assert [] == probe.machine.run.not_delivered(news)


def test_a_worker_whose_node_is_lost_fails_the_run():
    probe = run_at(*RUNNING)
    [failed] = probe.perform(probe.machine.run.node_lost(NodeLost("worker-1.2", "it could not be reached for 50 s")))
    assert "node worker-1.2 is lost: it could not be reached for 50 s" == failed.value.error.message


@pytest.mark.parametrize("so_far", [[granted()], [*RUNNING, SlotEnded(SECOND, ERROR)], [*RUNNING, "cancel"]])
def test_a_lost_node_without_workers_that_count_changes_nothing(so_far):
    assert [] == run_at(*so_far).machine.run.node_lost(NodeLost("worker-1.2", "it left"))
