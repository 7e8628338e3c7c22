"""What the coordinator keeps of a run: its checkpoints on their way, and what subtasks that have finished have left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from actorflow.errors import ErrorInfo, Retry
from actorflow.ids import SubtaskId, VertexId
from actorflow.protocol.checkpoints.checkpoint_events import (
    Chain,
    CompletedCheckpoint,
    Phase,
    RunStarted,
    StoreCheckpoint,
    SubtaskDone,
    checkpoint_error,
)
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAcknowledged,
    CheckpointRequested,
    SubtaskTimes,
    TriggerCheckpoint,
)
from actorflow.protocol.machine import ensure
from actorflow.wire.batch import SavepointOrder


@dataclass(slots=True)
class UnderWay:
    """A checkpoint that is not complete yet. `waiting` are the subtasks that have not acknowledged it, `states` what the others said.

    `oldest` is the oldest checkpoint that parts of later ones may be built upon: where nobody says otherwise, this one.
    """

    checkpoint: int
    began_at: float
    timestamp: int
    periodic: bool
    request: CheckpointRequested | None
    waiting: dict[SubtaskId, None]
    states: dict[SubtaskId, bytes]
    times: dict[SubtaskId, SubtaskTimes] = field(default_factory=dict)
    phase: Phase = Phase.PENDING
    oldest: int = field(init=False)

    def __post_init__(self) -> None:
        self.oldest = self.checkpoint

    def acknowledged(self, news: CheckpointAcknowledged) -> None:
        """Take the part of a subtask."""
        del self.waiting[news.subtask]
        self.states[news.subtask] = news.state
        self.times[news.subtask] = news.times
        self.oldest = min(self.oldest, news.oldest or self.checkpoint)

    @property
    def savepoint(self) -> SavepointOrder | None:
        """What is to be done if it is a savepoint."""
        return self.request.savepoint if self.request is not None else None

    @property
    def stops(self) -> bool:
        """Whether the job stops with it."""
        return bool(self.savepoint and self.savepoint.stops)

    def triggers(self, run: RunStarted, *, unaligned: bool) -> list[TriggerCheckpoint]:
        """Return what is said to the sources that have not finished."""
        return [
            TriggerCheckpoint(subtask, run.attempt, self.checkpoint, self.timestamp, unaligned, self.savepoint)
            for subtask in run.sources
            if subtask in self.waiting
        ]

    def completed(self, location: str, chains: Mapping[VertexId, Chain], now: float) -> CompletedCheckpoint:
        """Return it as one that can be restored."""
        duration_s = now - self.began_at
        return CompletedCheckpoint(
            self.checkpoint, self.timestamp, location, dict(self.states), duration_s, dict(self.times), self.stops, chains
        )

    def overdue(self, timeout_s: float) -> ErrorInfo:
        """Return why it has failed if it takes longer than it may."""
        missing = ", ".join(map(str, list(self.waiting)[:3]))
        late = f"{len(self.waiting)} subtasks have not acknowledged it ({missing})"
        what = late if self.waiting else "its manifest is not written"
        text = f"checkpoint {self.checkpoint} took longer than {timeout_s:g} s: {what}"
        hint = "'execution.checkpointing.timeout' says how long it may take; back-pressure delays barriers"
        return checkpoint_error("CheckpointTimeout", text, Retry.BACKOFF, hint)

    def check(self, subtasks: Collection[SubtaskId]) -> None:
        """State that it waits exactly for the parts of the run's subtasks that have not come."""
        ensure(
            (self.phase is Phase.STORING) == (not self.waiting),
            f"checkpoint {self.checkpoint} is {self.phase.value}, waits for {self.waiting}",
        )
        ensure({*self.waiting, *self.states} == set(subtasks), f"checkpoint {self.checkpoint} is not of all subtasks")


class LateCheckpoints:
    """Checkpoints whose manifests were being written when their run ended. They are complete if the job ends, and nothing else was told."""

    def __init__(self) -> None:
        self._writing: dict[int, tuple[UnderWay, Mapping[VertexId, Chain]]] = {}
        self._count = False

    def add(self, under_way: Iterable[UnderWay], chains: Mapping[VertexId, Chain]) -> None:
        """Take what is under way at the end of a run; savepoints are their owners'."""
        self._writing |= {
            one.checkpoint: (one, chains) for one in under_way if one.phase is Phase.STORING and one.savepoint is None
        }

    def count(self) -> bool:
        """Have those that will be stored count as complete; return whether there are any."""
        self._count = True
        return bool(self._writing)

    def forget(self, work: StoreCheckpoint) -> None:
        """Note that a manifest could not be written."""
        self._writing.pop(work.checkpoint, None)

    def stored(self, work: StoreCheckpoint, location: str, now: float) -> CompletedCheckpoint | None:
        """Note that a manifest was written; return the checkpoint if it counts."""
        begun, chains = self._writing.pop(work.checkpoint, (None, {}))
        return begun.completed(location, chains, now) if begun is not None and self._count else None


class LastParts:
    """The last states of the subtasks of a run that have finished: each is a part of every checkpoint whose barrier its subtask does not meet.

    Args:
        subtasks: all of the run.
    """

    def __init__(self, subtasks: Collection[SubtaskId] = ()) -> None:
        self._running = dict.fromkeys(subtasks)
        self._parts: dict[SubtaskId, bytes] = {}

    def add(self, done: SubtaskDone) -> bool:
        """Take the last state of a subtask; return whether it is news."""
        if done.subtask in self._parts:
            return False
        self._running.pop(done.subtask, None)
        self._parts[done.subtask] = done.state
        return True

    @property
    def all_here(self) -> bool:
        """Whether all subtasks have finished."""
        return not self._running

    @property
    def running(self) -> dict[SubtaskId, None]:
        """The subtasks that have not finished."""
        return dict(self._running)

    @property
    def parts(self) -> dict[SubtaskId, bytes]:
        """The last states, by subtask."""
        return dict(self._parts)

    def are(self, states: Mapping[SubtaskId, bytes]) -> bool:
        """Return whether these are the last states of all subtasks: nothing comes behind a checkpoint of them."""
        return self.all_here and self._parts == states

    def without(self, states: Mapping[SubtaskId, bytes]) -> tuple[bytes, ...]:
        """Return those of the states that are not the last of their subtasks, so that later checkpoints do not need them."""
        return tuple(state for subtask, state in states.items() if self._parts.get(subtask) != state)
