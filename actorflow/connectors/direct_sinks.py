"""Sinks that act on records at once: print, collect, discard, and a function of the user.

What they did cannot be taken back: after a failure, records since the last checkpoint come again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import Sink, WriterContext
from actorflow.errors import SerializationError, SinkError
from actorflow.plan.graph import DataPath
from actorflow.wire import pickling
from actorflow.wire.batch import Batch, ColumnBatch

_SENT_BYTES_MIN = 1 << 15
"""Results that are larger are not kept to be sent with others."""


def records_of(batch: Batch) -> list[Any]:
    """Return the records of a batch as Python values: a column batch's rows are dicts."""
    if isinstance(batch, ColumnBatch):
        rows: list[Any] = batch.columns.to_pylist()
        return rows
    return batch.records


@dataclass(frozen=True)
class PrintSink(Sink):
    """Prints each record on a line.

    Attributes:
        prefix: stands before each line, or None.
    """

    prefix: str | None

    def open(self, ctx: WriterContext) -> PrintWriter:
        """Return a writer to the standard output of the subtask's process."""
        subtask = str(ctx.subtask.index + 1) if ctx.parallelism > 1 else ""
        start = ":".join(part for part in (self.prefix, subtask) if part)
        return PrintWriter(f"{start}> " if start else "")


class PrintWriter:
    """Writes lines to whatever `sys.stdout` is at that moment.

    Args:
        start: of each line.
    """

    def __init__(self, start: str) -> None:
        self._start = start

    def write(self, batch: Batch) -> None:
        """Print each record; a batch is one write, so that lines of two subtasks do not mix."""
        start = self._start
        self._attempt(lambda: sys.stdout.write("".join([f"{start}{record}\n" for record in records_of(batch)])))

    def flush(self) -> None:
        """Flush the standard output."""
        self._attempt(sys.stdout.flush)

    def close(self) -> None:
        """Nothing is held."""

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            raise SinkError(
                f"cannot print: {(error.strerror or str(error)).lower()}", hint="is the reader of the output gone?"
            ) from error


@dataclass(frozen=True)
class CollectSink(Sink):
    """Sends records to the client that waits for the job, as pickled lists."""

    sends_results = True

    def open(self, ctx: WriterContext) -> CollectWriter:
        """Return a writer to the client."""
        return CollectWriter(ctx.send_result)


class CollectWriter:
    """Sends each batch as a pickled list; small ones together. A list is pickled at once, because what it holds may still be changed.

    Args:
        send: takes the bytes: one or several pickles.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._pickles: list[bytes] = []
        self._held_bytes = 0

    def write(self, batch: Batch) -> None:
        """Send the batch, or keep it until there is more to be sent.

        Raises:
            SerializationError: if a record cannot be pickled.
        """
        records = records_of(batch)
        try:
            pickled = pickling.dumps(records)
        except Exception as error:  # user types may raise anything
            raise _unpicklable(records, error) from error
        self._pickles.append(pickled)
        self._held_bytes += len(pickled)
        if self._held_bytes >= _SENT_BYTES_MIN:
            self.flush()

    def flush(self) -> None:
        """Send what is kept."""
        if self._pickles:
            self._send(b"".join(self._pickles))
            self._pickles = []
            self._held_bytes = 0

    def close(self) -> None:
        """Drop what was not flushed: the job has failed."""
        self._pickles = []


def _unpicklable(records: list[Any], error: Exception) -> SerializationError:
    for record in records:
        try:
            pickling.dumps(record)
        except Exception as cause:
            return SerializationError(
                f"cannot collect a record of type '{type(record).__name__}': {cause}", hint="map it to plain values first"
            )
    return SerializationError(f"cannot collect records: {error}")


@dataclass(frozen=True)
class DiscardSink(Sink):
    """Drops all records."""

    takes = DataPath.ANY

    def open(self, ctx: WriterContext) -> DiscardWriter:  # noqa: ARG002 - needs nothing of it
        """Return a writer that does nothing."""
        return DiscardWriter()


class DiscardWriter:
    """Does nothing."""

    def write(self, batch: Batch) -> None:
        """Drop the batch."""

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class ForEachSink(Sink):
    """Calls a function with each record.

    Attributes:
        fn: the user's function; what it raises fails the job.
    """

    fn: Callable[[Any], object]

    def open(self, ctx: WriterContext) -> ForEachWriter:  # noqa: ARG002 - needs nothing of it
        """Return a writer that calls the function."""
        return ForEachWriter(self.fn)


class ForEachWriter:
    """Calls a function with each record, in order.

    Args:
        fn: the user's function.

    Attributes:
        record: what the function was last called with, for the report if it raises.
    """

    def __init__(self, fn: Callable[[Any], object]) -> None:
        self._fn = fn
        self.record: Any = None

    def write(self, batch: Batch) -> None:
        """Call the function."""
        fn = self._fn
        for self.record in records_of(batch):
            fn(self.record)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held."""
