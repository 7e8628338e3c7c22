"""Barrier alignment at the input of a subtask: when its snapshot is to be taken, and which channels have to wait until then.

    no barrier ──first barrier of checkpoint n──► aligning n ──barrier or end of every channel──► snapshot, all channels go on
                                                      │
                                                      ├── abort n, or a barrier of n + 1: n is given up, its channels go on
                                                      └── time-out, or unaligned from the start: snapshot now, with what is in flight

- Aligned: a channel that has delivered its barrier is blocked until all have; so the state holds exactly what came before the barriers.
- Unaligned: the snapshot is taken at the first barrier; what is still to come before the other channels' barriers belongs to the snapshot, and is
  processed as well.
- At least once: no channel is ever blocked; what came too early is counted again after a failure.

A channel that has ended has no barrier to deliver. Late rule: a barrier of a checkpoint that is over, was given up, or is older than the one being
aligned, is dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from actorflow.ids import ChannelId
from actorflow.protocol.machine import CancelTimer, Effect, Report, SetTimer, TimerFired, ensure
from actorflow.wire.batch import Barrier

_TIMER = "alignment"


class AlignmentMode(enum.Enum):
    """What a barrier does to the channel it came through."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


@dataclass(frozen=True, slots=True)
class BarrierArrived:
    """A barrier has come to the head of `channel`."""

    channel: ChannelId
    barrier: Barrier


@dataclass(frozen=True, slots=True)
class ChannelEnded:
    """Nothing follows in `channel`."""

    channel: ChannelId


@dataclass(frozen=True, slots=True)
class CheckpointGivenUp:
    """The coordinator has aborted the checkpoint."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class BlockChannel:
    """Reported: take nothing more from `channel`."""

    channel: ChannelId


@dataclass(frozen=True, slots=True)
class UnblockChannels:
    """Reported: take from all channels again."""


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Reported: take the snapshot now, and pass the barrier on.

    Attributes:
        barrier: to pass on; it says whether it overtakes.
        in_flight: channels whose elements up to their barriers belong to the snapshot (unaligned only): the one whose barrier has just
            overtaken what is queued, and those that are still waited for. What a blocked channel has queued comes after its barrier.
        waited_s: since the first barrier.
    """

    barrier: Barrier
    in_flight: tuple[ChannelId, ...]
    waited_s: float


@dataclass(frozen=True, slots=True)
class InFlightComplete:
    """Reported: the barrier of the last channel of an unaligned snapshot has come; what is in flight is complete."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class AlignmentGivenUp:
    """Reported: the snapshot of this checkpoint will not be taken, or not be completed."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class AlignmentObservation:
    """What `BarrierAlignment.observe` shows."""

    checkpoint: int | None
    waiting_for: tuple[ChannelId, ...]
    blocked: tuple[ChannelId, ...]
    last: int


@dataclass(slots=True)
class _Aligning:
    barrier: Barrier
    first_at: float
    waiting: dict[ChannelId, None]
    taken: bool = False
    """Whether the snapshot was taken before all barriers had come."""


