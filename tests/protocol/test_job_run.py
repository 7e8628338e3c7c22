"""One run of a job: slots, workers, subtasks; what it tells its job."""

import dataclasses

import pytest
from job_harness import (
    DESCRIPTION,
    ERROR,
    HOPELESS,
    JOB,
    MASTER,
    POOL,
    READERS,
    SUBTASKS,
    TM,
    WRITERS,
    allocations,
    cancelled,
    finished,
    granted,
    leases,
    opened,
    prepared,
    ready,
    run_at,
    started,
    work,
    worker,
)

from actorflow.errors import InvariantViolated
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpoints.commit import AbortLeft, RemoveBegun, RunCommitted
from actorflow.protocol.jobs.deployment import AttemptState, CancelSubtask, SubtaskFailed, SubtaskFinished, SubtaskStarted
from actorflow.protocol.jobs.job_messages import (
    CommitOutput,
    DeploymentOpened,
    DeploySubtask,
    LeaseSlot,
    OpenDeployment,
    ProgressReported,
    SlotEnded,
    WorkerFailed,
)
from actorflow.protocol.jobs.run_reports import RunDeployed, RunEnded, RunFailed, RunFinished
from actorflow.protocol.machine import Send, TimerFired
from actorflow.protocol.nodes.slot_messages import SlotsGranted, SlotsLost, SlotsRefused, SlotsReleased, SlotsRequested
from actorflow.protocol.transfer.delivery import PeerLost

FIRST, SECOND = allocations()
CHECKPOINTED = dataclasses.replace(DESCRIPTION, checkpoints=CheckpointPlan(CheckpointRules(interval_s=1.0)))
DEPLOYED = [granted(), *ready(), *opened()]
RUNNING = [*DEPLOYED, *started()]


def sent_to(probe, to):
    return [effect.message for effect in probe.effects if isinstance(effect, Send) and effect.to == to]


# --- slots and workers -------------------------------------------------------------------------------------------------------


def test_a_run_asks_for_as_many_slots_as_its_widest_vertex_needs():
    assert [Send(POOL, SlotsRequested(JOB, 1, 2, MASTER))] == run_at().machine.run.begin()


def test_each_granted_slot_gets_a_worker():
    probe = run_at()
    probe.tell(granted())
    assert [LeaseSlot(FIRST, 0, JOB, MASTER), LeaseSlot(SECOND, 1, JOB, MASTER)] == sent_to(probe, TM)


def test_a_lease_is_sent_again_and_again_until_its_worker_is_ready():
    probe = run_at(granted(), ready()[0])
    for _ in range(2):
        probe.advance(5.0)
        assert [LeaseSlot(SECOND, 1, JOB, MASTER)] == probe.sent()
    probe.tell(ready()[1])
    probe.advance(20.0)
    assert [] == probe.effects


def test_no_lease_is_sent_again_after_the_run_was_cancelled():
    probe = run_at(granted(), "cancel")
    probe.advance(20.0)
    assert [] == probe.effects


def test_nothing_is_built_before_the_last_worker_is_ready():
    probe = run_at(granted())
    assert [] == probe.tell(ready()[1])
    probe.tell(ready()[0])
    assert [worker(FIRST), worker(SECOND)] == [effect.to for effect in probe.effects if isinstance(effect, Send)]


def test_every_worker_is_told_its_subtasks_and_where_all_subtasks_run():
    probe = run_at(granted())
    probe.tell(*ready())
    first, second = probe.sent(OpenDeployment)
    assert (READERS[0], WRITERS[0]) == first.subtasks
    assert (READERS[1], WRITERS[1]) == second.subtasks
    workers = ("worker-1.1/worker", "worker-1.2/worker", "worker-1.1/worker", "worker-1.2/worker")
    endpoints = {"worker-1.1": ("ipc://1.1",), "worker-1.2": ("ipc://1.2",)}
    for opening in (first, second):
        assert (JOB, 1, MASTER, b"plan", {"a.b": 1}) == (
            opening.job,
            opening.attempt,
            opening.job_master,
            opening.plan,
            opening.options,
        )
        assert (workers, endpoints) == (opening.workers, opening.endpoints)


