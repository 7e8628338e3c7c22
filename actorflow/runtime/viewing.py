"""How a subtask looks from outside: its counters, and its state as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorflow.runtime.input_gate import InputGate
from actorflow.runtime.meter import SubtaskMetrics
from actorflow.runtime.subtask_contract import SubtaskView

if TYPE_CHECKING:
    from actorflow.runtime.subtask import Subtask


def metrics_of(subtask: Subtask) -> SubtaskMetrics:
    """Return a subtask's counters and shares of time."""
    totals = subtask.meter.totals_s()
    return SubtaskMetrics(
        subtask.feed.records_in,
        sum(exchange.records_sent for exchange in subtask.exchanges) + sum(sink.records for sink in subtask.sinks),
        subtask.feed.bytes_in,
        sum(exchange.bytes_sent for exchange in subtask.exchanges),
        *subtask.meter.shares_ms,
        *totals,
    )


def view_of(subtask: Subtask) -> SubtaskView:
    """Return a subtask's state as a value."""
    gate = getattr(subtask.feed, "gate", None)
    return SubtaskView(
        subtask.name,
        subtask.meter.activity.name.lower(),
        metrics_of(subtask),
        subtask.watermark,
        gate.queued() if isinstance(gate, InputGate) else 0,
        tuple(lane.waiting for exchange in subtask.exchanges for lane in exchange.lanes),
        subtask.chain.observe(),
    )
