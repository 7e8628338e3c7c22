"""Values as a column of a table, and back: typed where their type is known, else encoded.

    arrow     an Arrow column of the type: what polars, pandas and DuckDB show as it is
    packed    MessagePack of the values' trees: the type is known, and some value does not fit Arrow's (an int of 100 bits)
    pickled   the type is not known

What is typed or packed can be read after its class has changed (see `wire.state_evolution`); what is pickled needs its class as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.savepoint.arrow_types import Form, NotTyped, form_of
from actorflow.savepoint.inference import inferred, live_type
from actorflow.wire import pickling
from actorflow.wire.savepoint_manifest import SavedColumn
from actorflow.wire.state_codec import StateCodec
from actorflow.wire.state_migration import Migration
from actorflow.wire.state_plain import pack, unpack_raw
from actorflow.wire.state_types import TypeSchema, TypeTree

if TYPE_CHECKING:
    import pyarrow as pa


def to_column(values: Sequence[Any], types: TypeTree | None, name: str) -> tuple[pa.Array, SavedColumn]:
    """Return values as a column, and how it is written.

    Args:
        values: of one state, in any number.
        types: their declared type; None if nobody has declared one.
        name: whose they are, for errors.

    Raises:
        SerializationError: if a value is not of its declared type, or cannot be written.
        CheckpointError: if a value cannot be pickled.
    """
    import pyarrow as pa

    declared = types is not None
    types = types or inferred(values)
    if types is None:
        return pa.array(_pickled(values, name), pa.binary()), SavedColumn("pickled")
    form = form_of(types.schema)
    saved = types.schema.to_data()
    if form.plain is not None and set(map(type, values)) <= {form.plain}:
        typed = _array(values, form)
        if typed is not None:
            return typed, SavedColumn("arrow", saved)
    try:
        packed = StateCodec(types, name).encode_many(values)
    except ActorflowError:
        if declared:
            raise
        return pa.array(_pickled(values, name), pa.binary()), SavedColumn("pickled")
    try:
        typed = _array([form.put(unpack_raw(data)) for data in packed], form)
    except (NotTyped, OverflowError):
        typed = None
    if typed is not None:
        return typed, SavedColumn("arrow", saved)
    return pa.array(packed, pa.binary()), SavedColumn("packed", saved)


def _array(values: Sequence[Any], form: Form) -> pa.Array | None:
    """Return an Arrow array, or None if some value does not fit."""
    import pyarrow as pa

    try:
        return pa.array(values, form.type)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError):
        return None


def _pickled(values: Sequence[Any], name: str) -> list[bytes]:
    try:
        return list(map(pickling.dumps, values))
    except Exception as error:
        raise CheckpointError(f"{name} cannot be pickled: {type(error).__name__}: {error}") from error


def to_values(column: pa.Array | pa.ChunkedArray, saved: SavedColumn, types: TypeTree | None, name: str) -> list[Any]:
    """Return the values of a column.

    Args:
        column: as it stands in its file.
        saved: how it is written.
        types: the type that is declared now; None if nobody has declared one.
        name: whose they are, for errors.

    Raises:
        IncompatibleState: if the type that is declared now cannot take what was written; the fields are named.
        SerializationError: if it is damaged, or of another form.
        CheckpointError: if what is pickled cannot be read.
    """
    written = column.to_pylist()
    if saved.type is None:
        return _unpickled(written, name)
    old = TypeSchema.from_data(saved.type)
    now = types or live_type(old, name)
    if saved.encoding == "arrow":
        form = form_of(old)
        if form.plain is not None and old == now.schema and column.null_count == 0:
            return list(written)
        packed = [pack(form.get(value)) for value in written]
    else:
        packed = written
    codec: StateCodec[Any] = StateCodec(now, name)
    return codec.decode_many(packed) if old == now.schema else Migration(old, codec, name).decode_many(packed)


def _unpickled(written: Sequence[bytes], name: str) -> list[Any]:
    try:
        return list(map(pickling.loads, written))
    except Exception as error:
        raise CheckpointError(
            f"{name} cannot be read: {type(error).__name__}: {error}",
            hint="its type is not declared, so it was pickled: the classes of its values must be those of the program that wrote it",
        ) from error