def test_no_subtask_is_started_before_the_last_worker_has_built_its_own():
    probe = run_at(granted(), *ready())
    assert [] == probe.tell(opened()[0])
    probe.tell(opened()[1])
    assert [DeploySubtask(subtask, 1) for subtask in SUBTASKS] == probe.sent()


def test_a_worker_that_is_slow_to_build_is_waited_for_until_the_time_is_up():
    probe = run_at(granted(), *ready(), opened()[1])
    probe.advance(59.9)
    assert [] == probe.effects
    probe.advance(0.1)
    (failed,) = probe.reports()
    assert "worker-1.1/worker did not build its subtasks within 60 s" == failed.error.message


def test_once_all_workers_have_built_only_the_starts_are_timed():
    probe = run_at(*DEPLOYED)
    assert [f"attempt:{subtask}:1" for subtask in SUBTASKS] == list(probe.timers)


WITH_WHAT_RAN = dataclasses.replace(ERROR, context={"it ran": "read/0, write/0"})
ENDS_EARLY = [([], ERROR), ([ready()[1]], ERROR), (ready(), WITH_WHAT_RAN), ([*ready(), opened()[1]], WITH_WHAT_RAN)]


@pytest.mark.parametrize(("so_far", "error"), ENDS_EARLY)
def test_a_worker_that_ends_before_it_has_built_fails_the_run(so_far, error):
    probe = run_at(granted(), *so_far)
    probe.tell(SlotEnded(FIRST, ERROR))
    assert RunFailed(error) == probe.reports(RunFailed)[0]
    assert [SlotsReleased(JOB, (FIRST,))] == sent_to(probe, POOL)
    probe.tell("cancel")
    assert [RunEnded()] == probe.reports()


def test_workers_that_report_after_the_run_was_cancelled_are_not_used():
    probe = run_at(granted(), "cancel")
    assert [] == probe.tell(*ready())


def test_workers_that_have_built_after_the_run_was_cancelled_are_not_used():
    probe = run_at(granted(), *ready(), "cancel")
    assert [] == probe.tell(*opened())


def test_what_another_deployment_has_built_does_not_count():
    probe = run_at(granted(), *ready())
    assert [] == probe.tell(DeploymentOpened(2, FIRST), DeploymentOpened(2, SECOND))


def test_slots_granted_after_the_run_was_cancelled_are_given_back():
    probe = run_at("cancel")
    probe.tell(granted())
    assert [SlotsReleased(JOB, allocations())] == sent_to(probe, POOL)


def test_a_grant_that_is_doubled_after_the_run_was_cancelled_does_not_give_back_what_is_in_use():
    probe = run_at(*RUNNING, "cancel")
    assert [] == probe.tell(granted())


def test_a_grant_that_is_doubled_after_all_workers_were_lost_while_committing_leases_nothing():
    probe = run_at(*RUNNING, *finished(), "commit", SlotsLost(JOB, allocations(), "no heartbeat"))
    assert [] == probe.tell(granted())


def test_slots_granted_to_another_run_are_given_back():
    probe = run_at(granted())
    probe.tell(SlotsGranted(JOB, 7, leases(7)))
    assert [SlotsReleased(JOB, allocations(7))] == sent_to(probe, POOL)


def test_a_refusal_fails_the_run_unless_it_is_of_another_or_too_late():
    probe = run_at()
    assert [] == probe.tell(SlotsRefused(JOB, 2, HOPELESS))
    probe.tell(SlotsRefused(JOB, 1, HOPELESS))
    assert [RunFailed(HOPELESS)] == probe.reports()
    probe.tell("cancel")
    assert [] == probe.tell(SlotsRefused(JOB, 1, HOPELESS))


# --- running -----------------------------------------------------------------------------------------------------------------


def test_a_run_is_deployed_when_the_last_subtask_has_started():
    probe = run_at(*DEPLOYED)
    probe.tell(*started()[:3])
    assert [] == probe.reports()
    probe.tell(started()[3])
    assert [RunDeployed()] == probe.reports()


def test_a_run_has_finished_when_the_last_subtask_has():
    probe = run_at(*RUNNING)
    probe.tell(*finished()[:3])
    assert [] == probe.reports()
    probe.tell(finished()[3])
    assert [RunFinished()] == probe.reports()