class BarrierAlignment:
    """Aligns the barriers of one subtask.

    Args:
        channels: its input channels.
        mode: whether channels are blocked.
        timeout_s: how long an aligned checkpoint that may become unaligned waits; None for ever.
    """

    def __init__(
        self,
        channels: Iterable[ChannelId],
        *,
        mode: AlignmentMode = AlignmentMode.EXACTLY_ONCE,
        timeout_s: float | None = None,
    ) -> None:
        self._open = dict.fromkeys(channels)
        self._mode = mode
        self._timeout_s = timeout_s
        self._aligning: _Aligning | None = None
        self._blocked: dict[ChannelId, None] = {}
        self._last = 0
        """The highest checkpoint whose snapshot was taken, or whose barriers a later one overtook."""
        self._void: dict[int, None] = {}
        """Later ones that the coordinator has aborted."""

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the classes above."""
        match event:
            case BarrierArrived(channel=channel, barrier=barrier):
                return self._arrived(channel, barrier, now)
            case ChannelEnded(channel=channel):
                return self._ended(channel, now)
            case CheckpointGivenUp(checkpoint=checkpoint):
                return self._given_up(checkpoint)
            case TimerFired(name=name) if name == _TIMER:
                return self._overdue(now)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _arrived(self, channel: ChannelId, barrier: Barrier, now: float) -> list[Effect]:
        aligning = self._aligning
        number = barrier.checkpoint_id
        current = aligning is not None and number == aligning.barrier.checkpoint_id
        if channel not in self._open or number in self._void or (number <= self._last and not current):
            return []
        effects: list[Effect] = []
        if aligning is not None and number > aligning.barrier.checkpoint_id:
            effects += self._give_up()  # its coordinator has: barriers of one channel come in order
            aligning = None
        if aligning is None:
            aligning = self._aligning = _Aligning(barrier, now, dict(self._open))
            if self._timeout_s is not None and not barrier.unaligned and not barrier.savepoint:
                effects.append(SetTimer(_TIMER, now + self._timeout_s))
        elif number < aligning.barrier.checkpoint_id or channel not in aligning.waiting:
            return effects
        del aligning.waiting[channel]
        if barrier.unaligned and not aligning.taken:
            effects += self._take_unaligned(aligning, (channel, *aligning.waiting), now)
        if not aligning.waiting:
            return effects + self._complete(aligning, now)
        if self._mode is AlignmentMode.EXACTLY_ONCE and not aligning.taken:
            self._blocked[channel] = None
            effects.append(Report(BlockChannel(channel)))
        return effects

    def _ended(self, channel: ChannelId, now: float) -> list[Effect]:
        self._open.pop(channel, None)
        self._blocked.pop(channel, None)
        aligning = self._aligning
        if aligning is None or channel not in aligning.waiting:
            return []
        del aligning.waiting[channel]
        return [] if aligning.waiting else self._complete(aligning, now)

    def _overdue(self, now: float) -> list[Effect]:
        """Go over to an unaligned snapshot: waiting has taken too long."""
        aligning = self._aligning
        return [] if aligning is None or aligning.taken else self._take_unaligned(aligning, tuple(aligning.waiting), now)

    def _take_unaligned(self, aligning: _Aligning, in_flight: tuple[ChannelId, ...], now: float) -> list[Effect]:
        aligning.taken = True
        self._advance_to(aligning.barrier.checkpoint_id)
        barrier = Barrier(aligning.barrier.checkpoint_id, aligning.barrier.timestamp, unaligned=True)
        taken = TakeSnapshot(barrier, in_flight, now - aligning.first_at)
        return [CancelTimer(_TIMER), Report(taken), *self._unblock()]

    def _complete(self, aligning: _Aligning, now: float) -> list[Effect]:
        self._aligning = None
        self._advance_to(aligning.barrier.checkpoint_id)
        if aligning.taken:
            return [Report(InFlightComplete(self._last))]
        barrier = aligning.barrier
        return [CancelTimer(_TIMER), Report(TakeSnapshot(barrier, (), now - aligning.first_at)), *self._unblock()]

    def _given_up(self, checkpoint: int) -> list[Effect]:
        if self._aligning is not None and self._aligning.barrier.checkpoint_id == checkpoint:
            return self._give_up()
        if checkpoint > self._last:
            self._void[checkpoint] = None
        return []

    def _give_up(self) -> list[Effect]:
        assert self._aligning is not None, "only what is being aligned can be given up"
        checkpoint = self._aligning.barrier.checkpoint_id
        self._aligning = None
        self._advance_to(checkpoint)
        return [CancelTimer(_TIMER), Report(AlignmentGivenUp(checkpoint)), *self._unblock()]

    def _advance_to(self, checkpoint: int) -> None:
        self._last = max(self._last, checkpoint)
        self._void = {number: None for number in self._void if number > self._last}

    def _unblock(self) -> list[Effect]:
        if not self._blocked:
            return []
        self._blocked = {}
        return [Report(UnblockChannels())]

    def observe(self) -> AlignmentObservation:
        """Return the alignment as a value."""
        aligning = self._aligning
        number, waiting = (None, ()) if aligning is None else (aligning.barrier.checkpoint_id, tuple(aligning.waiting))
        return AlignmentObservation(number, waiting, tuple(self._blocked), self._last)

    def check(self) -> None:
        """State that channels are blocked only while others are waited for, and never one that is waited for."""
        aligning = self._aligning
        ensure(aligning is not None or not self._blocked, "channels are blocked, and nothing is being aligned")
        if aligning is not None:
            ensure(bool(aligning.waiting), "nothing is waited for, and the snapshot is not taken")
            ensure(not (aligning.taken and self._blocked), "channels are blocked after the snapshot was taken")
            for channel in self._blocked:
                ensure(channel not in aligning.waiting, f"channel {channel} is waited for and blocked")
                ensure(channel in self._open, f"channel {channel} has ended and is blocked")
