"""Bugs that are planted in the machines of a cluster. None of these checks itself, so that the invariants outside have to find them."""

from cluster_world import TALK, JobMaster

from actorflow.protocol.checkpoints.checkpoint_events import LastCheckpointTaken
from actorflow.protocol.checkpoints.commit import AbortLeft, PreparedOutput, RunCommitted
from actorflow.protocol.jobs.deployment import KillSlot, SubtaskFinished
from actorflow.protocol.jobs.job_messages import CancelJob, JobStatus, OutputCommitted, ResultChunk, SlotEnded
from actorflow.protocol.jobs.job_run import JobRun
from actorflow.protocol.jobs.run_reports import RunFinished
from actorflow.protocol.jobs.splits import NoMoreSplits, ResetSplits, SplitAssigned, SplitAssignment, SplitRequested
from actorflow.protocol.machine import Report, Send, Start
from actorflow.protocol.nodes.slot_messages import Lease, Slot, SlotsReleased
from actorflow.protocol.nodes.slots import SlotPool, _Holding
from actorflow.protocol.nodes.task_manager import TaskManagerMachine
from actorflow.protocol.transfer.delivery import Acknowledged, ReliableSender
from actorflow.protocol.transfer.receipt import ReliableReceiver


class Unchecked(JobMaster):
    def check(self):
        pass


def in_every_run(kind):
    """Return a JobMaster whose runs are of this kind."""

    class Master(Unchecked):
        def _new_run(self, number, previous):
            made = super()._new_run(number, previous)
            made.__class__ = kind
            return made

    return Master


class CommitsBeforeAllHaveFinished(JobRun):
    def _attempt_ended(self, subtask, error):
        reports = super()._attempt_ended(subtask, error)
        return [Report(RunFinished())] if error is None and not self._ending and len(self.attempts.alive) == 1 else reports


class KeepsTheSlotsOfAFailedRun(JobRun):
    def give_back(self, **options):
        return [e for e in super().give_back(**options) if not (isinstance(e, Send) and isinstance(e.message, SlotsReleased))]


class KeepsTheSlotOfADeadWorker(JobRun):
    def _slot_ended(self, ended, now):
        return self._slot_gone(ended.allocation, ended.error, now)


class BelievesOldRuns(JobRun):
    """And reads the letters of their workers."""

    @staticmethod
    def _part_with(workers):
        return []

    def subtask_news(self, news, now):
        if isinstance(news, SubtaskFinished):
            news = SubtaskFinished(news.subtask, self.number, news.committables)
        return super().subtask_news(news, now)


class IgnoresWorkersThatFail(JobRun):
    def _worker_failed(self, failed):
        return []


class KeepsLateGrants(JobRun):
    def _granted(self, number, leases, now):
        return [] if number != self.number or self._ending else super()._granted(number, leases, now)


class LeasesOnce(JobRun):
    def timer(self, name, now):
        return [] if name == self._leasing_timer else super().timer(name, now)


class WritesToTheDead(JobRun):
    @staticmethod
    def _part_with(workers):
        return []


class DropsTheOutputOfDeadWorkers(JobRun):
    def _slot_gone(self, allocation, error, now):
        if self.output.committing and allocation in self.output._awaited:
            return self.output._answered(allocation, None)
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
    def _new_run(self, number, previous):
        return super()._new_run(min(number, 1), previous)


class ListsSourcesOnce(Unchecked):
    def _begin_run(self, now):
        if self._run.number:
            self._sources._unlisted = {}
        return super()._begin_run(now)


class ReadsOnWhereTheLastRunEnded(Unchecked):
    def _begin_run(self, now):
        for splits in self._sources._splits.values():
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
        committing = [e for e in effects if isinstance(e, Report) and isinstance(e.value, RunFinished | LastCheckpointTaken)]
        return super()._absorb([*effects, Report(RunCommitted())] if committing else effects, now)


class CommitsBeforeItsEndIsStored(Unchecked):
    def _absorb(self, effects, now):
        finished = [e for e in effects if isinstance(e, Report) and isinstance(e.value, RunFinished)]
        return super()._absorb([*effects, Report(LastCheckpointTaken())] if finished else effects, now)


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


class TellsTheEndOfALeaseOnce(TaskManagerMachine):
    def _offer(self, now):
        effects = super()._offer(now)
        return [e for e in effects if not (isinstance(e, Send) and isinstance(e.message, SlotEnded))]


