"""The whole mind of a JobMaster: one job from its submission to its end. Composes runs, splits and the restart strategy.

    CREATED ─► WAITING_FOR_SLOTS ─► DEPLOYING ─► RUNNING ─► COMMITTING ─► FINISHED
                     ▲      │            │          │            │
                     │      └────────────┴────┬─────┘            └──► FAILED (strategy gives up: output half visible)
                 RESTARTING ◄── FAILING ◄─────┘ failure
                                   │ strategy gives up
                                   └──► FAILED            any, cancelled ─► CANCELLING ─► CANCELLED

A failure ends the whole run: every subtask is cancelled, every slot given back; the next run gets fresh processes and reads from the
start, or goes on from the last checkpoint. Where there are checkpoints, the decision to commit waits for one that holds the end of the run.
After it there is no way back: a cancel comes too late, and what cannot be committed is tried again as often, and after such pauses, as the
strategy says. Splits are listed once, unless that fails: then the next run lists them again.

Late rule: what is not of the current run is dropped (see `job_run`); so is everything after the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, SubtaskId
from actorflow.protocol.alignment import ReaderFinished, WatermarkAlignment, WatermarkReported
from actorflow.protocol.checkpoint_events import (
    CheckpointsFailing,
    CollectOrphans,
    DiscardClaimed,
    DiscardStates,
    LastCheckpointTaken,
    StoreCheckpoint,
)
from actorflow.protocol.checkpoint_messages import (
    CheckpointAcknowledged,
    CheckpointDeclined,
    CheckpointRequested,
)
from actorflow.protocol.commit import AbortLeft, CommitFailed, CommitLeft, RemoveBegun, RunCommitted
from actorflow.protocol.delivery import EnvelopeRefused, Undelivered
from actorflow.protocol.deployment import (
    SubtaskCancelled,
    SubtaskFailed,
    SubtaskFinished,
    SubtaskStarted,
)
from actorflow.protocol.job_checkpoints import JobCheckpoints
from actorflow.protocol.job_messages import (
    CancelJob,
    DeploymentOpened,
    JobProgressed,
    JobStatus,
    JobStatusChanged,
    NodeLost,
    OutputCommitted,
    ProgressReported,
    ResultChunk,
    ResultTaken,
    SlotEnded,
    SlotReady,
    WorkerFailed,
)
from actorflow.protocol.job_run import (
    JobDescription,
    JobRun,
    RunDeployed,
    RunEnded,
    RunFailed,
    RunFinished,
    Timeouts,
)
from actorflow.protocol.job_state import JobState
from actorflow.protocol.machine import (
    CancelTimer,
    Effect,
    Report,
    Send,
    SetTimer,
    TimerFired,
    WorkDone,
    WorkFailed,
    ensure,
)
from actorflow.protocol.quarantine import Quarantine
from actorflow.protocol.restarts import GiveUp, Restart, RestartStrategy
from actorflow.protocol.slots import Slot, SlotsGranted, SlotsLost, SlotsRefused
from actorflow.protocol.splits import (
    ListSplits,
    ReaderStarted,
    ResetSplits,
    SourceExhausted,
    SourceListed,
    SourceListingFailed,
    SplitAssignment,
    SplitFinished,
    SplitRequested,
)

_RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Begin:
    """Run the job. The first event."""


@dataclass(frozen=True, slots=True)
class JobOver:
    """Reported once, when the job has reached a final status."""

    job: JobId
    status: JobStatus


class JobMachine:
    """Decides for one job.

    Args:
        description: the job.
        address: the JobMaster's own.
        resource_manager: where slots come from.
        strategy: what follows a failure.
        chances: numbers in [0, 1) for the strategy's jitter.
        timeouts: how long things may take.
    """

    def __init__(
        self,
        description: JobDescription,
        *,
        address: Address,
        resource_manager: Address,
        strategy: RestartStrategy,
        chances: Iterator[float],
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
    ) -> None:
        self._description = description
        self._job = description.job
        self._address = address
        self._resource_manager = resource_manager
        self._strategy = strategy
        self._chances = chances
        self._timeouts = timeouts
        self._status = JobStatus.CREATED
        self._error: ErrorInfo | None = None
        self._splits = {
            vertex: SplitAssignment(vertex, count, partitioned=vertex in description.partitioned)
            for vertex, count in description.sources.items()
        }
        self._unlisted = dict.fromkeys(self._splits)
        """Sources whose splits are not known, and are not being listed."""
        self._alignment = WatermarkAlignment(description.aligned)
        self._quarantine = Quarantine(description.quarantine_after)
        self._checkpoints = JobCheckpoints(
            description.checkpoints, description.graph, description.sources, description.restored, description.earlier
        )
        self._run = self._new_run(description.earlier.last_number, {})

    def _new_run(self, number: int, previous: Mapping[SubtaskId, Slot]) -> JobRun:
        return JobRun(
            number,
            self._description,
            address=self._address,
            resource_manager=self._resource_manager,
            timeouts=self._timeouts,
            previous=previous,
            restored=self._checkpoints.restored(),
            quarantined=self._quarantine.orders,
        )

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the diagram above."""
        if self._status.final:
            return []
        run = self._run
        match event:
            case Begin():
                return self._begin_run(now) if self._status is JobStatus.CREATED else []
            case CancelJob():
                return self._cancel(now)
            case SlotsGranted() | SlotsRefused() | SlotsLost() | SlotReady() | SlotEnded() | WorkerFailed() | DeploymentOpened():
                return self._absorb(run.slot_news(event, now), now)
            case SubtaskStarted() | SubtaskFinished() | SubtaskCancelled() | SubtaskFailed():
                finished = self._subtask_finished(event, now) if self._ends_in_this_run(event) else []
                return [*finished, *self._absorb(run.subtask_news(event, now), now)]
            case WatermarkReported():
                return self._alignment.handle(event, now) if event.attempt == run.number else []
            case CheckpointAcknowledged() | CheckpointDeclined() | CheckpointRequested():
                return self._absorb(self._checkpoints.handle(event, now), now)
            case SplitRequested() | SplitFinished():
                return self._absorb(self._splits[event.subtask.vertex].handle(event, now), now)
            case ProgressReported():
                return self._progressed() if run.progress(event) else []
            case ResultChunk():
                return [Send(self._description.client, event)] if self._worker_of(event) else []
            case ResultTaken():
                worker = self._worker_of(event)
                return [Send(worker, event)] if worker else []
            case OutputCommitted():
                return self._absorb(run.output.committed(event), now)
            case Undelivered() | EnvelopeRefused():
                return self._absorb(run.not_delivered(event), now)
            case NodeLost():
                return self._absorb(run.node_lost(event), now)
            case WorkDone() | WorkFailed():
                return self._absorb(self._work_news(event, now), now)
            case TimerFired(name=name):
                if self._checkpoints.owns_timer(name):
                    return self._absorb(self._checkpoints.handle(event, now), now)
                if name != _RESTART:
                    return self._absorb(run.timer(name, now), now)
                return self._begin_run(now) if self._status is JobStatus.RESTARTING else []
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _subtask_finished(self, event: SubtaskFinished, now: float) -> list[Effect]:
        return [*self._checkpoints.finished(event, now), *self._alignment.handle(ReaderFinished(event.subtask), now)]

    def _begin_run(self, now: float) -> list[Effect]:
        self._error = None
        self._run = run = self._new_run(self._run.number + 1, self._run.placed)
        self._alignment = WatermarkAlignment(self._description.aligned)
        effects = self._become(JobStatus.WAITING_FOR_SLOTS)
        restored = self._checkpoints.restored()
        for source in self._unlisted:
            effects += self._splits[source].start()
        self._unlisted = {}
        for source, splits in self._splits.items():
            effects += splits.handle(restored.splits.get(source, ResetSplits()), now)
        for subtask in self._description.graph.subtasks():
            if subtask.vertex in self._splits:
                effects += self._splits[subtask.vertex].handle(ReaderStarted(subtask, run.number), now)
        return effects + run.begin()

    def _ends_in_this_run(self, event: object) -> TypeGuard[SubtaskFinished]:
        return isinstance(event, SubtaskFinished) and event.attempt == self._run.number

    def _work_news(self, news: WorkDone | WorkFailed, now: float) -> list[Effect]:
        match news.work:
            case StoreCheckpoint() | DiscardStates() | CollectOrphans():
                return self._checkpoints.handle(news, now)
            case ListSplits(source=source):
                return self._splits[source].handle(news, now)
            case CommitLeft() as work:
                return self._run.output.left_committed(news, work)
            case AbortLeft() | RemoveBegun() | DiscardClaimed():
                return []  # what could not be removed stays hidden, or is its owner's to remove
            case _:
                raise AssertionError(f"unknown work {news.work!r}")

    def _absorb(self, effects: list[Effect], now: float) -> list[Effect]:
        """Act on what a part reports; pass on the rest of its effects."""
        result: list[Effect] = []
        for effect in effects:
            match effect:
                case Report(RunDeployed()):
                    result += self._deployed(now)
                case Report(CheckpointsFailing(error=error)):
                    result += self._fail(error, now)
                case Report(RunFinished()):
                    result += [] if self._checkpoints.last_awaited else self._commit(now)
                case Report(LastCheckpointTaken()):
                    result += self._commit(now)
                case Report(RunCommitted()):
                    result += self._end(JobStatus.FINISHED, None)
                case Report(CommitFailed(error=error)):
                    result += self._commit_failed(error, now)
                case Report(RunFailed(error=error)):
                    result += self._fail(error, now)
                case Report(SourceListingFailed(source=source, error=error)):
                    self._unlisted[source] = None
                    result += self._fail(error, now)
                case Report(RunEnded()):
                    result += self._run_ended(now)
                case Report(SourceListed() | SourceExhausted()):
                    pass  # readers find out when they ask
                case _:
                    result.append(effect)
        if self._status is JobStatus.WAITING_FOR_SLOTS and self._run.attempts:
            result = [*self._become(JobStatus.DEPLOYING), *result]
        return result

    def _deployed(self, now: float) -> list[Effect]:
        if self._status is not JobStatus.DEPLOYING:
            return []
        workers = {subtask: attempt.worker for subtask, attempt in self._run.attempts.items()}
        begun = self._checkpoints.run_started(self._run.number, workers, now)
        older = [] if self._checkpoints.outlast() else self._run.remove_older()
        return [*self._become(JobStatus.RUNNING), *begun, *older]

    def _progressed(self) -> list[Effect]:
        return [Send(self._description.client, JobProgressed(self._job, self._run.number, *self._run.workers.records))]

    def _worker_of(self, news: ResultChunk | ResultTaken) -> Address | None:
        """Return the worker whose results these are, or None if they are of another run."""
        attempt = self._run.attempts.get(news.subtask)
        return attempt.worker if attempt is not None and news.attempt == self._run.number else None

    # --- failing, cancelling, ending -------------------------------------------------------------------------------------------

    def _fail(self, error: ErrorInfo, now: float) -> list[Effect]:
        if self._status not in {JobStatus.WAITING_FOR_SLOTS, JobStatus.DEPLOYING, JobStatus.RUNNING}:
            return []  # the first failure counts; on the way to an end there is nothing left to fail
        self._error = error
        self._quarantine.failed(error)
        given_up = self._checkpoints.run_over(now)
        return [*self._become(JobStatus.FAILING), *given_up, *self._absorb(self._run.cancel(now), now)]

    def _cancel(self, now: float) -> list[Effect]:
        match self._status:
            case JobStatus.CANCELLING | JobStatus.COMMITTING:
                return []
            case JobStatus.RESTARTING | JobStatus.CREATED:
                return [CancelTimer(_RESTART), *self._end(JobStatus.CANCELLED, None)]
            case JobStatus.FAILING:
                self._error = None
                return self._become(JobStatus.CANCELLING)
            case _:
                given_up = self._checkpoints.run_over(now)
                return [*self._become(JobStatus.CANCELLING), *given_up, *self._absorb(self._run.cancel(now), now)]

    def _run_ended(self, now: float) -> list[Effect]:
        if self._status is JobStatus.CANCELLING:
            return self._end(JobStatus.CANCELLED, None)
        if self._status is not JobStatus.FAILING:
            return []  # its end was taken in before, with another report of the same step
        assert self._error is not None, "a failing job has an error"
        match self._strategy.decide(self._error, now, next(self._chances)):
            case GiveUp():
                return self._end(JobStatus.FAILED, self._error)
            case Restart(after_s=after_s):
                effects = self._run.give_back(keep=self._checkpoints.outlast())
                return [*effects, *self._become(JobStatus.RESTARTING), SetTimer(_RESTART, now + after_s)]

    def _commit(self, now: float) -> list[Effect]:
        """Decide to make visible what all subtasks have left: a checkpoint holds it, where there are checkpoints."""
        return [
            *self._become(JobStatus.COMMITTING),
            *self._checkpoints.run_over(now),
            *self._absorb(self._run.output.commit(now), now),
        ]

    def _commit_failed(self, error: ErrorInfo, now: float) -> list[Effect]:
        match self._strategy.decide(error, now, next(self._chances)):
            case GiveUp():
                return self._end(JobStatus.FAILED, error)
            case Restart(after_s=after_s):
                return [SetTimer(self._run.output.timer, now + after_s)]

    def _end(self, status: JobStatus, error: ErrorInfo | None) -> list[Effect]:
        if self._status.final:
            return []
        self._error = error
        changed = self._become(status)
        discarded = self._checkpoints.job_over(status)
        keep, over = self._checkpoints.outlast(), not self._checkpoints.outlast(status)
        given_back = self._run.give_back(keep=keep, over=over, finished=status is JobStatus.FINISHED)
        return [*changed, *given_back, *discarded, Report(JobOver(self._job, status))]

    def _become(self, status: JobStatus) -> list[Effect]:
        self._status = status
        changed = JobStatusChanged(self._job, status, self._run.number, self._error, *self._run.workers.records)
        return [Send(self._description.client, changed)]

    # --- looking at it ---------------------------------------------------------------------------------------------------------

    def observe(self) -> JobState:
        """Return the job as a value."""
        return JobState(
            self._job,
            self._status,
            self._run.number,
            {str(subtask): attempt.state for subtask, attempt in self._run.attempts.items()},
            {subtask: attempt.worker for subtask, attempt in self._run.attempts.items()},
            self._run.slots(),
            *self._run.workers.records,
            self._error,
            self._alignment.observe(),
            self._checkpoints.observe(),
            self._description.topology(),
        )

    def check(self) -> None:
        """State what must hold between status and run, and in every part."""
        status = self._status
        if status.final or status in {JobStatus.CREATED, JobStatus.RESTARTING}:
            ensure(not self._run.slots() and not self._run.attempts, f"job is {status.value} and holds slots")
        if status in {JobStatus.FAILING, JobStatus.CANCELLING}:
            left = any(not attempt.state.final for attempt in self._run.attempts.values())
            ensure(left, f"job is {status.value} and nothing is left to end")
        failed = status in {JobStatus.FAILING, JobStatus.RESTARTING, JobStatus.FAILED}
        ensure(failed == (self._error is not None), "error and status disagree")
        self._run.check()
        self._checkpoints.check()
        for splits in self._splits.values():
            splits.check()
        self._alignment.check()
        self._quarantine.check()
        self._strategy.check()
