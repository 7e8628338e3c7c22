"""Which TaskManagers a driver is to start and to end."""

from dataclasses import replace

import pytest

from actorflow.errors import ErrorInfo
from actorflow.ids import NodeId
from actorflow.protocol.machine import Start, WorkDone, WorkFailed
from actorflow.protocol.nodes.fleet import Fleet, MemberState
from actorflow.protocol.nodes.fleet_events import (
    DriverFailed,
    FindTaskManagers,
    FleetRules,
    OpenFleet,
    ReleaseTaskManager,
    RequestTaskManager,
    StartFailed,
)
from actorflow.protocol.nodes.slots import SlotDemand, TaskManagerLoad
from actorflow.testing.probe import Probe

RULES = FleetRules(prefix="new", slots_each=2, slots_max=8)
NONE_WANTED = SlotDemand((), ())
REFUSED = ErrorInfo("OSError", "no more processes")


def tm(number):
    return NodeId(f"tm-{number}")


def new(number):
    return NodeId(f"new-{number}")


def load(name, free=2, slots=2):
    """What a TaskManager has: an earlier one by its number, or one by its name."""
    return TaskManagerLoad(tm(name) if isinstance(name, int) else name, slots, free)


def fleet(*found, **rules):
    """A fleet whose driver knows of these."""
    probe = Probe(Fleet(replace(RULES, **rules)))
    probe.tell(OpenFleet())
    probe.tell(WorkDone(FindTaskManagers(1), found))
    return probe


def fleet_of(*loads, **rules):
    """A fleet whose TaskManagers have registered, which an earlier leader has started."""
    probe = fleet(*(each.node for each in loads), **rules)
    probe.tell(SlotDemand((), loads))
    return probe


def started(probe):
    return [effect.work for effect in probe.effects if isinstance(effect, Start)]


def requested(probe):
    return [work.name for work in started(probe) if isinstance(work, RequestTaskManager)]


def released(probe):
    return {work.name: work.reason for work in started(probe) if isinstance(work, ReleaseTaskManager)}


# --- how many ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "number"),
    [((1,), 1), ((2,), 1), ((3,), 2), ((3, 3), 3), ((8,), 4), ((9,), 0), ((9, 2), 1), ((8, 8), 4)],
    ids=str,
)
def test_as_many_are_asked_for_as_those_lack_who_can_be_served(waiting, number):
    probe = fleet()
    probe.tell(SlotDemand(waiting, ()))
    assert [new(each) for each in range(1, number + 1)] == requested(probe)


def test_those_that_come_are_not_asked_for_again_and_free_slots_count():
    probe = fleet()
    probe.tell(SlotDemand((4,), ()))
    probe.tell(SlotDemand((4,), ()), WorkDone(RequestTaskManager(new(1)), None), SlotDemand((4,), (load(new(1)),)))
    assert [] == requested(probe)
    probe.tell(SlotDemand((4, 1), (load(new(1)),)))
    assert [new(3)] == requested(probe)


def test_slots_that_others_have_started_count_against_the_limit():
    probe = fleet()
    probe.tell(SlotDemand((8,), (TaskManagerLoad(NodeId("by-hand"), 4, 0),)))
    assert [new(1), new(2)] == requested(probe)


def test_the_least_is_there_without_any_job():
    assert [new(1), new(2)] == requested(fleet(slots_min=3))


def test_a_reserve_is_kept_free_while_a_job_runs_and_not_else():
    probe = fleet_of(load(1), reserve=1)
    assert [] == requested(probe)
    probe.tell(SlotDemand((), (load(1, free=1),)))
    assert 1 == len(requested(probe))


def test_before_the_driver_has_said_who_is_there_nobody_is_asked_for():
    probe = Probe(Fleet(RULES))
    probe.tell(OpenFleet(), SlotDemand((2,), ()))
    assert [FindTaskManagers(1)] == started(probe)
    probe.tell(WorkFailed(FindTaskManagers(1), REFUSED))
    assert [DriverFailed(FindTaskManagers(1), REFUSED)] == probe.reports()
    probe.advance(3.0)
    probe.tell(WorkDone(FindTaskManagers(1), ()), WorkDone(FindTaskManagers(2), (tm("old"),)))
    assert ([], {tm("old"): MemberState.STARTING}) == (requested(probe), probe.machine.observe().members)


