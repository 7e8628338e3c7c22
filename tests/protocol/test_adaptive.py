"""A job that runs with the slots there are: when it settles for fewer, and when it is widened."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_harness import DESCRIPTION, LISTED, cancelled, granted, job, opened, ready, started, statuses, vertex, work

from actorflow.errors import ErrorInfo, Retry
from actorflow.ids import Address
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_messages import TriggerCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.jobs.adaptive import (
    TIMER,
    Adaptive,
    CountAnew,
    Elasticity,
    Resize,
    Stage,
    TooFewSlots,
    Withdraw,
    slots_of_groups,
)
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import CancelJob, JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale
from actorflow.protocol.machine import CancelTimer, Report, SetTimer, WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import CountSlots, SlotsCounted, SlotsRequested

RULES = Elasticity((4,), (1,), wait_s=300.0, settle_s=10.0, cooldown_s=30.0, stabilize_s=60.0)
RUNS = dataclasses.replace(
    DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1000.0)), elasticity=Elasticity((3,), (1,), cooldown_s=30.0)
)


class Sut:
    """What decides for a job that is in run 1 from time 0, and is told of slots in answer to its last question."""

    def __init__(self, stage, slots=4, rules=RULES, **changes):
        self.rules, self.slots, self.question = dataclasses.replace(rules, **changes), slots, 0
        self.machine, self.run = Adaptive(self.rules), 0
        self.enter(stage, 0.0)

    def enter(self, stage, now, *, slots=None, pending=False):
        self.run += 1
        effects = self.machine.enter(stage, self.run, self.rules, slots or self.slots, now, pending=pending)
        asked = [effect.value.number for effect in effects if isinstance(effect, Report) and isinstance(effect.value, CountAnew)]
        self.question = max([self.question, *asked])
        self.machine.check()
        return [effect for effect in effects if not (isinstance(effect, Report) and isinstance(effect.value, CountAnew))]

    def counted(self, slots, now, *, there=None):
        effects = self.machine.counted(SlotsCounted(DESCRIPTION.job, slots, slots if there is None else there, self.question), now)
        self.machine.check()
        return effects

    def refused(self, retry, now):
        effects = self.machine.answered(JobRescaled("adaptive:1:1", 4, error=ErrorInfo("E", "no", retry=retry)), now)
        self.machine.check()
        return effects

    def time_out(self, now):
        effects = self.machine.time_out(now)
        self.machine.check()
        return effects


GIVES_UP, ASKS = SetTimer(TIMER, 300.0), "adaptive:1:1"


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4), st.integers(0, 40))
def test_a_width_is_the_largest_for_which_there_are_slots(groups, slots):
    rules = Elasticity(tuple(max(pair) for pair in groups), tuple(min(pair) for pair in groups))
    fitting = [most for most in range(1, max(rules.wanted) + 1) if rules.slots(most) <= slots]
    assert max(fitting, default=0) == rules.width(slots)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4), st.integers(1, 9))
def test_no_group_has_fewer_slots_than_it_must_have_nor_more_than_it_wants(groups, most):
    rules = Elasticity(tuple(max(pair) for pair in groups), tuple(min(pair) for pair in groups))
    assert rules.slots(most) == sum(min(max(pair), max(min(pair), most)) for pair in groups)


def test_the_slots_of_groups_are_what_a_graph_needs():
    vertices = (vertex("a", 3), dataclasses.replace(vertex("b", 2), slot_group="other"), vertex("c", 1))
    graph = ExecutionGraph("job", vertices, (), ())
    assert {"default": 3, "other": 2} == slots_of_groups(graph)
    assert graph.slots_needed() == sum(slots_of_groups(graph).values())


def test_a_job_that_waits_settles_for_what_there_is_after_its_time_out():
    sut = Sut(Stage.WAITING)
    assert [] == sut.counted(0, 1.0)
    assert [SetTimer(TIMER, 12.0)] == sut.counted(1, 2.0)
    assert [] == sut.counted(3, 5.0)
    assert [Report(Resize(ASKS, 3))] == sut.time_out(12.0)


@pytest.mark.parametrize("slots", [0, 4, 5])
def test_a_job_that_waits_settles_for_nothing_while_there_is_no_slot_or_there_are_all(slots):
    sut = Sut(Stage.WAITING)
    sut.counted(2, 1.0)
    assert [GIVES_UP] == sut.counted(slots, 2.0)


def test_a_job_never_settles_for_less_than_it_must_have():
    sut = Sut(Stage.WAITING, least=(3,))
    assert [] == sut.counted(2, 1.0)
    assert [SetTimer(TIMER, 12.0)] == sut.counted(3, 2.0)


def test_a_job_that_has_waited_for_too_long_is_given_up_with_what_there_was():
    sut = Sut(Stage.WAITING, least=(3,))
    sut.counted(2, 1.0)
    assert [Report(TooFewSlots(2))] == sut.time_out(300.0)


def test_a_job_that_has_waited_for_slots_that_only_may_come_runs_with_those_that_are_there():
    sut = Sut(Stage.WAITING)
    assert [] == sut.counted(8, 1.0, there=2)
    assert [Report(Resize(ASKS, 2))] == sut.time_out(300.0)


def test_a_job_that_may_wait_for_as_long_as_it_takes_does():
    sut = Sut(Stage.WAITING, wait_s=math.inf)
    assert [] == sut.counted(0, 1.0)
    assert [SetTimer(TIMER, 99.0)] == sut.counted(1, 89.0)


def test_a_timer_that_comes_too_early_means_nothing():
    sut = Sut(Stage.WAITING)
    assert [] == sut.time_out(10.0)


def test_a_job_that_runs_is_widened_at_once_when_it_has_run_for_long_and_can_have_all():
    sut = Sut(Stage.RUNNING, 1)
    assert [SetTimer(TIMER, 99.0)] == sut.counted(4, 99.0)
    assert [Report(Resize(ASKS, 4))] == sut.time_out(99.0)


def test_a_job_that_has_begun_to_run_is_widened_after_its_cooldown():
    assert [SetTimer(TIMER, 30.0)] == Sut(Stage.RUNNING, 1).counted(4, 2.0)


def test_a_job_that_runs_waits_for_the_rest_of_what_it_wants_before_it_is_widened():
    sut = Sut(Stage.RUNNING, 1)
    assert [SetTimer(TIMER, 100.0)] == sut.counted(2, 40.0)
    assert [] == sut.counted(3, 50.0)
    assert [SetTimer(TIMER, 60.0)] == sut.counted(4, 60.0)


def test_a_job_that_runs_is_not_widened_for_slots_that_only_may_come():
    assert [] == Sut(Stage.RUNNING, 1).counted(4, 2.0, there=1)


def test_a_job_that_runs_is_not_narrowed_nor_widened_where_that_would_lose_what_it_has_done():
    assert [] == Sut(Stage.RUNNING).counted(1, 2.0)
    assert [] == Sut(Stage.RUNNING, 1, widens=False).counted(4, 2.0)


def test_a_job_that_restarts_begins_as_wide_as_there_are_slots_and_no_narrower_than_it_was():
    assert [SetTimer(TIMER, 1.0)] == Sut(Stage.RESTARTING, 2).counted(3, 1.0)
    assert [] == Sut(Stage.RESTARTING, 2).counted(1, 1.0)


def test_another_run_begins_to_wait_anew():
    sut = Sut(Stage.WAITING)
    sut.counted(2, 1.0)
    assert [CancelTimer(TIMER)] == sut.enter(Stage.BETWEEN, 2.0)
    assert [SetTimer(TIMER, 303.0)] == sut.enter(Stage.WAITING, 3.0)
    assert [SetTimer(TIMER, 14.0)] == sut.counted(2, 4.0)


def test_a_run_that_has_settled_and_is_not_served_waits_no_longer_in_all():
    sut = Sut(Stage.WAITING)
    sut.enter(Stage.WAITING, 100.0, slots=2)
    assert [Report(TooFewSlots(0))] == sut.time_out(300.0)


def test_a_run_that_was_widened_for_slots_that_are_gone_again_settles_at_once():
    sut = Sut(Stage.RUNNING, 2)
    sut.enter(Stage.GOING_OVER, 40.0)
    sut.enter(Stage.WAITING, 41.0, slots=4)
    assert [SetTimer(TIMER, 42.0)] == sut.counted(3, 42.0)


def test_a_count_that_was_asked_for_in_another_stage_is_dropped():
    sut = Sut(Stage.RUNNING)
    question = sut.question
    sut.enter(Stage.WAITING, 3.0)
    assert [] == sut.machine.counted(SlotsCounted(DESCRIPTION.job, 1, 1, question), 4.0)


def test_what_was_asked_for_in_a_stage_that_is_over_is_withdrawn_unless_it_has_come_about():
    sut = Sut(Stage.WAITING)
    sut.counted(2, 1.0)
    sut.time_out(11.0)
    assert [Report(Withdraw(ASKS))] == sut.enter(Stage.BETWEEN, 12.0, pending=True)
    sut = Sut(Stage.WAITING)
    sut.counted(2, 1.0)
    sut.time_out(11.0)
    assert [] == sut.enter(Stage.BETWEEN, 12.0, pending=False)


@pytest.mark.parametrize(("retry", "again"), [(Retry.BACKOFF, SetTimer(TIMER, 30.0)), (Retry.NEVER, GIVES_UP)])
def test_a_width_that_was_refused_is_asked_for_again_unless_it_cannot_be(retry, again):
    sut = Sut(Stage.WAITING)
    sut.counted(2, 1.0)
    sut.time_out(11.0)
    assert [] == sut.counted(2, 12.0)
    assert [] == sut.machine.answered(JobRescaled("an older one", 4), 13.0)
    assert [again] == sut.refused(retry, 20.0)


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


def count(probe, slots):
    """Tell the job of slots, in answer to its last question."""
    (question,) = [one.question for one in probe.sent(CountSlots) if one.watch]
    probe.tell(SlotsCounted(RUNS.job, slots, slots, question))


def plans(probe):
    return [one for one in work(probe) if isinstance(one, PlanScale)]


def to_running(width):
    probe = adaptive_job(width)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened())
    probe.tell(*started())
    return probe


def test_a_job_asks_for_as_many_slots_as_there_are_and_for_fewer_if_those_are_gone_again():
    probe = adaptive_job(3)
    probe.tell(Begin(), LISTED)
    for run, slots in ((2, 2), (3, 1)):
        count(probe, slots)
        probe.advance(10.0)
        resize(probe, slots)
        assert [(run, slots, True)] == [(one.request, one.slots, one.patient) for one in probe.sent(SlotsRequested)][-1:]
        assert JobStatus.WAITING_FOR_SLOTS is statuses(probe)[-1]


def test_a_job_that_gets_all_slots_in_time_runs_as_it_was_planned():
    probe = adaptive_job(2)
    probe.tell(Begin(), LISTED)
    count(probe, 1)
    probe.tell(granted(), *ready(), *opened(), *started())
    probe.advance(10.0)
    assert JobStatus.RUNNING is probe.machine.observe().status
    assert not plans(probe)


def test_a_job_that_gets_its_slots_while_fewer_are_planned_for_is_not_narrowed():
    probe = adaptive_job(2)
    probe.tell(Begin(), LISTED)
    count(probe, 1)
    probe.advance(10.0)
    (plan,) = plans(probe)
    probe.tell(granted(), *ready(), WorkDone(plan, planned(1)), *opened(), *started())
    assert (JobStatus.RUNNING, 2) == (probe.machine.observe().status, probe.machine.observe().rescaling.wanted)
    assert "as it is" == probe.machine.observe().rescaling.phase


def test_a_job_that_waits_for_its_least_for_too_long_fails_with_what_is_missing():
    probe = adaptive_job(2)
    probe.tell(Begin(), LISTED)
    count(probe, 0)
    probe.advance(300.0)
    state = probe.machine.observe()
    assert (JobStatus.FAILED, "NotEnoughSlots") == (state.status, state.error.kind)
    assert "job 'words-1' needs at least 1 slot, and there are 0 for it after 300 s" == state.error.message


def test_a_job_that_runs_narrow_is_widened_from_a_checkpoint():
    probe = to_running(2)
    count(probe, 3)
    probe.advance(29.0)
    assert not plans(probe)
    probe.advance(1.0)
    (plan,) = plans(probe)
    assert 3 == plan.scale.most
    assert JobStatus.RUNNING is probe.machine.observe().status
    probe.tell(WorkDone(plan, planned(3)), SlotsCounted(RUNS.job, 3, 3))
    probe.tell(WorkDone(KeepScale(plan.request, plan.scale), None))
    assert probe.sent(TriggerCheckpoint)


# --- beside others who ask -----------------------------------------------------------------------------------------------------


USER = Address("client/user")
WISH = RescaleJob(RUNS.job, "wish", USER, Scale(3))


def test_who_asks_for_more_than_there_is_gets_what_there_is():
    probe = to_running(2)
    probe.tell(WISH)
    (plan,) = plans(probe)
    probe.tell(WorkDone(plan, planned(3)), SlotsCounted(RUNS.job, 2, 2))
    (plan,) = plans(probe)
    assert ("wish", 3, 2) == (plan.request, plan.scale.parallelism, plan.scale.most)


def test_who_asks_for_a_least_that_there_is_not_is_refused():
    probe = to_running(2)
    probe.tell(WISH)
    (plan,) = plans(probe)
    firm = dataclasses.replace(planned(3), elasticity=Elasticity((3,), (3,)))
    probe.tell(WorkDone(plan, firm), SlotsCounted(RUNS.job, 2, 2))
    (answer,) = probe.sent(JobRescaled)
    assert "it would need at least 3 slots, and there are 2 for it" in answer.error.message


def test_a_job_does_not_ask_while_somebody_else_has():
    probe = to_running(2)
    count(probe, 3)
    probe.tell(WISH)
    assert 1 == len(plans(probe))
    probe.advance(30.0)
    assert not plans(probe)
    (answer,) = [one for one in probe.sent(JobRescaled) if one.request != "wish"]
    assert "being rescaled" in answer.error.message
    probe.tell(answer)
    assert not plans(probe)


def test_who_asks_while_the_job_rescales_itself_is_put_off_until_that_is_done():
    probe = to_running(2)
    count(probe, 3)
    probe.advance(30.0)
    (own,) = plans(probe)
    probe.tell(WISH)
    assert [] == [*plans(probe), *probe.sent(JobRescaled)]
    probe.tell(WorkFailed(own, ErrorInfo("OSError", "not now")))
    (plan,) = plans(probe)
    assert "wish" == plan.request


def test_who_is_put_off_until_the_job_is_over_is_told():
    probe = to_running(2)
    count(probe, 3)
    probe.advance(30.0)
    probe.tell(WISH, CancelJob(RUNS.job), *cancelled())
    assert JobStatus.CANCELLED is probe.machine.observe().status
    assert "wish" in [one.request for one in probe.sent(JobRescaled)]


def test_who_has_asked_for_slots_that_are_gone_again_is_told_how_wide_the_job_runs():
    probe = adaptive_job(2)
    probe.tell(Begin(), LISTED, WISH)
    (plan,) = plans(probe)
    probe.tell(WorkDone(plan, planned(3)), SlotsCounted(RUNS.job, 3, 3), WorkDone(KeepScale("wish", plan.scale), None))
    assert [3] == [one.slots for one in probe.sent(SlotsRequested)][-1:]
    count(probe, 2)
    probe.advance(10.0)
    resize(probe, 2)
    probe.tell(granted(3), *ready(3), *opened(3), *started(3))
    (answer,) = [one for one in probe.sent(JobRescaled) if one.request == "wish"]
    assert (2, None) == (answer.parallelism, answer.error)
