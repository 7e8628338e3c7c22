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
from typing import Any, Final

from actorflow.state.timers import Timer
from actorflow.wire import pickling
from actorflow.wire.key_bytes import all_plain, grouped_bytes, key_bytes, key_of, plain

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


def timer_row(timer: Timer, groups: Sequence[bytes]) -> bytes:
    """Return the key of a timer's row: rows are in the order of their times.

    Raises:
        UnstableKey: if its key or namespace is of a type that cannot be hashed stably.
    """
    (code,) = grouped_bytes([timer.key], groups)
    return (
        time_prefix(timer.timestamp)
        + code[:GROUP_BYTES]
        + _LENGTH.pack(len(code))
        + code[GROUP_BYTES:]
        + key_bytes(timer.namespace)
    )


def time_prefix(timestamp: int) -> bytes:
    """Return what the rows of timers for a time (ms) begin with."""
    return _TIME.pack(timestamp + _SIGN)


def timer_value(timer: Timer) -> bytes:
    """Return the value of a timer's row."""
    return b"" if plain(timer.key) and plain(timer.namespace) else pickling.dumps((timer.key, timer.namespace))


def timers_in(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Timer]:
    """Give the timer that each row stands for."""
    code, namespace = None, None  # of the row before: they are the same for many
    for row, value in rows:
        timestamp, _, length = _TIMER.unpack_from(row)
        timestamp -= _SIGN
        if value:
            yield Timer(timestamp, *pickling.loads(value))
            continue
        end = _TIMER.size + length - GROUP_BYTES
        if row[end:] != code:
            code = row[end:]
            namespace = key_of(code)
        yield Timer(timestamp, key_of(row[_TIMER.size : end]), namespace)