# --- starts that fail ----------------------------------------------------------------------------------------------------------------


def test_a_start_that_failed_is_named_undone_and_tried_again_after_longer_and_longer_pauses():
    probe = fleet()
    probe.tell(SlotDemand((2,), ()))
    pauses = []
    for number in range(1, 8):
        probe.tell(WorkFailed(RequestTaskManager(new(number)), REFUSED))
        [failed] = probe.reports(StartFailed)
        assert (new(number), REFUSED, [new(number)]) == (failed.name, failed.error, list(released(probe)))
        pauses.append(failed.pause_s)
        probe.tell(WorkDone(ReleaseTaskManager(new(number), "it could not be started"), None))
        assert [] == requested(probe)
        probe.advance(failed.pause_s)
        assert [new(number + 1)] == requested(probe)
    assert [3, 6, 12, 24, 48, 60, 60] == pauses


def test_after_one_has_registered_the_pauses_begin_anew():
    probe = fleet()
    probe.tell(SlotDemand((2,), ()), WorkFailed(RequestTaskManager(new(1)), REFUSED))
    probe.advance(3.0)
    probe.tell(SlotDemand((), (load(new(2), free=0),)), SlotDemand((2,), (load(new(2), free=0),)))
    probe.tell(WorkFailed(RequestTaskManager(new(3)), REFUSED))
    assert [3.0] == [failed.pause_s for failed in probe.reports(StartFailed)]


def test_one_that_does_not_register_in_time_is_ended_and_replaced():
    probe = fleet()
    probe.tell(SlotDemand((2,), ()), WorkDone(RequestTaskManager(new(1)), None))
    answer_looks(probe, 299.0, new(1))
    answer_looks(probe, 1.0, new(1))
    assert {new(1): "it has not registered in time"} == released(probe)
    assert ["new-1 has not registered within 300 s"] == [failed.error.message for failed in probe.reports(StartFailed)]
    probe.advance(3.0)
    assert [new(2)] == requested(probe)


def answer_looks(probe, seconds, *names):
    """Let time pass, and the driver answer whenever it is asked."""
    effects = []
    for _ in range(int(seconds)):
        probe.advance(1.0)
        answers = [WorkDone(work, names) for work in started(probe) if isinstance(work, FindTaskManagers)]
        effects += probe.effects + probe.tell(*answers)
    probe.effects = effects


def test_one_that_ended_before_it_registered_is_noticed_and_replaced():
    probe = fleet()
    probe.tell(SlotDemand((2,), ()), WorkDone(RequestTaskManager(new(1)), None))
    answer_looks(probe, 1.0)
    assert ["new-1 ended before it had registered"] == [failed.error.message for failed in probe.reports(StartFailed)]
    assert ({}, {}) == (released(probe), probe.machine.observe().members)
    probe.advance(3.0)
    assert [new(2)] == requested(probe)


def test_a_list_that_was_asked_for_before_a_start_says_nothing_of_it():
    probe = fleet()
    probe.advance(30.0)
    assert [FindTaskManagers(2)] == started(probe)
    probe.tell(SlotDemand((2,), ()), WorkDone(RequestTaskManager(new(1)), None), WorkDone(FindTaskManagers(2), ()))
    assert {new(1): MemberState.STARTING} == probe.machine.observe().members


def test_one_that_registers_before_the_driver_answers_is_there_whatever_the_answer_is():
    probe = fleet()
    probe.tell(SlotDemand((2,), ()), SlotDemand((), (load(new(1), free=0),)), WorkFailed(RequestTaskManager(new(1)), REFUSED))
    assert ({new(1): MemberState.REGISTERED}, []) == (probe.machine.observe().members, probe.reports())


# --- who may go ----------------------------------------------------------------------------------------------------------------------


