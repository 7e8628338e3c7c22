"""A sink that shows to the test all that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actorflow.connectors.contracts import Sink, WriterContext
from actorflow.connectors.direct_sinks import records_of
from actorflow.errors import SerializationError
from actorflow.testing.arrivals import Arrival, Heard
from actorflow.wire import pickling
from actorflow.wire.batch import Active, Batch, ColumnBatch, Idle, Watermark


@dataclass(frozen=True, eq=False)
class TestSink(Sink):
    """Takes records and events, for `run_test` to show: `run_test(pipeline)[sink].records`.

    Attributes:
        name: for people, in reports.
    """

    __test__: ClassVar[bool] = False  # pytest takes classes of this name for tests

    name: str = "test sink"

    sends_results = True

    def open(self, ctx: WriterContext) -> TestWriter:
        """Return a writer to whoever waits for the job."""
        return TestWriter(ctx)


class TestWriter:
    """Sends what it gets as pickled lists of `Arrival` and `Heard`.

    Args:
        ctx: knows the time and the way.
    """

    __test__: ClassVar[bool] = False

    def __init__(self, ctx: WriterContext) -> None:
        self._ctx = ctx

    def write(self, batch: Batch) -> None:
        """Send the records of a batch.

        Raises:
            SerializationError: if one cannot be pickled.
        """
        at_ms, subtask = self._ctx.clock.wall_ms(), self._ctx.subtask.index
        records, times = records_of(batch), _times(batch)
        arrivals = [Arrival(record, time, at_ms, subtask) for record, time in zip(records, times, strict=True)]
        try:
            payload = pickling.dumps(arrivals)
        except Exception as error:  # user types may raise anything
            kinds = ", ".join(sorted({type(record).__name__ for record in records}))
            raise SerializationError(
                f"cannot show records ({kinds}) to the test: {error}", hint="map them to plain values"
            ) from error
        self._ctx.send_result(payload)

    def event(self, event: Watermark | Idle | Active) -> None:
        """Send an event."""
        self._ctx.send_result(pickling.dumps([Heard(event, self._ctx.clock.wall_ms(), self._ctx.subtask.index)]))

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held."""


def _times(batch: Batch) -> list[int | None]:
    if isinstance(batch, ColumnBatch):
        times: list[int | None] | None = None if batch.timestamps is None else batch.timestamps.to_pylist()
    else:
        times = None if batch.timestamps is None else [*batch.timestamps]
    return [None] * len(batch) if times is None else times
