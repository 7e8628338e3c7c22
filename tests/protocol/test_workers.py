"""The workers of a run."""

import pytest
from job_harness import allocations, leases, ready, worker

from actorflow.errors import InvariantViolated
from actorflow.protocol.jobs.job_messages import ProgressReported
from actorflow.protocol.jobs.workers import Workers
from actorflow.protocol.nodes.slot_messages import Allocation

FIRST, SECOND = allocations()


def workers(*news):
    them = Workers()
    them.leased(leases())
    for item in news:
        them.ready(item)
    them.check()
    return them


def test_all_are_ready_when_the_last_has_reported():
    them = workers(ready()[1])
    assert not them.all_ready
    assert them.ready(ready()[0])
    assert them.all_ready
    assert (worker(FIRST), "worker-1.1", ("ipc://1.1",)) == (them[FIRST].reachable, them[FIRST].node, them[FIRST].endpoints)


def test_all_have_opened_when_the_last_has():
    them = workers(*ready())
    assert them.opened(SECOND)
    assert them.first_not_opened() is them[FIRST]
    assert [False, True, True] == [them.all_opened, them.opened(FIRST), them.all_opened]


def test_a_step_is_news_once():
    them = workers(*ready())
    assert not them.ready(ready()[0])
    assert [True, False] == [them.opened(FIRST), them.opened(FIRST)]


def test_nobody_waits_for_a_worker_that_is_gone():
    them = workers(ready()[0])
    assert SECOND == them.gone(SECOND).lease.allocation
    assert (True, None) == (them.all_ready, them.gone(SECOND))
    assert [FIRST] == [one.lease.allocation for one in them]
    them.check()


def test_news_of_a_stranger_is_dropped():
    stranger = Allocation("9.9")
    them = workers()
    assert [False, False] == [them.opened(stranger), them.progress(ProgressReported(1, stranger, 1, 1))]
    assert stranger not in them


def test_counts_outlive_their_workers():
    them = workers(*ready())
    them.progress(ProgressReported(1, FIRST, 3, 1))
    them.progress(ProgressReported(1, SECOND, 4, 1))
    them.gone(FIRST)
    assert (SECOND,) == them.clear()
    assert ((7, 2), 0) == (them.records, len(them))


def test_check_finds_a_worker_that_is_waited_for_and_gone():
    them = workers(*ready())
    them._not_opened[Allocation("9.9")] = None
    with pytest.raises(InvariantViolated, match=r"9\.9 is waited for, and is gone"):
        them.check()


def test_check_finds_an_address_that_nobody_has_reported():
    them = workers()
    them[FIRST].address = worker(FIRST)
    with pytest.raises(InvariantViolated, match=r"1\.1 is ready, and yet it is not"):
        them.check()
