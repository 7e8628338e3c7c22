"""Cutting a batch of columns by the lane of its key column: each distinct key is looked up once, the rest are Arrow kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from actorflow.wire.batch import ColumnBatch


def split_by_lane(batch: ColumnBatch, column: str, lane_of: Mapping[Any, int]) -> Iterator[tuple[int, ColumnBatch]]:
    """Give the rows of each lane that has any, in the order of the batch.

    Args:
        batch: what to cut.
        column: the key column.
        lane_of: the lane of a key.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = batch.columns.column(column).dictionary_encode(null_encoding="encode")
    lanes_by_code = pa.array([lane_of[key] for key in encoded.dictionary.to_pylist()], pa.int32())
    row_lanes = lanes_by_code.take(encoded.indices)
    for lane in sorted(pc.unique(row_lanes).to_pylist()):
        mask = pc.equal(row_lanes, lane)
        timestamps = batch.timestamps.filter(mask) if batch.timestamps is not None else None
        yield lane, ColumnBatch(batch.columns.filter(mask), timestamps)