class AnswersALeaseOnce(TaskManagerMachine):
    def _lease(self, lease, now):
        return [] if lease.allocation in self._held else super()._lease(lease, now)


class SharesASlot(TaskManagerMachine):
    def _free(self, allocation):
        self._occupied = {index: lives for index, lives in self._occupied.items() if lives != allocation}
        return super()._free(allocation)

    def _ended(self, allocation, ending, now):
        self._occupied.setdefault(self._processes.get(allocation), allocation)
        return super()._ended(allocation, ending, now)

    def check(self):
        pass


class AdoptsWhatItHasGivenUp(SlotPool):
    def _offered(self, offer):
        effects = super()._offered(offer)
        leased = self._task_managers[offer.task_manager].leased
        for held in offer.leases:
            lease = Lease(Slot(offer.task_manager, held.index), held.allocation)
            leased[held.index] = held.allocation
            self._holdings[held.allocation] = _Holding(lease, held.job, 0, held.holder)
        return effects

    def check(self):
        pass


class NeverAsks(ReliableSender):
    def _ask(self, now):
        self._timer_set = False
        return []

    def check(self):
        pass


class ForgetsWhatAnAnswerLacks(ReliableSender):
    def _acknowledged(self, ack, now):
        through = max(ack.through, ack.asked)
        return super()._acknowledged(Acknowledged(ack.receiver, ack.sender_incarnation, ack.receiver_incarnation, through), now)

    def check(self):
        pass


class DeliversDoubles(ReliableReceiver):
    def arrived(self, event, now):
        if (stream := self._streams.get(event.sender)) is not None and event.sequence <= stream.delivered:
            return [self._open(event.sender, event.payload)]
        return super().arrived(event, now)


class DeliversInAnyOrder(ReliableReceiver):
    def arrived(self, event, now):
        stream = self._stream(event)
        if stream is None or event.sequence in stream.early or event.sequence <= stream.delivered:
            return []
        stream.early[event.sequence] = b""
        while stream.early.pop(stream.delivered + 1, None) is not None:
            stream.delivered += 1
        return [self._open(event.sender, event.payload)]


class AcknowledgesTheHighestSeen(ReliableReceiver):
    def arrived(self, event, now):
        effects = super().arrived(event, now)
        stream = self._streams.get(event.sender)
        if stream is not None and event.sequence > stream.delivered:
            stream.delivered = event.sequence
            stream.early.clear()
        return effects


RUNS = [
    CommitsBeforeAllHaveFinished,
    KeepsTheSlotsOfAFailedRun,
    KeepsTheSlotOfADeadWorker,
    BelievesOldRuns,
    IgnoresWorkersThatFail,
    KeepsLateGrants,
    DropsTheOutputOfDeadWorkers,
    LeasesOnce,
    WritesToTheDead,
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
    CommitsBeforeItsEndIsStored,
    FailsBeforeAllHaveCommitted,
    RemovesWhatItCommits,
]
TASK_MANAGERS = [
    StartsWhatWasFreed,
    HidesTheEndOfItsWorkers,
    NeverKills,
    LetsFreedWorkersLive,
    OffersOnce,
    TellsTheEndOfALeaseOnce,
    AnswersALeaseOnce,
    SharesASlot,
]
SENDERS = [NeverAsks, ForgetsWhatAnAnswerLacks]
RECEIVERS = [DeliversDoubles, DeliversInAnyOrder, AcknowledgesTheHighestSeen]
NEVER_LOST = [SubtaskFinished, SplitRequested, SplitAssigned, NoMoreSplits, ResultChunk]
"""What a job waits for without end if it is lost, or finishes without. What else is lost is noticed when its time is up."""

PLANTED = (
    {kind.__name__: {"master": in_every_run(kind)} for kind in RUNS}
    | {master.__name__: {"master": master} for master in MASTERS}
    | {task_manager.__name__: {"task_manager": task_manager} for task_manager in TASK_MANAGERS}
    | {sender.__name__: {"sender": sender} for sender in SENDERS}
    | {receiver.__name__: {"receiver": receiver} for receiver in RECEIVERS}
    | {f"Loses{lost.__name__}": {"reliably": [kind for kind in TALK if kind is not lost]} for lost in NEVER_LOST}
    | {"AdoptsWhatItHasGivenUp": {"pool": AdoptsWhatItHasGivenUp}}
)
"""What is different in a `World`, by the name of the bug."""
