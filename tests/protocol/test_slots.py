"""The slot pool: all or nothing, in order, fenced by allocation and incarnation."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import InvariantViolated
from actorflow.ids import Address, JobId
from actorflow.protocol.nodes.slot_messages import (
    Allocation,
    CountSlots,
    FreeSlot,
    HeldLease,
    JobEnded,
    Lease,
    Slot,
    SlotsAwaited,
    SlotsCounted,
    SlotsGranted,
    SlotsLost,
    SlotsOffered,
    SlotsRefused,
    SlotsReleased,
    SlotsRequested,
    TaskManagerLost,
)
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.testing.probe import Probe

TM1, TM2 = Address("tm-1/tm"), Address("tm-2/tm")
JOB, OTHER = JobId("wordcount"), JobId("clicks")
MASTER = Address("jm-1/jobs/wordcount")


def pool(*offers, **options):
    probe = Probe(SlotPool(**options))
    probe.tell(*offers)
    return probe


def granted(probe):
    (grant,) = probe.sent(SlotsGranted)
    return grant


def test_a_request_is_granted_at_once_when_enough_slots_are_free():
    probe = pool(SlotsOffered(TM1, 1, 2))
    probe.tell(SlotsRequested(JOB, 1, 2, MASTER))
    leases = (Lease(Slot(TM1, 0), Allocation("1.1")), Lease(Slot(TM1, 1), Allocation("1.2")))
    assert [SlotsGranted(JOB, 1, leases)] == probe.sent()


def test_spread_takes_from_each_task_manager_in_turn_and_pack_fills_one_up():
    for fill, expected in (("spread", [TM1, TM2, TM1]), ("pack", [TM1, TM1, TM2])):
        probe = pool(SlotsOffered(TM1, 1, 2), SlotsOffered(TM2, 1, 2), fill=fill)
        probe.tell(SlotsRequested(JOB, 1, 3, MASTER))
        assert expected == [lease.slot.task_manager for lease in granted(probe).leases]


def test_a_request_that_has_to_wait_says_what_is_missing_and_is_granted_when_slots_come():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 2, MASTER))
    (awaited,) = probe.reports(SlotsAwaited)
    assert "job 'wordcount' needs 2 slots, 1 of 1 registered on 1 TaskManager are free" == awaited.error.message
    assert "NotEnoughSlots" == awaited.error.kind
    probe.tell(SlotsOffered(TM2, 1, 1))
    assert 2 == len(granted(probe).leases)
    assert {} == probe.timers


def test_a_request_that_waited_too_long_is_refused():
    probe = pool(request_timeout_s=10.0)
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    probe.advance(10.0)
    (refused,) = probe.sent(SlotsRefused, job=JOB, request=1)
    assert "job 'wordcount' needs 1 slot, 0 of 0 registered on 0 TaskManagers are free" == refused.error.message


def test_without_patience_a_request_is_refused_at_once():
    probe = pool(request_timeout_s=0.0)
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    assert 1 == len(probe.sent(SlotsRefused))


def test_waiting_requests_are_served_in_order_of_arrival():
    probe = pool(SlotsOffered(TM1, 1, 2))
    probe.tell(SlotsRequested(OTHER, 1, 1, MASTER), SlotsRequested(JOB, 1, 2, MASTER), SlotsRequested(JobId("late"), 1, 1, MASTER))
    assert [SlotsGranted] == [type(message) for message in probe.sent()]
    probe.tell(JobEnded(OTHER))
    assert [JOB] == [grant.job for grant in probe.sent(SlotsGranted)]


def test_a_request_that_can_never_be_served_lets_the_others_pass():
    probe = pool(SlotsOffered(TM1, 1, 2))
    probe.tell(SlotsRequested(JOB, 1, 3, MASTER), SlotsRequested(OTHER, 1, 1, MASTER))
    assert [OTHER] == [grant.job for grant in probe.sent(SlotsGranted)]


def test_a_lost_task_manager_may_unblock_a_request_that_waited_behind_a_larger_one():
    probe = pool(SlotsOffered(TM1, 1, 2), SlotsOffered(TM2, 1, 2))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER), SlotsRequested(OTHER, 1, 4, MASTER), SlotsRequested(JobId("small"), 1, 1, MASTER))
    probe.tell(TaskManagerLost(TM2, 1, "no heartbeat"))
    assert ["small"] == [grant.job for grant in probe.sent(SlotsGranted)]


def test_a_released_slot_is_freed_on_its_task_manager_and_given_out_under_a_new_allocation():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER), SlotsRequested(OTHER, 1, 1, MASTER))
    probe.tell(SlotsReleased(JOB, (Allocation("1.1"),)))
    assert FreeSlot(Allocation("1.1")) == probe.sent()[0]
    assert [Allocation("1.2")] == [lease.allocation for lease in granted(probe).leases]


def test_a_late_release_of_an_old_allocation_does_not_touch_the_next_lease():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER), SlotsReleased(JOB, (Allocation("1.1"),)), SlotsRequested(OTHER, 1, 1, MASTER))
    assert [] == probe.tell(SlotsReleased(JOB, (Allocation("1.1"),)))
    assert 0 == probe.machine.observe().free


def test_only_its_job_can_release_a_lease():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    assert [] == probe.tell(SlotsReleased(OTHER, (Allocation("1.1"),)))


def test_the_holders_of_a_lost_task_managers_leases_are_told():
    probe = pool(SlotsOffered(TM1, 1, 2), SlotsOffered(TM2, 1, 2))
    probe.tell(SlotsRequested(JOB, 1, 4, MASTER))
    probe.tell(TaskManagerLost(TM1, 1, "no heartbeat for 50 s"))
    allocations = (Allocation("1.1"), Allocation("1.3"))
    assert [SlotsLost(JOB, allocations, "TaskManager tm-1/tm is lost: no heartbeat for 50 s")] == probe.sent()
    assert (2, 0) == (probe.machine.observe().registered, probe.machine.observe().free)


def test_a_lost_incarnation_cannot_register_again_and_a_new_one_can():
    probe = pool(SlotsOffered(TM1, 1, 1), TaskManagerLost(TM1, 1, "no heartbeat"))
    probe.tell(SlotsOffered(TM1, 1, 1))
    assert 0 == probe.machine.observe().registered
    probe.tell(SlotsOffered(TM1, 2, 1))
    assert 1 == probe.machine.observe().registered


def test_a_new_incarnation_ends_the_leases_of_the_old_one():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    probe.tell(SlotsOffered(TM1, 2, 1))
    assert [SlotsLost(JOB, (Allocation("1.1"),), "TaskManager tm-1/tm is lost: it was started anew")] == probe.sent()
    assert 1 == probe.machine.observe().free


def test_what_a_task_manager_that_started_anew_holds_of_this_pool_is_over():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    (lease,) = granted(probe).leases
    probe.tell(SlotsOffered(TM1, 2, 1, (HeldLease(0, lease.allocation, JOB, MASTER),)))
    assert [SlotsLost, FreeSlot] == [type(message) for message in probe.sent()]
    assert (1, ()) == (probe.machine.observe().free, probe.machine.observe().leases)


def test_the_same_offer_again_changes_nothing():
    probe = pool(SlotsOffered(TM1, 1, 1))
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    before = probe.machine.observe()
    assert [] == probe.tell(SlotsOffered(TM1, 1, 1))
    assert before == probe.machine.observe()


def test_the_same_request_again_gets_the_same_leases():
    probe = pool(SlotsOffered(TM1, 1, 4))
    probe.tell(SlotsRequested(JOB, 1, 2, MASTER))
    first = granted(probe)
    probe.tell(SlotsRequested(JOB, 1, 2, MASTER))
    assert first == granted(probe)
    assert 2 == probe.machine.observe().free


def test_a_late_request_of_an_ended_job_leases_nothing():
    probe = pool(SlotsOffered(TM1, 1, 1), JobEnded(JOB))
    assert [] == probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    assert 1 == probe.machine.observe().free


def test_what_was_leased_by_another_pool_is_freed_and_the_slot_is_given_out():
    held = HeldLease(0, Allocation("1.7"), JOB, MASTER)
    probe = pool(life="2")
    probe.tell(SlotsOffered(TM1, 1, 1, (held,)), SlotsRequested(OTHER, 1, 1, MASTER))
    assert [Allocation("1.7")] == [message.allocation for message in probe.sent(FreeSlot)]
    assert [Allocation("2.1")] == [lease.allocation for lease in granted(probe).leases]


def test_a_task_manager_that_tells_a_lease_that_was_released_is_told_to_free_it():
    probe = pool(SlotsOffered(TM1, 1, 1))
    assert [FreeSlot(Allocation("0.9"))] == [
        effect.message for effect in probe.tell(SlotsOffered(TM1, 1, 1, (HeldLease(0, Allocation("0.9"), JOB, MASTER),)))
    ]


def test_check_finds_a_slot_that_is_leased_twice():
    probe = pool(SlotsOffered(TM1, 1, 2))
    probe.tell(SlotsRequested(JOB, 1, 2, MASTER))
    machine = probe.machine
    first, second = machine._holdings
    machine._holdings[second] = machine._holdings[first]
    with pytest.raises(InvariantViolated, match="leased twice"):
        machine.check()


@given(
    slots_of_each=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    taken=st.integers(0, 20),
    asked=st.integers(1, 40),
    fill=st.sampled_from(["spread", "pack"]),
)
def test_slots_come_from_the_task_manager_whose_turn_it_is_the_lowest_first(slots_of_each, taken, asked, fill):
    offers = [SlotsOffered(Address(f"tm-{number:02}/tm"), 1, slots) for number, slots in enumerate(slots_of_each)]
    probe = pool(*offers, fill=fill)
    taken = min(taken, sum(slots_of_each))
    asked = min(asked, sum(slots_of_each) - taken)
    left = {Slot(offer.task_manager, index): None for offer in offers for index in range(offer.slots)}
    for job, count in ((OTHER, taken), (JOB, asked)):
        expected = []
        for _ in range(count):
            free = Counter(slot.task_manager for slot in left)
            turn = min(free, key=lambda address: (-free[address] if fill == "spread" else free[address], address))
            slot = min(slot for slot in left if slot.task_manager == turn)
            expected.append(slot)
            del left[slot]
        if count:
            probe.tell(SlotsRequested(job, 1, count, MASTER))
            assert expected == [lease.slot for lease in granted(probe).leases]


def test_who_watches_is_told_how_many_slots_there_are_when_that_changes_until_the_job_is_over():
    probe = pool(SlotsOffered(TM1, 1, 2))
    probe.tell(CountSlots(JOB, MASTER, watch=True))
    assert [SlotsCounted(JOB, 2, 2)] == probe.sent(SlotsCounted)
    probe.tell(SlotsRequested(JOB, 1, 1, MASTER))
    assert [] == probe.sent(SlotsCounted)
    probe.tell(SlotsRequested(OTHER, 1, 1, MASTER))
    assert [SlotsCounted(JOB, 1, 1)] == probe.sent(SlotsCounted)
    probe.tell(SlotsOffered(TM2, 1, 3))
    assert [SlotsCounted(JOB, 4, 4)] == probe.sent(SlotsCounted)
    probe.tell(TaskManagerLost(TM1, 1, "no heartbeat"))
    assert [SlotsCounted(JOB, 3, 3)] == probe.sent(SlotsCounted)
    probe.tell(JobEnded(JOB), SlotsOffered(TM1, 2, 2))
    assert [] == probe.sent(SlotsCounted)
