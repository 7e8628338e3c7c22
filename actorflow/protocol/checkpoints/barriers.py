"""Barrier alignment at the input of a subtask: when its snapshot is to be taken, and which channels have to wait until then.

    no barrier ──first barrier of checkpoint n──► aligning n ──barrier or end of every channel──► snapshot, all channels go on
                                                      │
                                                      ├── abort n, or a barrier of n + 1: n is given up, its channels go on
                                                      └── time-out, or unaligned from the start: snapshot now, with what is in flight

- Aligned: a channel whose barrier has come to its head is blocked until all have; so the state holds exactly what came before the barriers.
- Unaligned: the snapshot is taken at the first barrier that has arrived, wherever it stands in its queue; what the channels have in front of their
  barriers belongs to the snapshot, and is processed as well. *Ordered* channels are never overtaken: their barriers come to their heads first.
- At least once: no channel is ever blocked; what came too early is counted again after a failure.

A channel that has ended has no barrier to deliver; one whose end has arrived delivers it in place of a barrier. Late rule: a barrier of a checkpoint
that is over, was given up, or is older than the one being aligned, is dropped.
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
class BarrierAnnounced:
    """A barrier has arrived in `channel`, and may stand behind what was not taken yet."""

    channel: ChannelId
    barrier: Barrier


@dataclass(frozen=True, slots=True)
class ChannelEnding:
    """The end of `channel` has arrived, and may stand behind what was not taken yet."""

    channel: ChannelId


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
        in_flight: channels whose elements up to their barriers belong to the snapshot (unaligned only): those whose barrier has not come to
            the head. What a blocked channel has queued comes after its barrier.
        waited_s: since the first barrier.
    """

    barrier: Barrier
    in_flight: tuple[ChannelId, ...]
    waited_s: float


@dataclass(frozen=True, slots=True)
class InFlightComplete:
    """Reported: the barrier of the last channel of an unaligned snapshot has arrived; what is in flight is complete.

    Attributes:
        checkpoint: its number.
        waited_s: since the first barrier.
    """

    checkpoint: int
    waited_s: float = 0.0


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
    """Channels whose barrier has not come to the head; once the snapshot is taken, those whose barrier has not arrived."""
    announced: dict[ChannelId, None]
    overtaking: bool = False
    """Whether it is unaligned, from the start or because it took too long."""
    taken: bool = False
    """Whether the snapshot was taken before all barriers had come."""


