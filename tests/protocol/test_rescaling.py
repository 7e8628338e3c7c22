"""Another parallelism for a job: it is planned, counted and kept, and the job goes over when a checkpoint holds what it has done."""

import dataclasses

import pytest
from job_harness import (
    DESCRIPTION,
    ERROR,
    LISTED,
    MASTER,
    READ,
    SUBTASKS,
    WRITE,
    allocations,
    cancelled,
    finished,
    granted,
    job,
    opened,
    ready,
    started,
    statuses,
    vertex,
    work,
)

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_events import StoreCheckpoint
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAcknowledged, TriggerCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.jobs.deployment import SubtaskCancelled, SubtaskFailed, SubtaskStarted
from actorflow.protocol.jobs.job_events import Begin, JobOver
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    DeploymentOpened,
    JobRescaled,
    JobStatus,
    OpenDeployment,
    RescaleJob,
    SlotReady,
)
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale
from actorflow.protocol.jobs.restarts import NoRestart
from actorflow.protocol.machine import WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import (
    Allocation,
    CountSlots,
    Lease,
    Slot,
    SlotsCounted,
    SlotsGranted,
    SlotsReleased,
    SlotsRequested,
)
from actorflow.wire.manifest import InlineState, SubtaskState, decode_part, encode_part

USER, TM = Address("client/user"), Address("tm-1/tm")
ASKED = RescaleJob(DESCRIPTION.job, "r1", USER, Scale(1))
CHECKPOINTED = dataclasses.replace(DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1000.0)))


def wide(parallelism, description=CHECKPOINTED):
    """The job, planned for a parallelism."""
    graph = ExecutionGraph("words", (vertex(READ, parallelism), vertex(WRITE, parallelism)), (), ())
    return dataclasses.replace(description, graph=graph, sources={READ: parallelism}, scale=Scale(parallelism))


def running(description=CHECKPOINTED, **options):
    probe = job(description=description, **options)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started())
    return probe


def planned(probe, parallelism, request="r1", description=CHECKPOINTED):
    (plan,) = [one for one in work(probe) if isinstance(one, PlanScale)]
    assert request == plan.request
    return WorkDone(plan, wide(parallelism, description))


def kept(probe):
    (keep,) = [one for one in work(probe) if isinstance(one, KeepScale)]
    return WorkDone(keep, None)


def part(subtask):
    return encode_part(SubtaskState(subtask.index, InlineState(f"{subtask}".encode())))


def checkpoint_taken(probe, number=1, run=1, subtasks=SUBTASKS):
    """All subtasks store their parts; return the work that makes it whole."""
    probe.tell(*(CheckpointAcknowledged(subtask, run, number, part(subtask)) for subtask in subtasks))
    (store,) = [one for one in work(probe) if isinstance(one, StoreCheckpoint)]
    return WorkDone(store, f"chk-{number}")


def due(probe, parallelism):
    """The probe's job is to have a parallelism, as soon as it can."""
    probe.tell(ASKED)
    probe.tell(planned(probe, parallelism))
    probe.tell(kept(probe))


def one_wide(run):
    """What is said by those who run the job in one slot."""
    allocation = Allocation(f"1.{run}0")
    subtasks = (SubtaskId(READ, 0), SubtaskId(WRITE, 0))
    return [
        SlotsGranted(DESCRIPTION.job, run, (Lease(Slot(TM, 0), allocation),)),
        SlotReady(allocation, Address("worker-one/worker"), ("ipc://one",)),
        DeploymentOpened(run, allocation),
        *(SubtaskStarted(subtask, run) for subtask in subtasks),
    ]


def test_a_job_is_rescaled_from_a_checkpoint_that_is_taken_for_it():
    probe = running()
    due(probe, 1)
    assert {READ} == {trigger.subtask.vertex for trigger in probe.sent(TriggerCheckpoint)}
    whole = checkpoint_taken(probe)
    probe.advance(2.0)
    probe.tell(whole)
    assert [JobStatus.RESCALING] == statuses(probe)
    probe.tell(*cancelled())
    assert [JobStatus.WAITING_FOR_SLOTS] == statuses(probe)
    assert [allocations()] == [released.allocations for released in probe.sent(SlotsReleased)]
    assert [(2, 1)] == [(request.request, request.slots) for request in probe.sent(SlotsRequested)]
    probe.advance(0.5)
    probe.tell(*one_wide(2))
    assert [JobRescaled("r1", 1, 0.5)] == probe.sent(JobRescaled)
    (opening,) = probe.sent(OpenDeployment)
    assert {READ: 2, WRITE: 2} == {vertex: len(parts) for vertex, parts in opening.restored}
    assert ("1", "as it is") == (str(probe.machine.observe().rescaling.wanted), probe.machine.observe().rescaling.phase)


def test_a_rescaled_job_has_not_failed():
    probe = running(strategy=NoRestart())
    due(probe, 1)
    probe.tell(checkpoint_taken(probe), *cancelled(), *one_wide(2))
    assert JobStatus.RUNNING is probe.machine.observe().status
    assert probe.machine.observe().error is None


def test_a_job_that_fails_before_it_went_over_goes_over_with_its_restart():
    probe = running()
    due(probe, 1)
    probe.tell(SubtaskFailed(SUBTASKS[0], 1, ERROR), *cancelled()[1:])
    assert JobStatus.RESTARTING is probe.machine.observe().status
    probe.advance(2.0)
    assert [1] == [request.slots for request in probe.sent(SlotsRequested)]
    probe.tell(*one_wide(2))
    assert ["r1"] == [answer.request for answer in probe.sent(JobRescaled)]


