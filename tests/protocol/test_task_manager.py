"""A TaskManager and the worker of each lease."""

import pytest

from actorflow.errors import Domain, ErrorInfo, InvariantViolated, Retry
from actorflow.ids import Address, JobId
from actorflow.protocol.deployment import KillSlot
from actorflow.protocol.job_messages import LeaseSlot, SlotEnded, SlotReady, WorkerStarted
from actorflow.protocol.machine import ChildEnded, Done, Failed, Killed, Lost, Send, Spawn, StopChild, Stopped, TimerFired
from actorflow.protocol.slots import Allocation, FreeSlot, HeldLease, SlotsOffered
from actorflow.protocol.task_manager import OVER_MAX, Register, TaskManagerMachine, WorkerRecipe
from actorflow.testing.probe import Probe

TM, POOL, MASTER = Address("tm-1/tm"), Address("jm/slots"), Address("jm/job")
JOB = JobId("words-1")
A, B = Allocation("1.1"), Allocation("1.2")
LEASE = LeaseSlot(A, 0, JOB, MASTER)
STARTED = WorkerStarted(A, Address("worker-1.1/worker"), ("ipc://1.1",))
ERROR = ErrorInfo("SlotLost", "ended with exit code 1")


def task_manager(*events):
    probe = Probe(TaskManagerMachine(TM, POOL, slots=2, incarnation=4, start_timeout_s=30.0))
    probe.tell(*events)
    return probe


def stopped(probe):
    return [effect.name for effect in probe.effects if isinstance(effect, StopChild)]


def spawned(probe):
    return [effect.name for effect in probe.effects if isinstance(effect, Spawn)]


def test_it_offers_its_slots():
    assert Send(POOL, SlotsOffered(TM, 4, 2)) == task_manager(Register()).effects[0]


def test_it_offers_them_again_and_again():
    probe = task_manager(Register())
    probe.advance(10.0)
    assert [SlotsOffered(TM, 4, 2)] * 2 == probe.sent()


def test_it_offers_them_with_what_it_holds():
    probe = task_manager(Register(), LEASE)
    probe.advance(5.0)
    assert [SlotsOffered(TM, 4, 2, (HeldLease(0, A, JOB, MASTER),))] == probe.sent()


def test_a_lease_gets_a_fresh_worker():
    probe = task_manager(LEASE)
    assert Spawn(A, WorkerRecipe(A, 0, JOB)) == probe.effects[0]
    assert {A: 30.0} == probe.timers


def test_the_holder_is_told_when_its_worker_is_ready():
    probe = task_manager(LEASE)
    probe.tell(STARTED)
    assert [SlotReady(A, STARTED.worker, STARTED.endpoints)] == probe.sent()
    assert ({}, {A: (0, JOB, True)}) == (probe.timers, dict(probe.machine.observe().leases))


def test_a_worker_that_does_not_report_in_time_is_killed():
    probe = task_manager(LEASE)
    probe.advance(30.0)
    assert [A] == stopped(probe)
    probe.tell(ChildEnded(A, Stopped()))
    assert [SlotEnded] == [type(message) for message in probe.sent()]
    assert "slot worker 0 of tm-1/tm was killed: it did not report within 30 s of its start" == probe.sent()[0].error.message


@pytest.mark.parametrize("so_far", [[LEASE], [LEASE, STARTED]])
def test_a_freed_slot_loses_its_worker_and_nobody_is_told_of_its_end(so_far):
    probe = task_manager(*so_far)
    probe.tell(FreeSlot(A))
    assert ([A], {}) == (stopped(probe), probe.timers)
    assert [] == probe.tell(ChildEnded(A, Stopped()))


def test_a_freed_slot_can_be_leased_again_at_once():
    probe = task_manager(LEASE, STARTED, FreeSlot(A))
    probe.tell(LeaseSlot(B, 0, JOB, MASTER))
    assert [B] == spawned(probe)


def test_a_lease_that_comes_after_it_was_freed_starts_nothing():
    probe = task_manager(FreeSlot(A))
    assert [] == probe.tell(LEASE)