def test_a_subtask_may_finish_before_the_others_have_started():
    probe = run_at(*DEPLOYED, started()[0], finished()[0])
    probe.tell(*started()[1:])
    assert [RunDeployed()] == probe.reports()


def test_a_finish_counts_as_a_start_if_it_overtakes_it():
    probe = run_at(*DEPLOYED, *started()[1:], *finished()[1:])
    probe.tell(finished()[0])
    assert [RunDeployed(), RunFinished()] == probe.reports()
    assert [] == probe.tell(started()[0])


def test_a_failed_subtask_fails_the_run():
    probe = run_at(*RUNNING)
    probe.tell(SubtaskFailed(WRITERS[1], 1, ERROR))
    assert [RunFailed(ERROR)] == probe.reports()


def test_a_worker_that_could_not_build_fails_the_run_and_the_others_end_at_once():
    probe = run_at(granted(), *ready())
    probe.tell(SubtaskFailed(READERS[1], 1, ERROR))
    assert [RunFailed(ERROR)] == probe.reports()
    probe.tell("cancel")
    assert ([RunEnded()], []) == (probe.reports(), probe.sent(CancelSubtask))


def test_a_lost_slot_fails_the_run_even_if_everything_in_it_had_finished():
    probe = run_at(*RUNNING, finished()[0], finished()[2])
    probe.tell(SlotEnded(FIRST, ERROR))
    assert [PeerLost(worker(FIRST), 1), RunFailed(WITH_WHAT_RAN)] == probe.reports()


def test_slots_that_are_lost_are_not_given_back():
    probe = run_at(*RUNNING)
    probe.tell(SlotsLost(JOB, allocations(), "no heartbeat"))
    probe.tell("cancel", "give back")
    assert ([RunEnded()], []) == (probe.reports(), sent_to(probe, POOL))


@pytest.mark.parametrize("so_far", [[granted(), *ready()], DEPLOYED, RUNNING, [*RUNNING, *finished()[:3]]])
def test_a_worker_that_cannot_go_on_fails_the_run(so_far):
    probe = run_at(*so_far)
    probe.tell(WorkerFailed(1, FIRST, ERROR))
    assert [RunFailed(ERROR)] == probe.reports()


@pytest.mark.parametrize("late", [WorkerFailed(2, FIRST, ERROR), WorkerFailed(1, allocations(2)[0], ERROR)])
def test_a_worker_of_another_run_or_without_a_lease_fails_nothing(late):
    assert [] == run_at(*RUNNING).tell(late)


def test_a_worker_that_fails_after_its_slot_is_gone_fails_nothing_more():
    assert [] == run_at(*RUNNING, SlotEnded(FIRST, ERROR)).tell(WorkerFailed(1, FIRST, ERROR))


@pytest.mark.parametrize("end", [["cancel"], [*finished(), "commit"]])
def test_a_worker_that_fails_while_the_run_ends_or_commits_changes_nothing(end):
    assert [] == run_at(*RUNNING, *end).tell(WorkerFailed(1, FIRST, ERROR))


@pytest.mark.parametrize(
    "late", [SubtaskStarted(WRITERS[0], 2), SubtaskFinished(WRITERS[0], 2, b"x"), SubtaskFailed(WRITERS[0], 2, ERROR)]
)
def test_news_of_another_run_is_dropped(late):
    probe = run_at(*RUNNING)
    assert [] == probe.tell(late)
    assert AttemptState.RUNNING is probe.machine.run.attempts[WRITERS[0]].state


def test_counts_are_those_of_the_last_report_of_each_worker_and_survive_it():
    probe = run_at(*RUNNING)
    run = probe.machine.run
    assert [True, True, True] == [
        run.progress(news)
        for news in (ProgressReported(1, FIRST, 5, 1), ProgressReported(1, SECOND, 7, 0), ProgressReported(1, FIRST, 9, 4))
    ]
    probe.tell(SlotEnded(FIRST, ERROR))
    assert (16, 4) == run.workers.records
    assert [False, False] == [run.progress(ProgressReported(1, FIRST, 50, 50)), run.progress(ProgressReported(2, SECOND, 50, 50))]


def test_a_timer_that_belongs_to_nothing_is_dropped():
    assert [] == run_at(*RUNNING).tell(TimerFired("attempt:read/0:7"))


