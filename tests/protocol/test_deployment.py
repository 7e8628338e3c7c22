"""The life of one subtask attempt."""

import pytest

from actorflow.errors import ErrorInfo, InvariantViolated
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.jobs.deployment import (
    Attempt,
    AttemptEnded,
    AttemptRunning,
    AttemptState,
    Cancel,
    CancelSubtask,
    Deploy,
    KillSlot,
    SlotGone,
    SubtaskCancelled,
    SubtaskFailed,
    SubtaskFinished,
    SubtaskStarted,
)
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.testing.probe import Probe
from actorflow.wire.message import Message

COUNT = SubtaskId(VertexId("count"), 3)
WORKER, TM = Address("slot-1/worker"), Address("tm-1/tm")
ERROR = ErrorInfo("ValueError", "bad record")


class DeployCount(Message, frozen=True):
    """Stands for the runtime's own message."""


def attempt(*events, number=2):
    probe = Probe(Attempt(COUNT, number, WORKER, TM, Allocation("1.4"), deploy_timeout_s=60.0, cancel_timeout_s=30.0))
    probe.tell(*events)
    return probe


def test_an_attempt_is_deployed_runs_and_finishes():
    probe = attempt(Deploy(DeployCount()))
    assert [DeployCount()] == probe.sent()
    probe.tell(SubtaskStarted(COUNT, 2))
    assert [AttemptRunning(COUNT, 2)] == probe.reports()
    assert {} == probe.timers
    probe.tell(SubtaskFinished(COUNT, 2))
    assert [AttemptEnded(COUNT, 2, AttemptState.FINISHED)] == probe.reports()


def test_an_attempt_that_was_never_sent_is_cancelled_at_once():
    probe = attempt(Cancel())
    assert ([], [AttemptEnded(COUNT, 2, AttemptState.CANCELLED)]) == (probe.sent(), probe.reports())


@pytest.mark.parametrize("so_far", [[Deploy(DeployCount())], [Deploy(DeployCount()), SubtaskStarted(COUNT, 2)]])
def test_a_cancelled_attempt_waits_for_its_task_manager(so_far):
    probe = attempt(*so_far)
    probe.tell(Cancel())
    assert [CancelSubtask(COUNT, 2)] == probe.sent()
    probe.tell(SubtaskCancelled(COUNT, 2))
    assert [AttemptEnded(COUNT, 2, AttemptState.CANCELLED)] == probe.reports()


@pytest.mark.parametrize("ending", [SubtaskFinished(COUNT, 2), SubtaskFailed(COUNT, 2, ERROR), SlotGone(ERROR)])
def test_however_a_cancelled_attempt_ends_it_is_cancelled(ending):
    probe = attempt(Deploy(DeployCount()), Cancel(), ending)
    assert [AttemptEnded(COUNT, 2, AttemptState.CANCELLED)] == probe.reports()


@pytest.mark.parametrize("ending", [SubtaskFailed(COUNT, 2, ERROR), SlotGone(ERROR)])
def test_a_failure_carries_its_error(ending):
    probe = attempt(Deploy(DeployCount()), SubtaskStarted(COUNT, 2), ending)
    assert [AttemptEnded(COUNT, 2, AttemptState.FAILED, ERROR)] == probe.reports(AttemptEnded)


def test_an_attempt_that_does_not_start_in_time_has_failed_and_is_cancelled_in_case_it_does():
    probe = attempt(Deploy(DeployCount()))
    probe.advance(60.0)
    assert [CancelSubtask(COUNT, 2)] == probe.sent()
    (ended,) = probe.reports(AttemptEnded)
    assert "subtask count/3 did not start on slot-1/worker within 60 s" == ended.error.message
    assert [] == probe.tell(SubtaskStarted(COUNT, 2))


def test_a_subtask_that_ignores_its_cancel_has_its_slot_killed_until_it_is_gone():
    probe = attempt(Deploy(DeployCount()), SubtaskStarted(COUNT, 2), Cancel())
    probe.advance(60.0)
    reason = "subtask count/3 did not end within 30 s after it was cancelled"
    assert [KillSlot(Allocation("1.4"), reason)] * 2 == probe.sent()
    probe.tell(SlotGone(ERROR))
    assert (AttemptState.CANCELLED, {}) == (probe.machine.state, probe.timers)


@pytest.mark.parametrize("late", [SubtaskStarted(COUNT, 1), SubtaskFailed(COUNT, 1, ERROR), SubtaskFinished(COUNT, 3)])
def test_news_of_another_attempt_is_dropped(late):
    probe = attempt(Deploy(DeployCount()))
    assert [] == probe.tell(late)
    assert AttemptState.DEPLOYING is probe.machine.state


@pytest.mark.parametrize(
    "late", [Deploy(DeployCount()), Cancel(), SlotGone(ERROR), SubtaskFailed(COUNT, 2, ERROR), SubtaskFinished(COUNT, 2)]
)
def test_nothing_follows_a_final_state(late):
    probe = attempt(Deploy(DeployCount()), SubtaskFinished(COUNT, 2))
    assert [] == probe.tell(late)


def test_a_start_that_crosses_the_cancel_is_dropped():
    probe = attempt(Deploy(DeployCount()), Cancel())
    assert [] == probe.tell(SubtaskStarted(COUNT, 2))


def test_check_finds_a_failure_without_an_error():
    probe = attempt()
    probe.machine.state = AttemptState.FAILED
    with pytest.raises(InvariantViolated, match="None"):
        probe.machine.check()
