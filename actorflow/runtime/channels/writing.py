"""The end of a chain that writes: a sink's writer as an output.

What a two-phase writer has written becomes a committable at each checkpoint, and at the end of input. It is invisible to readers until the
JobMaster says that the checkpoint is complete, or that every subtask of the job has finished. A job that fails or is cancelled before that leaves
nothing behind, except what a checkpoint may refer to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import cast

from actorflow.connectors.contracts import EventTimeWriter, Sink, TwoPhaseSink, TwoPhaseWriter, Writer
from actorflow.errors import SerializationError
from actorflow.operators.columnar.conversion import to_columns, to_objects
from actorflow.operators.failures import NOTHING, refused, user_failure
from actorflow.plan.graph import DataPath
from actorflow.wire.batch import Active, Batch, ChannelEvent, ColumnBatch, Idle, ObjectBatch, Watermark

_THE_END = 2**63 - 1
"""Stands for the number of a checkpoint where there is none: what is prepared at the end of input is committed with the whole job."""


class SinkOutput:
    """One subtask's writer.

    Args:
        sink: opened the writer; commits.
        writer: writes.
        blocked: whether the writer's way out is full (results to a client that does not take them).
        now: a clock in seconds.
        flush_after_s: how long what was written may stay in the writer.
        operator: the sink's name, for reports.
        subtask: for reports.
    """

    def __init__(
        self,
        sink: Sink,
        writer: Writer,
        blocked: Callable[[], bool],
        *,
        now: Callable[[], float],
        flush_after_s: float,
        operator: str,
        subtask: str,
    ) -> None:
        self.records = 0
        self.in_checkpoints = False
        """Whether what it prepares becomes part of checkpoints."""
        self.taps: tuple[Callable[[Batch], None], ...] = ()
        """Who looks at the batches that are written."""
        self._sink = sink
        self._writer = writer
        self._blocked = blocked
        self._operator = operator
        self._subtask = subtask
        self.waiting: list[tuple[int, object]] = []
        """What was prepared and not committed, with the number of the checkpoint."""
        self._closed = False
        self._hear = writer.event if isinstance(writer, EventTimeWriter) else None
        self._now = now
        self._flush_after_s = flush_after_s
        self.deadline_s: float | None = None
        """When what was written should be flushed, in seconds (monotonic), or None."""

    @property
    def blocked(self) -> bool:
        """Whether the subtask has to wait before it gives more."""
        return self._blocked()

    def emit(self, batch: Batch) -> None:
        """Write a batch, in the form that the sink takes."""
        for tap in self.taps:
            tap(batch)
        takes = self._sink.takes
        if takes is DataPath.COLUMNS:
            batch = batch if isinstance(batch, ColumnBatch) else self._columns(batch)
        elif takes is DataPath.OBJECTS and isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        with self._reported():
            self._writer.write(batch)
        if self.deadline_s is None:
            self.deadline_s = self._now() + self._flush_after_s
        self.records += len(batch)

    def _columns(self, batch: ObjectBatch) -> ColumnBatch:
        try:
            return to_columns(batch)
        except SerializationError as error:
            raise refused(error, operator=self._operator, subtask=self._subtask) from error

    def event(self, event: ChannelEvent) -> None:
        """Tell the writer of event time, if it wants to know."""
        if self._hear is not None and isinstance(event, Watermark | Idle | Active):
            with self._reported():
                self._hear(event)

    def flush(self) -> None:
        """Make what was written leave the writer's own buffers."""
        if self.deadline_s is not None and not self._closed:
            self.deadline_s = None
            with self._reported():
                self._writer.flush()

    def finish(self) -> None:
        """Flush, prepare and close, at the end of input."""
        with self._reported():
            self._writer.flush()
            self._prepare(_THE_END)
            self.close()

    def prepare(self, checkpoint: int) -> None:
        """Have what was written so far wait for a checkpoint; what cannot wait leaves the writer's own buffers."""
        with self._reported():
            if isinstance(self._sink, TwoPhaseSink):
                self._prepare(checkpoint)
            elif not self._closed:
                self._writer.flush()

    def _prepare(self, checkpoint: int) -> None:
        if isinstance(self._sink, TwoPhaseSink) and not self._closed:
            committable = cast("TwoPhaseWriter", self._writer).prepare()
            if committable is not None:
                self.waiting.append((checkpoint, committable))

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Report what the writer raises like any failure of the user's code: with the operator, and the record at hand if it says so."""
        try:
            yield
        except BaseException as error:
            record = getattr(self._writer, "record", NOTHING)
            failure = user_failure(error, operator=self._operator, subtask=self._subtask, record=record)
            if failure is error:
                raise
            raise failure from error

    def prepared(self) -> tuple[Sink, list[object]] | None:
        """Return what waits to be committed and by which sink, or None."""
        return (self._sink, [committable for _, committable in self.waiting]) if self.waiting else None

    def commit(self) -> None:
        """Make what was prepared visible. Idempotent."""
        self.commit_until(_THE_END)

    def commit_until(self, checkpoint: int) -> None:
        """Make visible what was prepared up to a checkpoint."""
        due = [committable for number, committable in self.waiting if number <= checkpoint]
        if due:
            self.recommit(due)
            self.waiting = [(number, committable) for number, committable in self.waiting if number > checkpoint]

    def recommit(self, committables: list[object]) -> None:
        """Make visible what a checkpoint says was prepared for it: it may have been, or not, before the failure."""
        if committables and isinstance(self._sink, TwoPhaseSink):
            with self._reported():
                self._sink.commit(committables)

    def abort(self) -> None:
        """Remove what was prepared and not committed, unless a checkpoint may refer to it."""
        if self.waiting and not self.in_checkpoints and isinstance(self._sink, TwoPhaseSink):
            self._sink.abort([committable for _, committable in self.waiting])
            self.waiting = []

    def close(self) -> None:
        """Close the writer; what was not prepared is dropped."""
        if not self._closed:
            self._closed = True
            self._writer.close()
