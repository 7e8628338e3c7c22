"""A region that fails alone: it is ended, and comes back in the workers that it had, while the others go on; what else fails is the whole run's failure."""

import dataclasses

from job_harness import (
    DESCRIPTION,
    ERROR,
    FAILURE,
    LISTED,
    READERS,
    SUBTASKS,
    WRITERS,
    allocations,
    committed,
    finished,
    granted,
    job,
    opened,
    ready,
    started,
    worker,
)

from actorflow.plan.regions import failover_regions
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAborted, TriggerCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.jobs.deployment import CancelSubtask, SubtaskCancelled, SubtaskFailed, SubtaskFinished, SubtaskStarted
from actorflow.protocol.jobs.job_events import Begin, RegionRestarting
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    JobStatus,
    OpenDeployment,
    SlotEnded,
)
from actorflow.protocol.jobs.restarts import FixedDelay
from actorflow.protocol.jobs.splits import SplitAssigned, SplitRequested

REGIONS = failover_regions(DESCRIPTION.graph)
TWO = dataclasses.replace(DESCRIPTION, regions=REGIONS)


def running(description=TWO, attempts=3):
    probe = job(FixedDelay(attempts, 2.0), description=description)
    probe.tell(Begin(), LISTED, granted(), *ready(), *opened(), *started())
    assert JobStatus.RUNNING is status(probe)
    return probe


def status(probe):
    return probe.machine.observe().status


def ended(probe):
    """Writers fail: one by itself, the other is told to end."""
    probe.tell(FAILURE)
    assert [CancelSubtask(WRITERS[1], 1)] == probe.sent(CancelSubtask)
    probe.tell(SubtaskCancelled(WRITERS[1], 1))
    return probe


def returned(probe):
    ended(probe).advance(2.0)
    probe.tell(*(DeploymentOpened(1, allocation) for allocation in allocations()))
    assert [DeploySubtask(subtask, 1) for subtask in WRITERS] == probe.sent(DeploySubtask)
    probe.tell(*(SubtaskStarted(subtask, 1) for subtask in WRITERS))
    return probe


def test_it_is_ended_and_after_a_pause_built_again_where_it_was_under_a_number_of_its_own():
    probe = ended(running())
    assert [RegionRestarting("words-1", ERROR, 2.0)] == probe.reports(RegionRestarting)
    probe.advance(2.0)
    openings = probe.sent(OpenDeployment)
    assert [((subtask,), 1, 2) for subtask in WRITERS] == [(o.subtasks, o.attempt, o.number) for o in openings]
    assert [worker(allocation) for allocation in allocations()] == [e.to for e in probe.effects if hasattr(e, "to")]
    assert JobStatus.RUNNING is status(probe)


def test_then_all_of_it_is_started_and_the_job_ends_as_if_nothing_had_been():
    probe = returned(running())
    probe.tell(*finished())
    assert JobStatus.COMMITTING is status(probe)
    probe.tell(*committed())
    assert JobStatus.FINISHED is status(probe)


def test_the_job_does_not_end_without_it():
    probe = ended(running())
    probe.tell(*(SubtaskFinished(subtask, 1) for subtask in READERS))
    assert JobStatus.RUNNING is status(probe)
    assert [] == probe.sent(CommitOutput)


def test_its_sources_read_again_and_those_of_others_go_on():
    probe = running()
    probe.tell(SplitRequested(READERS[0], 1, 1, worker(allocations()[0])))
    (first,) = probe.sent(SplitAssigned)
    probe.tell(SubtaskFailed(READERS[0], 1, ERROR), SubtaskCancelled(READERS[1], 1))
    probe.advance(2.0)
    probe.tell(SplitRequested(READERS[0], 1, 2, worker(allocations()[0])))
    (anew,) = probe.sent(SplitAssigned)
    assert first.split == anew.split


def test_another_failure_meanwhile_is_that_of_the_whole_run():
    probe = ended(running())
    probe.tell(SubtaskFailed(READERS[0], 1, ERROR))
    assert JobStatus.FAILING is status(probe)
    probe.tell(SubtaskCancelled(READERS[1], 1))
    assert JobStatus.RESTARTING is status(probe)
    probe.advance(2.0)
    assert JobStatus.WAITING_FOR_SLOTS is status(probe)


def test_so_is_the_end_of_a_worker_and_the_next_run_has_a_higher_number():
    probe = returned(running())
    probe.tell(SlotEnded(allocations()[0], ERROR))
    assert JobStatus.FAILING is status(probe)
    probe.tell(*(SubtaskCancelled(subtask, 1) for subtask in SUBTASKS))
    probe.advance(2.0)
    assert 3 == probe.machine.observe().attempt


def test_it_fails_the_job_if_there_is_no_chance_left():
    probe = ended(running(attempts=0))
    assert JobStatus.FAILING is status(probe)
    probe.tell(*(SubtaskCancelled(subtask, 1) for subtask in READERS))
    assert JobStatus.FAILED is status(probe)


def test_a_job_can_be_cancelled_meanwhile():
    probe = ended(running())
    probe.tell(CancelJob("words-1"))
    probe.tell(*(SubtaskCancelled(subtask, 1) for subtask in READERS))
    assert JobStatus.CANCELLED is status(probe)


def test_checkpoints_wait_for_it():
    probe = running(dataclasses.replace(TWO, checkpoints=CheckpointPlan(CheckpointRules(interval_s=10.0, tolerable_failures=5))))
    probe.advance(10.0)
    assert 2 == len(probe.sent(TriggerCheckpoint))
    probe.tell(FAILURE)
    assert set(SUBTASKS) == {aborted.subtask for aborted in probe.sent(CheckpointAborted)}
    probe.tell(SubtaskCancelled(WRITERS[1], 1))
    probe.advance(1.0)
    probe.advance(1.0)
    probe.tell(*(DeploymentOpened(1, allocation) for allocation in allocations()))
    probe.tell(*(SubtaskStarted(subtask, 1) for subtask in WRITERS))
    probe.advance(9.0)
    assert [] == probe.sent(TriggerCheckpoint)
    probe.advance(1.0)
    assert [2, 2] == [trigger.checkpoint for trigger in probe.sent(TriggerCheckpoint)]


def test_with_one_region_all_fail_together():
    probe = running(dataclasses.replace(DESCRIPTION, regions=(REGIONS[0] + REGIONS[1],)))
    probe.tell(FAILURE)
    assert JobStatus.FAILING is status(probe)
