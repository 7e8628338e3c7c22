"""Where a subtask's batches come from: its input channels, or the splits of a source.

A feed does one turn's work when asked, and never waits. A source reader that has nothing now says when, or on which file descriptor, to
ask again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, assert_never

from actorflow.connectors.contracts import EndOfSplit, Pause, Reader, ReaderContext, Source
from actorflow.errors import PlanError
from actorflow.ids import ChannelId
from actorflow.operators.contract import Chain
from actorflow.operators.failures import call_user
from actorflow.protocol.barriers import (
    BarrierAlignment,
    BarrierArrived,
    BlockChannel,
    ChannelEnded,
    TakeSnapshot,
    UnblockChannels,
)
from actorflow.protocol.flush import BufferSizing
from actorflow.protocol.machine import Report
from actorflow.protocol.split_watermarks import SplitWatermarks
from actorflow.protocol.watermark import WatermarkMerge
from actorflow.runtime.input_gate import InputGate
from actorflow.runtime.links import ReceivedBatch
from actorflow.runtime.meter import Meter
from actorflow.runtime.subtask import Subtask
from actorflow.wire.batch import (
    MAX_TIMESTAMP,
    Active,
    Barrier,
    Batch,
    ChannelEvent,
    ColumnBatch,
    EndOfInput,
    Idle,
    LatencyMarker,
    ObjectBatch,
    Watermark,
)


class Taker(Protocol):
    """What a gate feeds: a subtask, or something that stands before it."""

    meter: Meter

    @property
    def chain(self) -> Chain:
        """What runs in the subtask."""
        ...

    def resume_after(self, seconds: float) -> None:
        """Give the subtask a turn after some seconds."""
        ...

    def take(self, batch: Batch, port: int) -> None:
        """Take a batch."""
        ...

    def event(self, event: ChannelEvent) -> None:
        """Take an event that holds for all channels."""
        ...


class GateFeed:
    """Feeds a subtask from its input channels.

    Args:
        subtask: takes the batches and events.
        gate: the channels.
        sizing: how large the buffers should be that producers send; None keeps their size.
        sizing_period_s: how often that is computed anew.
        batch_records_max: size of buffers at first.
        payload_bytes_max: what a compressed payload may grow to.
    """

    def __init__(
        self,
        subtask: Taker,
        gate: InputGate,
        *,
        sizing: BufferSizing | None,
        sizing_period_s: float,
        batch_records_max: int,
        payload_bytes_max: int,
    ) -> None:
        self.gate = gate
        self.ended = False
        self.records_in = 0
        self.bytes_in = 0
        self._subtask = subtask
        self._batch_records_max = batch_records_max
        self._payload_bytes_max = payload_bytes_max
        self._watermarks = WatermarkMerge(ChannelId(index) for index in range(len(gate.channels)))
        self._alignment = BarrierAlignment(ChannelId(index) for index in range(len(gate.channels)))
        self._sizing = sizing
        self._sizing_period_s = sizing_period_s
        self._measured_at_s = subtask.meter.now()
        self._measured_records = 0
        self._measured_busy_s = 0.0

    def begin(self) -> None:
        """Grant the first credits."""
        self.gate.open(self._batch_records_max)

    def advance(self) -> bool:
        """Take one element."""
        taken = self.gate.take()
        if taken is None:
            return _rest(self._subtask)
        index, element = taken
        if isinstance(element, ReceivedBatch):
            self.bytes_in += element.bytes
            element = element.decode(self._payload_bytes_max)
        if isinstance(element, ObjectBatch | ColumnBatch):
            self.records_in += len(element)
            self._subtask.take(element, self.gate.channels[index].port)
            if self._sizing is not None:
                self._measure(self._sizing)
            self.gate.consumed(index)
        else:
            self._event(index, element)
        return self.gate.has_input or _rest(self._subtask)

    def _measure(self, sizing: BufferSizing) -> None:
        """Once a period, see how fast records are processed, and ask producers for buffers of the size that suits it."""
        now = self._subtask.meter.now()
        if now - self._measured_at_s < self._sizing_period_s:
            return
        busy_s = self._subtask.meter.totals_s()[0]
        records = self.records_in - self._measured_records
        size = sizing.measured(records, busy_s - self._measured_busy_s, self.gate.buffers_in_flight)
        if size is not None:
            self.gate.batch_records_max = size
        self._measured_at_s, self._measured_busy_s, self._measured_records = now, busy_s, self.records_in

    def _event(self, index: int, event: ChannelEvent) -> None:
        match event:
            case Watermark() | Idle() | Active():
                self._forward(index, event)
            case Barrier():
                self._align(BarrierArrived(ChannelId(index), event))
            case LatencyMarker():
                self._subtask.event(event)
            case EndOfInput():
                self.ended = self.gate.end(index)
                self._align(ChannelEnded(ChannelId(index)))
                self._forward(index, event)
            case _:
                assert_never(event)

    def _align(self, event: BarrierArrived | ChannelEnded) -> None:
        """Hold back the channels whose barrier has come until all have, and pass the barrier on then."""
        for effect in self._alignment.handle(event, self._subtask.meter.now()):
            match effect:
                case Report(BlockChannel(channel)):
                    self.gate.block(channel)
                case Report(UnblockChannels()):
                    self.gate.unblock()
                case Report(TakeSnapshot(barrier=barrier)):
                    self._subtask.event(barrier)
                case _:
                    pass  # timers and overtaking barriers: nobody asks for these yet

    def _forward(self, index: int, event: Watermark | Idle | Active | EndOfInput) -> None:
        for forwarded in self._watermarks.take(ChannelId(index), event):
            self._subtask.event(forwarded)

    @property
    def waits_for(self) -> str:
        """What has to come."""
        still = sum(not channel.ended for channel in self.gate.channels)
        return "" if self.gate.has_input else f"input: {still} of {len(self.gate.channels)} channels have not ended"

    def close(self) -> None:
        """Nothing to free: what is queued goes with the subtask."""


def _rest(subtask: Taker) -> bool:
    """Note that there is no input now; see to it that somebody looks again when that begins to matter."""
    within_ms = subtask.chain.nothing_from(None)
    if within_ms is not None:
        subtask.resume_after(within_ms / 1000)
    return False


class SourceFeed:
    """Feeds a subtask by reading splits, which the JobMaster hands out one at a time.

    Args:
        subtask: takes the batches.
        source: opens the splits.
        operator: the source's name, for reports.
        context: what its readers may know.
        batch_records_max: records to ask a reader for.
        ask: tells the JobMaster which split was read (None at first) and asks for the next; `assign` or `no_more` is called in answer.
        watch: calls back once, on the subtask's thread, after some seconds or when a file descriptor can be read.
        unwatch: forgets that file descriptor.
    """

    def __init__(
        self,
        subtask: Subtask,
        source: Source,
        *,
        operator: str,
        context: ReaderContext,
        batch_records_max: int,
        ask: Callable[[int | None], None],
        watch: Callable[[Pause], None],
        unwatch: Callable[[Pause], None],
    ) -> None:
        self.ended = False
        self.records_in = 0
        self.bytes_in = 0
        self._subtask = subtask
        self._source = source
        self._operator = operator
        self._context = context
        self._batch_records_max = self._batch_records = batch_records_max
        self._ask = ask
        self._watch = watch
        self._unwatch = unwatch
        self._emitted = 0
        self._pause: Pause | None = None
        self._reader: Reader | None = None
        self._split = 0
        self._watermarks = SplitWatermarks()

    def begin(self) -> None:
        """Ask for the first split."""
        self._ask(None)

    def assign(self, number: int, split: Any) -> None:
        """Take split `number` from the JobMaster, which is the answer to having asked."""
        assert self._reader is None, "a reader asks for a split when it has none"
        self._split = number
        self._watermarks.added(number)
        self._subtask.chain.reading(number)
        self._reader = self._call(self._source.open_reader, split, None, self._context)
        self._subtask.wake()

    def no_more(self) -> None:
        """Hear that nothing is left to read."""
        self.ended = True
        self._subtask.event(Watermark(MAX_TIMESTAMP))
        self._subtask.wake()

    def advance(self) -> bool:
        """Read one batch, or what the reader knows of event time."""
        self._resume()
        if self._reader is None:
            return _rest(self._subtask)
        match self._call(self._reader.read, self._batch_records):
            case ObjectBatch() | ColumnBatch() as batch:
                self.records_in += len(batch)
                if self._watermarks.records(self._split):
                    self._forward()
                self._subtask.take(batch, 0)
                self._adapt(len(batch))
                return True
            case Watermark() | Idle() | Active() as event:
                self._watermarks.take(self._split, event)
                self._forward()
                return True
            case Pause() as pause:
                within_ms = self._subtask.chain.nothing_from(self._split)
                if within_ms is not None:
                    pause = replace(pause, seconds=min(pause.seconds, within_ms / 1000))
                self._pause = pause
                self._watch(pause)
            case EndOfSplit():
                self._close_reader()
                self._watermarks.ended(self._split)
                self._forward()
                self._subtask.chain.split_ended(self._split)
                self._ask(self._split)
            case other:
                raise PlanError(
                    f"the reader of '{self._operator}' returned {type(other).__name__}",
                    hint="read() returns a batch, a Watermark, Idle, Active, a Pause or END_OF_SPLIT",
                )
        return False

    def _forward(self) -> None:
        for event in self._watermarks.forward():
            self._subtask.event(event)

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        return call_user(function, *arguments, operator=self._operator, subtask=str(self._context.subtask))

    def _adapt(self, read: int) -> None:
        """Read as many records at once as become about one full batch of output, and fewer while a burst overruns the outputs.

        Lines that become ten words each are read a hundred at a time: what a batch becomes then stays in the processor's cache, which makes
        word count about a fifth faster.

        Args:
            read: records of the batch that was just processed.
        """
        emitted = self._subtask.emitted
        growth = max(1.0, (emitted - self._emitted) / read)
        self._emitted = emitted
        if self._subtask.overdrawn:
            self._batch_records = max(1, self._batch_records // 2)
        else:
            fitting = max(1, int(self._batch_records_max / growth))
            self._batch_records = min(fitting, 2 * self._batch_records)

    def _resume(self) -> None:
        if self._pause is not None:
            self._unwatch(self._pause)
            self._pause = None

    @property
    def waits_for(self) -> str:
        """What has to come."""
        if self._reader is None:
            return "a split"
        if self._pause is None:
            return ""
        seconds = self._pause.seconds
        return (
            f"its reader, which has nothing for {seconds:g} s" if seconds < math.inf else "its reader, which has nothing any more"
        )

    def _close_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            self._call(reader.close)

    def close(self) -> None:
        """Close the reader."""
        self._resume()
        self._close_reader()
