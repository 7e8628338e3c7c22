"""Running count, sum, min and max over columns: the twins of the compiled loops for batches of columns.

A batch is grouped by polars, then the running value of each distinct key is updated once. The result has one row for each distinct
key of the batch, in the order of first appearance, with its new running value: the state afterwards is that of the record-wise
path, and so is the last result of every key. (Sums of floats may differ in the last digits, as their order of addition does.)

What polars would treat differently from Python (missing values, NaN in comparisons, sums beyond 64 bits, unusual key types) is left
to the record-wise path: `updated` then returns None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorflow.errors import PlanError
from actorflow.operators.codegen import MISSING
from actorflow.operators.columns import PAIR_COLUMNS, TUPLES
from actorflow.operators.specs import ColumnarKeyedSpec, CountSpec, MaxSpec, MinSpec, SumSpec
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def updated(name: str, spec: ColumnarKeyedSpec, entries: dict[Any, Any], batch: ColumnBatch) -> Batch | None:
    """Update the running values in `entries` by a batch.

    Args:
        name: the operator's, for errors.
        spec: what to compute; its selectors are names of columns.
        entries: from key to running value.
        batch: the records.

    Returns:
        Rows of (key, new running value), or None if nothing was done because this batch has to go record by record.

    Raises:
        PlanError: if there is no such column.
    """
    assert spec.columnar, "selectors are names of columns"
    keys = _column(name, batch.columns, spec.key)
    values = None if isinstance(spec, CountSpec) else _column(name, batch.columns, _value_column(spec))
    if not _groupable(keys) or (values is not None and not _same_as_python(spec, values)):
        return None
    grouped = _group(spec, keys, values, batch.timestamps)
    distinct = grouped["key"].to_list()
    running = _merge(spec, entries, distinct, grouped["value"].to_list())
    stamps = grouped["timestamp"].to_arrow() if "timestamp" in grouped.columns else None
    return _result(grouped["key"], distinct, running, stamps)


def _column(name: str, columns: pa.RecordBatch, column: object) -> pl.Series:
    import polars as pl

    if column not in columns.schema.names:
        raise PlanError(f"'{name}' has no column '{column}' to work on", hint=f"the columns are {', '.join(columns.schema.names)}")
    return pl.Series(columns.column(column))


def _value_column(spec: ColumnarKeyedSpec) -> object:
    assert isinstance(spec, SumSpec | MinSpec | MaxSpec), f"unknown aggregation {spec!r}"
    return spec.value


def _groupable(keys: pl.Series) -> bool:
    """Return whether polars groups these keys as a dict would."""
    import polars as pl

    return keys.dtype.is_integer() or keys.dtype in {pl.String, pl.Boolean, pl.Binary}


def _same_as_python(spec: ColumnarKeyedSpec, values: pl.Series) -> bool:
    """Return whether polars computes on these values what Python would."""
    import polars as pl

    kind = values.dtype
    if values.null_count() or not (kind.is_integer() or kind.is_float() or (kind == pl.String and not isinstance(spec, SumSpec))):
        return False
    if not isinstance(spec, SumSpec):
        return not (kind.is_float() and values.is_nan().any())
    if kind.is_integer() and len(values):
        low, high = values.min(), values.max()
        assert isinstance(low, int), "the column is not empty"
        assert isinstance(high, int), "the column is not empty"
        return max(-low, high) * len(values) < 2**63
    return True


def _group(spec: ColumnarKeyedSpec, keys: pl.Series, values: pl.Series | None, timestamps: pa.Array | None) -> pl.DataFrame:
    import polars as pl

    frame = pl.DataFrame({"key": keys} if values is None else {"key": keys, "value": values})
    value = pl.col("value")
    match spec:
        case CountSpec():
            part = pl.len().alias("value")
        case SumSpec():
            part = (value.cast(pl.Int64) if frame["value"].dtype.is_integer() else value).sum()
        case MinSpec():
            part = value.min()
        case _:
            part = value.max()
    parts = [part]
    if timestamps is not None:
        frame = frame.with_columns(pl.Series("timestamp", timestamps))
        parts.append(pl.col("timestamp").max())
    return frame.group_by("key", maintain_order=True).agg(parts)


def _merge(spec: ColumnarKeyedSpec, entries: dict[Any, Any], keys: list[Any], parts: list[Any]) -> list[Any]:
    """Combine the batch's values with the running ones."""
    get = entries.get
    running: list[Any]
    match spec:
        case CountSpec() | SumSpec():
            running = [get(key, 0) + part for key, part in zip(keys, parts, strict=True)]
        case MinSpec():
            held = [get(key, MISSING) for key in keys]
            running = [part if old is MISSING or part < old else old for old, part in zip(held, parts, strict=True)]
        case _:
            held = [get(key, MISSING) for key in keys]
            running = [part if old is MISSING or part > old else old for old, part in zip(held, parts, strict=True)]
    entries.update(zip(keys, running, strict=True))
    return running


def _result(keys: pl.Series, distinct: list[Any], running: list[Any], stamps: pa.Array | None) -> Batch:
    import pyarrow as pa

    try:
        values = pa.array(running)
    except (pa.ArrowException, OverflowError, TypeError):
        # Totals beyond 64 bits, or of types that the record-wise path has mixed: exact as Python values.
        return ObjectBatch(list(zip(distinct, running, strict=True)), stamps.to_pylist() if stamps is not None else None)
    key_column = keys.to_arrow()
    fields = [pa.field(name, column.type) for name, column in zip(PAIR_COLUMNS, (key_column, values), strict=True)]
    columns = pa.RecordBatch.from_arrays([key_column, values], schema=pa.schema(fields, metadata=TUPLES))
    return ColumnBatch(columns, stamps)
