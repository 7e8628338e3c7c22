"""Feeds a subtask from the splits of a source, which the JobMaster hands out.

    asked for ──assign──► ready ──read: a batch──► ready, behind the others
                            ▲ │ read: a pause ──► waiting ──time is up, or its descriptor is ready──┐
                          │ │ └─read: the end ──► closed, and the next one is asked for             │
                          │ └───────────────────────────────────────────────────────────────────────┘
                          └─ too far ahead ──► held ──allow──► ready

Of a source with partitions a reader has all of its share open before it reads any of it (else what it reads first would run ahead in event
time), and takes turns among those that are ready; of other sources it has one split open after the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import Backlog, EndOfSplit, Pause, Reader, ReaderContext, Source
from actorflow.errors import PlanError
from actorflow.operators.failures import call_user
from actorflow.protocol.event_time.split_watermarks import SplitWatermarks
from actorflow.runtime.subtasks.subtask import Subtask
from actorflow.runtime.subtasks.subtask_contract import InputView
from actorflow.wire.batch import MAX_TIMESTAMP, Active, ColumnBatch, Idle, ObjectBatch, Watermark

_TURN_S_MAX = 0.02
"""How long the records that are read at once may take to be processed. Columns are fast because their batches are large: they take what they take."""


@dataclass(slots=True, eq=False)
class _OpenSplit:
    """A split that is being read.

    Attributes:
        number: its number.
        reader: reads it.
        pause_s: while it waits: for how long its reader said it has nothing, in seconds.
        due_s: while it waits: when to ask the reader again, in seconds (monotonic).
        fd: while it waits: the descriptor that is watched for it, if any.
    """

    number: int
    reader: Reader
    pause_s: float = 0.0
    due_s: float = 0.0
    fd: int | None = None


class SourceFeed:
    """Feeds a subtask by reading splits.

    Args:
        subtask: takes the batches.
        source: opens the splits.
        operator: the source's name, for reports.
        context: what its readers may know.
        batch_records_first: records to ask a reader for at first.
        batch_records_max: most records that one batch should become.
        ask: asks the JobMaster for a split; `assign` or `no_more` is called in answer.
        finished: tells the JobMaster that all of a split was read.
        backlog: tells the JobMaster whether a backlog is being worked off, when that changes.
        watch: calls back once, on any thread, when a file descriptor can be read.
        unwatch: forgets that file descriptor.
    """

    def __init__(
        self,
        subtask: Subtask,
        source: Source,
        *,
        operator: str,
        context: ReaderContext,
        batch_records_first: int,
        batch_records_max: int,
        ask: Callable[[], None],
        finished: Callable[[int], None],
        backlog: Callable[[bool], None],
        watch: Callable[[int, Callable[[], None]], None],
        unwatch: Callable[[int], None],
    ) -> None:
        self.ended = False
        self.records_in = 0
        self.bytes_in = 0
        self._subtask = subtask
        self._source = source
        self._operator = operator
        self._context = context
        self._batch_records = batch_records_first
        self._batch_records_max = batch_records_max
        self._ask = ask
        self._finished = finished
        self._backlog = backlog
        self._behind: set[int] = set()
        """Splits whose readers work off a backlog."""
        self._watch = watch
        self._unwatch = unwatch
        self._now = context.clock.now
        self._emitted = 0
        self._more = True
        """Whether the JobMaster may have more splits for it."""
        self._ready: deque[_OpenSplit] = deque()
        self._waiting: dict[int, _OpenSplit] = {}
        self._held: list[_OpenSplit] = []
        """Those that are too far ahead of what they are aligned with."""
        self._next_due_s = math.inf
        """When the first of those that wait is due."""
        self._roused: deque[int] = deque()  # filled on any thread
        self._reading = -1
        self._watermarks = SplitWatermarks()
        self._read: list[int] = []

    # --- splits --------------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for the first split."""
        self._ask()

    def assign(self, number: int, split: Any, position: object | None = None) -> None:
        """Take split `number` from the JobMaster, which is the answer to having asked; `position` says where to go on."""
        self._watermarks.added(number)
        self._read_next(number)
        self._ready.append(_OpenSplit(number, self._call(self._source.open_reader, split, position, self._context)))
        self._subtask.wake()
        if self._source.partitioned:
            self._ask()

    def no_more(self) -> None:
        """Hear that nothing is left to be handed out."""
        self._more = False
        self._end_if_all_is_read()
        self._subtask.wake()

    def _end(self, split: _OpenSplit) -> None:
        """Close a split that was read to its end."""
        self._call(split.reader.close)
        self._watermarks.ended(split.number)
        self._forward()
        self._subtask.chain.split_ended(split.number)
        self._read.append(split.number)
        self._works_off(split.number, backlog=False)
        self._finished(split.number)
        if self._more and not self._source.partitioned:
            self._ask()
        self._end_if_all_is_read()

    def _end_if_all_is_read(self) -> None:
        if not self._more and not self._ready and not self._waiting and not self._held:
            self.ended = True
            self._subtask.event(Watermark(MAX_TIMESTAMP))

    def positions(self) -> tuple[dict[int, object], tuple[int, ...]]:
        """Return how far each open split was read, and the splits that this reader has read to their end."""
        opened = [*self._ready, *self._waiting.values(), *self._held]
        return {split.number: split.reader.position for split in opened}, tuple(self._read)

    # --- reading -------------------------------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Read one batch of the split whose turn it is, or what its reader knows of event time."""
        self._rouse()
        split = self._whose_turn()
        if split is None:
            self._rest()
            return False
        match self._call(split.reader.read, self._batch_records):
            case ObjectBatch() | ColumnBatch() as batch:
                self._ready.rotate(-1)
                self._take(split.number, batch)
            case Watermark() | Idle() | Active() as event:
                self._watermarks.take(split.number, event)
                self._forward()
            case Backlog(under_way=under_way):
                self._works_off(split.number, backlog=under_way)
            case Pause() as pause:
                self._ready.popleft()
                self._wait(split, pause)
            case EndOfSplit():
                self._ready.popleft()
                self._end(split)
            case other:
                raise PlanError(
                    f"the reader of '{self._operator}' returned {type(other).__name__}",
                    hint="read() returns a batch, a Watermark, Idle, Active, a Backlog, a Pause or END_OF_SPLIT",
                )
        if not self._ready and not self.ended:
            self._rest()
        return bool(self._ready)

    def _works_off(self, number: int, *, backlog: bool) -> None:
        before = bool(self._behind)
        (self._behind.add if backlog else self._behind.discard)(number)
        if bool(self._behind) != before:
            self._backlog(not before)

    def _whose_turn(self) -> _OpenSplit | None:
        if self._more and self._source.partitioned:
            return None
        while self._ready:
            if self._subtask.chain.may_read(self._ready[0].number):
                return self._ready[0]
            self._held.append(self._ready.popleft())
        return None

    def allow(self, operator: str, number: int, watermark: int, lead_ms: int | None) -> None:
        """Take the answer to a report about watermarks, and look again at the splits that are held. See `Chain.allow`."""
        self._subtask.chain.allow(operator, number, watermark, lead_ms)
        self._ready.extend(self._held)
        self._held.clear()
        self._subtask.wake()

    def _take(self, number: int, batch: ObjectBatch | ColumnBatch) -> None:
        self.records_in += len(batch)
        if self._watermarks.records(number):
            self._forward()
        if number != self._reading:
            self._read_next(number)
        began_s = self._now()
        self._subtask.take(batch, 0)
        slow = isinstance(batch, ObjectBatch) and self._now() - began_s > _TURN_S_MAX
        self._adapt(len(batch), slow=slow)

    def _read_next(self, number: int) -> None:
        self._reading = number
        self._subtask.chain.reading(number)

    def _forward(self) -> None:
        for event in self._watermarks.forward():
            self._subtask.event(event)

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        return call_user(function, *arguments, operator=self._operator, subtask=str(self._context.subtask))

    def _adapt(self, read: int, *, slow: bool) -> None:
        """Read as many records at once as become about one full batch of output; fewer while they take long, or a burst overruns the outputs.

        Lines that become ten words each are read a hundred at a time: what a batch becomes then stays in the processor's cache, which makes
        word count about a fifth faster.

        Args:
            read: records of the batch that was just processed.
            slow: whether that took so long that a barrier or a cancellation should not have to wait for it.
        """
        emitted = self._subtask.outputs.records
        growth = max(1.0, (emitted - self._emitted) / max(1, read))
        self._emitted = emitted
        if slow or self._subtask.outputs.overdrawn:
            self._batch_records = max(1, self._batch_records // 2)
        else:
            fitting = max(1, int(self._batch_records_max / growth))
            self._batch_records = min(fitting, 2 * self._batch_records)

    # --- waiting -------------------------------------------------------------------------------------------------------------

    def _wait(self, split: _OpenSplit, pause: Pause) -> None:
        """Leave out a split that has nothing now, until its pause is over, or an operator wants to hear of it again."""
        within_ms = self._subtask.chain.nothing_from(split.number)
        seconds = pause.seconds if within_ms is None else min(pause.seconds, within_ms / 1000)
        split.pause_s = pause.seconds
        split.due_s = self._now() + seconds
        self._waiting[split.number] = split
        self._next_due_s = min(self._next_due_s, split.due_s)
        split.fd = pause.fd
        if split.fd is not None:
            self._watch(split.fd, lambda: self._descriptor_ready(split.number))

    def _descriptor_ready(self, number: int) -> None:
        self._roused.append(number)
        self._subtask.wake()

    def _rouse(self) -> None:
        """Take up the splits that have waited long enough."""
        while self._roused:
            split = self._waiting.pop(self._roused.popleft(), None)
            if split is not None:
                self._take_up(split)
        if not self._waiting or self._now() < self._next_due_s:
            return
        now = self._now()
        for split in [split for split in self._waiting.values() if split.due_s <= now]:
            del self._waiting[split.number]
            self._take_up(split)
        self._next_due_s = min((split.due_s for split in self._waiting.values()), default=math.inf)

    def _take_up(self, split: _OpenSplit) -> None:
        self._forget_descriptor(split)
        self._ready.append(split)

    def _forget_descriptor(self, split: _OpenSplit) -> None:
        if split.fd is not None:
            self._unwatch(split.fd)
            split.fd = None

    def _rest(self) -> None:
        """Have nothing to read until the first of the splits that wait is due."""
        self._subtask.rest(max(0.0, self._next_due_s - self._now()) if self._waiting else math.inf)

    def channels(self) -> tuple[InputView, ...]:
        """Return none: it reads a source."""
        return ()

    @property
    def waits_for(self) -> str:
        """What has to come."""
        if self._more and self._source.partitioned:
            return "the rest of its splits"
        if self._ready:
            return ""
        if self._held:
            return f"the sources that it is aligned with: {len(self._held)} of its splits are too far ahead"
        if not self._waiting:
            return "a split"
        seconds = min(split.pause_s for split in self._waiting.values())
        who = "its reader, which has" if len(self._waiting) == 1 else f"its {len(self._waiting)} readers, which have"
        if seconds == math.inf:
            return f"{who} nothing any more"
        return f"{who} nothing for {seconds:g} s" if seconds >= 1 else f"{who} nothing for {seconds * 1000:.3g} ms"

    def close(self) -> None:
        """Close the readers."""
        splits = [*self._ready, *self._waiting.values(), *self._held]
        self._ready.clear()
        self._held.clear()
        self._waiting.clear()
        for split in splits:
            self._forget_descriptor(split)
        for split in splits:
            self._call(split.reader.close)
