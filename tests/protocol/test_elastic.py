"""A ResourceManager with a fleet: what jobs lack is started, what is let go has no slots, and those who wait hear why."""

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.machine import Start, WorkDone, WorkFailed
from actorflow.protocol.nodes.elastic import ElasticResourceManager
from actorflow.protocol.nodes.fleet import Fleet
from actorflow.protocol.nodes.fleet_events import FindTaskManagers, FleetRules, OpenFleet, ReleaseTaskManager, RequestTaskManager
from actorflow.protocol.nodes.registration import ResourceManagerMachine
from actorflow.protocol.nodes.slot_messages import JobEnded, SlotsAwaited, SlotsGranted, SlotsOffered, SlotsRequested
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.testing.probe import Probe

RM, MASTER, JOB = Address("jm/resource-manager"), Address("jm/job-manager/words-1"), JobId("words-1")
FIRST, TM = NodeId("tm-1"), Address("tm-1/task-manager")
NEEDS_TWO, OFFER = SlotsRequested(JOB, 1, 2, MASTER), SlotsOffered(TM, 1, 2)


def resource_manager(*events):
    manager = ResourceManagerMachine(RM, SlotPool(slots_max=4), reconnect_s=1.0)
    probe = Probe(ElasticResourceManager(manager, Fleet(FleetRules(prefix="tm", slots_each=2, slots_max=4))))
    probe.tell(OpenFleet(), WorkDone(FindTaskManagers(1), ()))
    probe.tell(*events)
    return probe


def started(probe, kind):
    return [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, kind)]


def registered(probe):
    return [each.address for each in probe.machine.observe().task_managers]


def test_a_job_that_lacks_slots_gets_those_of_a_task_manager_that_is_started_for_it():
    probe = resource_manager(NEEDS_TWO)
    assert [RequestTaskManager(FIRST)] == started(probe, RequestTaskManager)
    probe.tell(WorkDone(RequestTaskManager(FIRST), None), OFFER)
    assert [2] == [len(granted.leases) for granted in probe.sent(SlotsGranted)]


def test_one_that_is_let_go_has_no_slots_and_its_offers_are_dropped_whatever_it_calls_itself():
    probe = resource_manager(NEEDS_TWO, OFFER, JobEnded(JOB))
    probe.advance(30.0)
    [work] = started(probe, ReleaseTaskManager)
    assert (FIRST, []) == (work.name, registered(probe))
    assert [] == probe.tell(OFFER, SlotsOffered(TM, 2, 2))
    probe.tell(WorkDone(work, None))
    assert ([], []) == (probe.tell(SlotsOffered(TM, 3, 2)), registered(probe))


def test_those_who_wait_hear_why_nobody_comes():
    probe = resource_manager(NEEDS_TWO)
    probe.tell(WorkFailed(RequestTaskManager(FIRST), ErrorInfo("OSError", "no more processes")))
    [awaited] = probe.reports(SlotsAwaited)
    text = "job 'words-1' needs 2 slots, 0 of 0 registered on 0 TaskManagers are free; none is coming: no more processes"
    assert (JOB, text) == (awaited.job, awaited.error.message)


def test_what_can_never_be_served_is_told_the_limit():
    probe = resource_manager(SlotsRequested(JOB, 1, 5, MASTER))
    [awaited] = probe.reports(SlotsAwaited)
    assert ([], "raise slotmanager.number-of-slots.max, which is 4, or lower the parallelism") == (
        started(probe, RequestTaskManager),
        awaited.error.hint,
    )


def test_those_who_wait_are_told_anew_what_there_is_when_that_changes():
    probe = resource_manager(SlotsRequested(JOB, 1, 4, MASTER))
    probe.tell(OFFER)
    assert ["job 'words-1' needs 4 slots, 2 of 2 registered on 1 TaskManager are free"] == [
        awaited.error.message for awaited in probe.reports(SlotsAwaited)
    ]
    assert [] == probe.tell(OFFER)[1:-1], "an offer that brings nothing new is only answered, and the timer set"