def test_a_doubled_lease_starts_nothing():
    probe = task_manager(LEASE)
    assert [] == probe.tell(LEASE)


def test_a_lease_that_is_doubled_after_its_worker_has_ended_starts_nothing():
    probe = task_manager(LEASE, STARTED, ChildEnded(A, Failed(ERROR)))
    assert [] == probe.tell(LEASE)


def test_a_lease_of_a_slot_that_does_not_exist_is_refused():
    probe = task_manager()
    probe.tell(LeaseSlot(A, 2, JOB, MASTER))
    assert [SlotEnded(A, ErrorInfo("SlotLost", "tm-1/tm has no slot 2", retry=Retry.NEVER))] == probe.sent()


def test_a_killed_worker_is_reported_as_killed_with_the_reason():
    probe = task_manager(LEASE, STARTED)
    probe.tell(KillSlot(A, "it does not react"))
    assert ([A], []) == (stopped(probe), probe.sent())
    probe.tell(ChildEnded(A, Stopped()))
    expected = ErrorInfo("SlotLost", "slot worker 0 of tm-1/tm was killed: it does not react", domain=Domain.USER)
    assert [SlotEnded(A, expected)] == probe.sent()


def test_a_worker_is_killed_once():
    probe = task_manager(LEASE, KillSlot(A, "it does not react"))
    assert [] == probe.tell(KillSlot(A, "it still does not react"))


def test_a_killed_worker_is_not_announced():
    probe = task_manager(LEASE, KillSlot(A, "it does not react"))
    assert [] == probe.tell(STARTED)


def test_a_killed_worker_can_be_freed_before_it_has_ended():
    probe = task_manager(LEASE, KillSlot(A, "it does not react"), FreeSlot(A))
    assert [] == probe.tell(ChildEnded(A, Stopped()))


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Failed(ERROR), "ended with exit code 1"),
        (Done(), "slot worker 0 of tm-1/tm ended before it was released"),
        (Stopped(), "slot worker 0 of tm-1/tm ended before it was released"),
        (Killed(), "slot worker 0 of tm-1/tm ended before it was released"),
        (Lost("node-7"), "slot worker 0 of tm-1/tm cannot be reached: node node-7 is lost"),
    ],
)
@pytest.mark.parametrize("so_far", [[LEASE], [LEASE, STARTED]])
def test_the_holder_is_told_how_its_worker_has_ended(so_far, ending, text):
    probe = task_manager(*so_far)
    probe.tell(ChildEnded(A, ending))
    assert [(A, text)] == [(ended.allocation, ended.error.message) for ended in probe.sent(SlotEnded)]
    assert ({}, {}) == (probe.timers, dict(probe.machine.observe().leases))


@pytest.mark.parametrize("late", [STARTED, KillSlot(A, "late"), ChildEnded(A, Done()), FreeSlot(A), TimerFired(A)])
def test_news_of_an_unknown_lease_is_dropped(late):
    assert [] == task_manager().tell(late)


def test_a_doubled_report_of_a_worker_is_dropped():
    probe = task_manager(LEASE, STARTED)
    assert [] == probe.tell(STARTED)


def test_only_so_many_leases_that_are_over_are_remembered():
    probe = task_manager(*(FreeSlot(Allocation(f"1.{number}")) for number in range(OVER_MAX + 1)))
    assert OVER_MAX == len(probe.machine._over)
    assert [] == probe.tell(LeaseSlot(Allocation(f"1.{OVER_MAX}"), 0, JOB, MASTER))


def test_an_unknown_event_is_an_error():
    with pytest.raises(AssertionError, match="unknown event 'hello'"):
        task_manager().tell("hello")


def test_check_finds_a_lease_that_is_over_and_one_of_a_slot_that_does_not_exist():
    probe = task_manager(LEASE)
    probe.machine._over[A] = None
    with pytest.raises(InvariantViolated, match=r"allocation 1\.1 is over and held"):
        probe.machine.check()
    probe = task_manager(LEASE)
    probe.machine._slots = 0
    with pytest.raises(InvariantViolated, match="is of slot 0, there are 0"):
        probe.machine.check()
