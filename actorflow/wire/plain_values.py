"""Lists of plain values as bytes: text, bytes, numbers, `None`. Several times as fast as pickle, and exact: what comes back has the same types.

MessagePack, by msgspec. It would make a list of a tuple and text of a date: `plain` tells whether values are of the types that stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

PLAIN: Final = frozenset({bool, bytes, float, int, str, type(None)})
"""The types whose values stay what they are. Not their subclasses."""

SPACE: Final = 0xC0
"""The byte that stands for `None`. No text contains it."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def plain(values: Iterable[object]) -> bool:
    """Return whether all values are of plain types."""
    return PLAIN.issuperset(map(type, values))


def encode_plain(values: list[Any]) -> bytes | None:
    """Return the bytes of a list of plain values, and of lists of them; None for integers beyond 64 bits and text that is not Unicode."""
    try:
        return _encoder.encode(values)
    except (OverflowError, UnicodeEncodeError):
        return None


def encode_spaced(values: list[Any]) -> bytes | None:
    """Return the bytes of plain values, and behind each a `SPACE`; None for those that `encode_plain` cannot take.

    Where the bytes contain no more of them than there are values, they tell where each value ends: so it is with text of less than 192 bytes.
    """
    spaced: list[Any] = [None] * (2 * len(values))
    spaced[::2] = values
    data = encode_plain(spaced)
    return None if data is None else data[len(_list_head(len(spaced))) :]


def encode_each(values: list[Any]) -> list[bytes]:
    """Return the bytes of each of some plain values that `encode_plain` can take."""
    return list(map(_encoder.encode, values))


def encoded_list(data: bytes, count: int) -> object:
    """Return what `encode_plain` takes for a list of values: their bytes, one after another, and how many they are."""
    return msgspec.Raw(_list_head(count) + data)


def _list_head(count: int) -> bytes:
    """Return what stands before the values of a list."""
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def decode_plain(data: bytes | memoryview) -> list[Any]:
    """Return what `encode_plain` was given.

    Raises:
        ValueError: if the bytes are none of its.
    """
    values = _decoder.decode(data)
    if not isinstance(values, list):
        raise ValueError(f"a list was written, and a {type(values).__name__} is read")  # noqa: TRY004 - the bytes are wrong, not a type
    return values
