"""Batches and channel events as bytes, and back. What comes out equals what went in, types included.

A list of Python values takes the cheapest codec that is exact for it, found by one look at the types of the whole batch:

    codec     for                                     cost of writing and reading a record
    TEXT      exact `str` without NUL characters      a third of pickle's
    INT64     exact `int` in 64 bits                  two thirds of pickle's
    FLOAT64   exact `float`                           two thirds of pickle's
    PICKLE    everything else                         50-200 ns for small records
    COLUMNS   an Arrow record batch, as IPC stream    some microseconds for the whole batch

Transposing lists of tuples or dicts into columns first was measured, and is no faster than pickle once types are checked.

With `TIMESTAMPS` set in the codec number, event times travel too: for object batches a count (4 bytes) and as many 64-bit integers
stand before the records; a column batch carries them as its last column. Integers are little-endian, as on every machine that
CPython and Arrow publish wheels for.

`decode_batch` unpickles, so it runs only where user code is meant to run: in slot workers, and in the client for its own results.
"""

from __future__ import annotations

import enum
import reprlib
import struct
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lz4.block
import msgspec

from actorflow.errors import FrameRefused, SerializationError
from actorflow.wire import pickling
from actorflow.wire.batch import Batch, ChannelEvent, ColumnBatch, ObjectBatch

if TYPE_CHECKING:
    import pyarrow as pa

TIMESTAMPS = 0x80
"""Bit of the codec number that says event times are in the payload."""

_short = reprlib.Repr()
_short.maxother = _short.maxstring = 120
_COUNT = struct.Struct("<I")
_TIMESTAMP_COLUMN = "\0timestamp"
_COMPRESS_BYTES_MIN = 512
_COMPRESSED_SHARE_MAX = 0.9


class Codec(enum.IntEnum):
    """How the records of a batch are written."""

    PICKLE = 1
    TEXT = 2
    INT64 = 3
    FLOAT64 = 4
    COLUMNS = 5


# --- batches -------------------------------------------------------------------------------------------------------------


def encode_batch(batch: Batch) -> tuple[int, bytes | memoryview]:
    """Return codec number and payload of a batch.

    Raises:
        SerializationError: if a record cannot be pickled; the text names its type and shows it, shortened.
    """
    if isinstance(batch, ColumnBatch):
        return _encode_columns(batch)
    codec, body = _encode_records(batch.records)
    if batch.timestamps is None:
        return codec, body
    try:
        times = array("q", batch.timestamps)
    except (OverflowError, TypeError) as error:
        raise SerializationError(f"event times of a batch are not 64-bit integers: {error}") from None
    return codec | TIMESTAMPS, b"".join((_COUNT.pack(len(times)), times.tobytes(), body))


def decode_batch(codec: int, payload: bytes | memoryview) -> Batch:
    """Return the batch that `encode_batch` wrote.

    Raises:
        FrameRefused: if the codec is unknown, or the payload is not of its form.
        SerializationError: if a record cannot be rebuilt here, say because a module is missing.
    """
    timed = bool(codec & TIMESTAMPS)
    number = codec & ~TIMESTAMPS
    if number == Codec.COLUMNS:
        return _decode_columns(payload, timed=timed)
    decode = _DECODERS.get(number)
    if decode is None:
        raise FrameRefused(f"batch refused: unknown codec {codec:#x}")
    if not timed:
        return ObjectBatch(decode(payload))
    view = memoryview(payload)
    try:
        start = _COUNT.size + 8 * _COUNT.unpack_from(view)[0]
        times = view[_COUNT.size : start].cast("q").tolist()
    except (struct.error, TypeError) as error:
        raise FrameRefused(f"batch refused: its event times are cut off: {error}") from None
    records = decode(view[start:])
    if len(records) != len(times):
        raise FrameRefused(f"batch refused: {len(records)} records with {len(times)} event times")
    return ObjectBatch(records, times)


def _encode_records(records: list[Any]) -> tuple[int, bytes]:
    encode = _BY_TYPE.get(type(records[0])) if records else None
    if encode is not None and len(set(map(type, records))) == 1:
        body = encode(records)
        if body is not None:
            return body
    try:
        return Codec.PICKLE, pickling.dumps(records)
    except Exception as error:
        raise _unpicklable(records, error) from error


def _encode_text(records: list[str]) -> tuple[int, bytes] | None:
    text = "\0".join(records)
    if text.count("\0") != len(records) - 1:
        return None
    try:
        return Codec.TEXT, text.encode()
    except UnicodeEncodeError:
        return None  # lone surrogates: pickle knows how


def _encode_ints(records: list[int]) -> tuple[int, bytes] | None:
    try:
        return Codec.INT64, array("q", records).tobytes()
    except OverflowError:
        return None


def _encode_floats(records: list[float]) -> tuple[int, bytes]:
    return Codec.FLOAT64, array("d", records).tobytes()


_BY_TYPE: dict[type, Callable[[list[Any]], tuple[int, bytes] | None]] = {
    str: _encode_text,
    int: _encode_ints,
    float: _encode_floats,
}