class BarrierAlignment:
    """Aligns the barriers of one subtask.

    Args:
        channels: its input channels.
        mode: whether channels are blocked.
        timeout_s: how long an aligned checkpoint that may become unaligned waits; None for ever.
        ordered: channels in which nothing is overtaken.
    """

    def __init__(
        self,
        channels: Iterable[ChannelId],
        *,
        mode: AlignmentMode = AlignmentMode.EXACTLY_ONCE,
        timeout_s: float | None = None,
        ordered: Iterable[ChannelId] = (),
    ) -> None:
        self._open = dict.fromkeys(channels)
        self._mode = mode
        self._timeout_s = timeout_s
        self._ordered = tuple(ordered)
        self._ending: dict[ChannelId, None] = {}
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
            case BarrierAnnounced(channel=channel, barrier=barrier):
                return self._announced(channel, barrier, now)
            case ChannelEnding(channel=channel):
                return self._ends(channel, now)
            case ChannelEnded(channel=channel):
                return self._ended(channel, now)
            case CheckpointGivenUp(checkpoint=checkpoint):
                return self._given_up(checkpoint)
            case TimerFired(name=name) if name == _TIMER:
                return self._overdue(now)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _arrived(self, channel: ChannelId, barrier: Barrier, now: float) -> list[Effect]:
        """Take a barrier that has come to the head of its channel."""
        aligning, effects = self._heard(channel, barrier, now)
        if aligning is None or channel not in aligning.waiting:
            return effects
        del aligning.waiting[channel]
        if not aligning.waiting:
            return effects + self._complete(aligning, now)
        effects += self._overtake(aligning, now)
        if self._mode is AlignmentMode.EXACTLY_ONCE and not aligning.taken:
            self._blocked[channel] = None
            effects.append(Report(BlockChannel(channel)))
        return effects

    def _announced(self, channel: ChannelId, barrier: Barrier, now: float) -> list[Effect]:
        """Take a barrier that has arrived: it may overtake what stands before it."""
        aligning, effects = self._heard(channel, barrier, now)
        if aligning is None or channel not in aligning.waiting:
            return effects
        if aligning.taken:
            del aligning.waiting[channel]
            return effects if aligning.waiting else effects + self._complete(aligning, now)
        aligning.announced[channel] = None
        return effects + self._overtake(aligning, now)

    def _heard(self, channel: ChannelId, barrier: Barrier, now: float) -> tuple[_Aligning | None, list[Effect]]:
        """Return what the barrier is aligned for, None if it is void, and what it has changed by its mere arrival."""
        aligning = self._aligning
        number = barrier.checkpoint_id
        current = aligning is not None and number == aligning.barrier.checkpoint_id
        if channel not in self._open or number in self._void or (number <= self._last and not current):
            return None, []
        if aligning is not None and number < aligning.barrier.checkpoint_id:
            return None, []
        effects: list[Effect] = []
        if aligning is not None and not current:
            effects += self._give_up()  # its coordinator has: barriers of one channel come in order
            aligning = None
        if aligning is None:
            aligning = self._aligning = _Aligning(barrier, now, dict(self._open), dict(self._ending))
            if self._timeout_s is not None and not barrier.unaligned and not barrier.savepoint:
                effects.append(SetTimer(_TIMER, now + self._timeout_s))
        aligning.overtaking = aligning.overtaking or barrier.unaligned
        return aligning, effects

    def _ends(self, channel: ChannelId, now: float) -> list[Effect]:
        """Take note that no barrier of this channel will arrive any more."""
        if channel not in self._open:
            return []
        self._ending[channel] = None
        aligning = self._aligning
        if aligning is None or channel not in aligning.waiting:
            return []
        if not aligning.taken:
            aligning.announced[channel] = None
            return []
        del aligning.waiting[channel]
        return [] if aligning.waiting else self._complete(aligning, now)

    def _ended(self, channel: ChannelId, now: float) -> list[Effect]:
        self._open.pop(channel, None)
        self._ending.pop(channel, None)
        self._blocked.pop(channel, None)
        aligning = self._aligning
        if aligning is None or channel not in aligning.waiting:
            return []
        del aligning.waiting[channel]
        return self._overtake(aligning, now) if aligning.waiting else self._complete(aligning, now)

    def _overdue(self, now: float) -> list[Effect]:
        """Go over to an unaligned snapshot: waiting has taken too long."""
        aligning = self._aligning
        if aligning is None or aligning.taken:
            return []
        aligning.overtaking = True
        return self._overtake(aligning, now)

    def _overtake(self, aligning: _Aligning, now: float) -> list[Effect]:
        """Take the snapshot before all barriers have come to the heads of their channels, if that may be."""
        if not aligning.overtaking or aligning.taken or any(channel in aligning.waiting for channel in self._ordered):
            return []
        aligning.taken = True
        self._advance_to(aligning.barrier.checkpoint_id)
        in_flight = tuple(aligning.waiting)
        aligning.waiting = {channel: None for channel in in_flight if channel not in aligning.announced}
        taken = TakeSnapshot(_overtaking(aligning.barrier), in_flight, now - aligning.first_at)
        effects = [CancelTimer(_TIMER), Report(taken), *self._unblock()]
        return effects if aligning.waiting else effects + self._complete(aligning, now)

    def _complete(self, aligning: _Aligning, now: float) -> list[Effect]:
        self._aligning = None
        self._advance_to(aligning.barrier.checkpoint_id)
        waited_s = now - aligning.first_at
        if aligning.taken:
            return [Report(InFlightComplete(self._last, waited_s))]
        barrier = _overtaking(aligning.barrier) if aligning.overtaking else aligning.barrier
        return [CancelTimer(_TIMER), Report(TakeSnapshot(barrier, (), waited_s)), *self._unblock()]

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


def _overtaking(barrier: Barrier) -> Barrier:
    """Return the barrier of a checkpoint that has become unaligned."""
    return Barrier(barrier.checkpoint_id, barrier.timestamp, unaligned=True)
