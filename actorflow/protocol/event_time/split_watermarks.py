"""The watermark of a subtask that reads several splits, and which of them are idle.

The merged watermark is the smallest among the splits that are active, and it never goes back.

    added ──► active ──nothing for `idle_after_ms`, or told so──► idle ──records──► active
                 └──────────────── ended (from both; for ever) ◄───┘

- A split that is added, or wakes up, counts at once, with what it has told: the merged watermark stands still until it has caught up.
  So the others wait for it, and as few of its records as possible are late. (Channels differ, see `watermark`: there a consumer may be
  far ahead already.)
- When all splits are idle, the merged watermark is the highest that any of them told: nobody is left to hold it back.
- A split that has told `MAX_TIMESTAMP` gives no more records, and counts no more: only when all have is it the merged watermark.
- When no split is left, the watermark stands still: another may be added, and the end of all is not ours to say.

A split is idle when its reader had nothing for `idle_after_ms`, by its own answers: what counts is the time from one answer "nothing" to the
next. Time in which the reader could not be asked is no evidence. Callers leave out the time in which the subtask was held up
(by giving a time that stood still meanwhile), and say `interrupted` when a split was not read for another reason.

Late rule: what concerns a split that has ended, or was not added, is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.protocol.machine import Effect, Report, ensure
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Active, Idle, Watermark


@dataclass(frozen=True, slots=True)
class SplitAdded:
    """`split` is read from now on."""

    split: int


@dataclass(frozen=True, slots=True)
class SplitTold:
    """No record at or before `timestamp` (ms) is expected from `split`."""

    split: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class RecordsCame:
    """Records of `split` came."""

    split: int


@dataclass(frozen=True, slots=True)
class NothingCame:
    """The reader of `split` was asked and had nothing, at `now_ms` of a clock that stands still while the subtask is held up."""

    split: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class ReadingInterrupted:
    """`split` was not read for a while, whatever it had."""

    split: int


@dataclass(frozen=True, slots=True)
class SplitIdle:
    """`split` says itself that it holds back no watermark for now."""

    split: int


@dataclass(frozen=True, slots=True)
class SplitDone:
    """Nothing follows in `split`."""

    split: int


@dataclass(slots=True)
class _Split:
    told: int = MIN_TIMESTAMP
    idle: bool = False
    waited_ms: int = 0
    """Without records, as far as its reader was asked."""
    asked_at_ms: int | None = None
    """When its reader last had nothing; None if it had something since, or was not asked for a while."""


@dataclass(frozen=True, slots=True)
class SplitView:
    """One split: its watermark in ms, whether it is idle, and how long it has had nothing, in ms."""

    watermark: int
    idle: bool
    waited_ms: int


@dataclass(frozen=True, slots=True)
class SplitsMerged:
    """What `SplitWatermarks.observe` shows.

    Attributes:
        watermark: the merged watermark in ms.
        all_idle: whether all splits are idle.
        splits: by number.
    """

    watermark: int
    all_idle: bool
    splits: dict[int, SplitView]


class SplitWatermarks:
    """Merges the watermarks of splits, and finds out which are idle.

    The direct methods note what happens, at no cost for the number of splits; `merge` then looks at all of them, once for any number
    of changes. `handle` does both.

    Args:
        idle_after_ms: after how long without records a split is idle; None for never.
    """

    __slots__ = ("_idle_after_ms", "_splits", "all_idle", "watermark")

    def __init__(self, idle_after_ms: int | None = None) -> None:
        self._idle_after_ms = idle_after_ms
        self._splits: dict[int, _Split] = {}
        self.watermark = MIN_TIMESTAMP
        """The merged watermark in ms, as of the last `merge`."""
        self.all_idle = False
        """Whether all splits are idle, as of the last `merge`."""

    def __contains__(self, split: int) -> bool:
        return split in self._splits

    def __len__(self) -> int:
        return len(self._splits)

    def added(self, split: int) -> None:
        """Note a split that is read from now on."""
        self._splits.setdefault(split, _Split())

    def ended(self, split: int) -> None:
        """Note that nothing follows in a split."""
        self._splits.pop(split, None)

    def told(self, split: int, timestamp: int) -> None:
        """Note the watermark of a split (ms); one that does not rise is dropped."""
        state = self._splits.get(split)
        if state is not None and timestamp > state.told:
            state.told = timestamp

    def records(self, split: int) -> bool:
        """Note that records of a split came; return whether it was idle."""
        state = self._splits.get(split)
        if state is None:
            return False
        was_idle = state.idle
        state.idle = False
        state.waited_ms = 0
        state.asked_at_ms = None
        return was_idle

    def nothing(self, split: int, now_ms: int) -> bool:
        """Note that the reader of a split had nothing at `now_ms`; return whether the split is idle since now."""
        state = self._splits.get(split)
        if state is None or self._idle_after_ms is None or state.idle:
            return False
        if state.asked_at_ms is not None:
            state.waited_ms += max(0, now_ms - state.asked_at_ms)
        state.asked_at_ms = now_ms
        state.idle = state.waited_ms >= self._idle_after_ms
        return state.idle

    def interrupted(self, split: int) -> None:
        """Note that a split was not read for a while: the time until its reader is asked again does not count."""
        state = self._splits.get(split)
        if state is not None:
            state.asked_at_ms = None

    def idle(self, split: int) -> None:
        """Note that a split says itself that it is idle."""
        state = self._splits.get(split)
        if state is not None:
            state.idle = True

    def take(self, split: int, event: Watermark | Idle | Active) -> None:
        """Note what a split says itself."""
        match event:
            case Watermark(timestamp):
                self.told(split, timestamp)
            case Idle():
                self.idle(split)
            case Active():
                self.records(split)

    def watermark_of(self, split: int) -> int:
        """Return what a split has told, in ms; `MIN_TIMESTAMP` if it is not there."""
        state = self._splits.get(split)
        return MIN_TIMESTAMP if state is None else state.told

    def idle_in_ms(self, split: int) -> int | None:
        """Return how much longer a split has to have nothing to be idle, in ms; None if it is, or never will be, or is not there."""
        state = self._splits.get(split)
        if state is None or state.idle or self._idle_after_ms is None:
            return None
        return self._idle_after_ms - state.waited_ms

    def merge(self) -> int:
        """Take in what was noted; return the merged watermark, in ms."""
        if not self._splits:
            return self.watermark
        going_on = [split for split in self._splits.values() if split.told != MAX_TIMESTAMP]
        counting = [split.told for split in going_on if not split.idle]
        self.all_idle = bool(going_on) and not counting
        merged = min(counting, default=MAX_TIMESTAMP)
        if self.all_idle:
            merged = max(split.told for split in going_on)
        self.watermark = max(self.watermark, merged)
        return self.watermark

    def forward(self) -> list[Watermark | Idle | Active]:
        """Take in what was noted; return what the consumers are to be told: `Active` first, then `Watermark`, then `Idle`."""
        before, was_idle = self.watermark, self.all_idle
        self.merge()
        events: list[Watermark | Idle | Active] = []
        if was_idle and not self.all_idle:
            events.append(Active())
        if self.watermark > before:
            events.append(Watermark(self.watermark))
        if self.all_idle and not was_idle:
            events.append(Idle())
        return events

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - events carry the time that counts
        """Take one of the events above; report what the consumers are to be told."""
        match event:
            case SplitAdded(split):
                self.added(split)
            case SplitTold(split, timestamp):
                self.told(split, timestamp)
            case RecordsCame(split):
                self.records(split)
            case NothingCame(split, now_ms):
                self.nothing(split, now_ms)
            case ReadingInterrupted(split):
                self.interrupted(split)
            case SplitIdle(split):
                self.idle(split)
            case SplitDone(split):
                self.ended(split)
            case _:
                raise AssertionError(f"unknown event {event!r}")
        return [Report(forwarded) for forwarded in self.forward()]

    def observe(self) -> SplitsMerged:
        """Return the splits as a value."""
        splits = {number: SplitView(split.told, split.idle, split.waited_ms) for number, split in self._splits.items()}
        return SplitsMerged(self.watermark, self.all_idle, splits)

    def check(self) -> None:
        """State, after a merge, that no active split is behind what could be merged, and that idleness is that of all splits."""
        going_on = {number: split for number, split in self._splits.items() if split.told != MAX_TIMESTAMP}
        active = {number: split for number, split in going_on.items() if not split.idle}
        for number, split in active.items():
            waited_ms = split.waited_ms
            ensure(
                self._idle_after_ms is None or waited_ms < self._idle_after_ms,
                f"split {number} waited {waited_ms} ms and is active",
            )
        if active:
            slowest = min(split.told for split in active.values())
            ensure(slowest <= self.watermark, f"merged watermark {self.watermark} is behind {slowest}, of its slowest split")
        if self._splits:
            idle = bool(going_on) and not active
            ensure(self.all_idle == idle, f"all_idle is {self.all_idle}, and {len(active)} of {len(going_on)} splits are active")
