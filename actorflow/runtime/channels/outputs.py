"""What leaves a subtask: its exchanges and its sinks as one.

Records go into each of them by the chain. Here is what holds for all of them together: whether there is room, when that which stands open is due,
and what their readers have been told of event time.
"""

from __future__ import annotations

from collections.abc import Sequence

from actorflow.runtime.channels.exchange import Exchange
from actorflow.runtime.channels.writing import SinkOutput
from actorflow.wire.batch import MIN_TIMESTAMP, Active, ChannelEvent, Idle, Watermark


class Outputs:
    """All outputs of one subtask.

    Args:
        exchanges: to its consumers.
        sinks: its writers.
    """

    def __init__(self, exchanges: Sequence[Exchange], sinks: Sequence[SinkOutput]) -> None:
        self._exchanges = exchanges
        self._sinks = sinks
        self._all: tuple[Exchange | SinkOutput, ...] = (*exchanges, *sinks)
        self.watermark = MIN_TIMESTAMP
        """The last one that was passed on, in ms."""
        self.idle = False
        """Whether they were told that this subtask holds back no watermark."""

    # --- room ----------------------------------------------------------------------------------------------------------------

    @property
    def exhausted(self) -> bool:
        """Whether no more may be put in."""
        for exchange in self._exchanges:
            if exchange.exhausted:
                return True
        return any(sink.blocked for sink in self._sinks)

    @property
    def overdrawn(self) -> bool:
        """Whether the last batch has become more than they should hold: smaller batches would be better."""
        return any(exchange.overdrawn for exchange in self._exchanges)

    @property
    def sending(self) -> bool:
        """Whether something waits for credit."""
        return any(lane.waiting for exchange in self._exchanges for lane in exchange.lanes)

    @property
    def records(self) -> int:
        """Records that were put in."""
        return sum(exchange.records_taken for exchange in self._exchanges) + sum(sink.records for sink in self._sinks)

    # --- sending what stands open --------------------------------------------------------------------------------------------

    @property
    def deadline_s(self) -> float | None:
        """When the first of what stands open is due, in seconds (monotonic); None if nothing does."""
        deadline: float | None = None
        for output in self._all:
            due = output.deadline_s
            if due is not None and (deadline is None or due < deadline):
                deadline = due
        return deadline

    def flush_due(self, now: float) -> None:
        """Send what is due."""
        for exchange in self._exchanges:
            exchange.flush_due(now)
        for sink in self._sinks:
            if sink.deadline_s is not None and sink.deadline_s <= now:
                sink.flush()

    def flush_idle(self) -> None:
        """Send what stands open, because the node has nothing better to do."""
        for exchange in self._exchanges:
            exchange.flush_idle()
        for sink in self._sinks:
            sink.flush()

    def finish(self) -> None:
        """Have the sinks prepare all that was written."""
        for sink in self._sinks:
            sink.finish()

    # --- events --------------------------------------------------------------------------------------------------------------

    def event(self, event: ChannelEvent) -> None:
        """Send an event to all readers, behind everything before it."""
        for output in self._all:
            output.event(event)

    def pass_watermark(self, timestamp: int) -> None:
        """Pass a watermark (ms) on, unless they have heard of a later one."""
        if timestamp > self.watermark:
            self.watermark = timestamp
            self.event(Watermark(timestamp))

    def tell_idleness(self, *, idle: bool) -> None:
        """Tell them whether this subtask holds back a watermark, unless they know."""
        if idle != self.idle:
            self.idle = idle
            self.event(Idle() if idle else Active())
