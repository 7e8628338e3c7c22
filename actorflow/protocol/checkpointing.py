"""THE IDEA AT WORK: the checkpoint coordinator of a job (Chandy and Lamport 1985; asynchronous barriers, Carbone et al. 2015).

    interval, or asked ─► pending ──every subtask has acknowledged──► storing ──manifest written──► completed ──subsumed──► discarded
                             │                                          │
                             └── declined · timed out · run ended ──────┴── cannot be written ──► aborted

A checkpoint is asked of the sources; barriers carry it through the channels; every subtask acknowledges with its part. When the last part
has come, one manifest makes them a whole: it is written last, and only then the subtasks hear of it, and commit what they had prepared.

- A subtask that has finished takes no part any more: its last state is its part of every checkpoint whose barrier it will not meet. Of those
  whose barrier it has passed, only what it acknowledges counts: its last state has seen what came behind that barrier.
- When all have finished, one more is taken, of their last states: only with it sinks commit what they have prepared at their end, so that who
  takes over the job meanwhile does nothing again. Where the run stops with a savepoint, that is the last.
- A completed checkpoint aborts the older ones that are still on their way, and discards the oldest beyond those that are needed.
- Where a subtask may meet a barrier before all those of an earlier checkpoint, a savepoint has the channels to itself: it takes the place of what
  is under way, the next waits, and what is asked for meanwhile is refused.
- A savepoint belongs to who asked for it: nothing is committed with it, it subsumes nothing, is not discarded, and a failure goes back to the
  last checkpoint all the same, because its owner may have removed it.
- One to stop with is the exception: nothing is begun behind it, its subtasks hear of it, commit and end, and what fails on this way goes on
  from it. If it fails, they go on as if it had not been; unless event time was brought to its end for it: that is the job's failure.
- Failures one after the other, more than are tolerable, are the failure of the job; a success starts the count anew. What the end of a run
  takes with it is no failure. A checkpoint whose manifest is being written then is discarded once it is; where the job ends as well, and its
  checkpoints are retained, it is complete.

Numbers rise over the life of the job and fence everything. Late rule: an acknowledgement of another attempt, or of a checkpoint that is not
pending, is void, and what it stored is discarded, unless the checkpoint that it belongs to has been completed.
"""

from __future__ import annotations

from collections.abc import Sequence

from actorflow.errors import ErrorInfo, Retry
from actorflow.protocol.checkpoints.checkpoint_events import (
    BacklogChanged,
    CheckpointsFailing,
    CheckpointsObservation,
    CollectOrphans,
    CompletedCheckpoint,
    DiscardStates,
    LastCheckpointTaken,
    Phase,
    RunOver,
    RunStarted,
    StoreCheckpoint,
    SubtaskDone,
    checkpoint_error,
)
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    CheckpointRequested,
    CheckpointTaken,
)
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules, CheckpointSchedule
from actorflow.protocol.checkpoints.checkpoint_under_way import LastParts, LateCheckpoints, UnderWay
from actorflow.protocol.checkpoints.completed_checkpoints import CompletedCheckpoints
from actorflow.protocol.machine import (
    CancelTimer,
    Effect,
    Report,
    Send,
    SetTimer,
    Start,
    TimerFired,
    WorkDone,
    WorkFailed,
    ensure,
)

_PERIODIC = "checkpoint"
_TIMEOUT = "checkpoint-timeout:"


