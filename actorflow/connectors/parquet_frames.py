"""Decodes rows of a Parquet file as polars frames, for operators that compute with polars.

Polars decodes text four times as fast as Arrow's reader, and into its own form, which would have to be made of Arrow's. It is asked
only for what it gives exactly as Arrow's reader does: columns of plain types, in files of this machine whose pages are what the footer says. All
else, and whatever it refuses, is left to Arrow's reader: so neither the rows nor what is said of a damaged file depend on who reads it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from actorflow.connectors.parquet_pages import sound
from actorflow.wire.batch import FrameBatch

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from pyarrow import parquet as pq

_TEXT_BYTES_MAX: Final = 2**31 - 1
"""What a column of text can hold in Arrow."""

_TEXT_VALUE_BYTES: Final = 16
"""What a text takes in a frame, besides its characters if there are more than twelve bytes of them."""

_OTHER_VALUE_BYTES_MAX: Final = 8


class FrameDecoder:
    """Decodes rows of one file. Used from one thread at a time.

    Args:
        path: of the file.
        file: the same, as Arrow has opened it.
        schema: of the columns to read, as Arrow's reader gives them.
    """

    def __init__(self, path: str, file: pq.ParquetFile, schema: pa.Schema) -> None:
        metadata = file.metadata
        self._path = path
        self._file = file
        self._schema = schema
        places = {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}
        self._places = [places[name] for name in schema.names]
        self._scan: pl.LazyFrame | None = None
        self._looked_at: tuple[int, int, bool] | None = None
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)

    @staticmethod
    def fits(metadata: pq.FileMetaData, schema: pa.Schema) -> bool:
        """Return whether polars reads these columns exactly as Arrow's reader does."""
        leaves = [metadata.schema.column(place) for place in range(metadata.num_columns)]
        kinds = {leaf.path: leaf.physical_type for leaf in leaves}
        return (
            len(schema) > 0
            and len(kinds) == len(leaves)
            and all("." not in field.name and kinds.get(field.name, "INT96") != "INT96" and _plain(field.type) for field in schema)
        )

    @property
    def row_bytes(self) -> int:
        """What a row takes at least when it is decoded."""
        return sum(_TEXT_VALUE_BYTES if _is_text(field.type) else _OTHER_VALUE_BYTES_MAX for field in self._schema)

    def rows(self, first_group: int, stop_group: int, skip_rows: int, count: int) -> FrameBatch | None:
        """Return some rows of a run of row groups, or None if they are to be read in another way.

        Args:
            first_group: of the run.
            stop_group: the row group behind it.
            skip_rows: how many rows of the run stand before those.
            count: how many rows.
        """
        import polars as pl

        if self._looked_at is None or self._looked_at[:2] != (first_group, stop_group):
            self._looked_at = first_group, stop_group, self._is_sound(range(first_group, stop_group))
        if not self._looked_at[2]:
            return None
        try:
            if self._scan is None:
                self._scan = pl.scan_parquet(self._path, glob=False, hive_partitioning=False).select(self._schema.names)
            frame = self._scan.slice(self._starts[first_group] + skip_rows, count).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
            return None
        return FrameBatch(frame, self._schema) if frame.height == count and _fits_into_arrow(frame) else None

    def _is_sound(self, groups: range) -> bool:
        """Return whether Arrow can begin to read these row groups, and the headers of their pages are what the footer says."""
        try:
            next(self._file.iter_batches(1, row_groups=list(groups), columns=self._schema.names), None)
            file = os.open(self._path, os.O_RDONLY)
        except (OSError, ValueError, NotImplementedError):  # what pyarrow's own errors derive from
            return False
        try:
            footers = [self._file.metadata.row_group(group) for group in groups]
            return all(sound(file, footer.column(place), footer.num_rows) for footer in footers for place in self._places)
        finally:
            os.close(file)


def _plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return bool(kind.unit != "s")
    plain = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_date32)
    return _is_text(kind) or any(is_one(kind) for is_one in plain)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_one(kind) for is_one in texts)


def _fits_into_arrow(frame: pl.DataFrame) -> bool:
    import polars as pl
    from polars import selectors

    text, raw = selectors.string().str.len_bytes(), selectors.binary().bin.size()
    sizes = frame.select(text.cast(pl.UInt64).sum(), raw.cast(pl.UInt64).sum())
    return all(size <= _TEXT_BYTES_MAX for row in sizes.rows() for size in row)
