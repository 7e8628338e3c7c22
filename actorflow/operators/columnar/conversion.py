"""Records as columns and back, where an operator wants the other form than its neighbour gives.

| Python objects                      | columns                                                                      |
|-------------------------------------|------------------------------------------------------------------------------|
| dicts                               | one column a field; a field that a record does not have is null               |
| named tuples                        | one column a field                                                           |
| pairs, such as `(key, count)`       | `key` and `value`                                                            |
| tuples of another length            | `column_0`, `column_1`, …                                                     |
| anything else (numbers, strings, …) | a single column `value`                                                      |

The other way, a lone column `value` gives its bare values, and all else gives dicts; columns that were made from tuples (or by a
running aggregation) and reach their reader untouched give tuples again, because the schema says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from actorflow.errors import SerializationError
from actorflow.wire.batch import ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import pyarrow as pa

VALUE_COLUMN: Final = "value"
"""Name of the only column of records that have no fields."""

PAIR_COLUMNS: Final = ("key", "value")
"""Names of the columns of pairs."""

TUPLES: Final = {b"actorflow.records": b"tuples"}
"""Schema metadata of columns whose rows are tuples."""


def to_objects(batch: ColumnBatch) -> ObjectBatch:
    """Return the rows of a column batch as Python values."""
    columns = batch.columns
    names: list[str] = columns.schema.names
    values: list[list[Any]] = [column.to_pylist() for column in columns.columns]
    records: list[Any]
    if (columns.schema.metadata or {}).get(b"actorflow.records") == b"tuples":
        records = list(zip(*values, strict=True))
    elif names == [VALUE_COLUMN]:
        records = values[0]
    elif not names:
        records = [{} for _ in range(columns.num_rows)]
    else:
        records = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return ObjectBatch(records, batch.timestamps.to_pylist() if batch.timestamps is not None else None)


def to_columns(batch: ObjectBatch) -> ColumnBatch:
    """Return the records of a batch as columns.

    Raises:
        SerializationError: if they are not of one shape, or a field holds values without a common Arrow type; names the field.
    """
    import pyarrow as pa

    records = batch.records
    first = records[0] if records else None
    metadata = None
    if isinstance(first, dict):
        _require(records, dict)
        fields: dict[str, list[Any]] = {
            str(name): [record.get(name) for record in records]
            for name in dict.fromkeys(name for record in records for name in record)
        }
        if not fields:
            raise SerializationError("cannot turn records without fields into columns", hint="give each record at least one field")
    elif isinstance(first, tuple) and first:
        _require(records, tuple)
        fields = _tuple_fields(first, records)
        metadata = TUPLES
    else:
        fields = {VALUE_COLUMN: records}
    schema_columns = {name: _array(name, values) for name, values in fields.items()}
    schema = pa.schema([pa.field(name, column.type) for name, column in schema_columns.items()], metadata=metadata)
    columns = pa.RecordBatch.from_arrays(list(schema_columns.values()), schema=schema)
    return ColumnBatch(columns, pa.array(batch.timestamps, pa.int64()) if batch.timestamps is not None else None)


def _tuple_fields(first: tuple[Any, ...], records: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    width = len(first)
    if any(len(record) != width for record in records):
        raise SerializationError(
            "cannot turn tuples of different lengths into columns", hint="map records to dicts, or to tuples of one length"
        )
    default = PAIR_COLUMNS if width == 2 else tuple(f"column_{number}" for number in range(width))
    names: Sequence[str] = getattr(first, "_fields", default)
    return {name: list(values) for name, values in zip(names, zip(*records, strict=True), strict=True)}


def _require(records: Sequence[Any], kind: type) -> None:
    for record in records:
        if not isinstance(record, kind):
            raise SerializationError(
                f"cannot turn a {kind.__name__} and a {type(record).__name__} into rows of the same columns",
                hint="map all records to dicts with the same fields",
            )


def _array(name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise SerializationError(
            f"cannot make a column of the values of '{name}': {error}",
            hint="map records to numbers, strings, or dicts of fields with one type each",
        ) from None
