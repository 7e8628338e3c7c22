"""A job that asks itself for another parallelism, as there are slots for it, beside others who ask."""

import dataclasses

from job_harness import DESCRIPTION, LISTED, cancelled, granted, job, opened, ready, started, statuses, work

from actorflow.errors import ErrorInfo
from actorflow.ids import Address
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_messages import TriggerCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.jobs.adaptive import Elasticity
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job_events import Begin
from actorflow.protocol.jobs.job_messages import CancelJob, JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale
from actorflow.protocol.machine import WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import CountSlots, SlotsCounted, SlotsRequested

RUNS = dataclasses.replace(
    DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1000.0)), elasticity=Elasticity((3,), (1,), cooldown_s=30.0)
)


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


def test_a_job_that_already_has_all_slots_is_widened_to_what_was_asked_for_when_more_come():
    wide = dataclasses.replace(planned(2), scale=Scale(3, most=2))
    content = dataclasses.replace(planned(2), elasticity=Elasticity((2,), (1,), cooldown_s=30.0))
    probe = job(machine=AdaptiveJobMachine, description=content)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened())
    probe.tell(*started())
    count(probe, 2)
    probe.tell(WISH)
    (plan,) = plans(probe)
    probe.tell(WorkDone(plan, planned(3)), SlotsCounted(RUNS.job, 2, 2))
    (plan,) = plans(probe)
    probe.tell(WorkDone(plan, wide), WorkDone(KeepScale(plan.request, plan.scale), None))
    (answer,) = probe.sent(JobRescaled)
    assert (None, 2) == (answer.error, answer.parallelism)

    count(probe, 3)
    probe.advance(30.0)
    assert [Scale(3, most=3)] == [one.scale for one in plans(probe)]


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
