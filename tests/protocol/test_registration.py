"""Which TaskManagers are there: offers, broken connections, losses; and a TaskManager whose leader changes."""

import random

import pytest

from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.jobs.job_messages import LeaseSlot, LinkBroken, NodeLost
from actorflow.protocol.machine import Report, Send
from actorflow.protocol.nodes.registration import IncarnationFenced, ResourceManagerMachine
from actorflow.protocol.nodes.slot_messages import (
    Allocation,
    HeldLease,
    JobEnded,
    JobReleased,
    OfferAccepted,
    SlotsGranted,
    SlotsLost,
    SlotsOffered,
    SlotsRequested,
)
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.protocol.nodes.task_manager import EndWorker, LeaderFound, NotRegistered, Register, TaskManagerMachine
from actorflow.testing.probe import Probe

RM, TM, OTHER = Address("jm/resource-manager"), Address("tm-1/tm"), Address("tm-2/tm")
JOB, MASTER = JobId("words-1"), Address("jm/job-manager/words-1")
OFFER = SlotsOffered(TM, 1, 2)


def resource_manager(*events):
    probe = Probe(ResourceManagerMachine(RM, SlotPool(life="1"), reconnect_s=1.0))
    probe.tell(*events)
    return probe


def registered(probe):
    return [state.address for state in probe.machine.observe().task_managers]


def test_a_task_manager_whose_connection_broke_may_come_back_in_time():
    probe = resource_manager(OFFER, LinkBroken(NodeId("tm-1")))
    probe.advance(0.9)
    probe.tell(OFFER)
    probe.advance(10.0)
    assert ([TM], {}) == (registered(probe), probe.timers)


def test_one_that_does_not_is_lost_and_the_holders_of_its_slots_hear_of_it():
    probe = resource_manager(OFFER, SlotsRequested(JOB, 1, 1, MASTER), LinkBroken(NodeId("tm-1")), LinkBroken(NodeId("tm-1")))
    probe.advance(1.0)
    (lost,) = probe.sent(SlotsLost)
    assert ([], {}) == (registered(probe), probe.timers)
    assert "TaskManager tm-1/tm is lost: it did not come back within 1 s after its connection broke" == lost.reason


def test_every_offer_is_answered():
    probe = resource_manager(OFFER)
    assert [Send(TM, OfferAccepted(RM))] == probe.effects == probe.tell(OFFER)


@pytest.mark.parametrize("before", [(), (LinkBroken(NodeId("tm-1")),)])
def test_one_that_leaves_is_lost_at_once_and_others_stay(before):
    probe = resource_manager(OFFER, SlotsOffered(OTHER, 1, 2), *before)
    probe.tell(NodeLost(NodeId("tm-1"), "it left"))
    assert ([OTHER], {}) == (registered(probe), probe.timers)


def test_one_that_was_given_up_wrongly_is_told_so_and_may_register_anew():
    probe = resource_manager(OFFER, NodeLost(NodeId("tm-1"), "it could not be reached"))
    assert [Send(TM, IncarnationFenced(RM, 1))] == probe.tell(OFFER)
    probe.tell(SlotsOffered(TM, 2, 2), OFFER)
    assert ([TM], [IncarnationFenced(RM, 1)]) == (registered(probe), probe.sent(IncarnationFenced))


def test_when_a_job_is_over_every_task_manager_is_told_and_lets_go_of_what_the_job_has_kept():
    probe = resource_manager(OFFER, SlotsOffered(OTHER, 1, 2))
    probe.tell(JobEnded(JOB))
    assert [Send(TM, JobReleased(JOB)), Send(OTHER, JobReleased(JOB))] == probe.effects
    assert [Report(JobReleased(JOB))] == task_manager().tell(JobReleased(JOB))


# --- the TaskManager's side --------------------------------------------------------------------------------------------------------

FIRST = LeaderFound(1, RM, Address("jm/job-manager"))
SECOND = LeaderFound(2, Address("jm-2/resource-manager-2"), Address("jm-2/job-manager-2"))
A, B = Allocation("1.1"), Allocation("1.2")
LEASE = LeaseSlot(A, 0, JOB, MASTER)


def task_manager(*events):
    probe = Probe(TaskManagerMachine(TM, None, slots=2))
    probe.tell(*events)
    return probe


def ended(probe):
    return [effect.to for effect in probe.effects if isinstance(effect, Send) and isinstance(effect.message, EndWorker)]


def test_without_a_leader_nothing_is_offered_and_with_one_at_once():
    probe = task_manager(Register())
    assert [] == probe.effects
    probe.tell(FIRST)
    assert Send(RM, OFFER) == probe.effects[0]


