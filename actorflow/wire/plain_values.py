"""Lists of plain values as bytes: text, bytes, numbers, `None`. Several times as fast as pickle, and exact: what comes back has the same types.

MessagePack, by msgspec. It would make a list of a tuple and text of a date: `plain` tells whether values are of the types that stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

PLAIN: Final = frozenset({bool, bytes, float, int, str, type(None)})
"""The types whose values stay what they are. Not their subclasses."""

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


def decode_plain(data: bytes | memoryview) -> list[Any]:
    """Return what `encode_plain` was given.

    Raises:
        ValueError: if the bytes are none of its.
    """
    values = _decoder.decode(data)
    if not isinstance(values, list):
        raise ValueError(f"a list was written, and a {type(values).__name__} is read")  # noqa: TRY004 - the bytes are wrong, not a type
    return values
