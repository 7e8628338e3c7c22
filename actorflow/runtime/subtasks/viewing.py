"""How a subtask looks from outside: its counters, and its state as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorflow.protocol.jobs.deployment import SubtaskTotals
from actorflow.runtime.subtasks.meter import SubtaskMetrics
from actorflow.runtime.subtasks.subtask_contract import OutputView, SubtaskView

if TYPE_CHECKING:
    from actorflow.runtime.subtasks.subtask import Subtask


def metrics_of(subtask: Subtask) -> SubtaskMetrics:
    """Return a subtask's counters and shares of time."""
    totals = subtask.meter.totals_s()
    return SubtaskMetrics(
        *records_of(subtask),
        subtask.feed.bytes_in,
        sum(exchange.bytes_sent for exchange in subtask.exchanges),
        *subtask.meter.shares_ms,
        *totals,
        *subtask.meter.rates,
    )


def totals_of(subtask: Subtask) -> SubtaskTotals:
    """Return what a subtask has done by now."""
    return totals_in(metrics_of(subtask))


def totals_in(done: SubtaskMetrics) -> SubtaskTotals:
    """Return the totals among a subtask's counters."""
    spent = (round(1000 * seconds) for seconds in (done.busy_s, done.idle_s, done.back_pressured_s))
    return SubtaskTotals(done.records_in, done.records_out, done.bytes_in, done.bytes_out, *spent)


def records_of(subtask: Subtask) -> tuple[int, int]:
    """Return the records that a subtask has taken, and given to channels and sinks."""
    sent = sum(exchange.records_sent for exchange in subtask.exchanges)
    return subtask.feed.records_in, sent + sum(sink.records for sink in subtask.sinks)


def view_of(subtask: Subtask) -> SubtaskView:
    """Return a subtask's state as a value."""
    inputs = subtask.feed.channels()
    outputs = tuple(
        OutputView(lane.channel, lane.waiting, lane.exhausted) for exchange in subtask.exchanges for lane in exchange.lanes
    )
    return SubtaskView(
        subtask.name,
        subtask.meter.activity.name.lower(),
        _waits_for(subtask),
        metrics_of(subtask),
        subtask.event_time.watermark,
        sum(channel.queued for channel in inputs),
        tuple(lane.waiting for lane in outputs),
        subtask.chain.observe(),
        inputs,
        outputs,
        subtask.chain.own_time,
        subtask.checkpoints.passed if subtask.checkpoints is not None else 0,
    )


def _waits_for(subtask: Subtask) -> str:
    if subtask.over:
        return "nothing: it is over"
    if not subtask._begun:
        return "the order to start"
    if any(sink.blocked for sink in subtask.sinks):
        return "the client, to take results"
    full = sum(lane.waiting > 0 for exchange in subtask.exchanges for lane in exchange.lanes)
    if full and (subtask._ending or subtask.outputs.exhausted):
        return f"credit of consumers: {full} channels are full"
    if subtask.chain.blocked or subtask.feed.ended:
        return "calls of its operators, which are under way"
    return subtask.feed.waits_for
