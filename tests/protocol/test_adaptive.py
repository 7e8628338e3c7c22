"""A job that runs with the slots there are: when it settles for fewer, and when it is widened."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_harness import DESCRIPTION, LISTED, MASTER, granted, job, opened, ready, started, statuses, vertex, work

from actorflow.errors import ErrorInfo, Retry
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.checkpoints.checkpoint_messages import TriggerCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.jobs.adaptive import TIMER, Adaptive, CountAnew, Elasticity, Resize, Stage, slots_of_groups
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import JobRescaled, JobStatus
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale
from actorflow.protocol.machine import CancelTimer, Report, SetTimer, WorkDone
from actorflow.protocol.nodes.slot_messages import CountSlots, SlotsCounted, SlotsRequested

RULES = Elasticity((4,), settle_s=10.0, cooldown_s=30.0)
RUNS = dataclasses.replace(
    DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1000.0)), elasticity=Elasticity((3,), cooldown_s=30.0)
)


def adaptive(stage, width=4, rules=RULES):
    """What decides for a job that has just begun to wait, or to run, in run 1 at time 0."""
    machine = Adaptive()
    assert [Report(CountAnew())] == machine.enter(stage, 1, rules, width, 0.0)
    return machine


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 40))
def test_a_width_is_the_largest_for_which_there_are_slots(groups, slots):
    fitting = [most for most in range(max(groups) + 1) if sum(min(most, group) for group in groups) <= slots]
    assert max(fitting) == Elasticity(tuple(groups)).width(slots)


def test_the_slots_of_groups_are_what_a_graph_needs():
    vertices = (vertex("a", 3), dataclasses.replace(vertex("b", 2), slot_group="other"), vertex("c", 1))
    graph = ExecutionGraph("job", vertices, (), ())
    assert (3, 2) == slots_of_groups(graph)
    assert graph.slots_needed() == sum(slots_of_groups(graph))


def test_a_job_that_waits_settles_for_what_there_is_after_its_time_out():
    machine = adaptive(Stage.WAITING)
    assert [] == machine.counted(0, 1.0)
    assert [SetTimer(TIMER, 12.0)] == machine.counted(1, 2.0)
    assert [] == machine.counted(3, 5.0)
    assert [Report(Resize("adaptive:1:1", 3))] == machine.time_out()
    machine.check()


@pytest.mark.parametrize("slots", [0, 4, 5])
def test_a_job_that_waits_settles_for_nothing_while_there_is_no_slot_or_there_are_all(slots):
    machine = adaptive(Stage.WAITING)
    machine.counted(2, 1.0)
    assert [CancelTimer(TIMER)] == machine.counted(slots, 2.0)
    assert [] == machine.time_out()


def test_a_job_that_runs_is_widened_no_sooner_than_its_time_out_and_by_no_less_than_its_least():
    machine = adaptive(Stage.RUNNING, 1, dataclasses.replace(RULES, increase_min=2))
    assert [] == machine.counted(2, 1.0)
    assert [SetTimer(TIMER, 30.0)] == machine.counted(3, 2.0)
    assert [Report(Resize("adaptive:1:1", 3))] == machine.time_out()


def test_a_job_that_has_run_for_long_is_widened_at_once():
    assert [SetTimer(TIMER, 99.0)] == adaptive(Stage.RUNNING, 1).counted(2, 99.0)


def test_a_job_that_runs_is_not_narrowed():
    assert [] == adaptive(Stage.RUNNING).counted(1, 2.0)


def test_another_run_begins_to_wait_anew():
    machine = adaptive(Stage.WAITING)
    machine.counted(2, 1.0)
    assert [CancelTimer(TIMER)] == machine.enter(Stage.BETWEEN, 1, RULES, 4, 2.0)
    assert [Report(CountAnew())] == machine.enter(Stage.WAITING, 2, RULES, 4, 3.0)
    assert [SetTimer(TIMER, 14.0)] == machine.counted(2, 4.0)


@pytest.mark.parametrize(("retry", "again"), [(Retry.BACKOFF, [SetTimer(TIMER, 30.0)]), (Retry.NEVER, [])])
def test_a_width_that_was_refused_is_asked_for_again_unless_it_cannot_be(retry, again):
    machine = adaptive(Stage.WAITING)
    machine.counted(2, 1.0)
    machine.time_out()
    assert [] == machine.counted(2, 12.0)
    assert [] == machine.answered(JobRescaled("an older one", 4), 13.0)
    assert again == machine.answered(JobRescaled("adaptive:1:1", 4, error=ErrorInfo("E", "no", retry=retry)), 20.0)
    assert ([] if again else [SetTimer(TIMER, 35.0)]) == machine.counted(3, 25.0)


# --- in a job --------------------------------------------------------------------------------------------------------------------


def planned(width):
    """The job, planned for a width. It wants three slots."""
    graph = ExecutionGraph("words", tuple(dataclasses.replace(one, parallelism=width) for one in RUNS.graph.vertices), (), ())
    return dataclasses.replace(RUNS, graph=graph, sources=dict.fromkeys(RUNS.sources, width))


def resize(probe, width):
    """Do what the job wants done for another width."""
    (plan,) = [one for one in work(probe) if isinstance(one, PlanScale)]
    assert width == plan.scale.most
    probe.tell(WorkDone(plan, planned(width)))
    probe.tell(WorkDone(KeepScale(plan.request, plan.scale), None))


def adaptive_job(width):
    return job(machine=AdaptiveJobMachine, description=planned(width))


def test_a_job_asks_for_as_many_slots_as_there_are_and_for_fewer_if_those_are_gone_again():
    probe = adaptive_job(3)
    probe.tell(Begin(), LISTED)
    assert [CountSlots(RUNS.job, MASTER, watch=True)] == probe.sent(CountSlots)
    for run, slots in ((2, 2), (3, 1)):
        probe.tell(SlotsCounted(RUNS.job, slots))
        probe.advance(10.0)
        resize(probe, slots)
        assert [(run, slots)] == [(one.request, one.slots) for one in probe.sent(SlotsRequested)]
        assert JobStatus.WAITING_FOR_SLOTS is statuses(probe)[-1]


def test_a_job_that_gets_all_slots_in_time_runs_as_it_was_planned():
    probe = adaptive_job(2)
    probe.tell(Begin(), LISTED, SlotsCounted(RUNS.job, 1), granted(), *ready(), *opened(), *started())
    probe.advance(10.0)
    assert JobStatus.RUNNING is probe.machine.observe().status
    assert not [one for one in work(probe) if isinstance(one, PlanScale)]


def test_a_job_that_runs_narrow_is_widened_from_a_checkpoint():
    probe = adaptive_job(2)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started(), SlotsCounted(RUNS.job, 3))
    probe.advance(29.0)
    assert not [one for one in work(probe) if isinstance(one, PlanScale)]
    probe.advance(1.0)
    (plan,) = [one for one in work(probe) if isinstance(one, PlanScale)]
    assert 3 == plan.scale.most
    assert JobStatus.RUNNING is probe.machine.observe().status
    probe.tell(WorkDone(plan, planned(3)), SlotsCounted(RUNS.job, 3))
    probe.tell(WorkDone(KeepScale(plan.request, plan.scale), None))
    assert probe.sent(TriggerCheckpoint)