def test_one_that_is_idle_for_long_is_ended_and_one_that_works_is_not():
    probe = fleet_of(load(1), load(2, free=1))
    answer_looks(probe, 29.0, tm(1), tm(2))
    assert {} == released(probe)
    probe.tell(SlotDemand((), (load(1), load(2))))
    answer_looks(probe, 1.0, tm(1), tm(2))
    assert {tm(1): "it has been idle for 30 s"} == released(probe)


def test_what_is_used_meanwhile_begins_its_idle_time_anew():
    probe = fleet_of(load(1))
    probe.advance(29.0)
    probe.tell(SlotDemand((), (load(1, free=1),)), SlotDemand((), (load(1),)))
    probe.advance(29.0)
    assert {} == released(probe)


@pytest.mark.parametrize(
    ("rules", "stay"),
    [({"slots_min": 3}, 2), ({"slots_min": 2}, 1), ({"reserve": 1}, 0), ({}, 0)],
    ids=["3", "2", "no job", "none"],
)
def test_the_least_stays_however_idle_and_a_reserve_only_beside_jobs(rules, stay):
    probe = fleet_of(load(1), load(2), load(3), **rules)
    probe.advance(30.0)
    assert 3 - stay == len(released(probe))


def test_a_reserve_stays_beside_jobs():
    probe = fleet_of(load(1), load(2), load(3, free=0), reserve=1)
    probe.advance(30.0)
    assert [tm(1)] == list(released(probe))


def test_nobody_goes_while_somebody_waits_who_can_be_served():
    probe = fleet_of(load(1), load(2), load(3, free=0), load(4, free=1))
    probe.tell(SlotDemand((6,), (load(1), load(2), load(3, free=0), load(4, free=1))))
    probe.advance(60.0)
    assert {} == released(probe)


def test_others_are_never_ended():
    probe = fleet()
    probe.tell(SlotDemand((), (TaskManagerLoad(NodeId("by-hand"), 2, 2),)))
    probe.advance(1000.0)
    assert {} == released(probe)


def test_one_that_ends_counts_against_the_limit_until_it_has_ended():
    probe = fleet_of(load(1), slots_max=2)
    probe.advance(30.0)
    [work] = [work for work in started(probe) if isinstance(work, ReleaseTaskManager)]
    probe.tell(SlotDemand((2,), ()))
    assert (True, []) == (probe.machine.lets_go(tm(1)), requested(probe))
    probe.tell(WorkDone(work, None))
    assert (True, [new(1)]) == (probe.machine.lets_go(tm(1)), requested(probe))


def test_an_end_that_failed_is_named_and_tried_again():
    probe = fleet_of(load(1))
    probe.advance(30.0)
    [work] = [work for work in started(probe) if isinstance(work, ReleaseTaskManager)]
    probe.tell(SlotDemand((), ()), WorkFailed(work, REFUSED))
    assert [DriverFailed(work, REFUSED)] == probe.reports()
    probe.advance(3.0)
    assert work in started(probe)


def test_one_that_is_lost_is_ended_for_sure_and_replaced_at_once():
    probe = fleet_of(load(1, free=0))
    probe.tell(SlotDemand((2,), ()))
    assert ({tm(1): "it is lost"}, [new(1)]) == (released(probe), requested(probe))


def test_one_that_an_earlier_leader_began_to_start_is_found_later():
    probe = fleet()
    probe.advance(30.0)
    probe.tell(WorkDone(FindTaskManagers(2), (tm("late"),)))
    assert {tm("late"): MemberState.STARTING} == probe.machine.observe().members
    probe.tell(SlotDemand((2,), ()))
    assert [] == requested(probe)


def test_an_old_list_does_not_bring_those_back_that_have_gone():
    probe = fleet_of(load(tm("old")))
    probe.advance(30.0)
    probe.tell(SlotDemand((), ()), WorkDone(ReleaseTaskManager(tm("old"), "it has been idle for 30 s"), None))
    looks = [FindTaskManagers(number) for number in range(1, 4)]
    probe.tell(*(WorkDone(look, (tm("old"),)) for look in looks))
    assert {} == probe.machine.observe().members
