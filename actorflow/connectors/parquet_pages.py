"""Whether the pages of a Parquet file are what its footer says: looked at before a decoder that trusts them gets to see them.

A column chunk is pages, each behind a header in Thrift's compact protocol (https://parquet.apache.org/docs/file-format/data-pages/): kind,
sizes, number of values. A decoder that reserves memory for as many values as a damaged header claims takes the process down with it. Only headers
are read here, some dozens of bytes a page; damage in what is behind them any decoder reports.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pyarrow import parquet as pq

_HEADER_BYTES_MAX: Final = 1 << 14
"""Headers hold the smallest and the largest value of their page: one that is larger than this is not looked at."""

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_DICTIONARY_VALUE_BYTES_MIN: Final = 4
_DICTIONARY_ENCODINGS: Final = (0, 2)
_INT32: Final = 5


def sound(file: int, chunk: pq.ColumnChunkMetaData, rows: int) -> bool:
    """Return whether all pages of a column chunk have headers that fit together.

    Args:
        file: descriptor of the file.
        chunk: what the footer says of the column chunk, which is of a column that is not nested.
        rows: number of rows of its row group.
    """
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        at = min(at, chunk.dictionary_page_offset)
    end, room, values = at + chunk.total_compressed_size, chunk.total_uncompressed_size, 0
    while at < end:
        try:
            header, size = _struct(os.pread(file, _HEADER_BYTES_MAX, at), 0)
            kind, uncompressed, compressed = header[1], header[2], header[3]
            counted = _values(kind, header, min(uncompressed, compressed))
        except (IndexError, KeyError, TypeError, ValueError, OSError):
            return False
        at += size + compressed
        room -= size + uncompressed
        if counted is None or min(uncompressed, compressed, room) < 0:
            return False
        values += counted
    return bool(at == end and values == chunk.num_values == rows)


def _values(kind: int, header: dict[int, Any], size: int) -> int | None:
    """Return how many values of the column are in a page; None if its header cannot be right.

    Args:
        kind: of page.
        header: of the page.
        size: of what is behind it, in bytes, as it is stored or unpacked, whichever is less.
    """
    if kind == _DATA:
        count = header[5][1]
        return count if count >= 0 else None
    if kind == _DATA_V2:
        page = header[8]
        levels = (page[5], page[6])
        fits = min(levels) >= 0 and sum(levels) <= size and 0 <= page[2] <= page[1] == page[3]
        return page[1] if fits else None
    if kind == _DICTIONARY:
        dictionary = header[7]
        fits = 0 <= dictionary[1] * _DICTIONARY_VALUE_BYTES_MIN <= header[2]
        return 0 if fits and dictionary[2] in _DICTIONARY_ENCODINGS else None
    return None


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Read a struct of Thrift's compact protocol; return its fields by number, and the place behind it."""
    fields: dict[int, Any] = {}
    number = 0
    while data[at]:
        step, kind = data[at] >> 4, data[at] & 0x0F
        at += 1
        if step:
            number += step
        else:
            number, at = _integer(data, at)
        fields[number], at = _value(data, at, kind)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """Read a value of the kinds that stand in page headers."""
    if kind in {1, 2}:
        return kind == 1, at
    if kind in {4, 5, 6}:
        value, at = _integer(data, at)
        return value if kind == _INT32 else None, at  # all numbers that matter here are of 32 bits
    if kind == 8:
        length, at = _varint(data, at)
        return None, at + length
    if kind == 12:
        return _struct(data, at)
    raise ValueError(f"no page header has a field of kind {kind}")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
