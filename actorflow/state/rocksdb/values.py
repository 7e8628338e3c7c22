"""How the values of a state are written, by what its plain handle holds. Times are in ms.

state                             held                            written
ValueState                        the value                       as its declared type
ReducingState, AggregatingState   a tuple of the folded value     the folded value
MapState, ListState               a dict, a list                  the same
with a time to live               with (value, last use) of each  the oldest use (8 bytes), then the same
the engine's own                  anything                        one letter and the value; pickled if it is no number
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, assert_never

from actorflow.state.binding import KeyedState
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, ValueState
from actorflow.state.schema import held_type
from actorflow.wire import pickling
from actorflow.wire.state_codec import codec_for

_INT: Final = struct.Struct("<cq")
_INT_ALONE: Final = struct.Struct("<xq")
_INT_LETTER: Final = ord("i")
_FLOAT: Final = struct.Struct("<cd")
_TIME: Final = struct.Struct("<q")


class ValueCodec(Protocol):
    """Turns values into bytes and back, many at a time.

    Raises (both):
        SerializationError: if a value is not of the declared type, or bytes are not of one.
    """

    def encode_many(self, values: Sequence[Any]) -> list[bytes]:
        """Return the bytes of each value."""
        ...

    def decode_many(self, items: Sequence[bytes]) -> list[Any]:
        """Return the value of each."""
        ...


class AnyCodec:
    """For values without a declared type."""

    def encode_many(self, values: Sequence[Any]) -> list[bytes]:
        """Return the bytes of each value."""
        types = set(map(type, values))
        if types == {int}:
            try:
                pack = _INT.pack
                return [pack(b"i", value) for value in values]
            except struct.error:  # beyond 64 bits
                pass
        elif types == {float}:
            pack = _FLOAT.pack
            return [pack(b"f", value) for value in values]
        return list(map(_any_bytes, values))

    def decode_many(self, items: Sequence[bytes]) -> list[Any]:
        """Return the value of each."""
        if items and items[0][0] == _INT_LETTER and set(map(len, items)) == {_INT.size}:
            together = b"".join(items)
            if together[:: _INT.size] == b"i" * len(items):
                return [value for (value,) in _INT_ALONE.iter_unpack(together)]
        return list(map(_any_value, items))


def _any_bytes(value: Any) -> bytes:
    if type(value) is int and -(1 << 63) <= value < 1 << 63:
        return _INT.pack(b"i", value)
    if type(value) is float:
        return _FLOAT.pack(b"f", value)
    return b"p" + pickling.dumps(value)


def _any_value(data: bytes) -> Any:
    kind = data[:1]
    if kind == b"i":
        return _INT.unpack(data)[1]
    if kind == b"f":
        return _FLOAT.unpack(data)[1]
    return pickling.loads(memoryview(data)[1:])


class FoldedCodec:
    """For tuples of one value."""

    def __init__(self, inner: ValueCodec) -> None:
        self._inner = inner

    def encode_many(self, values: Sequence[tuple[Any]]) -> list[bytes]:
        """Return the bytes of each value."""
        return self._inner.encode_many([value for (value,) in values])

    def decode_many(self, items: Sequence[bytes]) -> list[tuple[Any]]:
        """Return the value of each."""
        return [(value,) for value in self._inner.decode_many(items)]


class AgedCodec:
    """For what is kept with times of use: the oldest stands first, so that it can be looked at without the rest.

    Args:
        inner: writes the values.
        oldest: returns the oldest time of use (ms) of what is held.
        split: whether what is held is one value and its time, which `inner` need not write.
    """

    def __init__(self, inner: ValueCodec, oldest: Callable[[Any], int], *, split: bool) -> None:
        self._inner = inner
        self._oldest = oldest
        self._split = split

    def encode_many(self, values: Sequence[Any]) -> list[bytes]:
        """Return the bytes of each value."""
        pack = _TIME.pack
        inner = self._inner.encode_many([value for value, _ in values] if self._split else values)
        return [pack(self._oldest(value)) + data for value, data in zip(values, inner, strict=True)]

    def decode_many(self, items: Sequence[bytes]) -> list[Any]:
        """Return the value of each."""
        values = self._inner.decode_many([item[_TIME.size :] for item in items])
        if not self._split:
            return values
        return [(value, oldest_use(item)) for value, item in zip(values, items, strict=True)]


def oldest_use(data: bytes) -> int:
    """Return the oldest time of use (ms) in the bytes of a value with a time to live."""
    last_use: int = _TIME.unpack_from(data)[0]
    return last_use


def codec_of(descriptor: KeyedState) -> ValueCodec:
    """Return the codec of what the plain handle of a declared state holds.

    Raises:
        SerializationError: if its type cannot be written.
    """
    codec: ValueCodec = codec_for(held_type(descriptor), f"state '{descriptor.name}'")
    if isinstance(descriptor, ReducingState | AggregatingState):
        codec = FoldedCodec(codec)
    if descriptor.ttl is None:
        return codec
    match descriptor:
        case MapState():
            return AgedCodec(codec, lambda held: min(last_use for _, last_use in held.values()), split=False)
        case ListState():
            return AgedCodec(codec, lambda held: min(last_use for _, last_use in held), split=False)
        case ValueState() | ReducingState() | AggregatingState():
            return AgedCodec(codec, lambda held: held[1], split=True)
        case _:
            assert_never(descriptor)
