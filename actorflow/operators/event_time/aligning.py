"""The reading end of watermark alignment: reports how far a subtask is, and says which of its splits may be read on.

A split that is ahead of what the JobMaster allows (see `protocol.event_time.alignment`) is not read: nothing of it is taken into memory. The others
of the same reader go on. Until the first answer a split is read only as long as nothing is known of its event time.
"""

from __future__ import annotations

from actorflow.operators.contract import SubtaskContext
from actorflow.operators.event_time.watermarks import Alignment
from actorflow.protocol.event_time.split_watermarks import SplitWatermarks
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


class AlignedSplits:
    """The splits of one subtask, as one member of a group.

    Args:
        alignment: what the user asked for.
        operator: name of the operator that makes their watermarks.
        context: the subtask.
        splits: their watermarks.

    Attributes:
        lead_ms: how far the subtask is ahead of the slowest of the group, as far as is known; None if that is not known.
    """

    def __init__(self, alignment: Alignment, operator: str, context: SubtaskContext, splits: SplitWatermarks) -> None:
        self.lead_ms: int | None = None
        self._alignment = alignment
        self._operator = operator
        self._context = context
        self._splits = splits
        self._allowed = MIN_TIMESTAMP
        self._reports = 0
        self._answers = 0
        self._reported: tuple[int, bool] | None = None

    def open(self) -> None:
        """Report for the first time, and from then on every `update`."""
        self._report()
        self._context.call_at(self._context.processing_time() + self._alignment.update_ms, self.open)

    def changed(self) -> None:
        """Report at once what others may wait for: the first watermark, and the turns between idle and active."""
        watermark, idle = self._splits.merge(), self._splits.all_idle
        if self._reported is None or (watermark > MIN_TIMESTAMP) > (self._reported[0] > MIN_TIMESTAMP) or idle != self._reported[1]:
            self._report()

    def _report(self) -> None:
        watermark, idle = self._reported = self._splits.merge(), self._splits.all_idle
        self._reports += 1
        self._context.report_watermark(
            self._operator, number=self._reports, watermark=watermark, idle=idle, max_drift_ms=self._alignment.max_drift_ms
        )

    def allow(self, number: int, watermark: int, lead_ms: int | None) -> None:
        """Take an answer, unless a later one has come before it."""
        if number > self._answers:
            self._answers = number
            self._allowed = watermark
            self.lead_ms = lead_ms

    def may_read(self, split: int) -> bool:
        """Return whether a split is not too far ahead. If it is, the time until it is read again tells nothing about its being idle."""
        allowed = self._splits.watermark_of(split) <= self._allowed
        if not allowed:
            self._splits.interrupted(split)
        return allowed

    def facts(self) -> dict[str, object]:
        """Return the group, how far ahead of it the subtask is, and what is allowed; times in ms."""
        bounded = MIN_TIMESTAMP < self._allowed < MAX_TIMESTAMP
        return {"group": self._alignment.group, "lead_ms": self.lead_ms, "allowed": self._allowed if bounded else None}
