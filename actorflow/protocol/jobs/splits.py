"""Split assignment of one source: every split is read, each by one reader at a time, and a slow reader gets fewer.

    split:  pending ──requested──► assigned (to an attempt of a subtask) ──finished──► finished
               ▲                        │
               └──── reader lost ───────┘          any ──reset──► pending, or finished

The splits are listed once, as slow work. A reader asks for one split at a time and numbers its requests; until it has the answer it
may ask again with the same number and gets the same answer, so a lost or doubled message neither loses nor doubles a split.
A split that comes back from a lost reader is the next to be given out. A reader is told `NoMoreSplits` when nothing is pending:
should another reader be lost later, the attempt that replaces it reads what it had.

The splits of a *partitioned* source are read at the same time: each subtask asks until it has its share, which is the same for all but
one split more or less, and is told `NoMoreSplits` then. So the share of a subtask that comes late stays pending until it asks.

Late rule: a message of an attempt that is not the subtask's current one, or with an old request number, is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.machine import Effect, Report, Send, Start, WorkDone, WorkFailed, ensure
from actorflow.wire.message import Message

# --- messages --------------------------------------------------------------------------------------------------------------


class SplitRequested(Message, frozen=True):
    """A reader has nothing to read. `request` is 1 for the first request of an attempt, and one more for each next."""

    subtask: SubtaskId
    attempt: int
    request: int
    reply_to: Address


class SplitFinished(Message, frozen=True):
    """A reader has read all of a split."""

    subtask: SubtaskId
    attempt: int
    split: int


class SplitAssigned(Message, frozen=True):
    """The answer to request `request`: read split number `split`, described by `payload`, from `position` on (empty: from its start)."""

    subtask: SubtaskId
    attempt: int
    request: int
    split: int
    payload: bytes
    position: bytes = b""


class NoMoreSplits(Message, frozen=True):
    """The answer to request `request`: nothing is left to read."""

    subtask: SubtaskId
    attempt: int
    request: int


@dataclass(frozen=True, slots=True)
class ListSplits:
    """Slow work: list the splits of a source. Its result is a sequence of `bytes`, one for each split."""

    source: VertexId
    parallelism: int


@dataclass(frozen=True, slots=True)
class ReaderStarted:
    """Attempt `attempt` of `subtask` reads from now on; what an earlier attempt had not finished is pending again."""

    subtask: SubtaskId
    attempt: int


@dataclass(frozen=True, slots=True)
class ReaderLost:
    """Attempt `attempt` of `subtask` has failed or was cancelled."""

    subtask: SubtaskId
    attempt: int


@dataclass(frozen=True, slots=True)
class ResetSplits:
    """The job restarts, from its beginning or from a checkpoint. All readers so far are gone.

    Attributes:
        finished: splits that were read to their end before the checkpoint.
        positions: how far others were read.
    """

    finished: tuple[int, ...] = ()
    positions: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceListed:
    """Reported when the splits are known."""

    source: VertexId
    splits: int


@dataclass(frozen=True, slots=True)
class SourceExhausted:
    """Reported when every split has been finished."""

    source: VertexId


@dataclass(frozen=True, slots=True)
class SourceListingFailed:
    """Reported when the splits cannot be listed."""

    source: VertexId
    error: ErrorInfo


@dataclass(slots=True)
class _Reader:
    attempt: int
    alive: bool = True
    request: int = 0
    """The last request that was taken."""
    waiting: SplitRequested | None = None
    """A request that came before the splits were listed."""
    answer: SplitAssigned | NoMoreSplits | None = None
    """The answer to the last request."""


@dataclass(frozen=True, slots=True)
class SplitsObservation:
    """What `SplitAssignment.observe` shows. `assigned` maps split numbers to subtasks."""

    source: VertexId
    listed: bool
    total: int
    pending: tuple[int, ...]
    assigned: Mapping[int, SubtaskId]
    finished: int
    waiting: tuple[SubtaskId, ...]


class SplitAssignment:
    """Hands out the splits of one source.

    Args:
        source: the vertex that reads.
        parallelism: number of its subtasks.
        partitioned: whether each subtask reads its share of the splits at the same time, and not one after the other as they come.
    """

    def __init__(self, source: VertexId, parallelism: int, *, partitioned: bool = False) -> None:
        self._source = source
        self._parallelism = parallelism
        self._partitioned = partitioned
        self._splits: Sequence[bytes] | None = None
        self._pending: deque[int] = deque()
        self._assigned: dict[int, SubtaskId] = {}
        self._finished: dict[int, SubtaskId | None] = {}
        """Who has read them; None if that was before a checkpoint."""
        self._restored = ResetSplits()
        self._readers: dict[SubtaskId, _Reader] = {}

    def rescale(self, parallelism: int) -> None:
        """Have another number of subtasks read, from the next reset on."""
        self._parallelism = parallelism

    def start(self) -> list[Effect]:
        """Return the effect that lists the splits. To be called once."""
        return [Start(ListSplits(self._source, self._parallelism))]

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - assignment does not depend on time
        """Take one event; see the messages above."""
        match event:
            case WorkDone(ListSplits(), splits):
                assert isinstance(splits, Sequence), "the splits are listed as a sequence"
                return self._listed(splits)
            case WorkFailed(ListSplits(), error):
                return [Report(SourceListingFailed(self._source, error))]
            case SplitRequested():
                return self._requested(event)
            case SplitFinished():
                return self._split_finished(event)
            case ReaderStarted(subtask, attempt):
                return self._reader_started(subtask, attempt)
            case ReaderLost(subtask, attempt):
                return self._reader_lost(subtask, attempt)
            case ResetSplits():
                return self._reset(event)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _listed(self, splits: Sequence[bytes]) -> list[Effect]:
        if self._splits is not None:
            return []
        self._splits = splits
        self._begin_anew()
        effects: list[Effect] = [Report(SourceListed(self._source, len(splits)))]
        if not self._pending:
            effects.append(Report(SourceExhausted(self._source)))
        return effects + self._serve()

    def _begin_anew(self) -> None:
        """Have what is to be read again pending, from where a checkpoint says."""
        self._finished = dict.fromkeys(number for number in self._restored.finished if number < len(self._splits or ()))
        self._pending = deque(number for number in range(len(self._splits or ())) if number not in self._finished)

    def _requested(self, request: SplitRequested) -> list[Effect]:
        reader = self._current(request.subtask, request.attempt)
        if reader is None or request.request < reader.request:
            return []
        if request.request == reader.request:
            return [Send(request.reply_to, reader.answer)] if reader.answer else []
        reader.request, reader.answer = request.request, None
        if self._splits is None:
            reader.waiting = request
            return []
        return [self._answer(reader, request)]

    def _split_finished(self, finished: SplitFinished) -> list[Effect]:
        reader = self._current(finished.subtask, finished.attempt)
        if reader is None or self._assigned.get(finished.split) != finished.subtask:
            return []
        del self._assigned[finished.split]
        self._finished[finished.split] = finished.subtask
        if self._splits is None or len(self._finished) < len(self._splits):
            return []
        return [Report(SourceExhausted(self._source))]

    def _reader_started(self, subtask: SubtaskId, attempt: int) -> list[Effect]:
        reader = self._readers.get(subtask)
        if reader is not None and reader.attempt >= attempt:
            return []
        self._take_back(subtask)
        self._readers[subtask] = _Reader(attempt)
        return []

    def _reader_lost(self, subtask: SubtaskId, attempt: int) -> list[Effect]:
        if self._current(subtask, attempt) is None:
            return []
        self._take_back(subtask)
        self._readers[subtask] = _Reader(attempt, alive=False)
        return []

    def _reset(self, reset: ResetSplits) -> list[Effect]:
        self._restored = reset
        self._assigned.clear()
        self._begin_anew()
        self._readers.clear()
        return []

    def _serve(self) -> list[Effect]:
        """Answer the requests that have waited for the list, in the order of the subtasks' first appearance."""
        return [self._answer(reader, reader.waiting) for reader in self._readers.values() if reader.waiting is not None]

    def _answer(self, reader: _Reader, request: SplitRequested) -> Effect:
        assert self._splits is not None, "requests wait until the splits are listed"
        reader.waiting = None
        if self._pending and not self._has_its_share(request.subtask):
            split = self._pending.popleft()
            self._assigned[split] = request.subtask
            position = self._restored.positions.get(split, b"")
            reader.answer = SplitAssigned(request.subtask, request.attempt, request.request, split, self._splits[split], position)
        else:
            reader.answer = NoMoreSplits(request.subtask, request.attempt, request.request)
        return Send(request.reply_to, reader.answer)

    def _has_its_share(self, subtask: SubtaskId) -> bool:
        if not self._partitioned:
            return False
        has = sum(owner == subtask for owners in (self._assigned, self._finished) for owner in owners.values())
        return has >= self._share(subtask)

    def _share(self, subtask: SubtaskId) -> int:
        """Return how many splits of a partitioned source a subtask reads."""
        before = sum(owner is None for owner in self._finished.values())
        each, more = divmod(len(self._splits or ()) - before, self._parallelism)
        return each + (subtask.index < more)

    def _current(self, subtask: SubtaskId, attempt: int) -> _Reader | None:
        reader = self._readers.get(subtask)
        return reader if reader is not None and reader.alive and reader.attempt == attempt else None

    def _take_back(self, subtask: SubtaskId) -> None:
        lost = sorted(split for split, owner in self._assigned.items() if owner == subtask)
        for split in lost:
            del self._assigned[split]
        self._pending.extendleft(reversed(lost))

    def observe(self) -> SplitsObservation:
        """Return the assignment as a value."""
        return SplitsObservation(
            self._source,
            self._splits is not None,
            len(self._splits or ()),
            tuple(self._pending),
            dict(self._assigned),
            len(self._finished),
            tuple(subtask for subtask, reader in self._readers.items() if reader.waiting is not None),
        )

    def check(self) -> None:
        """State that every split is in exactly one place, and that only living readers hold one or wait for one."""
        places = sorted([*self._pending, *self._assigned, *self._finished])
        ensure(places == list(range(len(self._splits or ()))), f"splits of {self._source} are lost or doubled: {places}")
        if self._partitioned:
            for subtask in self._readers:
                has = sum(owner == subtask for owners in (self._assigned, self._finished) for owner in owners.values())
                ensure(
                    has <= self._share(subtask),
                    f"{subtask} has {has} of {len(self._splits or ())} splits, which is more than its share",
                )
        for split, subtask in self._assigned.items():
            ensure(self._readers[subtask].alive, f"split {split} is assigned to {subtask}, which is lost")
        for subtask, reader in self._readers.items():
            ensure(reader.waiting is None or reader.alive, f"{subtask} is lost and waits for a split")
            ensure(reader.waiting is None or self._splits is None, f"{subtask} waits although the splits are listed")
