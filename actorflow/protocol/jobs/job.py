"""The whole mind of a JobMaster: one job from its submission to its end. Composes runs, splits and the restart strategy.

    CREATED ─► WAITING_FOR_SLOTS ─► DEPLOYING ─► RUNNING ─► COMMITTING ─► FINISHED
                     ▲      │            │          │            │
                     │      └────────────┴────┬─────┘            └──► FAILED (strategy gives up: output half visible)
                 RESTARTING ◄── FAILING ◄─────┘ failure          (rescaled: RUNNING ─► RESCALING ─► WAITING_FOR_SLOTS)
                                   │ strategy gives up
                                   └──► FAILED            any, cancelled ─► CANCELLING ─► CANCELLED

The failure of a region that others do not depend on is that region's alone (see `failover`). Any other ends the whole run: every subtask is
cancelled, every slot given back; the next run gets fresh processes and reads from the start, or goes on from the last checkpoint.

Where there are checkpoints, the decision to commit waits for one that holds the end of the run. After it there is no way back: a cancel comes
too late, and what cannot be committed is tried again as often, and after such pauses, as the strategy says. Splits are listed once, unless
that fails: then the next run lists them again.

Late rule: what is not of the current run is dropped (see `job_run`); so is everything after the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointsFailing, DiscardClaimed, LastCheckpointTaken
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointRequested, CheckpointTaken
from actorflow.protocol.checkpoints.commit import AbortLeft, CommitFailed, CommitLeft, KeepEnd, RemoveBegun, RunCommitted
from actorflow.protocol.event_time.alignment import ReaderFinished, WatermarkAlignment, WatermarkReported
from actorflow.protocol.jobs.deployment import SubtaskFinished, SubtaskNews
from actorflow.protocol.jobs.failover import RegionEnded, RegionFailed, RegionReturned
from actorflow.protocol.jobs.job_checkpoints import CheckpointNews, JobCheckpoints
from actorflow.protocol.jobs.job_description import JobDescription, Timeouts
from actorflow.protocol.jobs.job_events import Begin, JobOver, RegionRestarting
from actorflow.protocol.jobs.job_messages import (
    CancelJob,
    JobProgressed,
    JobStatus,
    JobStatusChanged,
    NodeLost,
    OutputCommitted,
    ProgressReported,
    RescaleJob,
    ResultChunk,
    ResultTaken,
)
from actorflow.protocol.jobs.job_run import JobRun, SlotNews
from actorflow.protocol.jobs.job_sources import JobSources
from actorflow.protocol.jobs.job_state import JobState, check_status, state_of
from actorflow.protocol.jobs.quarantine import Quarantine
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale, Rescaling, ScaledAsItIs, ScaleDue
from actorflow.protocol.jobs.restarts import GiveUp, Restart, RestartStrategy
from actorflow.protocol.jobs.run_reports import RunDeployed, RunEnded, RunFailed, RunFinished
from actorflow.protocol.jobs.splits import ListSplits, SourceListingFailed, SplitFinished, SplitRequested
from actorflow.protocol.jobs.stages import KeepStages, Stages
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired, WorkDone, WorkFailed
from actorflow.protocol.nodes.slot_messages import Slot, SlotsCounted
from actorflow.protocol.transfer.delivery import EnvelopeRefused, Undelivered

_RESTART, _BRING_BACK = "restart", "bring-back"


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
        self._outcome: tuple[JobStatus, ErrorInfo | None] | None = None
        """How the job ends, once it is known which of its checkpoints are retained."""
        self._region_error: ErrorInfo | None = None
        """Why the last region failed that failed alone."""
        self._sources = JobSources(description)
        self._alignment = WatermarkAlignment(description.aligned)
        self._quarantine = Quarantine(description.quarantine_after)
        self._checkpoints = JobCheckpoints(
            description.checkpoints, description.graph, description.sources, description.restored, description.earlier
        )
        self._stages = Stages(description.stages, description.graph.subtasks(), description.finished)
        self._rescaling = Rescaling(description, address, resource_manager)
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
            stages=self._stages,
        )

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the diagram above."""
        if self._status.final or (self._outcome is not None and not self._checkpoints.owns_news(event)):
            return []
        run = self._run
        match event:
            case Begin():
                return self._begin_run(now) if self._status is JobStatus.CREATED else []
            case CancelJob():
                return self._cancel(now)
            case _ if isinstance(event, SlotNews):
                return self._absorb(run.slot_news(event, now), now)
            case _ if isinstance(event, SubtaskNews):
                return [*self._last_state(event, now), *self._absorb(run.subtask_news(event, now), now)]
            case WatermarkReported():
                return self._alignment.handle(event, now) if event.attempt == run.number else []
            case _ if isinstance(event, CheckpointNews):
                return self._absorb(self._checkpoints.handle(event, now), now)
            case RescaleJob():
                return self._rescaling.asked(event, self._status, self._checkpoints)
            case SlotsCounted():
                return self._absorb(self._rescaling.handle(event), now)
            case CheckpointTaken():
                return []  # asked for by this job itself: where it leads is said when it is stored
            case SplitRequested() | SplitFinished():
                return self._absorb(self._sources.handle(event, now), now)
            case ProgressReported():
                news = run.progress(event)
                return [Send(self._description.client, JobProgressed(self._job, run.number, *run.workers.records))] if news else []
            case ResultChunk() | ResultTaken():
                worker = run.attempts.worker_of(event.subtask, event.attempt)
                return run.output.result(event, worker, self._description.client) if worker else []
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
                if name == _RESTART:
                    return self._begin_run(now) if self._status is JobStatus.RESTARTING else []
                return self._bring_back(now) if name == _BRING_BACK else self._absorb(run.timer(name, now), now)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _last_state(self, event: SubtaskNews, now: float) -> list[Effect]:
        if not isinstance(event, SubtaskFinished) or event.attempt != self._run.number:
            return []
        return [*self._checkpoints.finished(event, now), *self._alignment.handle(ReaderFinished(event.subtask), now)]

    def _begin_run(self, now: float) -> list[Effect]:
        self._error = None
        self._stages.begin_run()
        if (rescaled := self._rescaling.next_run(now)) is not None:
            self._description, self._stages = rescaled, Stages(rescaled.stages, rescaled.graph.subtasks())
            self._sources.rescale(rescaled)
            self._checkpoints.rescale(rescaled.graph, rescaled.sources, rescaled.restored)
        self._run = run = self._new_run(self._run.failover.latest + 1, self._run.placed)
        self._alignment = WatermarkAlignment(self._description.aligned)
        effects = [*self._become(JobStatus.WAITING_FOR_SLOTS), *self._sources.list_splits()]
        effects += self._sources.read_from(self._checkpoints.restored(), run.number, self._description.graph.subtasks(), now)
        return effects + run.begin()

    def _work_news(self, news: WorkDone | WorkFailed, now: float) -> list[Effect]:
        match news.work:
            case work if self._checkpoints.owns_work(work):
                return self._checkpoint_work(news, now)
            case PlanScale() | KeepScale():
                return self._rescaling.handle(news)
            case ListSplits():
                return self._sources.handle(news, now)
            case CommitLeft() | KeepEnd():
                return self._run.output.work_news(news, now)
            case KeepStages() as work:
                return self._stages.kept(work)
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
                case Report(RunFinished()):
                    result += [] if self._checkpoints.last_awaited else self._commit(now)
                case Report(LastCheckpointTaken()):
                    result += self._commit(now)
                case Report(RunCommitted()):
                    result += self._end(JobStatus.FINISHED, None)
                case Report(CommitFailed(error=error)):
                    result += self._commit_failed(error, now)
                case Report(RunFailed(error=error) | CheckpointsFailing(error=error) | SourceListingFailed(error=error)):
                    result += self._fail(error, now)
                case Report(RunEnded()):
                    result += self._run_ended(now)
                case Report(RegionFailed(subtask=subtask, error=error)):
                    result += self._region_failed(subtask, error, now)
                case Report(RegionEnded()):
                    result += self._region_ended(now)
                case Report(RegionReturned()):
                    result += self._checkpoints_begin(now)
                case Report(ScaleDue()):
                    result += self._scale_due(now)
                case Report(ScaledAsItIs(description=description)):
                    self._description = description
                case _:
                    result.append(effect)
        if self._status is JobStatus.WAITING_FOR_SLOTS and self._run.attempts:
            result = [*self._become(JobStatus.DEPLOYING), *result]
        return result

    def _deployed(self, now: float) -> list[Effect]:
        if self._status is not JobStatus.DEPLOYING:
            return []
        begun = self._checkpoints_begin(now)
        older = [] if self._checkpoints.outlast() else self._run.remove_older()
        return [*self._become(JobStatus.RUNNING), *begun, *older, *self._rescaling.deployed(now)]

    def _checkpoints_begin(self, now: float) -> list[Effect]:
        workers = {subtask: attempt.worker for subtask, attempt in self._run.attempts.items()}
        return self._checkpoints.run_started(self._run.number, workers, now)

    # --- another parallelism ---------------------------------------------------------------------------------------------------

    def _scale_due(self, now: float) -> list[Effect]:
        """Go over to another scale at once if that loses nothing, else have a checkpoint taken first. Where nothing runs, the next run is it."""
        match self._status:
            case JobStatus.WAITING_FOR_SLOTS | JobStatus.DEPLOYING:
                return self._go_over(now)
            case JobStatus.RUNNING if not self._checkpoints.active:
                return [] if self._checkpoints.stopping else self._go_over(now)
            case JobStatus.RUNNING:
                request = CheckpointRequested(f"{self._job}:{self._run.number}:{self._checkpoints.latest}", self._address)
                return self._absorb(self._checkpoints.handle(request, now), now)
            case _:
                return []

    def _checkpoint_work(self, news: WorkDone | WorkFailed, now: float) -> list[Effect]:
        before = self._checkpoints.latest
        effects = self._checkpoints.handle(news, now)
        if self._outcome is not None:
            return [*effects, *self._end(*self._outcome)]
        taken = self._checkpoints.latest > before and self._status is JobStatus.RUNNING and not self._checkpoints.stopping
        return [*effects, *self._go_over(now)] if taken and self._rescaling.due else effects

    def _go_over(self, now: float) -> list[Effect]:
        self._rescaling.pausing(now)
        given_up = self._checkpoints.run_over(now)
        return [*self._become(JobStatus.RESCALING), *given_up, *self._absorb(self._run.cancel(now), now)]

    # --- failing, cancelling, ending -------------------------------------------------------------------------------------------

    def _fail(self, error: ErrorInfo, now: float) -> list[Effect]:
        if self._status not in {JobStatus.WAITING_FOR_SLOTS, JobStatus.DEPLOYING, JobStatus.RUNNING}:
            return []  # the first failure counts; on the way to an end there is nothing left to fail
        self._error = error
        self._quarantine.failed(error)
        self._stages.forget_lost(error)
        given_up = self._checkpoints.run_over(now)
        return [*self._become(JobStatus.FAILING), *given_up, *self._absorb(self._run.cancel(now), now)]

    def _region_failed(self, subtask: SubtaskId, error: ErrorInfo, now: float) -> list[Effect]:
        """End the region of a subtask. What is pending of checkpoints is given up; if the job was to stop with one, all of it goes on without."""
        if self._status is not JobStatus.RUNNING:
            return []
        if self._checkpoints.stopping:
            return self._fail(error, now)
        self._region_error = error
        self._quarantine.failed(error)
        return [*self._checkpoints.run_over(now), *self._absorb(self._run.end_region(subtask, now), now)]

    def _region_ended(self, now: float) -> list[Effect]:
        error = self._region_error
        if self._status is not JobStatus.RUNNING or error is None:
            return []
        match self._strategy.decide(error, now, next(self._chances)):
            case GiveUp():
                return self._fail(error, now)
            case Restart(after_s=after_s):
                return [Report(RegionRestarting(self._job, error, after_s)), SetTimer(_BRING_BACK, now + after_s)]

    def _bring_back(self, now: float) -> list[Effect]:
        """Have the region that has ended go on from the last checkpoint. A timer of a run that has failed since means nothing."""
        run, region = self._run, tuple(self._run.failover.region)
        if self._status is not JobStatus.RUNNING or not run.failover.ended:
            return []
        restored = self._checkpoints.restored()
        needless = self._checkpoints.run_again(region, now)
        read = self._absorb(self._sources.read_from(restored, run.number, region, now), now)
        return [*needless, *read, *self._absorb(run.reopen(restored, self._quarantine.orders, now), now)]

    def _cancel(self, now: float) -> list[Effect]:
        if self._status in {JobStatus.CANCELLING, JobStatus.COMMITTING}:
            return []
        self._checkpoints.job_ends(JobStatus.CANCELLED)
        match self._status:
            case JobStatus.RESTARTING | JobStatus.CREATED:
                return [CancelTimer(_RESTART), *self._end(JobStatus.CANCELLED, None)]
            case JobStatus.FAILING | JobStatus.RESCALING:
                self._error = None
                return self._become(JobStatus.CANCELLING)
            case _:
                given_up = self._checkpoints.run_over(now)
                return [*self._become(JobStatus.CANCELLING), *given_up, *self._absorb(self._run.cancel(now), now)]

    def _run_ended(self, now: float) -> list[Effect]:
        if self._status is JobStatus.CANCELLING:
            return self._end(JobStatus.CANCELLED, None)
        if self._status is JobStatus.RESCALING:
            return [*self._run.give_back(keep=self._checkpoints.outlast()), *self._begin_run(now)]
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
        decided = [*self._checkpoints.run_over(now), *self._become(JobStatus.COMMITTING)]
        return [*decided, *self._absorb(self._run.output.commit(now, self._run.workers.records), now)]

    def _commit_failed(self, error: ErrorInfo, now: float) -> list[Effect]:
        match self._strategy.decide(error, now, next(self._chances)):
            case GiveUp():
                return self._end(JobStatus.FAILED, error)
            case Restart(after_s=after_s):
                return [SetTimer(self._run.output.timer, now + after_s)]

    def _end(self, status: JobStatus, error: ErrorInfo | None) -> list[Effect]:
        if self._status.final:
            return []
        if self._checkpoints.job_ends(status):
            self._outcome = status, error
            return []
        self._error = error
        changed = [*self._become(status), *self._rescaling.job_over()]
        last = self.observe()
        discarded = self._checkpoints.job_over(status)
        keep, over = self._checkpoints.outlast(), not self._checkpoints.outlast(status)
        given_back = self._run.give_back(keep=keep, over=over, finished=status is JobStatus.FINISHED)
        return [*changed, *given_back, *discarded, Report(JobOver(self._job, status, last))]

    def _become(self, status: JobStatus) -> list[Effect]:
        self._status = status
        changed = JobStatusChanged(self._job, status, self._run.number, self._error, *self._run.workers.records)
        return [Send(self._description.client, changed)]

    # --- looking at it ---------------------------------------------------------------------------------------------------------

    def observe(self) -> JobState:
        """Return the job as a value."""
        parts = (self._alignment, self._checkpoints, self._stages, self._rescaling)
        return state_of(self._description, self._status, self._error, self._run, *parts)

    def check(self) -> None:
        """State what must hold between status and run, and in every part."""
        self._rescaling.check()
        attempts = self._run.attempts
        check_status(
            self._status, self._error, holds=bool(self._run.slots() or attempts), left=bool(attempts.alive or self._outcome)
        )
        self._run.check()
        self._checkpoints.check()
        self._sources.check()
        self._alignment.check()
        self._quarantine.check()
        self._strategy.check()
        self._stages.check()
