"""When a buffer is sent, and how large it is.

A buffer that collects records for a channel is sent for the first of four reasons:

    FULL      it holds `size_records` records
    TIMEOUT   its first record has waited for `timeout_s` (None: never for this reason; 0: at once)
    EVENT     something that must not overtake or wait passes: a barrier, a watermark, the end of input
    IDLE      the node would otherwise go idle and the channel has credit: an idle network takes a half-full buffer at once

So a busy channel sends full buffers and an idle one sends each record as it comes, without a setting that trades one for the other.

`BufferSizing` adapts `size_records` so that what is in flight takes about `target_s` to be processed: large enough to be efficient,
small enough for barriers to pass quickly (Flink calls it buffer debloating).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from actorflow.protocol.machine import CancelTimer, Effect, Report, SetTimer, TimerFired, ensure

Lane = NewType("Lane", int)
"""Index of a buffer among those of one output."""

TIMER = "flush"
"""Name of the one timer of a `FlushRules`."""


class FlushReason(enum.Enum):
    """Why a buffer is sent."""

    FULL = "full"
    TIMEOUT = "timeout"
    EVENT = "event"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class RecordsBuffered:
    """The buffer of `lane` holds `records` records now."""

    lane: Lane
    records: int


@dataclass(frozen=True, slots=True)
class EventPassing:
    """A channel event is about to follow what is buffered in `lanes` (None: in all)."""

    lanes: tuple[Lane, ...] | None = None


@dataclass(frozen=True, slots=True)
class NodeIdle:
    """The node has nothing else to do; `lanes` have credit."""

    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Flush:
    """Reported: send the buffer of `lane` as it is."""

    lane: Lane
    reason: FlushReason


@dataclass(frozen=True, slots=True)
class FlushObservation:
    """What `FlushRules.observe` shows. `waiting_since` is the time of the first record of each half-full buffer, in seconds."""

    size_records: int
    waiting_since: tuple[tuple[Lane, float], ...]
    flushes: tuple[tuple[FlushReason, int], ...]


class FlushRules:
    """Decides when the buffers of one output are sent.

    The direct methods return the lanes to send and count them as sent; `handle` reports them as `Flush`. Which lanes wait is kept in
    the order in which they began to, so the oldest is always the first.

    Args:
        size_records: records of a full buffer.
        timeout_s: longest wait of a record in a buffer, or None for no limit.
    """

    def __init__(self, size_records: int, timeout_s: float | None = 0.1) -> None:
        assert size_records >= 1, "a buffer holds a record at least"
        self.size_records = size_records
        """Records of a full buffer; may be changed at any time."""
        self._timeout_s = timeout_s
        self._since: dict[Lane, float] = {}
        self._flushes = dict.fromkeys(FlushReason, 0)

    @property
    def deadline(self) -> float | None:
        """When the oldest half-full buffer has to be sent, in seconds; None if none waits or nothing presses."""
        if self._timeout_s is None or not self._since:
            return None
        return next(iter(self._since.values())) + self._timeout_s

    def buffered(self, lane: Lane, records: int, now: float, size_records: int | None = None) -> bool:
        """Note that the buffer of `lane` holds `records` records; return whether to send it now.

        Args:
            lane: which buffer.
            records: how many it holds.
            now: the time, in seconds.
            size_records: records of a full buffer of this lane, where its receiver wants another size than the output's.
        """
        if records >= (size_records or self.size_records):
            self._sent(lane, FlushReason.FULL)
            return True
        if records and self._timeout_s == 0:
            self._sent(lane, FlushReason.TIMEOUT)
            return True
        if records and lane not in self._since:
            self._since[lane] = now
        return False

    def due(self, now: float) -> list[Lane]:
        """Return the lanes whose time is up."""
        if self._timeout_s is None:
            return []
        due = []
        for lane, since in self._since.items():
            if since + self._timeout_s > now:
                break
            due.append(lane)
        return self._send(due, FlushReason.TIMEOUT)

    def passing(self, lanes: Iterable[Lane] | None = None) -> list[Lane]:
        """Return those of `lanes` (None: all) that have to be sent before a channel event."""
        chosen = list(self._since) if lanes is None else [lane for lane in lanes if lane in self._since]
        return self._send(chosen, FlushReason.EVENT)

    def idle(self, lanes: Iterable[Lane]) -> list[Lane]:
        """Return those of `lanes`, which have credit, that hold records: the node has nothing better to do."""
        return self._send([lane for lane in lanes if lane in self._since], FlushReason.IDLE)

    def _send(self, lanes: list[Lane], reason: FlushReason) -> list[Lane]:
        for lane in lanes:
            self._sent(lane, reason)
        return lanes

    def _sent(self, lane: Lane, reason: FlushReason) -> None:
        self._since.pop(lane, None)
        self._flushes[reason] += 1

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; report each lane to send, and keep the timer at the deadline."""
        before = self.deadline
        match event:
            case RecordsBuffered(lane, records):
                reason = FlushReason.FULL if records >= self.size_records else FlushReason.TIMEOUT
                lanes = [lane] if self.buffered(lane, records, now) else []
            case EventPassing(chosen):
                reason, lanes = FlushReason.EVENT, self.passing(chosen)
            case NodeIdle(chosen):
                reason, lanes = FlushReason.IDLE, self.idle(chosen)
            case TimerFired(name):
                reason, lanes, before = FlushReason.TIMEOUT, self.due(now) if name == TIMER else [], None
            case _:
                raise AssertionError(f"unknown event {event!r}")
        effects: list[Effect] = [Report(Flush(lane, reason)) for lane in lanes]
        if self.deadline != before:
            effects.append(CancelTimer(TIMER) if self.deadline is None else SetTimer(TIMER, self.deadline))
        return effects

    def observe(self) -> FlushObservation:
        """Return the rules' state as a value."""
        return FlushObservation(self.size_records, tuple(self._since.items()), tuple(self._flushes.items()))

    def check(self) -> None:
        """State that the waiting buffers are in the order in which they began to wait."""
        ensure(list(self._since.values()) == sorted(self._since.values()), "the oldest buffer is not the first")
        ensure(self._timeout_s != 0 or not self._since, "a record waits although none may")


