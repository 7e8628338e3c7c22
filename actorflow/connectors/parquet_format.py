"""Parquet as the format of a file sink. Rows are gathered into row groups of a useful size before they are written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from actorflow.connectors.file_formats import fields_of, unfit
from actorflow.errors import SinkError
from actorflow.plan.graph import DataPath
from actorflow.wire.batch import Batch, ColumnBatch

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq

_CONVERTED_ROWS = 1024
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Columns, with the schema of the first row group unless one is given.

    Attributes:
        schema: a pyarrow schema, or None.
    """

    schema: pa.Schema | None = None

    suffix: ClassVar[str] = "parquet"
    takes: ClassVar[DataPath] = DataPath.ANY

    def start(self, stream: BinaryIO, name: str) -> ParquetEncoder:
        """Return the encoder of a new file."""
        return ParquetEncoder(stream, name, self.schema)


class ParquetEncoder:
    """Writes batches of either form as row groups.

    Args:
        stream: of the file.
        name: of the file, for errors.
        schema: of the file, or None to take that of the first row group.
    """

    def __init__(self, stream: BinaryIO, name: str, schema: pa.Schema | None) -> None:
        self._stream = stream
        self._name = name
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[Mapping[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._table_rows = 0
        self._table_bytes = 0

    def write(self, batch: Batch) -> None:
        """Gather a batch; write a row group when it is large enough."""
        if isinstance(batch, ColumnBatch):
            self._gather_rows()
            self._gather(lambda pa: pa.Table.from_batches([batch.columns]))
        else:
            self._rows.extend(map(self._row, batch.records))
            if len(self._rows) >= _CONVERTED_ROWS:
                self._gather_rows()
        if self._table_rows >= _GROUP_ROWS or self._table_bytes >= _GROUP_BYTES:
            self._write_group()

    def finish(self) -> None:
        """Write the last row group and the footer."""
        self._gather_rows()
        self._write_group()
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Close pyarrow's writer while its stream is open: it would do so later, on a closed one."""
        if self._writer is not None:
            with contextlib.suppress(OSError, ValueError):
                self._writer.close()

    def _row(self, record: Any) -> Mapping[str, Any]:
        fields = fields_of(record)
        if fields is None:
            raise unfit(self._name, record, "it has no column names", hint="map records to dicts")
        return fields

    def _gather_rows(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            names = dict.fromkeys(name for row in rows for name in row)
            self._gather(lambda pa: pa.table({name: [row.get(name) for row in rows] for name in names}))

    def _gather(self, make: Callable[[Any], pa.Table]) -> None:
        """Add a table to the row group."""
        import pyarrow as pa

        with self._fitting():
            table = make(pa)
            if self._schema is not None:
                table = _conform(table, self._schema)
        self._tables.append(table)
        self._table_rows += table.num_rows
        self._table_bytes += table.nbytes

    def _write_group(self) -> None:
        """Write what is gathered. Without a schema, the first group decides it: columns may widen or appear within the group."""
        if not self._tables:
            return
        import pyarrow as pa
        from pyarrow import parquet as pq

        with self._fitting():
            group = pa.concat_tables(self._tables, promote_options="permissive")
            if self._writer is None:
                self._schema = group.schema
                self._writer = pq.ParquetWriter(self._stream, self._schema)
            self._writer.write_table(group, row_group_size=group.num_rows)
        self._tables, self._table_rows, self._table_bytes = [], 0, 0

    @contextlib.contextmanager
    def _fitting(self) -> Iterator[None]:
        """Turn what pyarrow says about values of a wrong type into a `SinkError`."""
        try:
            yield
        except (ValueError, TypeError, NotImplementedError) as error:  # what pyarrow's own errors derive from
            raise SinkError(
                f"cannot write '{self._name}': records do not fit its columns: {str(error).splitlines()[0]}",
                hint="give schema= with the type of each column",
            ) from error


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns of a schema: in its order, cast without loss, missing ones null."""
    import pyarrow as pa

    extra = [name for name in table.column_names if name not in schema.names]
    if extra:
        raise ValueError(f"there is no column '{extra[0]}'")
    columns = [
        table.column(field.name).cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