class CheckpointCoordinator:
    """Decides about the checkpoints of one job.

    Args:
        rules: what the user configured.
        wall_offset_ms: wall clock minus the machine's clock, in ms: timestamps of checkpoints are for people.
        restored: completed checkpoints of an earlier life of the job, oldest first. They may be more than are retained: the next one replaces them.
        last: the highest number that was given in an earlier life.
    """

    def __init__(
        self,
        rules: CheckpointRules,
        *,
        wall_offset_ms: float = 0.0,
        restored: Sequence[CompletedCheckpoint] = (),
        last: int = 0,
    ) -> None:
        self._rules = rules
        self._wall_offset_ms = wall_offset_ms
        self._schedule = CheckpointSchedule(rules)
        self._run: RunStarted | None = None
        self._left = LastParts()
        self._under_way: dict[int, UnderWay] = {}
        self._completed = CompletedCheckpoints(rules.retained_max, restored)
        self._answers: dict[str, CheckpointTaken] = {}
        self._last = max(last, *(completed.checkpoint for completed in restored), 0)
        self._complete = False
        """Whether the last checkpoint of the run was taken."""
        self.late = LateCheckpoints()
        self._triggered = self._failed = self._failed_in_a_row = 0
        self._last_error: ErrorInfo | None = None

    @property
    def latest(self) -> CompletedCheckpoint | None:
        """What a restart goes on from."""
        return self._completed.latest

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the classes above."""
        match event:
            case RunStarted():
                return self._run_started(event, now)
            case RunOver():
                return self._run_over(now)
            case SubtaskDone():
                return self._subtask_done(event, now)
            case BacklogChanged(backlog=backlog):
                self._schedule.backlog = backlog and not self.last_awaited
                return self._arm()
            case CheckpointRequested():
                return self._requested(event, now)
            case CheckpointAcknowledged():
                return self._acknowledged(event)
            case CheckpointDeclined():
                return self._declined(event, now)
            case WorkDone(work=StoreCheckpoint() as work, result=location):
                return self._stored(work, str(location), now)
            case WorkFailed(work=StoreCheckpoint() as work, error=error):
                return self._not_stored(work, error, now)
            case WorkDone(work=DiscardStates() | CollectOrphans()) | WorkFailed(work=DiscardStates() | CollectOrphans()):
                return []  # what could not be removed is an orphan, and is collected as such when the next run starts
            case TimerFired(name=name) if name == _PERIODIC:
                return self._periodic(now)
            case TimerFired(name=name):
                return self._timed_out(int(name.removeprefix(_TIMEOUT)), now)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    # --- beginning -------------------------------------------------------------------------------------------------------------

    def _run_started(self, run: RunStarted, now: float) -> list[Effect]:
        if self._run is not None and self._run.attempt >= run.attempt:
            return []
        effects = self._run_over(now)
        self._run = run
        self._left = LastParts(run.workers)
        self._failed_in_a_row = 0
        self._complete = False
        self._schedule.start(now)
        return [*effects, *self._collect(run), *self._arm()]

    def _collect(self, run: RunStarted) -> list[Effect]:
        """Remove what earlier runs have left. What of theirs is not in a completed checkpoint now is never in a later one."""
        if run.attempt == 1 or self._rules.interval_s is None:
            return []  # without an interval nothing is stored among checkpoints
        keep = dict.fromkeys(state for completed in self._completed.all for state in completed.states.values())
        return [Start(CollectOrphans(run.attempt, tuple(keep)))]

    def _arm(self) -> list[Effect]:
        """Set the timer for the next periodic checkpoint anew."""
        if self._run is None or self.stopping:
            return [CancelTimer(_PERIODIC)]
        due = self._schedule.due(self._in_the_way())
        return [CancelTimer(_PERIODIC)] if due is None else [SetTimer(_PERIODIC, due)]

    def _in_the_way(self) -> int:
        """Return how many are under way that a periodic one has to wait for: barriers that mix would give up a savepoint's."""
        return sum(one.periodic or (one.savepoint is not None and self._rules.mixing) for one in self._under_way.values())

    def _periodic(self, now: float) -> list[Effect]:
        due = self._schedule.due(self._in_the_way())
        if self._run is None or self.stopping or due is None or due > now:
            return self._arm()
        self._schedule.began(now)
        begun = self._take_last(now) if self._left.all_here else self._begin(None, now)
        return [*begun, *self._arm()]

    @property
    def last_awaited(self) -> bool:
        """Whether all subtasks have finished, and what their sinks have prepared has to wait for the checkpoint that holds it."""
        return self._rules.interval_s is not None and self._run is not None and self._left.all_here and not self._complete

    def _take_last(self, now: float) -> list[Effect]:
        """Take the last checkpoint of a run that has come to its end, unless one that is under way is that. It overtakes the periodic ones."""
        if not self.last_awaited or self.stopping or any(self._left.are(one.states) for one in self._under_way.values()):
            return []
        effects = self._overtake([one for one in self._under_way.values() if one.periodic], self._last + 1, now)
        self._schedule.backlog = False
        self._schedule.began(now)
        return effects + self._begin(None, now)

    @property
    def stopping(self) -> bool:
        """Whether the last checkpoint of the run is taken, or a savepoint will be it."""
        return self._complete or any(begun.stops for begun in self._under_way.values())

    def _requested(self, request: CheckpointRequested, now: float) -> list[Effect]:
        answer = self._answers.get(request.request)
        if answer is not None:
            return [Send(request.reply_to, answer)]
        if any(one.request is not None and one.request.request == request.request for one in self._under_way.values()):
            return []
        if (refusal := self._refusal()) is not None:
            return [Send(request.reply_to, CheckpointTaken(request.request, 0, None, refusal))]
        effects: list[Effect] = []
        if request.savepoint is not None and self._rules.mixing:
            error = checkpoint_error("CheckpointSubsumed", "a savepoint takes its place: their barriers must not mix", Retry.NEVER)
            for one in [one for one in self._under_way.values() if one.savepoint is None and one.waiting]:
                effects += self._abort(one, error, now)
        return [*effects, *self._begin(request, now), *self._arm()]

    def _refusal(self) -> ErrorInfo | None:
        """Return why nothing that is asked for can be taken now, if that is so."""
        if self._run is None or self.stopping:
            end = "at its end" if self._left.all_here else "being stopped with a savepoint"
            what = "not running" if self._run is None else end
            return checkpoint_error("NoRun", f"the job is {what}: no checkpoint can be taken of it", Retry.BACKOFF)
        if self._rules.mixing and any(one.savepoint is not None for one in self._under_way.values()):
            return checkpoint_error("SavepointUnderWay", "a savepoint is being taken: barriers must not mix", Retry.BACKOFF)
        return None

    def _begin(self, request: CheckpointRequested | None, now: float) -> list[Effect]:
        run = self._run
        assert run is not None, "a checkpoint is taken of a run"
        self._last += 1
        self._triggered += 1
        number = self._last
        timestamp = round(now * 1000 + self._wall_offset_ms)
        begun = UnderWay(number, now, timestamp, request is None, request, self._left.running, self._left.parts)
        self._under_way[number] = begun
        effects: list[Effect] = [SetTimer(f"{_TIMEOUT}{number}", now + self._rules.timeout_s)]
        unaligned = self._rules.unaligned and not self._rules.aligned_first and begun.savepoint is None
        effects += (Send(run.workers[trigger.subtask], trigger) for trigger in begun.triggers(run, unaligned=unaligned))
        return effects + self._store_if_whole(begun)

    # --- parts -----------------------------------------------------------------------------------------------------------------

    def _acknowledged(self, news: CheckpointAcknowledged) -> list[Effect]:
        begun = self._under_way.get(news.checkpoint)
        if begun is None or not self._of_this_run(news.attempt) or news.subtask not in begun.waiting:
            known = begun is not None or any(news.checkpoint == completed.checkpoint for completed in self._completed.all)
            return [] if known else [Start(DiscardStates(news.checkpoint, None, (news.state,)))]  # came too late
        begun.acknowledged(news)
        return self._store_if_whole(begun)

    def _subtask_done(self, done: SubtaskDone, now: float) -> list[Effect]:
        """Take the last state of a subtask, also for what waits for a barrier that it did not meet."""
        if self._run is None or not self._left.add(done):
            return []
        effects: list[Effect] = []
        for begun in self._under_way.values():
            if done.subtask in begun.waiting and begun.checkpoint > done.passed:
                del begun.waiting[done.subtask]
                begun.states[done.subtask] = done.state
                effects += self._store_if_whole(begun)
        return [*effects, *self._take_last(now), *(self._arm() if self._left.all_here else [])]

    def _store_if_whole(self, begun: UnderWay) -> list[Effect]:
        if begun.waiting:
            return []
        assert self._run is not None, "a checkpoint ends with its run"
        begun.phase = Phase.STORING
        return [Start(StoreCheckpoint(begun.checkpoint, self._run.attempt, begun.timestamp, begun.savepoint, dict(begun.states)))]

    def _declined(self, news: CheckpointDeclined, now: float) -> list[Effect]:
        begun = self._under_way.get(news.checkpoint)
        if begun is None or not self._of_this_run(news.attempt) or news.subtask not in begun.waiting:
            return []
        return self._fail(begun, news.error, now)

    def _timed_out(self, number: int, now: float) -> list[Effect]:
        begun = self._under_way.get(number)
        return [] if begun is None else self._fail(begun, begun.overdue(self._rules.timeout_s), now)

    # --- ends ------------------------------------------------------------------------------------------------------------------

    def _stored(self, work: StoreCheckpoint, location: str, now: float) -> list[Effect]:
        begun = self._under_way.get(work.checkpoint)
        if self._run is None or begun is None or not self._of_this_run(work.attempt):
            kept = self.late.stored(work, location, now)
            if kept is not None and (self.latest is None or kept.checkpoint > self.latest.checkpoint):
                return self._subsume(kept, kept.checkpoint, now)
            # Given up meanwhile, and nobody has been told to commit: as if it had never been.
            return [Start(DiscardStates(work.checkpoint, location, self._left.without(work.states)))]
        effects = self._end(begun, now) + self._answer(begun, location, None)
        if begun.savepoint is not None and not begun.stops:
            return effects + self._arm()
        self._failed_in_a_row = 0
        self._complete = begun.stops or self._left.are(begun.states)
        effects += self._tell_all(CheckpointCompleted, begun.checkpoint)
        effects += self._subsume(begun.completed(location, self._run.chains, now), begun.oldest, now)
        over = [Report(LastCheckpointTaken())] if self._complete and self._left.all_here else []
        return [*effects, *self._arm(), *over]

    def _subsume(self, completed: CompletedCheckpoint, oldest: int, now: float) -> list[Effect]:
        """Abort what is older and still under way, and discard what is no longer needed."""
        number = completed.checkpoint
        older = [one for one in self._under_way.values() if one.checkpoint < number and one.savepoint is None]
        return self._overtake(older, number, now) + self._discard(self._completed.add(completed, oldest))

    def _discard(self, gone: Sequence[CompletedCheckpoint]) -> list[Effect]:
        return [Start(DiscardStates(one.checkpoint, one.location, self._left.without(one.states))) for one in gone]

    def job_over(self) -> list[Effect]:
        """Discard what is kept for the sake of subtasks: there are none any more."""
        return self._discard(self._completed.job_over())

    def _overtake(self, older: Sequence[UnderWay], number: int, now: float) -> list[Effect]:
        error = checkpoint_error("CheckpointSubsumed", f"checkpoint {number} overtook it", Retry.NEVER)
        return [effect for one in older for effect in self._abort(one, error, now)]

    def _not_stored(self, work: StoreCheckpoint, error: ErrorInfo, now: float) -> list[Effect]:
        self.late.forget(work)
        begun = self._under_way.get(work.checkpoint)
        effects = self._fail(begun, error, now) if begun is not None and self._of_this_run(work.attempt) else []
        parts = self._left.without(work.states)
        return [*effects, Start(DiscardStates(work.checkpoint, None, parts))] if parts else effects

    def _fail(self, begun: UnderWay, error: ErrorInfo, now: float) -> list[Effect]:
        self._failed += 1
        self._last_error = error
        effects = self._abort(begun, error, now)
        if begun.savepoint is not None and begun.savepoint.then == "drain":
            return [*effects, Report(CheckpointsFailing(error))]
        if begun.savepoint is not None:
            return [*effects, *self._take_last(now), *self._arm()]
        self._failed_in_a_row += 1
        if self._failed_in_a_row > self._rules.tolerable_failures:
            effects.append(Report(CheckpointsFailing(error)))
        return effects + self._arm()

    def _abort(self, begun: UnderWay, error: ErrorInfo, now: float) -> list[Effect]:
        effects = self._end(begun, now)
        effects += self._tell_all(CheckpointAborted, begun.checkpoint)
        parts = self._left.without(begun.states)
        if parts and begun.phase is Phase.PENDING:  # else they are discarded when the work of storing them is through
            effects.append(Start(DiscardStates(begun.checkpoint, None, parts)))
        return effects + self._answer(begun, None, error)

    def _end(self, begun: UnderWay, now: float) -> list[Effect]:
        del self._under_way[begun.checkpoint]
        self._schedule.ended(now)
        return [CancelTimer(f"{_TIMEOUT}{begun.checkpoint}")]

    def _answer(self, begun: UnderWay, location: str | None, error: ErrorInfo | None) -> list[Effect]:
        if begun.request is None:
            return []
        answer = CheckpointTaken(begun.request.request, begun.checkpoint, location, error)
        self._answers[begun.request.request] = answer
        return [Send(begun.request.reply_to, answer)]

    def _run_over(self, now: float) -> list[Effect]:
        if self._run is None:
            return []
        error = checkpoint_error("RunOver", "the run ended before the checkpoint was complete", Retry.BACKOFF)
        self.late.add(self._under_way.values(), self._run.chains)
        effects = [effect for begun in list(self._under_way.values()) for effect in self._abort(begun, error, now)]
        self._run = None
        return [*effects, CancelTimer(_PERIODIC)]

    def _of_this_run(self, attempt: int) -> bool:
        return self._run is not None and attempt == self._run.attempt

    def _tell_all(self, news: type[CheckpointCompleted | CheckpointAborted], checkpoint: int) -> list[Effect]:
        run = self._run
        assert run is not None, "subtasks are told of checkpoints while they run"
        return [Send(worker, news(subtask, run.attempt, checkpoint)) for subtask, worker in run.workers.items()]

    # --- looking at it ---------------------------------------------------------------------------------------------------------

    def observe(self) -> CheckpointsObservation:
        """Return the coordinator as a value."""
        return CheckpointsObservation(
            self._run.attempt if self._run is not None else 0,
            tuple((one.checkpoint, one.phase, tuple(one.waiting)) for one in self._under_way.values()),
            self._completed.all,
            self._triggered,
            self._failed,
            self._failed_in_a_row,
            self._last_error,
        )

    def check(self) -> None:
        """State what must hold between run, checkpoints under way, and those completed."""
        self._completed.check()
        ensure(self._run is not None or not self._under_way, "checkpoints are under way without a run")
        periodic = sum(one.periodic for one in self._under_way.values())
        ensure(periodic <= self._rules.limit, f"{periodic} periodic checkpoints are under way, {self._rules.limit} allowed")
        for number, one in self._under_way.items():
            ensure(number == one.checkpoint <= self._last, f"checkpoint {number} has a number that was not given")
            assert self._run is not None, "stated above"
            one.check(self._run.workers)
        self._schedule.check()
