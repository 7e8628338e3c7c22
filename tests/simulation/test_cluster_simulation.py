"""A cluster of the real control machines, with workers that fail, hang and die, and TaskManagers that crash: nothing is lost, doubled or left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_invariants import EveryJobEnds, StatusesFollowTheDiagram, cluster_invariants
from cluster_world import JobMaster, World

from actorflow.protocol.commit import AbortLeft, PreparedOutput, RunCommitted
from actorflow.protocol.deployment import KillSlot, SubtaskFinished
from actorflow.protocol.job_messages import CancelJob, JobStatus, OutputCommitted, SlotEnded
from actorflow.protocol.job_run import JobRun, RunFinished
from actorflow.protocol.machine import Report, Send, Start
from actorflow.protocol.slots import SlotsReleased
from actorflow.protocol.splits import ResetSplits, SplitAssignment
from actorflow.protocol.task_manager import TaskManagerMachine
from actorflow.testing.simulation import first_failure, sweep


def run(seed, *, invariants=cluster_invariants, **machines):
    return World(seed, invariants, **machines).run()


@pytest.mark.slow
def test_every_job_ends_as_it_must_and_leaves_nothing_over_many_seeds():
    sweep(run, range(200))


@pytest.mark.slow
def test_every_job_ends_as_it_must_and_leaves_nothing_over_very_many_seeds():
    sweep(run, range(200, 1_500))


def test_the_seeds_see_every_ending_and_several_runs():
    endings, runs = {}, {}
    for seed in range(40):
        watched = [EveryJobEnds(), StatusesFollowTheDiagram()]
        run(seed, invariants=lambda _, watched=watched: watched)
        endings |= dict.fromkeys(watched[0].over.values())
        runs |= dict.fromkeys(attempt for _, attempt in watched[1].last.values())
    assert {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED} == set(endings)
    assert {1, 2, 3} <= set(runs)


# --- planted bugs: the machines do not check themselves here, so that the invariants outside have to find them ----------------


class Unchecked(JobMaster):
    def check(self):
        pass


def in_every_run(kind):
    """Return a JobMaster whose runs are of this kind."""

    class Master(Unchecked):
        def _new_run(self, number):
            made = super()._new_run(number)
            made.__class__ = kind
            return made

    return Master


class CommitsBeforeAllHaveFinished(JobRun):
    def _attempt_ended(self, subtask, error):
        reports = super()._attempt_ended(subtask, error)
        return [Report(RunFinished())] if error is None and not self._ending and len(self._alive) == 1 else reports


class KeepsTheSlotsOfAFailedRun(JobRun):
    def give_back(self):
        return [e for e in super().give_back() if not (isinstance(e, Send) and isinstance(e.message, SlotsReleased))]


class KeepsTheSlotOfADeadWorker(JobRun):
    def _slot_ended(self, ended, now):
        return self._slot_gone(ended.allocation, ended.error, now)


class BelievesOldRuns(JobRun):
    def subtask_news(self, news, now):
        if isinstance(news, SubtaskFinished):
            news = SubtaskFinished(news.subtask, self.number, news.committables)
        return super().subtask_news(news, now)


class IgnoresWorkersThatFail(JobRun):
    def _worker_failed(self, failed):
        return []


class KeepsLateGrants(JobRun):
    def _granted(self, number, leases):
        return [] if number != self.number or self._ending else super()._granted(number, leases)


class DropsTheOutputOfDeadWorkers(JobRun):
    def _slot_gone(self, allocation, error, now):
        if self.output.committing and allocation in self.output._awaited:
            del self.output._awaited[allocation]
            return self.output._when_all_is_visible()
        return super()._slot_gone(allocation, error, now)


class WaitsForBuildersForEver(JobRun):
    def _not_opened_in_time(self):
        return []


class AsksToCommitOnce(JobRun):
    def timer(self, name, now):
        return [] if name == self.output.timer else super().timer(name, now)


class NeverKillsWhoHangsWhileCommitting(JobRun):
    def timer(self, name, now):
        effects = super().timer(name, now)
        return [e for e in effects if not (self.output.committing and isinstance(e, Send) and isinstance(e.message, KillSlot))]


class ForgetsWhoseWorkerWasLostWhileCommitting(JobRun):
    def _slot_gone(self, allocation, error, now):
        effects = super()._slot_gone(allocation, error, now)
        return [] if self.output.committing else effects


class IgnoresTheEndOfARun(Unchecked):
    def _run_ended(self, now):
        return [] if self._status is JobStatus.FAILING else super()._run_ended(now)


class NumbersAllRunsAlike(Unchecked):
    def _new_run(self, number):
        return super()._new_run(min(number, 1))


class ListsSourcesOnce(Unchecked):
    def _begin_run(self, now):
        if self._run.number:
            self._unlisted = {}
        return super()._begin_run(now)


class ReadsOnWhereTheLastRunEnded(Unchecked):
    def _begin_run(self, now):
        for splits in self._splits.values():
            splits.__class__ = NeverReset
        return super()._begin_run(now)


class NeverReset(SplitAssignment):
    def handle(self, event, now):
        return [] if isinstance(event, ResetSplits) else super().handle(event, now)


class CancelsWhileCommitting(Unchecked):
    def handle(self, event, now):
        if isinstance(event, CancelJob) and self._status is JobStatus.COMMITTING:
            return [*self._become(JobStatus.CANCELLING), *self._end(JobStatus.CANCELLED, None)]
        return super().handle(event, now)


class RestartsAfterAFailedCommit(Unchecked):
    def _end(self, status, error):
        if self._status is JobStatus.COMMITTING and status is JobStatus.FAILED:
            self._status = JobStatus.RUNNING
            return self._fail(error, 0.0)
        return super()._end(status, error)


class FinishesBeforeItsOutputIsVisible(Unchecked):
    def _absorb(self, effects, now):
        committing = [e for e in effects if isinstance(e, Report) and isinstance(e.value, RunFinished)]
        return super()._absorb([*effects, Report(RunCommitted())] if committing else effects, now)


class FailsBeforeAllHaveCommitted(Unchecked):
    def handle(self, event, now):
        if isinstance(event, OutputCommitted) and event.error is not None and self._status is JobStatus.COMMITTING:
            return self._end(JobStatus.FAILED, event.error)
        return super().handle(event, now)


class RemovesWhatItCommits(Unchecked):
    def _end(self, status, error):
        output: PreparedOutput = self._run.output
        payloads = tuple(p for writer in output._writers.values() for p in writer.committables.values())
        return [*super()._end(status, error), Start(AbortLeft(payloads))]


class StartsWhatWasFreed(TaskManagerMachine):
    def _remember(self, allocation):
        pass


class HidesTheEndOfItsWorkers(TaskManagerMachine):
    def handle(self, event, now):
        effects = super().handle(event, now)
        return [e for e in effects if not (isinstance(e, Send) and isinstance(e.message, SlotEnded))]


class NeverKills(TaskManagerMachine):
    def handle(self, event, now):
        return [] if isinstance(event, KillSlot) else super().handle(event, now)


class LetsFreedWorkersLive(TaskManagerMachine):
    def _free(self, allocation):
        return super()._free(allocation)[:1]


class OffersOnce(TaskManagerMachine):
    def _offer(self, now):
        return super()._offer(now)[:1]


RUNS = [
    CommitsBeforeAllHaveFinished,
    KeepsTheSlotsOfAFailedRun,
    KeepsTheSlotOfADeadWorker,
    BelievesOldRuns,
    IgnoresWorkersThatFail,
    KeepsLateGrants,
    DropsTheOutputOfDeadWorkers,
    WaitsForBuildersForEver,
    AsksToCommitOnce,
    NeverKillsWhoHangsWhileCommitting,
    ForgetsWhoseWorkerWasLostWhileCommitting,
]
MASTERS = [
    IgnoresTheEndOfARun,
    NumbersAllRunsAlike,
    ListsSourcesOnce,
    ReadsOnWhereTheLastRunEnded,
    CancelsWhileCommitting,
    RestartsAfterAFailedCommit,
    FinishesBeforeItsOutputIsVisible,
    FailsBeforeAllHaveCommitted,
    RemovesWhatItCommits,
]
TASK_MANAGERS = [StartsWhatWasFreed, HidesTheEndOfItsWorkers, NeverKills, LetsFreedWorkersLive, OffersOnce]
PLANTED = [
    *(pytest.param({"master": in_every_run(kind)}, id=kind.__name__) for kind in RUNS),
    *(pytest.param({"master": master}, id=master.__name__) for master in MASTERS),
    *(pytest.param({"task_manager": task_manager}, id=task_manager.__name__) for task_manager in TASK_MANAGERS),
]


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, **bug), range(200)) is not None


# --- one seed, one history ---------------------------------------------------------------------------------------------------


def histories(hash_seed):
    """Return the history digest of some seeds, from a fresh process with this `PYTHONHASHSEED`."""
    program = "from test_cluster_simulation import run; print([run(seed).history_hash() for seed in range(5)])"
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_one_seed_is_one_history_in_every_process():
    assert histories(1) == histories(2)
