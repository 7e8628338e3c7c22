"""A TaskManager and the worker of each lease."""

import pytest

from actorflow.errors import Domain, ErrorInfo, InvariantViolated, Retry
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.jobs.deployment import KillSlot
from actorflow.protocol.jobs.job_messages import LeaseSlot, NodeLost, SlotEnded, SlotReady, WorkerStarted
from actorflow.protocol.machine import ChildEnded, Done, Failed, Killed, Lost, Send, Spawn, Stopped, TimerFired
from actorflow.protocol.nodes.slot_messages import Allocation, FreeSlot, HeldLease, SlotsOffered
from actorflow.protocol.nodes.task_manager import OVER_MAX, EndWorker, Register, TaskManagerMachine, WorkerMeasured, WorkerRecipe
from actorflow.testing.probe import Probe

TM, POOL, MASTER = Address("tm-1/tm"), Address("jm/slots"), Address("jm/job")
JOB = JobId("words-1")
A, B, C = Allocation("1.1"), Allocation("1.2"), Allocation("1.3")
LEASE = LeaseSlot(A, 0, JOB, MASTER)
STARTED = WorkerStarted(A, Address("worker-1.1/worker"), ("ipc://1.1",))
ERROR = ErrorInfo("SlotLost", "ended with exit code 1")


def task_manager(*events):
    probe = Probe(TaskManagerMachine(TM, POOL, slots=2, incarnation=4, start_timeout_s=30.0))
    probe.tell(*events)
    return probe


def stopped(probe):
    """The workers that were told to end in the last step."""
    told = [effect.to for effect in probe.effects if isinstance(effect, Send) and isinstance(effect.message, EndWorker)]
    return [address.removeprefix(f"{TM}/") for address in told]


def told(probe):
    """What others were told in the last step: workers left out."""
    return [message for message in probe.sent() if not isinstance(message, EndWorker)]


def spawned(probe):
    return [effect.name for effect in probe.effects if isinstance(effect, Spawn)]


def test_it_offers_its_slots():
    assert Send(POOL, SlotsOffered(TM, 4, 2)) == task_manager(Register()).effects[0]


def test_it_offers_them_again_and_again():
    probe = task_manager(Register())
    probe.advance(10.0)
    assert [SlotsOffered(TM, 4, 2)] * 2 == probe.sent()


def test_it_soon_offers_them_anew_when_the_node_they_were_offered_to_is_lost():
    probe = task_manager(Register())
    probe.advance(1.0)
    probe.tell(NodeLost(NodeId("another"), "it was restarted"))
    probe.advance(0.5)
    assert [] == probe.sent()
    probe.tell(NodeLost(NodeId("jm"), "it was restarted"))  # and with it went what was on its way
    assert [] == probe.sent(), "a peer that is lost again and again would be told again and again"
    probe.advance(0.5)
    assert [SlotsOffered(TM, 4, 2)] == probe.sent()


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
    probe.tell(ChildEnded(A, Done()))
    assert [SlotEnded] == [type(message) for message in probe.sent()]
    assert "slot worker 0 of tm-1/tm was killed: it did not report within 30 s of its start" == probe.sent()[0].error.message


def test_a_worker_that_uses_more_memory_than_it_may_is_killed_with_that_as_the_reason():
    probe = Probe(TaskManagerMachine(TM, POOL, slots=2, worker_bytes_max=512 << 20))
    probe.tell(LEASE, STARTED, WorkerMeasured(A, 512 << 20))
    assert [] == stopped(probe)
    probe.tell(WorkerMeasured(A, (612 << 20) - 1))
    assert [A] == stopped(probe)
    assert [] == probe.tell(WorkerMeasured(A, 700 << 20)), "it is being killed"
    probe.tell(ChildEnded(A, Done()))
    error = probe.sent()[0].error
    assert error.message.startswith("slot worker 0 of tm-1/tm was killed: it uses 612 MB, more than its limit of 512 MB (")
    assert ("taskmanager.memory.process.size" in error.message, Domain.USER) == (True, error.domain)
    assert [] == probe.tell(FreeSlot(A), WorkerMeasured(A, 700 << 20)), "it is over"


def test_without_a_limit_a_worker_may_use_any_memory():
    probe = task_manager(LEASE, STARTED)
    assert [] == probe.tell(WorkerMeasured(A, 1 << 50))


@pytest.mark.parametrize("so_far", [[LEASE], [LEASE, STARTED]])
def test_a_freed_slot_loses_its_worker_and_nobody_is_told_of_its_end(so_far):
    probe = task_manager(*so_far)
    probe.tell(FreeSlot(A))
    assert ([A], {}) == (stopped(probe), probe.timers)
    probe.tell(ChildEnded(A, Stopped()))
    assert [] == probe.sent()


