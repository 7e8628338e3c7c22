"""Running count, sum, min and max over columns: the twins of the compiled loops for batches of columns.

A batch is grouped by polars, unless each of its keys stands there once; then the running value of each distinct key is updated. The
result has one row for each distinct key of the batch, in the order of first appearance, with its new running value: the state
afterwards is that of the record-wise path, and so is the last result of every key. (Sums of floats may differ in the last digits, as
their order of addition does.)

Running values begin in columns (see `running_columns`), and move to the dict of the record-wise path with the first batch that is not
like them: objects, missing keys, other types, sums beyond 64 bits. They stay there, so that mixed batches do not move them to and fro.
Where most values are on disk they are always in the dict: those of the batch's keys.

What polars would treat differently from Python (missing values, NaN in comparisons, sums beyond 64 bits, unusual key types) is left
to the record-wise path: `update` then returns None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from actorflow.errors import PlanError
from actorflow.operators.columnar.conversion import PAIR_COLUMNS, TUPLES
from actorflow.operators.columnar.key_codes import numbered_type
from actorflow.operators.columnar.running import RunningColumns
from actorflow.operators.compiled.codegen import MISSING
from actorflow.operators.specs import ColumnarKeyedSpec, CountSpec, MaxSpec, MinSpec, SumSpec
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_SAMPLED_ROWS: Final = 1024
"""A batch is tried as one with distinct keys only if so many of its first rows have them."""


class ColumnarTwin:
    """The running values of one aggregation, whichever form they have. An `Overlay` of its state.

    Args:
        name: the operator's, for errors.
        spec: what to compute; its selectors are names of columns.
        entries: the dict of the record-wise path, from key to running value.
        load: brings the values of keys into `entries`, if they are not all there; then running values are never in columns.
    """

    def __init__(
        self, name: str, spec: ColumnarKeyedSpec, entries: dict[Any, Any], load: Callable[[list[Any]], None] | None = None
    ) -> None:
        assert spec.columnar, "selectors are names of columns"
        self._name = name
        self._spec = spec
        self._entries = entries
        self._running: RunningColumns | None = None
        self._written_back = True
        self._load = load
        self._in_dict = load is not None

    def __len__(self) -> int:
        return len(self._entries) if self._running is None else len(self._running)

    def update(self, batch: ColumnBatch) -> Batch | None:
        """Update the running values by a batch.

        Returns:
            Rows of (key, new running value), or None if nothing was done because this batch has to go record by record.

        Raises:
            PlanError: if there is no such column.
        """
        keys = _column(self._name, batch, self._spec.key)
        values = None if isinstance(self._spec, CountSpec) else _column(self._name, batch, _value_column(self._spec))
        if not _groupable(keys) or (values is not None and not _same_as_python(self._spec, values)):
            return None
        values = _widened(values)
        running = self._columns_for(keys, values)
        rows = _rows(keys, values, batch.timestamps)
        if running is None:
            return self._update_dict(_grouped(self._spec, rows, "key"))
        if _maybe_distinct(keys):
            rows = rows.with_columns(code=running.codes(keys))
            if rows["code"].n_unique() != len(rows):
                rows = _grouped(self._spec, rows, "code")
            elif values is None:
                rows = _counted_once(rows)
        else:
            rows = _grouped(self._spec, rows, "key")
            rows = rows.with_columns(code=running.codes(rows["key"]))
        totals = running.update(rows["code"], rows["value"])
        if totals is None:
            return self._update_dict(rows)
        self._written_back = False
        return _pairs(rows["key"].to_arrow(), totals.to_arrow(), _stamps(rows))

    def move_to_dict(self) -> None:
        """Have the values in the dict from now on."""
        self.release()
        self._in_dict = True

    def write_back(self) -> None:
        """Put all values into the dict, too."""
        if self._running is not None and not self._written_back:
            self._entries.update(self._running.changed_items())
            self._written_back = True

    def write_back_key(self, key: Any) -> None:
        """Put the value of one key into the dict, if it has one."""
        if self._running is None or self._written_back:
            return
        if type(key) is not self._running.key_type:
            self.write_back()  # it may equal a key of another type
        elif (value := self._running.get(key, MISSING)) is not MISSING:
            self._entries[key] = value

    def release(self) -> None:
        """Put all values into the dict, and keep none elsewhere."""
        self.write_back()
        self._running = None

    def _columns_for(self, keys: pl.Series, values: pl.Series | None) -> RunningColumns | None:
        """Return the running values in the form of columns, or None if they are in the dict, maybe because of this batch."""
        if self._in_dict:
            return None
        key_type = numbered_type(keys)
        value_type = int if values is None else _value_type(values)
        if key_type is None or value_type is None:
            self.move_to_dict()
            return None
        if self._running is None:
            entries = self._entries
            self._running = RunningColumns.of(self._spec, entries) if entries else RunningColumns(self._spec, key_type, value_type)
        running = self._running
        if running is None or (running.key_type, running.value_type) != (key_type, value_type):
            self.move_to_dict()
            return None
        return running

    def _update_dict(self, grouped: pl.DataFrame) -> Batch:
        self.move_to_dict()
        distinct = grouped["key"].to_list()
        if self._load is not None:
            self._load(distinct)
        running = _merge(self._spec, self._entries, distinct, grouped["value"].to_list())
        return _result(grouped["key"].to_arrow(), distinct, running, _stamps(grouped))


def _column(name: str, batch: ColumnBatch, column: object) -> pl.Series:
    import polars as pl

    frame = batch.frame
    names = batch.columns.schema.names if frame is None else frame.columns
    if not isinstance(column, str) or column not in names:
        raise PlanError(f"'{name}' has no column '{column}' to work on", hint=f"the columns are {', '.join(names)}")
    return pl.Series(batch.columns.column(column)) if frame is None else frame.get_column(column)


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


def _value_type(values: pl.Series) -> type | None:
    """Return the Python type of values that a column of running values can hold."""
    import polars as pl

    if values.dtype == pl.Int64:
        return int
    return float if values.dtype == pl.Float64 else None


def _widened(values: pl.Series | None) -> pl.Series | None:
    """Return numbers as Python computes with them: with all bits of a float, and without a small type's limits."""
    import polars as pl

    if values is None or values.dtype in {pl.String, pl.UInt64, pl.Int128, pl.UInt128}:
        return values
    return values.cast(pl.Float64 if values.dtype.is_float() else pl.Int64)


