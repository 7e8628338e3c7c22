"""What stands in the files: how keys and values become rows.

    row           its key                                                          its value
    of a state    key group (2 bytes, big-endian), key                             one byte, [the key itself], value
    in namespaces key group, length of the namespace (4 bytes), namespace, key     the same
    timer         timestamp (8 bytes, in order), key group, length, key, namespace nothing, or key and namespace themselves

A state has a column family of its own, and its rows are in the order of key groups, so that those of a group are contiguous.

Equal keys have equal bytes (`wire.key_bytes`), which do not tell the types of equal keys apart (`1` and `True`), and of some types cannot be read
back. Such keys are therefore kept in the row's value, too; its first byte says whether that is so.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby, repeat
from typing import Any, Final

from actorflow.wire import pickling
from actorflow.wire.key_bytes import all_plain, grouped_bytes, key_bytes, key_of, keys_of, plain

GROUP_BYTES: Final = 2

_LENGTH: Final = struct.Struct(">I")
_TIME: Final = struct.Struct(">Q")
_TIMER: Final = struct.Struct(">QHI")
"""What the row of a timer begins with."""

_PLAIN_KEY: Final = b"\0"
_KEPT_KEY: Final = b"\1"
_SIGN: Final = 1 << 63


def group_prefixes(count: int) -> tuple[bytes, ...]:
    """Return what the rows of each of `count` key groups begin with."""
    return tuple(group.to_bytes(GROUP_BYTES, "big") for group in range(count))


def namespace_prefixes(groups: Sequence[bytes], namespace: Hashable) -> tuple[bytes, ...]:
    """Return what the rows of a namespace begin with, for each key group.

    Raises:
        UnstableKey: if the namespace is of a type that cannot be hashed stably.
    """
    code = key_bytes(namespace)
    infix = _LENGTH.pack(len(code)) + code
    return tuple(group + infix for group in groups)


def row_values(keys: Sequence[Any], values: Iterable[bytes]) -> list[bytes]:
    """Return the values of rows: encoded values, each behind its key if that cannot be read back from its bytes."""
    if all_plain(keys):
        return [_PLAIN_KEY + value for value in values]
    return [_PLAIN_KEY + value if plain(key) else _kept(key) + value for key, value in zip(keys, values, strict=True)]


def _kept(key: Any) -> bytes:
    pickled = pickling.dumps(key)
    return _KEPT_KEY + _LENGTH.pack(len(pickled)) + pickled


def encoded_value(row: bytes) -> bytes:
    """Return the encoded value in the value of a row."""
    if row[:1] == _PLAIN_KEY:
        return row[1:]
    return row[1 + _LENGTH.size + _LENGTH.unpack_from(row, 1)[0] :]


def encoded_values(rows: Sequence[bytes]) -> list[bytes]:
    """Return the encoded values in the values of rows."""
    if any(row[0] for row in rows):
        return list(map(encoded_value, rows))
    return [row[1:] for row in rows]


def key_in(code: bytes, row: bytes) -> Any:
    """Return the key of a row.

    Args:
        code: the key's bytes.
        row: the row's value.
    """
    if row[:1] == _PLAIN_KEY:
        return key_of(code)
    start = 1 + _LENGTH.size
    return pickling.loads(row[start : start + _LENGTH.unpack_from(row, 1)[0]])


def keys_in(codes: Sequence[bytes], rows: Sequence[bytes]) -> list[Any]:
    """Return the keys of rows. See `key_in`."""
    if any(row[0] for row in rows):
        return list(map(key_in, codes, rows))
    return keys_of(codes)


def timer_rows(timers: Sequence[tuple[int, Any, Hashable]], groups: Sequence[bytes]) -> list[bytes]:
    """Return the keys of timers' rows: rows are in the order of their times.

    Raises:
        UnstableKey: if a key or namespace is of a type that cannot be hashed stably.
    """
    codes = grouped_bytes([key for _, key, _ in timers], groups)
    spaces = {namespace: key_bytes(namespace) for _, _, namespace in timers}
    time, length = _TIME.pack, _LENGTH.pack
    return [
        time(timestamp + _SIGN) + code[:GROUP_BYTES] + length(len(code)) + code[GROUP_BYTES:] + spaces[namespace]
        for (timestamp, _, namespace), code in zip(timers, codes, strict=True)
    ]


def timer_values(timers: Sequence[tuple[int, Any, Hashable]]) -> list[bytes]:
    """Return the values of timers' rows."""
    kept = [(key, namespace) for _, key, namespace in timers]
    return [b"" if plain(key) and plain(namespace) else pickling.dumps((key, namespace)) for key, namespace in kept]


def timers_in(rows: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[int, list[tuple[Any, Hashable]]]]:
    """Give the timers that rows stand for, in their order: each timestamp, and keys and namespaces of its timers."""
    alone = bool(rows) and _time_in(rows[0]) == _time_in(rows[-1])
    for time, some in [(_time_in(rows[0]), rows)] if alone else groupby(rows, _time_in):
        yield _TIME.unpack(time)[0] - _SIGN, _entries_in(list(some))


def _time_in(row: tuple[bytes, bytes]) -> bytes:
    return row[0][: _TIME.size]


def _entries_in(rows: Sequence[tuple[bytes, bytes]]) -> list[tuple[Any, Hashable]]:
    """Return key and namespace of the timer of each row."""
    if any(value for _, value in rows):
        return [pickling.loads(value) if value else _entries_in([(row, value)])[0] for row, value in rows]
    timers = [row for row, _ in rows]
    first, start = timers[0], _TIMER.size
    end = start + _TIMER.unpack_from(first)[2] - GROUP_BYTES
    if _same_at(timers, (*range(start - _LENGTH.size, start), *range(end, len(first)))):
        return list(zip(keys_of([row[start:end] for row in timers]), repeat(key_of(first[end:])), strict=False))
    found = []
    for row in timers:
        end = start + _TIMER.unpack_from(row)[2] - GROUP_BYTES
        found.append((key_of(row[start:end]), key_of(row[end:])))
    return found


def _same_at(rows: Sequence[bytes], places: Iterable[int]) -> bool:
    """Return whether rows are of the same length, and have the same bytes in some places."""
    first, count = rows[0], len(rows)
    length = len(first)
    if set(map(len, rows)) != {length}:
        return False
    together = b"".join(rows)
    return all(together[place::length] == first[place : place + 1] * count for place in places)
