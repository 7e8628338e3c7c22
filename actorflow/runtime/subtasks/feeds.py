"""Where a subtask's batches come from, if it has input channels. See `source_feed` for those that read a source.

A feed does one turn's work when asked, and never waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol, assert_never

from actorflow.ids import ChannelId
from actorflow.protocol.event_time.watermark import WatermarkMerge
from actorflow.protocol.transfer.flush import BufferSizing
from actorflow.runtime.channels.input_gate import InputGate
from actorflow.runtime.channels.links import ReceivedBatch
from actorflow.runtime.checkpoints.input_barriers import InputBarriers
from actorflow.runtime.subtasks.meter import Meter
from actorflow.runtime.subtasks.subtask_contract import InputView
from actorflow.wire.batch import (
    Active,
    Barrier,
    Batch,
    ChannelEvent,
    ColumnBatch,
    EndOfInput,
    Idle,
    ObjectBatch,
    Watermark,
)


class Taker(Protocol):
    """What a gate feeds: a subtask, or something that stands before it."""

    meter: Meter

    def rest(self) -> None:
        """Have no input for now."""
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

    Attributes:
        barriers: those of the gate's channels.
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
        self.barriers = InputBarriers(gate, subtask, subtask.meter.now)
        self._returned: deque[tuple[int, int, ReceivedBatch | Batch]] = deque()
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
        if self._returned:
            _, port, batch = self._returned.popleft()
            self._records(batch, port)
            return True
        taken = self.gate.take()
        if taken is None:
            self._subtask.rest()
            return False
        index, element = taken
        if isinstance(element, ReceivedBatch | ObjectBatch | ColumnBatch):
            self._records(element, self.gate.channels[index].port)
            if self._sizing is not None:
                self._measure(self._sizing)
            self.gate.consumed(index)
        else:
            self._event(index, element)
        if not self.gate.has_input:
            self._subtask.rest()
        return self.gate.has_input

    def _records(self, batch: ReceivedBatch | Batch, port: int) -> None:
        if isinstance(batch, ReceivedBatch):
            self.bytes_in += batch.bytes
            batch = batch.decode(self._payload_bytes_max)
        self.records_in += len(batch)
        self._subtask.take(batch, port)

    def give_back(self, batches: Iterable[tuple[int, int, ReceivedBatch | Batch]]) -> None:
        """Take what an earlier run had received and not processed; it goes before anything that arrives.

        Args:
            batches: position of the edge, port, batch.
        """
        self._returned.extend(batches)

    def still_returned(self) -> list[tuple[int, ReceivedBatch | Batch]]:
        """Return what is left of what was given back: position of the edge, batch."""
        return [(edge, batch) for edge, _, batch in self._returned]

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
                self.barriers.arrived(index, event)
            case EndOfInput():
                self.ended = self.gate.end(index)
                self.barriers.ended(index)
                self._forward(index, event)
            case _:
                assert_never(event)

    def _forward(self, index: int, event: Watermark | Idle | Active | EndOfInput) -> None:
        for forwarded in self._watermarks.take(ChannelId(index), event):
            self._subtask.event(forwarded)

    def channels(self) -> tuple[InputView, ...]:
        """Return the input channels as values."""
        aligning = self.barriers.observe()
        told = self._watermarks.observe().channels
        return tuple(
            InputView(
                channel.id,
                len(channel.queue),
                watermark,
                status.value,
                index in aligning.blocked,
                (aligning.checkpoint or 0) if index in aligning.waiting_for else 0,
            )
            for channel, (index, status, watermark) in zip(self.gate.channels, told, strict=True)
        )

    @property
    def waits_for(self) -> str:
        """What has to come."""
        if not self.gate.has_input and self.barriers.waits_for:
            return self.barriers.waits_for
        still = sum(not channel.ended for channel in self.gate.channels)
        return "" if self.gate.has_input else f"input: {still} of {len(self.gate.channels)} channels have not ended"

    def close(self) -> None:
        """Free what fills the gate; what is queued goes with the subtask."""
        self.gate.close()