@dataclass(frozen=True, slots=True)
class ThroughputMeasured:
    """`records` records were processed in `busy_s` seconds; about `buffers_in_flight` buffers are on their way."""

    records: int
    busy_s: float
    buffers_in_flight: int


@dataclass(frozen=True, slots=True)
class SizeChanged:
    """Reported: buffers should hold `records` records from now on."""

    records: int


@dataclass(frozen=True, slots=True)
class SizingObservation:
    """What `BufferSizing.observe` shows. `records_per_s` is the smoothed throughput."""

    size_records: int
    records_per_s: float
    in_flight_s: float


class BufferSizing:
    """Adapts the size of buffers to the throughput of their consumer.

    The wanted size is `throughput * target_s / buffers in flight`, within bounds. The throughput is an exponential moving average, and
    a change is announced only when it is larger than `threshold`, so that the size does not tremble.

    Args:
        target_s: how long the data in flight should take to be processed.
        records_min: smallest size.
        records_max: largest size.
        records_first: size at first; the largest if None.
        samples: how many measurements the average spans.
        threshold: smallest relative change that is announced.
    """

    def __init__(
        self,
        target_s: float = 0.1,
        *,
        records_min: int = 16,
        records_max: int = 4096,
        records_first: int | None = None,
        samples: int = 20,
        threshold: float = 0.25,
    ) -> None:
        self.size_records = records_max if records_first is None else records_first
        assert 1 <= records_min <= self.size_records <= records_max, "sizes are positive and in order"
        """The size announced last."""
        self._target_s = target_s
        self._records_min = records_min
        self._records_max = records_max
        self._weight = 2 / (samples + 1)
        self._threshold = threshold
        self._records_per_s: float | None = None
        self._buffers = 1

    def measured(self, records: int, busy_s: float, buffers_in_flight: int) -> int | None:
        """Take a measurement; return the new size if it is to change.

        A period in which nothing was processed says nothing about the throughput and is skipped.

        Args:
            records: records processed.
            busy_s: time it took; time spent idle or held back by an own output does not count.
            buffers_in_flight: buffers that are sent or may be, as far as is known.
        """
        if not records or busy_s <= 0:
            return None
        sample = records / busy_s
        before = self._records_per_s
        self._records_per_s = sample if before is None else before + self._weight * (sample - before)
        self._buffers = max(1, buffers_in_flight)
        wanted = round(self._records_per_s * self._target_s / self._buffers)
        wanted = max(self._records_min, min(self._records_max, wanted))
        at_bound = wanted in {self._records_min, self._records_max} and wanted != self.size_records
        if not at_bound and abs(wanted - self.size_records) < self._threshold * self.size_records:
            return None
        if wanted == self.size_records:
            return None
        self.size_records = wanted
        return wanted

    def handle(self, event: object, now: float) -> list[Effect]:  # noqa: ARG002 - measurements carry their own time
        """Take a `ThroughputMeasured`; report a `SizeChanged` if it is to change."""
        assert isinstance(event, ThroughputMeasured), f"unknown event {event!r}"
        size = self.measured(event.records, event.busy_s, event.buffers_in_flight)
        return [] if size is None else [Report(SizeChanged(size))]

    def observe(self) -> SizingObservation:
        """Return the sizing as a value."""
        rate = self._records_per_s or 0.0
        in_flight_s = self.size_records * self._buffers / rate if rate else 0.0
        return SizingObservation(self.size_records, rate, in_flight_s)

    def check(self) -> None:
        """State that the size is within its bounds."""
        ensure(self._records_min <= self.size_records <= self._records_max, f"buffers of {self.size_records} records")
