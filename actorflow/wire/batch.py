"""What travels in a channel: batches of records, and the events between them.

A batch is the unit of everything: the engine does nothing per record that it can do per batch. `ObjectBatch` holds Python values
in a list; `ColumnBatch` holds an Arrow record batch (binary, off-heap, shared with polars without a copy).

Event timestamps, when a pipeline uses them, ride beside the records: a list (or an Arrow array) of the same length, in
milliseconds since the Unix epoch, UTC.

The order within a channel is the order of sending; an event separates the batches before it from those after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Union

import msgspec

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

MAX_TIMESTAMP = 2**63 - 1
"""The watermark that says: no record will follow (milliseconds)."""

MIN_TIMESTAMP = -(2**63)
"""The watermark of a channel that has not told any (milliseconds)."""

EVENT_TIME_MAX = 2**62
"""Event times are nearer to 1970 than this (milliseconds: 146 million years), so that all that is counted from them is within 64 bits: the end
of a window, a timer an hour later."""


class ObjectBatch:
    """Python values, in order.

    Attributes:
        records: the values. The receiver owns the list; nobody changes it after it was emitted.
        timestamps: event times in milliseconds, as long as `records`, or None when the pipeline has none.
    """

    __slots__ = ("records", "timestamps")

    def __init__(self, records: list[Any], timestamps: list[int] | None = None) -> None:
        self.records = records
        self.timestamps = timestamps

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"ObjectBatch({len(self.records)} records)"


class ColumnBatch:
    """Columns of equal length, as one Arrow record batch.

    Args:
        columns: the Arrow record batch.
        timestamps: event times in milliseconds (Arrow int64 array), or None when the pipeline has none.

    Attributes:
        timestamps: the event times.
    """

    __slots__ = ("_columns", "timestamps")

    def __init__(self, columns: pa.RecordBatch, timestamps: pa.Array | None = None) -> None:
        self._columns = columns
        self.timestamps = timestamps

    @property
    def columns(self) -> pa.RecordBatch:
        """The Arrow record batch."""
        return self._columns

    @property
    def frame(self) -> pl.DataFrame | None:
        """The polars frame that the columns are, if they are one."""
        return None

    def slice(self, start: int, length: int) -> ColumnBatch:
        """Return `length` rows (or what there is of them) from row `start` on, which share their memory with this batch."""
        timestamps = self.timestamps.slice(start, length) if self.timestamps is not None else None
        return ColumnBatch(self.columns.slice(start, length), timestamps)

    def __len__(self) -> int:
        rows: int = self._columns.num_rows
        return rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} rows)"


class FrameBatch(ColumnBatch):
    """Columns that are a polars frame, and become an Arrow record batch when somebody first asks for one.

    Args:
        frame: a polars frame, with rows.
        schema: names and types of the record batch that stands for it.
    """

    __slots__ = ("_frame", "_schema")

    def __init__(self, frame: pl.DataFrame, schema: pa.Schema) -> None:
        super().__init__(None)
        self._frame = frame
        self._schema = schema

    @property
    def columns(self) -> pa.RecordBatch:
        """The frame as an Arrow record batch."""
        if self._columns is None:
            (self._columns,) = self._frame.to_arrow().cast(self._schema).combine_chunks().to_batches()
        return self._columns

    @property
    def frame(self) -> pl.DataFrame:
        """The frame."""
        return self._frame

    def slice(self, start: int, length: int) -> FrameBatch:
        """Return `length` rows (or what there is of them) from row `start` on, which share their memory with this batch."""
        return FrameBatch(self._frame.slice(start, length), self._schema)

    def __len__(self) -> int:
        return self._frame.height


Batch = ObjectBatch | ColumnBatch


def portions(batch: Batch, size: int) -> Iterator[Batch]:
    """Give a batch in portions of at most `size` records, in order. Columns share their memory with the batch."""
    for start in range(0, len(batch), size):
        if isinstance(batch, ObjectBatch):
            timestamps = batch.timestamps[start : start + size] if batch.timestamps is not None else None
            yield ObjectBatch(batch.records[start : start + size], timestamps)
        else:
            yield batch.slice(start, size)


class Watermark(msgspec.Struct, frozen=True, tag=True):
    """No record with an event time at or before `timestamp` (ms) will follow in this channel."""

    timestamp: int


SavepointThen = Literal["go on", "stop", "drain"]
SavepointFormat = Literal["canonical", "native"]


class SavepointOrder(msgspec.Struct, frozen=True):
    """What a savepoint wants of every subtask.

    Attributes:
        directory: URI of the savepoint's own directory.
        then: whether the job goes on behind it or stops there; to drain it brings event time to its end before.
        format: open files for everybody, or the checkpoints' own, which is quicker.
    """

    directory: str
    then: SavepointThen = "go on"
    format: SavepointFormat = "canonical"

    @property
    def stops(self) -> bool:
        """Whether nothing is processed behind it."""
        return self.then != "go on"


class Barrier(msgspec.Struct, frozen=True, tag=True):
    """Records before it belong to checkpoint `checkpoint_id`, records after it do not.

    Attributes:
        checkpoint_id: rises with every checkpoint of a job.
        timestamp: wall clock of the trigger, in ms since the Unix epoch.
        unaligned: whether the barrier may overtake batches.
        savepoint: what is to be done if it belongs to a savepoint.
    """

    checkpoint_id: int
    timestamp: int
    unaligned: bool = False
    savepoint: SavepointOrder | None = None


class Idle(msgspec.Struct, frozen=True, tag=True):
    """The channel holds back no watermark until it is active again."""


class Active(msgspec.Struct, frozen=True, tag=True):
    """The channel counts for the watermark again."""


class EndOfInput(msgspec.Struct, frozen=True, tag=True):
    """Nothing follows in this channel."""


ChannelEvent = Union[Watermark, Barrier, Idle, Active, EndOfInput]  # noqa: UP007 - msgspec reads it at run time
Element = Batch | Watermark | Barrier | Idle | Active | EndOfInput
