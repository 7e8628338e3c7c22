"""Runs `with_timestamps`: gives each batch its event times, and makes the watermarks that follow from them.

    batch ──► event times ──► batch with timestamps ──► the stages behind
                   │
                   └─► latest ──► watermark, at most once an interval ──► announced behind that batch

What the input tells of event time ends here: records get new times, so its watermarks and its idleness no longer hold. Only the last
watermark passes, `MAX_TIMESTAMP` at the end of the input.

An interval is measured in processing time. The first watermark after a pause goes out at once; one that comes too soon after the
last is made when the interval is over, even if no record follows. 0 means: behind every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from actorflow.config import options
from actorflow.operators.contract import SubtaskContext
from actorflow.operators.event_times import EventTimes
from actorflow.operators.stage import Consumer, Stage
from actorflow.operators.watermarks import TimestampSpec
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Batch


class TimestampStage(Stage):
    """One `with_timestamps`.

    Args:
        name: the operator's name.
        spec: how to read event times, and how watermarks follow.
        following: gets the batches.
        context: the subtask.
    """

    makes_watermarks: ClassVar[bool] = True

    def __init__(self, name: str, spec: TimestampSpec, following: Consumer, context: SubtaskContext) -> None:
        self._name = name
        self._times = EventTimes(spec.timestamp, name, str(context.subtask))
        self._following = following
        self._context = context
        self._interval_ms = round(context.config[options.AUTO_WATERMARK_INTERVAL] * 1000)
        self._out_of_order_ms = spec.watermarks.out_of_order_ms
        self._announce: Callable[[int], None] = context.forward_watermark
        self._latest = MIN_TIMESTAMP
        self._watermark = MIN_TIMESTAMP
        """Announced last."""
        self._announced_at_ms: int | None = None
        self._alarm_set = False
        self._records = 0

    def wire(self, announce: Callable[[int], None]) -> None:
        """Take the way on which watermarks go."""
        self._announce = announce

    def process(self, batch: Batch) -> None:
        """Pass on the batch with its event times, and a watermark behind it if one is due."""
        self._records += len(batch)
        stamped, latest = self._times.stamp(batch)
        self._following.process(stamped)
        if latest > self._latest:
            self._latest = latest
            if self._out_of_order_ms is not None and not self._alarm_set:
                self._announce_or_wait()

    def _announce_or_wait(self) -> None:
        now = self._context.processing_time()
        due = now if self._announced_at_ms is None else self._announced_at_ms + self._interval_ms
        if due > now + self._interval_ms:  # the wall clock was set back
            due = now
        if now >= due:
            self._make_watermark(now)
        else:
            self._alarm_set = True
            self._context.call_at(due, self._interval_over)

    def _interval_over(self) -> None:
        self._alarm_set = False
        self._make_watermark(self._context.processing_time())

    def _make_watermark(self, now: int) -> None:
        assert self._out_of_order_ms is not None, "without watermarks none is due"
        watermark = self._latest - self._out_of_order_ms - 1
        if watermark > self._watermark:
            self._watermark = watermark
            self._announced_at_ms = now
            self._announce(watermark)

    def advance_watermark(self, timestamp: int) -> int:
        """Return the stage's own watermark, unless the input has ended."""
        if timestamp == MAX_TIMESTAMP:
            self._watermark = timestamp
        return self._watermark

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, and the watermark in ms, if there is one yet."""
        facts: dict[str, object] = {"records_in": self._records, "records_out": self._records}
        if self._watermark != MIN_TIMESTAMP:
            facts["watermark"] = self._watermark
        return {self._name: facts}
