"""A job that runs with the slots there are: when it settles for fewer, and when it is widened."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_harness import DESCRIPTION, vertex

from actorflow.errors import ErrorInfo, Retry
from actorflow.plan.execution import ExecutionGraph
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
from actorflow.protocol.jobs.job_messages import JobRescaled
from actorflow.protocol.machine import CancelTimer, Report, SetTimer
from actorflow.protocol.nodes.slot_messages import SlotsCounted

RULES = Elasticity((4,), (1,), wait_s=300.0, settle_s=10.0, cooldown_s=30.0, stabilize_s=60.0)


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
