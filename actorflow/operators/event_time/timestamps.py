"""Runs `with_timestamps`: gives each batch its event times, and makes the watermarks that follow from them.

    batch of split 3 ──► event times ──► batch with timestamps ──► the stages behind
                              │
                              └─► watermark of split 3 ──► smallest of the active splits ──► announced behind that batch

In batch mode there are no watermarks but the last one, so none are made.

What the input tells of event time ends here: records get new times, so its watermarks and its idleness no longer hold. Only the last
watermark passes, `MAX_TIMESTAMP` at the end of the input.

Watermarks that follow from batches are announced at most once an interval, in processing time. The first one after a pause goes out at
once; one that comes too soon after the last is announced when the interval is over, even if no record follows. 0 means: behind every
batch. A watermark of a generator's `on_event` is announced at once, between its record and the next.

In a chain behind a source, splits have a watermark each; what a subtask reads while no split is open, and anywhere else, counts as one
split of its own, `WHOLE`. `protocol.event_time.split_watermarks` decides what follows from all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from actorflow.config import options
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.contract import SubtaskContext
from actorflow.operators.event_time.aligning import AlignedSplits
from actorflow.operators.event_time.event_times import EventTimes
from actorflow.operators.event_time.generators import CalledGenerator
from actorflow.operators.event_time.watermarks import TimestampSpec, WatermarkGenerator
from actorflow.operators.stage import Consumer, Stage
from actorflow.protocol.event_time.split_watermarks import SplitView, SplitWatermarks
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Batch, ColumnBatch, ObjectBatch

WHOLE: Final = -1
"""Stands for the subtask where there are no splits."""


class TimestampStage(Stage):
    """One `with_timestamps`.

    Args:
        name: the operator's name.
        spec: how to read event times, and how watermarks follow.
        following: gets the batches.
        context: the subtask.
    """

    immediate: ClassVar[bool] = True
    makes_watermarks: ClassVar[bool] = True

    def __init__(self, name: str, spec: TimestampSpec, following: Consumer, context: SubtaskContext) -> None:
        self._name = name
        self._times = EventTimes(spec.timestamp, name, str(context.subtask))
        self._following = following
        self._context = context
        self._interval_ms = round(context.config[options.AUTO_WATERMARK_INTERVAL] * 1000)
        self._announce: Callable[[int], None] = context.forward_watermark
        self._idle_after_ms = spec.watermarks.idle_after_ms
        self._factory = spec.watermarks.factory
        bound = spec.watermarks.out_of_order_ms
        self._behind_ms = None if bound is None else bound + 1
        """How far the watermark is behind the latest event time, if it follows from that."""
        self._splits = SplitWatermarks(self._idle_after_ms)
        self._splits.added(WHOLE)
        aligned = spec.watermarks.alignment
        self._aligned = AlignedSplits(aligned, name, context, self._splits) if aligned and not context.batch else None
        self._generators: dict[int, CalledGenerator] = {}
        self._reading = WHOLE
        self._watermark = MIN_TIMESTAMP
        """Announced last."""
        self._told_idle = False
        self._looked_at_ms = -self._interval_ms
        self._alarm_set = False
        self._records = 0

    def wire(self, announce: Callable[[int], None]) -> None:
        """Take the way on which watermarks go."""
        self._announce = announce

    def open(self) -> None:
        """Begin to report how far the splits are, if they are aligned with others."""
        if self._aligned is not None:
            self._aligned.open()

    # --- splits ------------------------------------------------------------------------------------------------------------

    def reading(self, split: int) -> None:
        """Take what comes next for records of this split."""
        self._reading = split
        if split not in self._splits:
            self._splits.added(split)
            self._leave(WHOLE)

    def split_ended(self, split: int) -> None:
        """Go on without a split."""
        if len(self._splits) == 1:
            self._splits.added(WHOLE)
        self._leave(split)

    def _leave(self, split: int) -> None:
        if split in self._splits:
            self._splits.ended(split)
            self._generators.pop(split, None)
            self._tell()

    def nothing_from(self, split: int | None) -> int | None:
        """Note that nothing came; return after how many ms to say so again if it still has not, if that matters."""
        number = WHOLE if split is None else split
        if self._idle_after_ms is None or number not in self._splits or self._context.batch:
            return None
        now = self._context.processing_time()
        if self._splits.nothing(number, now - self._context.held_up_ms()):
            self._tell()
        return self._splits.idle_in_ms(number)

    def may_read(self, split: int) -> bool:
        """Return whether a split is not too far ahead of those that it is aligned with."""
        return self._aligned is None or self._aligned.may_read(split)

    def allow(self, operator: str, number: int, watermark: int, lead_ms: int | None) -> None:
        """Take the answer to a report."""
        if self._aligned is not None and operator == self._name:
            self._aligned.allow(number, watermark, lead_ms)

    # --- records -----------------------------------------------------------------------------------------------------------

    def process(self, batch: Batch) -> None:
        """Pass on the batch with its event times, and the watermarks that are due."""
        self._records += len(batch)
        stamped, latest = self._times.stamp(batch)
        if self._context.batch:
            self._following.process(stamped)
            return
        split = self._reading
        if self._splits.records(split):
            self._tell()
        if self._factory is not None:
            self._process_custom(stamped, self._factory)
        else:
            self._following.process(stamped)
            if self._behind_ms is not None:
                self._splits.told(split, latest - self._behind_ms)
        if not self._alarm_set:
            self._pace()
        if self._aligned is not None and self._watermark == MIN_TIMESTAMP:
            self._aligned.changed()

    def _process_custom(self, batch: Batch, factory: Callable[[], WatermarkGenerator]) -> None:
        generator = self._generators.get(self._reading)
        if generator is None:
            generator = CalledGenerator(factory, self._name, str(self._context.subtask))
            self._generators[self._reading] = generator
        if generator.per_event:
            self._process_events(batch, generator)
        else:
            self._following.process(batch)
        if generator.periodic and not self._interval_ms:
            self._splits.told(self._reading, generator.tick())

    def _process_events(self, batch: Batch, generator: CalledGenerator) -> None:
        """Pass on a batch in the portions between its watermarks."""
        objects = to_objects(batch) if isinstance(batch, ColumnBatch) else batch
        assert objects.timestamps is not None, "it was stamped"
        start = 0
        for place, watermark in generator.events(objects.records, objects.timestamps):
            self._splits.told(self._reading, watermark)
            if watermark > self._watermark and self._splits.merge() > self._watermark:
                self._following.process(_portion(batch, start, place + 1))
                start = place + 1
                self._tell()
        if start < len(batch):
            self._following.process(_portion(batch, start, len(batch)))

    # --- watermarks --------------------------------------------------------------------------------------------------------

    def _pace(self) -> None:
        """See behind a batch what has become of the watermark, or set the alarm at which to do so."""
        now = self._context.processing_time()
        due = self._looked_at_ms + self._interval_ms
        if now < due <= now + self._interval_ms:  # later than that it is if the wall clock was set back
            self._set_alarm(due)
            return
        self._look(now)
        if self._ticking:
            self._set_alarm(now + self._interval_ms)

    def _set_alarm(self, due: int) -> None:
        self._alarm_set = True
        self._context.call_at(due, self._interval_over)

    def _interval_over(self) -> None:
        self._alarm_set = False
        for split, generator in self._generators.items():
            if generator.periodic:
                self._splits.told(split, generator.tick())
        now = self._context.processing_time()
        self._look(now)
        if self._ticking:
            self._set_alarm(now + self._interval_ms)

    @property
    def _ticking(self) -> bool:
        """Whether a generator is to be asked again, whether records come or not."""
        return self._interval_ms > 0 and any(generator.periodic for generator in self._generators.values())

    def _look(self, now: int) -> None:
        self._looked_at_ms = now
        self._tell()

    def _tell(self) -> None:
        """Tell those behind, and the subtask's consumers, what has become of watermark and idleness."""
        if self._watermark == MAX_TIMESTAMP:
            return
        watermark = self._splits.merge()
        idle = self._splits.all_idle
        if self._told_idle and not idle:
            self._told_idle = False
            self._context.forward_idleness(idle=False)
        if watermark > self._watermark:
            self._watermark = watermark
            self._announce(watermark)
        if idle and not self._told_idle:
            self._told_idle = True
            self._context.forward_idleness(idle=True)
        if self._aligned is not None:
            self._aligned.changed()

    def advance_watermark(self, timestamp: int) -> int:
        """Return the stage's own watermark, unless the input has ended."""
        if timestamp == MAX_TIMESTAMP:
            self._watermark = timestamp
        return self._watermark

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, the watermark in ms if there is one yet, and the same of each split."""
        facts: dict[str, object] = {"records_in": self._records, "records_out": self._records}
        if self._watermark != MIN_TIMESTAMP:
            facts["watermark"] = self._watermark
        splits = self._splits.observe()
        if splits.all_idle:
            facts["idle"] = True
        if WHOLE not in splits.splits:
            facts["splits"] = {number: self._split_facts(number, view) for number, view in splits.splits.items()}
        if self._aligned is not None:
            facts["alignment"] = self._aligned.facts()
        return {self._name: facts}

    def _split_facts(self, number: int, view: SplitView) -> dict[str, object]:
        facts: dict[str, object] = {"watermark": None if view.watermark == MIN_TIMESTAMP else view.watermark, "idle": view.idle}
        if self._aligned is not None:
            facts["paused"] = not self.may_read(number)
        return facts


def _portion(batch: Batch, start: int, stop: int) -> Batch:
    """Return some records of a batch."""
    if start == 0 and stop == len(batch):
        return batch
    if isinstance(batch, ObjectBatch):
        return ObjectBatch(batch.records[start:stop], batch.timestamps[start:stop] if batch.timestamps is not None else None)
    times = batch.timestamps.slice(start, stop - start) if batch.timestamps is not None else None
    return ColumnBatch(batch.columns.slice(start, stop - start), times)