def test_under_a_new_leader_what_runs_is_ended_and_the_slots_are_offered_to_it():
    probe = task_manager(FIRST, LEASE)
    probe.tell(SECOND)
    assert ([Address(f"{TM}/{A}")], [OFFER]) == (ended(probe), probe.sent(SlotsOffered))
    assert [] == probe.tell(FIRST, LEASE, LeaseSlot(B, 1, JOB, MASTER)), "a leader that was deposed leases nothing"


def test_the_same_leader_again_ends_nothing():
    probe = task_manager(FIRST, LEASE)
    probe.tell(FIRST)
    assert ([], 1) == (ended(probe), len(probe.sent(SlotsOffered)[0].leases))


def test_when_the_leader_is_lost_its_workers_end_and_slots_are_offered_on():
    probe = task_manager(FIRST, LEASE)
    probe.tell(NodeLost(NodeId("elsewhere"), "it left"))
    assert [] == ended(probe)
    probe.tell(NodeLost(NodeId("jm"), "it left"))
    assert [Address(f"{TM}/{A}")] == ended(probe)
    probe.advance(5.0)
    assert [OFFER] == probe.sent(SlotsOffered)


def test_a_broken_connection_to_the_leader_is_answered_by_an_offer():
    probe = task_manager(FIRST, LEASE, LinkBroken(NodeId("jm")))
    assert SlotsOffered(TM, 1, 2, (HeldLease(0, A, JOB, MASTER),)) == probe.sent(SlotsOffered)[-1]
    assert [] == probe.tell(LinkBroken(NodeId("elsewhere")))


def test_one_that_was_given_up_ends_what_it_runs_and_registers_anew():
    probe = task_manager(FIRST, LEASE)
    probe.tell(IncarnationFenced(RM, 1))
    assert ([Address(f"{TM}/{A}")], [SlotsOffered(TM, 2, 2)]) == (ended(probe), probe.sent(SlotsOffered))
    assert [] == probe.tell(IncarnationFenced(RM, 1)), "an answer to the offer of an earlier incarnation"


def test_one_that_nobody_wants_says_so_after_its_time_and_each_accepted_offer_begins_it_anew():
    probe = Probe(TaskManagerMachine(TM, None, slots=2, registration_timeout_s=60.0))
    probe.tell(Register())
    probe.advance(59.0)
    probe.tell(FIRST, OfferAccepted(RM))
    probe.advance(59.9)
    assert [] == probe.reports()
    probe.tell(OfferAccepted(SECOND.resource_manager))
    probe.advance(0.1)
    assert [NotRegistered(60.0)] == probe.reports()


# --- both together, on links that break --------------------------------------------------------------------------------------------


def test_the_rule_of_the_pool_holds_in_whatever_order_news_of_connections_comes():
    for seed in range(200):
        chance = random.Random(seed)
        rm = resource_manager()
        tms = {address: Probe(TaskManagerMachine(address, RM, slots=2)) for address in (TM, OTHER)}
        wire, number = [], 0
        for _ in range(150):
            address = chance.choice((TM, OTHER))
            node = NodeId(address.partition("/")[0])
            match chance.randrange(7):
                case 0:
                    wire += tms[address].tell(Register())
                case 1:
                    wire += rm.tell(chance.choice((LinkBroken(node), NodeLost(node, "gone"))))
                case 2:
                    wire += rm.advance(chance.uniform(0, 1.5))
                case 3:
                    number += 1
                    wire += rm.tell(SlotsRequested(JOB, number, 1, MASTER))
                case _ if wire:
                    effect = wire.pop(0 if chance.random() < 0.8 else chance.randrange(len(wire)))
                    if isinstance(effect, Send) and effect.to in tms:
                        wire += tms[effect.to].tell(effect.message)
                    elif isinstance(effect, Send) and effect.to == RM:
                        wire += rm.tell(effect.message)
                    elif isinstance(effect, Send) and isinstance(effect.message, SlotsGranted):
                        for lease in effect.message.leases:
                            wire.append(Send(lease.slot.task_manager, LeaseSlot(lease.allocation, lease.slot.index, JOB, MASTER)))
        settle(rm, tms)
        assert [TM, OTHER] == sorted(registered(rm)), seed


def settle(rm, tms):
    """Have all offers arrive, and their answers, until nobody is fenced any more."""
    for _ in range(3):
        for address, probe in tms.items():
            probe.tell(Register())
            for offer in probe.sent(SlotsOffered):
                for effect in rm.tell(offer):
                    if isinstance(effect, Send) and effect.to == address:
                        probe.tell(effect.message)
