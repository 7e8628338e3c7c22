"""The end of a chain that writes: a sink's writer as an output.

What a two-phase writer has written becomes a committable at the end of input. It is invisible to readers until the JobMaster, having heard
that every subtask of the job has finished, says `commit`. A job that fails or is cancelled before that leaves nothing behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from actorflow.connectors.contracts import EventTimeWriter, Sink, TwoPhaseSink, Writer
from actorflow.errors import SerializationError
from actorflow.operators.columns import to_columns, to_objects
from actorflow.operators.failures import NOTHING, refused, user_failure
from actorflow.plan.graph import DataPath
from actorflow.wire.batch import Active, Batch, ChannelEvent, ColumnBatch, Idle, ObjectBatch, Watermark


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
        self._sink = sink
        self._writer = writer
        self._blocked = blocked
        self._operator = operator
        self._subtask = subtask
        self._committables: list[object] = []
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
            if isinstance(self._sink, TwoPhaseSink):
                prepare: Callable[[], object | None] = self._writer.prepare  # type: ignore[attr-defined]  # a two-phase sink's writer has it
                committable = prepare()
                if committable is not None:
                    self._committables.append(committable)
            self.close()

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
        return (self._sink, self._committables) if self._committables else None

    def commit(self) -> None:
        """Make what was prepared visible. Idempotent."""
        if self._committables and isinstance(self._sink, TwoPhaseSink):
            with self._reported():
                self._sink.commit(self._committables)
            self._committables = []

    def abort(self) -> None:
        """Remove what was prepared and not committed."""
        if self._committables and isinstance(self._sink, TwoPhaseSink):
            self._sink.abort(self._committables)
            self._committables = []

    def close(self) -> None:
        """Close the writer; what was not prepared is dropped."""
        if not self._closed:
            self._closed = True
            self._writer.close()
