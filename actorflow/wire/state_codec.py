"""State values as bytes, and back: `codec_for` makes the codec of a declared type.

    codec = codec_for(dict[str, int], "state 'counts'")
    codec.decode(codec.encode({"a": 1})) == {"a": 1}

What comes out equals what went in, types included; a value that is not of the declared type is refused, with the field's path, before
there are bytes. The bytes say nothing of the type: they are read with the codec of the same type, or through its schema after the
type has changed (`actorflow.state.schema`). `state_exact` says how each type is written.

Equal values of different types (`1`, `1.0` and `True`; `0.0` and `-0.0`) have different bytes: these are values, not keys to be
looked up by. The same value always has the same bytes, also in another process; sets are written in order. Only pickled ones do not
promise that.

A type with declared structure never unpickles: damaged or hostile bytes give an error, or another value of that type, and run
no code. Storage guards bytes with checksums; a codec checks their form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NoReturn, TypeVar

from actorflow.errors import SerializationError
from actorflow.wire.state_describe import describe
from actorflow.wire.state_exact import ExactForm
from actorflow.wire.state_plain import Mismatch, pack, place_of, unpack
from actorflow.wire.state_readers import compile_reader
from actorflow.wire.state_types import Pickled, TypeTree
from actorflow.wire.state_writers import compile_writer

T = TypeVar("T")


class StateCodec(Generic[T]):
    """Turns values of one type into bytes and back. Made by `codec_for`.

    Attributes:
        types: the type, taken apart.
        evolvable: whether the values can be read after their type has changed: not if they are pickled as a whole.
    """

    __slots__ = ("_decode", "_exact", "_finish", "_name", "_write", "evolvable", "types")

    def __init__(self, types: TypeTree, name: str) -> None:
        self.types = types
        self.evolvable = not isinstance(types.schema.root, Pickled)
        self._name = name
        self._exact = ExactForm(types)
        self._write = compile_writer(self._exact)
        self._decode, self._finish = compile_reader(self._exact)

    def encode(self, value: T) -> bytes:
        """Return the bytes of a value.

        Raises:
            SerializationError: if it is not of the type; the text names the state and the field.
        """
        try:
            return pack(self._write(value))
        except Exception:  # rare, or wrong: the exact form knows
            return self._encode_exactly(value)

    def decode(self, data: bytes | memoryview) -> T:
        """Return the value that `encode` was given.

        Raises:
            SerializationError: if the bytes are not of a value of the type; the text names the state and the field.
        """
        finish = self._finish
        try:
            value: T = self._decode(data) if finish is None else finish(self._decode(data))
        except Exception:
            return self._decode_exactly(data)
        return value

    def encode_many(self, values: Iterable[T]) -> list[bytes]:
        """Return the bytes of each value. Faster than one at a time.

        Raises:
            SerializationError: see `encode`.
        """
        values, write = list(values), self._write
        try:
            return [pack(write(value)) for value in values]
        except Exception:
            return list(map(self.encode, values))

    def decode_many(self, items: Iterable[bytes]) -> list[T]:
        """Return the value of each. Faster than one at a time.

        Raises:
            SerializationError: see `decode`.
        """
        items, decode, finish = list(items), self._decode, self._finish
        try:
            return list(map(decode, items)) if finish is None else [finish(decode(data)) for data in items]
        except Exception:
            return list(map(self.decode, items))

    def _encode_exactly(self, value: T) -> bytes:
        try:
            return pack(self._exact.lower(value))
        except (Mismatch, RecursionError) as error:
            self._refuse("write", error)

    def _decode_exactly(self, data: bytes | memoryview) -> T:
        try:
            value: T = self._exact.lift(unpack(data))
        except (Mismatch, RecursionError) as error:
            self._refuse("read", error)
        return value

    def _refuse(self, verb: str, error: Mismatch | RecursionError) -> NoReturn:
        if isinstance(error, RecursionError):
            raise SerializationError(f"cannot {verb} {self._name}: it is nested too deeply") from None
        place = place_of(error.path)
        what = f"{place} {error.text}" if place else f"it {error.text}"
        hint = "declare the type that the values have" if verb == "write" else ""
        raise SerializationError(f"cannot {verb} {self._name}: {what}", hint=hint) from error.__cause__


def codec_for(of: type[T] | Any, name: str = "a value") -> StateCodec[T]:
    """Make the codec of a type. Takes about a millisecond: make it once for a state.

    Args:
        of: the declared type: a class, a generic alias such as `list[int]`, a union, or `object`.
        name: how errors call the values, such as `"state 'seen'"`.

    Raises:
        SerializationError: if it is not a type, or an annotation of a field cannot be resolved.
    """
    return StateCodec(describe(of), name)
