"""The merged watermark of a subtask with several input channels.

The merged watermark is the smallest among the channels that *count*, and it never goes back. A channel counts while it is
active, has not ended, and has caught up:

    counting ──idle──► idle ──active──► counting, or lagging while its watermark is behind the merged one
        │                                  lagging ──advance to the merged watermark──► counting
        └──────────────ended──────────────► ended (from every state; for ever)

- A lagging channel holds nothing back: its records behind the merged watermark are late in any case.
- While all channels are idle (those that ended aside), so is the subtask, and the merged watermark is the highest that any of them
  told: nobody is left to hold it back.
- A channel that has ended, or told `MAX_TIMESTAMP`, no longer counts: no record follows in it, and the others go on without it. When all have ended, the merged watermark is `MAX_TIMESTAMP`.

Late rule: what arrives from a channel that has ended, and a watermark that is not higher than the channel's last, is dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from actorflow.ids import ChannelId
from actorflow.protocol.machine import Effect, Report, ensure
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Active, EndOfInput, Idle, Watermark

WatermarkEvent = Watermark | Idle | Active | EndOfInput


@dataclass(frozen=True, slots=True)
class ChannelTold:
    """`event` arrived in `channel`."""

    channel: ChannelId
    event: WatermarkEvent


class ChannelStatus(enum.Enum):
    """How a channel stands towards the merged watermark."""

    COUNTING = "counting"
    LAGGING = "lagging"
    IDLE = "idle"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class MergedWatermark:
    """What `WatermarkMerge.observe` shows.

    Attributes:
        watermark: the merged watermark in milliseconds.
        all_idle: whether the subtask as a whole is idle.
        channels: channel, its status, its own watermark in milliseconds.
    """

    watermark: int
    all_idle: bool
    channels: tuple[tuple[ChannelId, ChannelStatus, int], ...]


class WatermarkMerge:
    """Merges the watermarks of `channels`.

    The direct methods return the new merged watermark if it moved, else None. `take` does the same for a whole channel event and
    returns what the subtask has to forward, idleness included.
    """

    __slots__ = ("_statuses", "_told", "all_idle", "watermark")

    def __init__(self, channels: Iterable[ChannelId]) -> None:
        self._told = dict.fromkeys(channels, MIN_TIMESTAMP)
        self._statuses = dict.fromkeys(self._told, ChannelStatus.COUNTING)
        self.watermark = MIN_TIMESTAMP
        """The merged watermark, in milliseconds."""
        self.all_idle = False
        """Whether no channel that could still send is active."""

    def advance(self, channel: ChannelId, timestamp: int) -> int | None:
        """Note the watermark of `channel` (ms); return the merged one if it moved."""
        before = self._told[channel]
        status = self._statuses[channel]
        if timestamp <= before or status is ChannelStatus.ENDED:
            return None
        if timestamp == MAX_TIMESTAMP:
            return self.ended(channel)
        self._told[channel] = timestamp
        if status is ChannelStatus.IDLE:
            return self._merge() if self.all_idle else None
        if status is ChannelStatus.LAGGING:
            if timestamp < self.watermark:
                return None
            self._statuses[channel] = ChannelStatus.COUNTING
        elif before > self.watermark:
            return None
        return self._merge()

    def idle(self, channel: ChannelId) -> int | None:
        """Note that `channel` holds back nothing for now; return the merged watermark if it moved."""
        if self._statuses[channel] in {ChannelStatus.IDLE, ChannelStatus.ENDED}:
            return None
        self._statuses[channel] = ChannelStatus.IDLE
        return self._merge()

    def active(self, channel: ChannelId) -> int | None:
        """Note that `channel` counts again, once it has caught up. The merged watermark moves only if no other counts."""
        if self._statuses[channel] is not ChannelStatus.IDLE:
            return None
        caught_up = self._told[channel] >= self.watermark
        self._statuses[channel] = ChannelStatus.COUNTING if caught_up else ChannelStatus.LAGGING
        return self._merge()

    def ended(self, channel: ChannelId) -> int | None:
        """Note that nothing follows in `channel`; return the merged watermark if it moved."""
        self._statuses[channel] = ChannelStatus.ENDED
        return self._merge()

    def take(self, channel: ChannelId, event: WatermarkEvent) -> list[WatermarkEvent]:
        """Note what arrived in `channel`; return what the subtask forwards: `Active` first, then `Watermark`, then `Idle`.

        The end of input is never among it: when to end is decided by the gate, after the chain has finished.
        """
        was_idle = self.all_idle
        match event:
            case Watermark(timestamp):
                moved = self.advance(channel, timestamp)
            case Idle():
                moved = self.idle(channel)
            case Active():
                moved = self.active(channel)
            case EndOfInput():
                moved = self.ended(channel)
        forward: list[WatermarkEvent] = []
        if was_idle and not self.all_idle:
            forward.append(Active())
        if moved is not None:
            forward.append(Watermark(moved))
        if self.all_idle and not was_idle:
            forward.append(Idle())
        return forward

    def _merge(self) -> int | None:
        """Compute the merged watermark anew."""
        statuses = self._statuses
        told = self._told
        counting = [told[channel] for channel, status in statuses.items() if status is ChannelStatus.COUNTING]
        idle = [told[channel] for channel, status in statuses.items() if status is ChannelStatus.IDLE]
        lagging = ChannelStatus.LAGGING in statuses.values()
        self.all_idle = bool(idle) and not counting and not lagging
        if counting:
            merged = min(counting)
        elif self.all_idle:
            merged = max(idle)
        elif lagging:
            return None
        else:
            merged = MAX_TIMESTAMP
        if merged <= self.watermark:
            return None
        self.watermark = merged
        return merged

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - the merge does not depend on time
        """Take `ChannelTold`; report each event that the subtask forwards."""
        assert isinstance(event, ChannelTold), f"unknown event {event!r}"
        return [Report(forwarded) for forwarded in self.take(event.channel, event.event)]

    def observe(self) -> MergedWatermark:
        """Return the merge as a value."""
        channels = tuple((channel, self._statuses[channel], told) for channel, told in self._told.items())
        return MergedWatermark(self.watermark, self.all_idle, channels)

    def check(self) -> None:
        """State that the merged watermark is the smallest of the counting channels, and no lagging one has caught up."""
        counting = [self._told[channel] for channel, status in self._statuses.items() if status is ChannelStatus.COUNTING]
        if counting:
            ensure(min(counting) == self.watermark, f"merged watermark {self.watermark} is not the smallest of {counting}")
        for channel, status in self._statuses.items():
            if status is ChannelStatus.LAGGING:
                ensure(self._told[channel] < self.watermark, f"channel {channel} has caught up and does not count")
        open_statuses = [status for status in self._statuses.values() if status is not ChannelStatus.ENDED]
        idle = bool(open_statuses) and all(status is ChannelStatus.IDLE for status in open_statuses)
        ensure(idle == self.all_idle, f"all_idle is {self.all_idle}, the channels say {idle}")