def _unpicklable(records: list[Any], error: Exception) -> SerializationError:
    for record in records:
        try:
            pickling.dumps(record)
        except Exception as cause:
            return SerializationError(
                f"cannot send a record of type '{type(record).__name__}': {cause} (record: {_short.repr(record)})",
                hint="emit values that pickle can write: no open files, locks, generators or connections",
            )
    return SerializationError(f"cannot send a batch of {len(records)} records: {error}")


def _decode_pickle(payload: bytes | memoryview) -> list[Any]:
    try:
        records: list[Any] = pickling.loads(payload)
    except Exception as error:
        raise SerializationError(
            f"cannot rebuild the records of a batch: {type(error).__name__}: {error}",
            hint="the modules that define the records' types must be installed on every node",
        ) from error
    if type(records) is not list:
        raise FrameRefused(f"batch refused: it holds a '{type(records).__name__}', not a list")
    return records


def _decode_text(payload: bytes | memoryview) -> list[Any]:
    try:
        return str(payload, "utf-8").split("\0")
    except UnicodeDecodeError as error:
        raise FrameRefused(f"batch refused: {error}") from None


def _decode_numbers(payload: bytes | memoryview, form: str) -> list[Any]:
    numbers: array[Any] = array(form)
    try:
        numbers.frombytes(payload)
    except ValueError as error:
        raise FrameRefused(f"batch refused: {error}") from None
    return numbers.tolist()


_DECODERS: dict[int, Callable[[bytes | memoryview], list[Any]]] = {
    Codec.PICKLE: _decode_pickle,
    Codec.TEXT: _decode_text,
    Codec.INT64: lambda payload: _decode_numbers(payload, "q"),
    Codec.FLOAT64: lambda payload: _decode_numbers(payload, "d"),
}


# --- columns -------------------------------------------------------------------------------------------------------------


def _encode_columns(batch: ColumnBatch) -> tuple[int, memoryview]:
    import pyarrow as pa

    columns = batch.columns
    codec = int(Codec.COLUMNS)
    if batch.timestamps is not None:
        fields = [*columns.schema, pa.field(_TIMESTAMP_COLUMN, pa.int64(), nullable=False)]
        schema = pa.schema(fields, columns.schema.metadata)
        columns = pa.RecordBatch.from_arrays([*columns.columns, batch.timestamps], schema=schema)
        codec |= TIMESTAMPS
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_batch(columns)
    return codec, memoryview(sink.getvalue())


def _decode_columns(payload: bytes | memoryview, *, timed: bool) -> ColumnBatch:
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            columns = reader.read_next_batch()
    except (pa.ArrowException, StopIteration, OSError) as error:
        raise FrameRefused(f"batch refused: not an Arrow record batch: {error}") from None
    return _split_timestamps(columns) if timed else ColumnBatch(columns)


def _split_timestamps(columns: pa.RecordBatch) -> ColumnBatch:
    import pyarrow as pa

    last = columns.num_columns - 1
    if last < 0 or columns.schema.field(last).name != _TIMESTAMP_COLUMN:
        raise FrameRefused("batch refused: its event times are missing")
    schema = pa.schema(list(columns.schema)[:last], columns.schema.metadata)
    return ColumnBatch(pa.RecordBatch.from_arrays(columns.columns[:last], schema=schema), columns.column(last))


# --- events --------------------------------------------------------------------------------------------------------------

_encode_event = msgspec.msgpack.Encoder().encode
_event_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ChannelEvent)


def encode_event(event: ChannelEvent) -> bytes:
    """Return the payload of a channel event."""
    return _encode_event(event)


def decode_event(payload: bytes | memoryview) -> ChannelEvent:
    """Return the event that `encode_event` wrote.

    Raises:
        FrameRefused: if the payload is not one of the channel events.
    """
    try:
        event: ChannelEvent = _event_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameRefused(f"channel event refused: {error}") from None
    return event


# --- compression ---------------------------------------------------------------------------------------------------------


def compress(payload: bytes | memoryview) -> bytes | None:
    """Return the payload compressed with lz4, or None if that would not save a tenth of it."""
    size = len(payload)
    if size < _COMPRESS_BYTES_MIN:
        return None
    packed: bytes = lz4.block.compress(payload, store_size=True)
    return packed if len(packed) < size * _COMPRESSED_SHARE_MAX else None


def decompress(payload: bytes | memoryview, bytes_max: int) -> bytes:
    """Return what `compress` was given.

    Raises:
        FrameRefused: if it is not an lz4 block, or says that it grows beyond `bytes_max` (checked before memory is taken).
    """
    if len(payload) < _COUNT.size:
        raise FrameRefused("compressed payload refused: it is cut off")
    size = _COUNT.unpack_from(payload)[0]
    if size > bytes_max:
        raise FrameRefused(f"compressed payload refused: it grows to {size} bytes, the limit is {bytes_max}")
    try:
        data: bytes = lz4.block.decompress(payload)
    except (lz4.block.LZ4BlockError, ValueError, MemoryError) as error:
        raise FrameRefused(f"compressed payload refused: {error}") from None
    return data