def test_the_next_worker_of_a_slot_is_started_when_the_process_of_the_last_has_ended():
    probe = task_manager(LEASE, STARTED, FreeSlot(A))
    assert [] == probe.tell(LeaseSlot(B, 0, JOB, MASTER))
    probe.tell(LeaseSlot(C, 1, JOB, MASTER))
    assert [C] == spawned(probe)
    probe.tell(ChildEnded(A, Stopped()))
    assert ([B], [], {B: 30.0, C: 30.0}) == (spawned(probe), told(probe), probe.timers)


def test_leases_of_one_slot_get_their_workers_in_the_order_in_which_they_came():
    probe = task_manager(LEASE, LeaseSlot(B, 0, JOB, MASTER), LeaseSlot(C, 0, JOB, MASTER))
    probe.tell(ChildEnded(A, Failed(ERROR)))
    assert [B] == spawned(probe)
    probe.tell(FreeSlot(B), FreeSlot(A))
    assert [] == spawned(probe)
    probe.tell(ChildEnded(B, Stopped()))
    assert [C] == spawned(probe)


def test_a_lease_that_waits_for_its_slot_can_be_freed():
    probe = task_manager(LEASE, LeaseSlot(B, 0, JOB, MASTER), FreeSlot(B))
    probe.tell(ChildEnded(A, Failed(ERROR)))
    assert [] == spawned(probe)


def test_a_lease_that_is_killed_while_it_waits_has_ended():
    probe = task_manager(LEASE, LeaseSlot(B, 0, JOB, MASTER))
    probe.tell(KillSlot(B, "it does not react"))
    assert [B] == [ended.allocation for ended in probe.sent(SlotEnded)]
    assert [] == stopped(probe)


def test_a_lease_that_comes_after_it_was_freed_starts_nothing():
    probe = task_manager(FreeSlot(A))
    assert [] == probe.tell(LEASE)


@pytest.mark.parametrize(
    ("so_far", "answer"),
    [
        ([], []),
        ([STARTED], [SlotReady(A, STARTED.worker, STARTED.endpoints)]),
        ([STARTED, ChildEnded(A, Failed(ERROR))], [SlotEnded(A, ERROR)]),
        ([STARTED, FreeSlot(A)], []),
    ],
)
def test_a_lease_that_comes_again_starts_nothing_and_is_answered_again(so_far, answer):
    probe = task_manager(LEASE, *so_far)
    probe.tell(LEASE)
    assert (answer, []) == (told(probe), spawned(probe))


def test_the_end_of_a_lease_is_told_with_every_offer_until_the_lease_is_freed():
    probe = task_manager(Register(), LEASE, STARTED, ChildEnded(A, Failed(ERROR)))
    for _ in range(2):
        probe.advance(5.0)
        assert [SlotsOffered(TM, 4, 2, (HeldLease(0, A, JOB, MASTER),)), SlotEnded(A, ERROR)] == probe.sent()
    probe.tell(FreeSlot(A))
    assert [] == probe.sent()
    probe.advance(5.0)
    assert [SlotsOffered(TM, 4, 2)] == probe.sent()


def test_the_end_of_a_lease_is_told_again_to_who_would_have_it_killed():
    probe = task_manager(LEASE, STARTED, ChildEnded(A, Failed(ERROR)))
    probe.tell(KillSlot(A, "it does not react"))
    assert [SlotEnded(A, ERROR)] == probe.sent()


def test_a_lease_of_a_slot_that_does_not_exist_is_refused():
    probe = task_manager()
    probe.tell(LeaseSlot(A, 2, JOB, MASTER))
    assert [SlotEnded(A, ErrorInfo("SlotLost", "tm-1/tm has no slot 2", retry=Retry.NEVER))] == probe.sent()


def test_a_killed_worker_is_reported_as_killed_with_the_reason():
    probe = task_manager(LEASE, STARTED)
    probe.tell(KillSlot(A, "it does not react"))
    assert ([A], []) == (stopped(probe), told(probe))
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
    probe.tell(ChildEnded(A, Stopped()))
    assert [] == probe.sent()


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
    assert ({}, {A: (0, JOB, False)}) == (probe.timers, dict(probe.machine.observe().leases))


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


def planted(*events, **fields):
    """A TaskManager whose fields were tampered with."""
    machine = task_manager(*events).machine
    for name, value in fields.items():
        setattr(machine, f"_{name}", value)
    return machine


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (planted(LEASE, over={A: None}), r"allocation 1\.1 is over and held"),
        (planted(LEASE, slots=0), "is of slot 0, there are 0"),
        (planted(LEASE, processes={}), r"allocation 1\.1 waits, lives and has ended in 0 ways"),
        (planted(LEASE, LeaseSlot(B, 0, JOB, MASTER), occupied={}), r"\['1\.2'\] wait for slot 0, which is free"),
        (planted(LEASE, queues={0: {B: None}}), r"allocation 1\.2 waits for slot 0, and is not held"),
        (planted(LEASE, occupied={}), "disagree"),
    ],
)
def test_check_finds_leases_and_processes_that_do_not_fit(machine, text):
    with pytest.raises(InvariantViolated, match=text):
        machine.check()