def test_a_job_that_has_no_slots_yet_goes_over_at_once():
    probe = job(description=CHECKPOINTED)
    probe.tell(Begin(), LISTED)
    due(probe, 1)
    assert [(2, 1)] == [(request.request, request.slots) for request in probe.sent(SlotsRequested)]


def test_slots_that_a_wider_job_would_lack_are_missed_before_it_ends():
    probe = running()
    probe.tell(ASKED)
    probe.tell(planned(probe, 3))
    assert [CountSlots(DESCRIPTION.job, MASTER)] == probe.sent(CountSlots)
    probe.tell(SlotsCounted(DESCRIPTION.job, 2, 2))
    (answer,) = probe.sent(JobRescaled)
    assert (2, "the job cannot be rescaled: it would need 3 slots, and there are 2 for it") == (
        answer.parallelism,
        answer.error.message,
    )
    assert JobStatus.RUNNING is probe.machine.observe().status


def test_a_wider_job_for_which_there_are_slots_is_kept_and_due():
    probe = running()
    probe.tell(ASKED)
    probe.tell(planned(probe, 3))
    probe.tell(SlotsCounted(DESCRIPTION.job, 3, 3))
    probe.tell(kept(probe))
    assert (3, "due") == (probe.machine.observe().rescaling.wanted, probe.machine.observe().rescaling.phase)


def test_what_cannot_be_planned_or_kept_is_refused_and_the_job_goes_on():
    for refused in (PlanScale, KeepScale):
        probe = running()
        probe.tell(ASKED)
        if refused is KeepScale:
            probe.tell(planned(probe, 1))
        (one,) = work(probe)
        error = ErrorInfo("PlanError", "parallelism of 'count' is too high")
        probe.tell(WorkFailed(one, error))
        assert [JobRescaled("r1", 2, 0.0, error)] == probe.sent(JobRescaled)
        assert JobStatus.RUNNING is probe.machine.observe().status


def test_a_job_without_checkpoints_is_rescaled_only_if_it_may_begin_anew():
    probe = running(DESCRIPTION)
    probe.tell(ASKED)
    assert ["the job cannot be rescaled: it takes no checkpoints to go on from"] == [
        answer.error.message for answer in probe.sent(JobRescaled)
    ]
    probe.tell(RescaleJob(ASKED.job, "r2", USER, Scale(1), from_scratch=True))
    probe.tell(planned(probe, 1, "r2", DESCRIPTION))
    probe.tell(kept(probe))
    assert [JobStatus.RESCALING] == statuses(probe)


def test_who_asks_again_gets_the_same_answer():
    probe = running()
    due(probe, 1)
    probe.tell(ASKED)
    assert [] == probe.effects
    probe.tell(checkpoint_taken(probe), *cancelled(), *one_wide(2))
    (answer,) = probe.sent(JobRescaled)
    probe.tell(ASKED)
    assert [answer] == probe.sent(JobRescaled)


def test_what_is_asked_for_while_another_is_planned_is_refused_and_while_one_is_due_takes_its_place():
    probe = running()
    probe.tell(ASKED)
    plan = planned(probe, 1)
    second = RescaleJob(ASKED.job, "r2", USER, Scale(2))
    probe.tell(second)
    assert [("r2", "RescaleRefused")] == [(answer.request, answer.error.kind) for answer in probe.sent(JobRescaled)]
    probe.tell(plan)
    probe.tell(kept(probe))
    third = RescaleJob(ASKED.job, "r3", USER, Scale(2))
    probe.tell(third)
    assert [("r1", "RescaleRefused")] == [(answer.request, answer.error.kind) for answer in probe.sent(JobRescaled)]
    probe.tell(planned(probe, 2, "r3"))
    probe.tell(kept(probe))
    assert [JobRescaled("r3", 2)] == probe.sent(JobRescaled)


def test_a_job_that_is_cancelled_while_it_goes_over_is_cancelled():
    probe = running()
    due(probe, 1)
    probe.tell(checkpoint_taken(probe))
    probe.tell(CancelJob(DESCRIPTION.job), *cancelled())
    assert JobStatus.CANCELLED is probe.machine.observe().status
    assert [("r1", "RescaleRefused")] == [(answer.request, answer.error.kind) for answer in probe.sent(JobRescaled)]
    assert ["as it is"] == [over.state.rescaling.phase for over in probe.reports(JobOver)]


def test_a_checkpoint_that_holds_the_end_of_the_job_ends_it_and_rescales_nothing():
    probe = running()
    due(probe, 1)
    probe.tell(*finished())
    stores = [one for one in work(probe) if isinstance(one, StoreCheckpoint)]
    probe.tell(*(WorkDone(store, f"chk-{store.checkpoint}") for store in stores))
    assert JobStatus.COMMITTING is probe.machine.observe().status


@pytest.mark.parametrize("late", [SubtaskCancelled(SUBTASKS[0], 1), SlotsCounted(DESCRIPTION.job, 7, 7)])
def test_late_news_changes_nothing(late):
    probe = running()
    due(probe, 1)
    probe.tell(checkpoint_taken(probe), *cancelled(), *one_wide(2))
    before = probe.machine.observe()
    probe.tell(late)
    assert before == probe.machine.observe()


def test_parts_go_to_those_who_have_their_key_groups_in_the_order_of_their_subtasks():
    probe = running()
    due(probe, 1)
    probe.tell(checkpoint_taken(probe), *cancelled(), *one_wide(2))
    (opening,) = probe.sent(OpenDeployment)
    found = {vertex: [decode_part(data).index for data in parts] for vertex, parts in opening.restored}
    assert {READ: [0, 1], WRITE: [0, 1]} == found