# --- ending ------------------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_has_ended_when_its_last_subtask_has():
    probe = run_at(*RUNNING)
    probe.tell("cancel")
    assert [CancelSubtask(subtask, 1) for subtask in SUBTASKS] == probe.sent()
    probe.tell(*cancelled()[:3])
    assert [] == probe.reports()
    probe.tell(cancelled()[3])
    assert [RunEnded()] == probe.reports()


def test_a_run_that_has_deployed_nothing_ends_at_once():
    probe = run_at()
    probe.tell("cancel")
    assert [RunEnded()] == probe.reports()


def test_only_what_still_runs_is_cancelled():
    probe = run_at(*RUNNING, *finished()[:2])
    probe.tell("cancel")
    assert [CancelSubtask(subtask, 1) for subtask in WRITERS] == probe.sent()


def test_however_the_subtasks_of_a_cancelled_run_end_it_has_ended():
    probe = run_at(*RUNNING, "cancel")
    probe.tell(finished()[0], SubtaskFailed(WRITERS[0], 1, ERROR), SlotEnded(SECOND, ERROR))
    assert [RunEnded()] == probe.reports(RunEnded)


def test_giving_back_releases_what_is_held_and_removes_what_was_prepared():
    probe = run_at(*RUNNING, *finished()[:3], "cancel", SlotEnded(SECOND, ERROR))
    probe.tell("give back")
    assert [SlotsReleased(JOB, (FIRST,))] == sent_to(probe, POOL)
    assert [AbortLeft((prepared(WRITERS[0]),)), RemoveBegun((1,))] == work(probe)
    assert [] == probe.tell("give back")


def test_where_no_worker_was_killed_nothing_can_have_been_left():
    probe = run_at(*RUNNING, "cancel")
    probe.tell(*cancelled(), "give back")
    assert [] == work(probe)


@pytest.mark.parametrize(
    ("killed", "how", "left"),
    [
        (True, {}, []),
        (True, {"over": True}, [RemoveBegun((1,), at_end=True)]),
        (True, {"over": True, "finished": True}, [RemoveBegun((1,), at_end=True)]),
        (False, {"over": True, "finished": True}, []),
    ],
)
def test_what_a_checkpoint_may_refer_to_is_removed_only_when_nobody_goes_on_from_it(killed, how, left):
    probe = run_at(*RUNNING, *([SlotEnded(SECOND, ERROR)] if killed else []), description=CHECKPOINTED)
    probe.perform(probe.machine.run.give_back(**how))
    assert left == work(probe)


def test_after_a_commit_nothing_is_removed():
    probe = run_at(*RUNNING, *finished())
    probe.tell("commit")
    assert [CommitOutput(1), CommitOutput(1)] == probe.sent()
    probe.tell("give back")
    assert [] == work(probe)


def test_a_worker_with_nothing_to_commit_may_be_lost():
    probe = run_at(*RUNNING, *finished(committables=False))
    probe.tell("commit")
    assert [RunCommitted()] == probe.reports()
    probe.tell(SlotEnded(FIRST, ERROR))
    assert [SlotsReleased(JOB, (FIRST,))] == sent_to(probe, POOL)
    assert ([PeerLost(worker(FIRST), 1)], []) == (probe.reports(), work(probe))


# --- the invariants ----------------------------------------------------------------------------------------------------------


def test_check_finds_a_commit_before_all_have_finished():
    probe = run_at(*RUNNING, *finished()[:3])
    probe.machine.run.output.committing = True
    with pytest.raises(InvariantViolated, match="the run commits, and write/1 is running"):
        probe.machine.check()


def test_check_finds_a_subtask_without_a_slot():
    probe = run_at(*RUNNING)
    probe.machine.run.workers.gone(FIRST)
    with pytest.raises(InvariantViolated, match="read/0 runs in a slot that the run does not hold"):
        probe.machine.check()


def test_check_finds_a_forgotten_ending():
    probe = run_at(*RUNNING)
    probe.machine.run.attempts[READERS[0]].state = AttemptState.FINISHED
    with pytest.raises(InvariantViolated, match="read/0 is finished, and the run believes otherwise"):
        probe.machine.check()
