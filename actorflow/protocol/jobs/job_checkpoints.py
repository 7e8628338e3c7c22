"""The checkpoints of one job, as its JobMaster sees them: between its runs and the coordinator.

    run deployed ─► the coordinator begins        run over ─► what is pending is given up
    all subtasks have finished ─► the last one ─► output is committed
    new run ─► goes on from the latest completed checkpoint: parts for the workers, positions for the sources
    job over ─► checkpoints are discarded, or retained for their owner; a manifest that is being written is waited for

Without an interval there are none but savepoints, and where results go to the client while the job runs (those of a run that failed are
void) not even those: a run then begins where the first one did, at the beginning or at the savepoint that the job was started from.

A claimed savepoint is discarded once the job can go on from a checkpoint of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.checkpoints.checkpoint_events import (
    BacklogChanged,
    CheckpointStatistics,
    CheckpointsView,
    CollectOrphans,
    DiscardAll,
    DiscardClaimed,
    DiscardStates,
    RunOver,
    RunStarted,
    StoreCheckpoint,
    SubtaskDone,
)
from actorflow.protocol.checkpoints.checkpoint_messages import (
    BacklogReported,
    CheckpointAcknowledged,
    CheckpointDeclined,
    CheckpointRequested,
)
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan, EarlierLife, Restored, Retention
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpoints.going_on import chains_of, going_on
from actorflow.protocol.jobs.deployment import SubtaskFinished
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.machine import Effect, Start, TimerFired, WorkDone, WorkFailed
from actorflow.wire.batch import SavepointOrder

CheckpointNews = CheckpointAcknowledged | CheckpointDeclined | CheckpointRequested | BacklogReported
"""What subtasks and clients say about checkpoints."""


_REMEMBERED = 10
"""Completed checkpoints of which it is known how they went."""


class JobCheckpoints:
    """Composes the coordinator into a job.

    Args:
        plan: how the job takes checkpoints.
        graph: what runs.
        sources: the vertices that read.
        first: what the first run goes on from.
        earlier: what the job has done under leaders before this one; its last checkpoint goes before `first`.
    """

    def __init__(
        self,
        plan: CheckpointPlan,
        graph: ExecutionGraph,
        sources: Mapping[VertexId, int],
        first: Restored = Restored(),  # noqa: B008 - a frozen value
        earlier: EarlierLife = EarlierLife(),  # noqa: B008 - a frozen value
    ) -> None:
        self._plan = plan
        self._graph = graph
        self._sources = sources
        rules = plan.rules if plan.possible else CheckpointRules()
        self._history: deque[CheckpointStatistics] = deque(maxlen=_REMEMBERED)
        self._savepoint = False
        """Whether one was taken in the life of the job."""
        self._running = False
        self._behind: dict[SubtaskId, int] = {}
        """Sources that work off a backlog, with the numbers of the runs in which they have said so, perhaps before all had started."""
        self._finished: list[SubtaskFinished] = []
        """Subtasks of the run that have finished: before all had started, or while a part of it was brought back, too."""
        self._coordinator = CheckpointCoordinator(
            rules, wall_offset_ms=plan.wall_offset_ms, restored=earlier.completed, last=max(first.checkpoint, earlier.last_number)
        )
        self._first = first
        self._claimed = "" if earlier.completed else first.claimed

    def restored(self) -> Restored:
        """Return where the next run goes on from."""
        latest = self._coordinator.latest
        if latest is None:
            return self._first
        return going_on(latest, self._graph, self._sources)

    def rescale(self, graph: ExecutionGraph, sources: Mapping[VertexId, int], first: Restored) -> None:
        """Have the next run be one of another graph of the job; `first` is what the first run of that would have gone on from."""
        assert not self._running, "a graph does not change while it runs"
        self._graph, self._sources, self._first = graph, sources, first

    @property
    def latest(self) -> int:
        """The number of the last completed checkpoint; 0 if there is none."""
        latest = self._coordinator.latest
        return latest.checkpoint if latest is not None else 0

    @property
    def active(self) -> bool:
        """Whether runs go on from checkpoints."""
        return self._plan.active

    def run_started(self, attempt: int, workers: Mapping[SubtaskId, Address], now: float) -> list[Effect]:
        """Begin to take checkpoints of a run whose subtasks are all processing."""
        if not self._plan.possible:
            return []
        sources = [subtask for subtask in workers if subtask.vertex in self._sources]
        effects = self._coordinator.handle(RunStarted(attempt, workers, sources, chains_of(self._graph)), now)
        self._running = True
        self._finished = [news for news in self._finished if news.attempt == attempt]
        self._behind = {subtask: told for subtask, told in self._behind.items() if told == attempt}
        done = [effect for news in self._finished for effect in self._coordinator.handle(_done(news), now)]
        return [*effects, *self._tell_of_backlog(now), *done]

    def run_again(self, subtasks: Collection[SubtaskId], now: float) -> list[Effect]:
        """Forget what subtasks have said that are to run again, in the same run, and discard what they had left for later checkpoints."""
        for subtask in subtasks:
            self._behind.pop(subtask, None)
        again = [news.state for news in self._finished if news.subtask in subtasks]
        self._finished = [news for news in self._finished if news.subtask not in subtasks]
        needed = {state for completed in self._coordinator.observe().completed for state in completed.states.values()}
        needless = tuple(state for state in again if state and state not in needed)
        return [*self._tell_of_backlog(now), *([Start(DiscardStates(0, None, needless))] if needless else [])]

    def _reported(self, news: BacklogReported, now: float) -> list[Effect]:
        if news.backlog:
            self._behind[news.subtask] = news.attempt
        elif self._behind.get(news.subtask) == news.attempt:
            del self._behind[news.subtask]
        return self._tell_of_backlog(now)

    def _tell_of_backlog(self, now: float) -> list[Effect]:
        return self._coordinator.handle(BacklogChanged(backlog=bool(self._behind)), now) if self._running else []

    def run_over(self, now: float) -> list[Effect]:
        """Give up what is pending: the run has failed, was cancelled, or has finished."""
        self._running = False
        return self._coordinator.handle(RunOver(), now)

    @property
    def last_awaited(self) -> bool:
        """Whether the run has come to its end, and its output has to wait for a checkpoint that holds it."""
        return self._coordinator.last_awaited

    @property
    def stopping(self) -> bool:
        """Whether a savepoint that is taken, or was, is the last of the run."""
        return self._coordinator.stopping

    def finished(self, news: SubtaskFinished, now: float) -> list[Effect]:
        """Take the last state of a subtask of this run, which may have finished before the others have started, or while the run was ended."""
        if not self._plan.possible:
            return []
        self._finished.append(news)
        return self._coordinator.handle(_done(news), now) if self._running else []

    def handle(self, news: CheckpointNews | TimerFired | WorkDone | WorkFailed, now: float) -> list[Effect]:
        """Take what concerns a checkpoint."""
        match news:
            case BacklogReported():
                return self._reported(news, now)
            case WorkDone(work=StoreCheckpoint(savepoint=SavepointOrder())):
                self._savepoint = True
        effects = self._coordinator.handle(news, now)
        latest = self._coordinator.latest
        if latest is None:
            return effects
        if not self._history or self._history[-1].checkpoint != latest.checkpoint:
            self._history.append(
                CheckpointStatistics(latest.checkpoint, latest.timestamp, latest.location, latest.duration_s, latest.times)
            )
        return [*effects, *self._discard_claimed()]

    def _discard_claimed(self) -> list[Effect]:
        claimed, self._claimed = self._claimed, ""
        return [Start(DiscardClaimed(claimed))] if claimed else []

    @staticmethod
    def owns_timer(name: str) -> bool:
        """Return whether a timer is the coordinator's."""
        return name.startswith("checkpoint")

    @classmethod
    def owns_news(cls, event: object) -> bool:
        """Return whether an event says how the coordinator's slow work went."""
        return isinstance(event, WorkDone | WorkFailed) and cls.owns_work(event.work)

    @staticmethod
    def owns_work(work: object) -> bool:
        """Return whether slow work is the coordinator's."""
        return isinstance(work, StoreCheckpoint | DiscardStates | CollectOrphans)

    def job_ends(self, status: JobStatus) -> bool:
        """Return whether the end of the job waits for a manifest that is being written: the checkpoint is retained then."""
        return self.retained(status) and self._coordinator.late.count()

    def job_over(self, status: JobStatus) -> list[Effect]:
        """Discard the checkpoints, unless they are to be retained."""
        claimed = [] if status is not JobStatus.FINISHED else self._discard_claimed()
        if self.retained(status) or not self._plan.active:
            return [*claimed, *self._coordinator.job_over()]
        return [*claimed, Start(DiscardAll())]

    def outlast(self, status: JobStatus | None = None) -> bool:
        """Return whether somebody may go on from prepared output that no later run commits: the owner of a savepoint, or of retained checkpoints.

        Args:
            status: how the job ends, if it does.
        """
        return self._savepoint or (status is not None and self.retained(status))

    def retained(self, status: JobStatus) -> bool:
        """Return whether checkpoints outlast the job that ends so."""
        return status is not JobStatus.FINISHED and self._plan.retention is Retention.RETAIN_ON_CANCELLATION

    def observe(self) -> CheckpointsView:
        """Return what people see of it."""
        seen = self._coordinator.observe()
        waiting_for = {number: waiting for number, _, waiting in seen.under_way}
        return CheckpointsView(tuple(self._history), waiting_for, seen.triggered, seen.failed, seen.last_error)

    def check(self) -> None:
        """State what the coordinator states."""
        self._coordinator.check()


def _done(news: SubtaskFinished) -> SubtaskDone:
    return SubtaskDone(news.subtask, news.state, news.passed)
