"""Runs a function of the user over whole batches, as polars or Arrow frames.

When records have event times, the frame has them in a column `__timestamp` (milliseconds). A frame that keeps the column keeps them, in
whatever order and number its rows are; if the function drops it, all rows get the latest event time of the batch, at which
the result of the whole batch is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from actorflow.errors import PlanError, SerializationError
from actorflow.operators.columnar.conversion import to_columns
from actorflow.operators.failures import call_user, refused
from actorflow.operators.specs import MapBatchesSpec
from actorflow.operators.stage import Consumer, Stage
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import pyarrow as pa

TIMESTAMP_COLUMN: Final = "__timestamp"
"""Holds event times while a frame is in the user's hands."""


class MapBatchesStage(Stage):
    """One `map_batches`.

    Args:
        name: the operator's name.
        spec: function and frame format.
        following: gets the column batches.
        subtask: for reports.
    """

    immediate: ClassVar[bool] = True

    def __init__(self, name: str, spec: MapBatchesSpec, following: Consumer, *, subtask: str) -> None:
        self._name = name
        self.takes_frames = spec.format == "polars"
        self._spec = spec
        self._following = following
        self._subtask = subtask
        self._records_in = 0
        self._records_out = 0

    def process(self, batch: Batch) -> None:
        """Call the function with the batch as a frame, and pass on what it returns."""
        self._records_in += len(batch)
        if isinstance(batch, ObjectBatch):
            batch = self._columns(batch)
        result = call_user(self._spec.fn, self._frame(batch), operator=self._name, subtask=self._subtask)
        if result is None:
            return
        for part in self._parts(result):
            rows = part.num_rows
            if rows:
                self._records_out += rows
                self._following.process(_with_timestamps(part, batch.timestamps))

    def _columns(self, batch: ObjectBatch) -> ColumnBatch:
        try:
            return to_columns(batch)
        except SerializationError as error:
            raise refused(error, operator=self._name, subtask=self._subtask) from error

    def _frame(self, batch: ColumnBatch) -> Any:
        if self._spec.format == "polars" and batch.frame is not None and batch.timestamps is None:
            return batch.frame
        columns = batch.columns
        if batch.timestamps is not None:
            columns = columns.append_column(TIMESTAMP_COLUMN, batch.timestamps)
        if self._spec.format == "arrow":
            return columns
        import polars as pl

        return pl.from_arrow(columns)

    def _parts(self, result: Any) -> list[pa.RecordBatch]:
        """Return what the function gave as record batches."""
        import pyarrow as pa

        if not isinstance(result, pa.RecordBatch | pa.Table):
            import polars as pl

            if isinstance(result, pl.LazyFrame):
                result = result.collect()
            if not isinstance(result, pl.DataFrame):
                raise PlanError(
                    f"the function of '{self._name}' returned a {type(result).__name__}, not a frame",
                    hint="return a polars DataFrame, an Arrow RecordBatch or Table, or None for no rows",
                )
            result = result.to_arrow()
        if isinstance(result, pa.RecordBatch):
            return [result]
        parts: list[pa.RecordBatch] = result.combine_chunks().to_batches()
        return parts

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out."""
        return {self._name: {"records_in": self._records_in, "records_out": self._records_out}}


def _with_timestamps(columns: pa.RecordBatch, given: pa.Array | None) -> ColumnBatch:
    """Take the event times out of the frame again, or give all rows the latest of `given`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if TIMESTAMP_COLUMN in columns.schema.names:
        stamps = columns.column(TIMESTAMP_COLUMN).cast(pa.int64())
        return ColumnBatch(columns.drop_columns([TIMESTAMP_COLUMN]), stamps)
    if given is None:
        return ColumnBatch(columns)
    return ColumnBatch(columns, pa.repeat(pc.max(given), columns.num_rows))
