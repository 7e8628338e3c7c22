"""Cutting batches of columns by the lane of their key column.

The lane of a key is looked up once and then stands in a column by the number of the key. Keys that cannot be numbered are looked up
once in each batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from actorflow.operators.columnar.key_codes import KeyCodes, numbered_type
from actorflow.wire.batch import ColumnBatch

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_KEYS_REMEMBERED_MAX: Final = 4_000_000
"""Beyond it all are forgotten, so that unbounded key spaces cost bounded memory."""


class ColumnSplitter:
    """Cuts the batches of one exchange.

    Args:
        lane_of: the lane of a key, always the same.
    """

    def __init__(self, lane_of: Mapping[Any, int]) -> None:
        self._lane_of = lane_of
        self._remembered: dict[type, _KnownLanes] = {}

    def split(self, batch: ColumnBatch, column: str) -> Iterator[tuple[int, ColumnBatch]]:
        """Give the rows of each lane that has any, in the order of the batch.

        Args:
            batch: what to cut.
            column: the key column.
        """
        import pyarrow.compute as pc

        row_lanes = self._row_lanes(batch.columns.column(column))
        for lane in sorted(pc.unique(row_lanes).to_pylist()):
            mask = pc.equal(row_lanes, lane)
            timestamps = batch.timestamps.filter(mask) if batch.timestamps is not None else None
            yield lane, ColumnBatch(batch.columns.filter(mask), timestamps)

    def _row_lanes(self, keys: pa.Array) -> pa.Array:
        import pyarrow as pa

        if pa.types.is_dictionary(keys.type):  # each batch may have a dictionary of its own
            keys = keys.dictionary_decode()
        if pa.types.is_integer(keys.type) or pa.types.is_string(keys.type) or pa.types.is_large_string(keys.type):
            import polars as pl

            series = pl.Series(keys)
            key_type = numbered_type(series)
            if key_type is not None:
                return self._known(key_type).of(series).to_arrow()
        encoded = None
        with contextlib.suppress(NotImplementedError):  # Arrow cannot tell values of every type apart; Python can
            encoded = keys.dictionary_encode(null_encoding="encode")
        return self._lanes_of(keys) if encoded is None else self._lanes_of(encoded.dictionary).take(encoded.indices)

    def _lanes_of(self, keys: pa.Array) -> pa.Array:
        import pyarrow as pa

        return pa.array([self._lane_of[key] for key in keys.to_pylist()], pa.uint32())

    def _known(self, key_type: type) -> _KnownLanes:
        known = self._remembered.get(key_type)
        if known is None or len(known) > _KEYS_REMEMBERED_MAX:
            known = self._remembered[key_type] = _KnownLanes(key_type, self._lane_of)
        return known


class _KnownLanes:
    """The lanes of all keys of one type so far."""

    def __init__(self, key_type: type, lane_of: Mapping[Any, int]) -> None:
        import polars as pl

        self._codes = KeyCodes(key_type)
        self._lane_of = lane_of
        self._lanes = pl.Series([], dtype=pl.UInt32)

    def __len__(self) -> int:
        return len(self._lanes)

    def of(self, keys: pl.Series) -> pl.Series:
        """Return the lane of each key."""
        import polars as pl

        codes = self._codes.of(keys)
        last = codes.max()
        if isinstance(last, int) and last >= len(self._lanes):
            lane_of = self._lane_of
            new = [lane_of[key] for key in self._codes.keys(len(self._lanes), last + 1)]
            self._lanes.extend(pl.Series(new, dtype=pl.UInt32))
        return self._lanes.gather(codes)
