"""Plain values as MessagePack can hold them, and the bytes themselves: the leaves of `state_exact`.

int                   itself; beyond 64 bits extension 1: two's complement, big-endian, as short as it goes
str                   itself; with lone surrogates extension 2: what `surrogatepass` writes
None, bool, float, bytes    themselves
date                  its ordinal
time, datetime        ISO 8601; with a fold, a named zone or a zone with a name of its own: [ISO 8601, fold, zone]
timedelta             [days, seconds, microseconds]
Decimal, UUID         its text, its 16 bytes
"""

from __future__ import annotations

import datetime as dt
import decimal
import reprlib
import uuid
import zoneinfo
from typing import Any, Final, TypeVar

import msgspec
from msgspec.msgpack import Ext

from actorflow.wire.state_types import PLAIN_TYPES, Plain

Path = tuple[str | tuple[Any], ...]
"""Steps from a value to a part of it: a key of a dict stands in a tuple, everything else is text."""

Clock = TypeVar("Clock", dt.datetime, dt.time)

BIG_INT, SURROGATES, INSTANCE = 1, 2, 3
"""Extension codes. The last is an instance of a subclass; see `state_exact`."""

ACCEPTED: Final = {name: (cls,) for name, cls in PLAIN_TYPES.items()} | {"int": (int, bool), "float": (float, int, bool)}
"""Exact classes of the values that each plain type takes."""

NATIVE: Final = ("none", "bool", "int", "float", "str", "bytes")
"""Plain types whose values MessagePack holds as they are."""

ORDERED: Final = (Plain("int"), Plain("str"), Plain("bytes"))
"""Plain types whose values have an order of their own."""

INT_MIN, INT_MAX = -(2**63), 2**64 - 1

pack: Final = msgspec.msgpack.Encoder().encode


class Mismatch(Exception):  # noqa: N818 - it becomes an error where the value's name is known
    """A value or tree that is not of its type.

    Args:
        path: the steps from the value to the part to blame.
        text: what is wrong with it.
    """

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(path, text)
        self.path = path
        self.text = text


class Instance:
    """An instance of a subclass, as read.

    Args:
        name: the subclass' qualified name.
        fingerprint: of the subclass' schema when it was written.
        tree: its fields.
    """

    __slots__ = ("fingerprint", "name", "tree")

    def __init__(self, name: str, fingerprint: bytes, tree: Any) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.tree = tree


def unpack(data: bytes | memoryview) -> Any:
    """Return the tree that `pack` wrote.

    Raises:
        Mismatch: if the bytes hold none.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise Mismatch((), f"is damaged: {error}") from None


def place_of(path: Path) -> str:
    """Return the steps to a part as a user would write them, such as `places[3].x`."""
    return "".join(step if isinstance(step, str) else f"[{reprlib.repr(step[0])}]" for step in path).removeprefix(".")


def unpack_raw(data: bytes | memoryview) -> Any:
    """Return the tree in `data` with its extensions as they are, so that `pack` gives the same bytes again.

    Raises:
        Mismatch: if the bytes hold none.
    """
    try:
        return _raw_decoder.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise Mismatch((), f"is damaged: {error}") from None


def expect(fits: bool, value: Any, wanted: str, path: Path) -> None:  # noqa: FBT001 - reads as a sentence
    """Refuse a value or tree that does not fit.

    Raises:
        Mismatch: if it does not.
    """
    if not fits:
        raise mismatch(value, wanted, path)


def mismatch(value: Any, wanted: str, path: Path) -> Mismatch:
    """Return the refusal of a value."""
    return Mismatch(path, f"is of type '{type(value).__name__}', not {wanted}")


def lower_plain(of: str, value: Any, path: Path) -> Any:
    """Return a plain value, of one of the accepted classes, as MessagePack holds it.

    Raises:
        Mismatch: if it has a part that is not plain: a time zone of an unknown class.
    """
    match of:
        case "int" | "float" if type(value) is int and not INT_MIN <= value <= INT_MAX:
            return Ext(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
        case "str":
            return _lower_text(value)
        case "date":
            return value.toordinal()
        case "time" | "datetime":
            return _lower_clock(value, path)
        case "timedelta":
            return [value.days, value.seconds, value.microseconds]
        case "decimal":
            return str(value)
        case "uuid":
            return value.bytes
        case _:
            return value


def lift_plain(of: str, tree: Any, path: Path) -> Any:
    """Return the plain value that `lower_plain` was given.

    Raises:
        Mismatch: if the tree is none of the type's.
    """
    if of in NATIVE:
        expect(type(tree) in ACCEPTED[of], tree, of, path)
        return tree
    try:
        match of:
            case "date":
                expect(type(tree) is int, tree, of, path)
                return dt.date.fromordinal(tree)
            case "time":
                return _lift_clock(dt.time, tree)
            case "datetime":
                return _lift_clock(dt.datetime, tree)
            case "timedelta":
                days, seconds, microseconds = tree
                return dt.timedelta(days, seconds, microseconds)
            case "decimal":
                expect(type(tree) is str, tree, of, path)
                return decimal.Decimal(tree)
            case _:
                return uuid.UUID(bytes=tree)
    except (ValueError, TypeError, OverflowError, decimal.InvalidOperation, zoneinfo.ZoneInfoNotFoundError) as error:
        raise Mismatch(path, f"is damaged: {tree!r} is no {of}: {error}") from None


def _lower_text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(SURROGATES, value.encode("utf-8", "surrogatepass"))
    return value


def _lower_clock(value: Any, path: Path) -> Any:
    zone = value.tzinfo
    match zone:
        case None:
            written: Any = None
        case dt.timezone():
            offset = zone.utcoffset(None)
            if zone.tzname(None) == dt.timezone(offset).tzname(None):
                return [value.isoformat(), 1, None] if value.fold else value.isoformat()
            written = [[offset.days, offset.seconds, offset.microseconds], zone.tzname(None)]
        case zoneinfo.ZoneInfo() if zone.key is not None:
            written = zone.key
        case _:
            raise Mismatch(
                path, f"has a time zone of type '{type(zone).__module__}.{type(zone).__name__}', not datetime.timezone or ZoneInfo"
            )
    if written is None and not value.fold:
        return value.isoformat()
    return [value.replace(tzinfo=None).isoformat(), value.fold, written]


def _lift_clock(cls: type[Clock], tree: Any) -> Clock:
    if type(tree) is str:
        return cls.fromisoformat(tree)
    text, fold, zone = tree
    value = cls.fromisoformat(text)
    match zone:
        case None:
            return value.replace(fold=fold)
        case str():
            return value.replace(fold=fold, tzinfo=zoneinfo.ZoneInfo(zone))
        case [[days, seconds, microseconds], str(name)]:
            return value.replace(fold=fold, tzinfo=dt.timezone(dt.timedelta(days, seconds, microseconds), name))
        case _:
            raise ValueError("unknown time zone")


def _extension(code: int, data: memoryview) -> Any:
    match code:
        case 1:
            return int.from_bytes(data, "big", signed=True)
        case 2:
            return bytes(data).decode("utf-8", "surrogatepass")
        case 3:
            name, fingerprint, tree = _decoder.decode(data)
            return Instance(name, fingerprint, tree)
        case _:
            raise ValueError(f"extension {code} is unknown")


_decoder: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Any, ext_hook=_extension)
_raw_decoder: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Any)