def _rows(keys: pl.Series, values: pl.Series | None, timestamps: pa.Array | None) -> pl.DataFrame:
    import polars as pl

    columns = {"key": keys, "value": values, "timestamp": None if timestamps is None else pl.Series(timestamps)}
    return pl.DataFrame({name: column for name, column in columns.items() if column is not None})


def _maybe_distinct(keys: pl.Series) -> bool:
    """Return whether the first keys differ, which few rows tell: then it is worth while to look at all."""
    sample = keys.head(_SAMPLED_ROWS)
    return sample.n_unique() == len(sample)


def _counted_once(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return rows.with_columns(value=pl.lit(1, dtype=pl.Int64))


def _grouped(spec: ColumnarKeyedSpec, rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """Return a row for each distinct key, known by the column `by`, in the order of first appearance."""
    import polars as pl

    value = pl.col("value")
    match spec:
        case CountSpec():
            part = pl.len().cast(pl.Int64).alias("value")
        case SumSpec():
            part = value.sum()
        case MinSpec():
            part = value.min()
        case _:
            part = value.max()
    parts = [part]
    if by != "key":
        parts.append(pl.col("key").first())
    if "timestamp" in rows.columns:
        parts.append(pl.col("timestamp").max())
    return rows.group_by(by, maintain_order=True).agg(parts)


def _stamps(rows: pl.DataFrame) -> pa.Array | None:
    return rows["timestamp"].to_arrow() if "timestamp" in rows.columns else None


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


def _result(keys: pa.Array, distinct: list[Any], running: list[Any], stamps: pa.Array | None) -> Batch:
    import pyarrow as pa

    try:
        values = pa.array(running)
    except (pa.ArrowException, OverflowError, TypeError):
        # Totals beyond 64 bits, or of types that the record-wise path has mixed: exact as Python values.
        return ObjectBatch(list(zip(distinct, running, strict=True)), stamps.to_pylist() if stamps is not None else None)
    return _pairs(keys, values, stamps)


def _pairs(keys: pa.Array, values: pa.Array, stamps: pa.Array | None) -> ColumnBatch:
    import pyarrow as pa

    fields = [pa.field(name, column.type) for name, column in zip(PAIR_COLUMNS, (keys, values), strict=True)]
    return ColumnBatch(pa.RecordBatch.from_arrays([keys, values], schema=pa.schema(fields, metadata=TUPLES)), stamps)
