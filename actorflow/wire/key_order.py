"""Keys as text that sorts: so that records can be brought together by key, whatever their keys are.

Keys need no `<`: None and numbers may stand beside words. Here each has a *code*, a `str`. Two keys have the same code if, and only if,
they are equal in the sense of `stable_hash` (`1 == 1.0 == True`), and any two codes compare. It is text because that is what Python
sorts fastest, and because the code of a word then is the word itself and costs nothing:

    kind                    code
    text                    itself; behind NUL `t` if it begins with NUL
    integer in 64 bits      NUL `i`, then a character for each of 8 bytes, big-endian, with the sign turned round
    tuple                   NUL `s`, then for each member its code, NULs written as NUL U+00FF, and NUL U+0001 behind it
    frozenset               the same behind NUL `z`, the members in the order of their codes
    everything else         NUL, a letter, then what `stable_hash` would hash, a character for each byte or, in objects, as in tuples

So text, integers, bytes, dates, and tuples of these come in their natural order. Of the others only that there is one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import math
import struct
import uuid
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from actorflow.wire.stable_hash import UnstableKey, base_of, compared_fields, name_of, simplest_number

_pack_u64 = struct.Struct(">Q").pack
_pack_f64 = struct.Struct(">d").pack

_SIGN = 1 << 63
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the zero of naive datetimes, and of aware ones less their offset
_MICROSECOND = dt.timedelta(microseconds=1)
_SECOND = dt.timedelta(seconds=1)
_REMEMBERED_MAX = 1 << 14
_SIGN_TURNED = bytes(byte ^ 0x80 for byte in range(256))

Coder = Callable[[Any], str]


def key_code(key: Hashable) -> str:
    """Return the code of a key.

    Raises:
        UnstableKey: if the key, or a part of it, is of a type that cannot be hashed stably.
    """
    try:
        return (_CODERS.get(type(key)) or _coder_of(type(key)))(key)
    except RecursionError:
        raise UnstableKey(type(key).__name__, "it is nested too deeply") from None


class KeyCodes(dict[Any, str]):
    """A mapping from key to code that computes what it does not know, and remembers some thousand keys."""

    __slots__ = ()

    def __missing__(self, key: Any) -> str:
        code = key_code(key)
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        self[key] = code
        return code

    def of(self, keys: list[Any]) -> list[str]:
        """Return the codes of many keys; it may be the same list.

        Raises:
            UnstableKey: if one of them has none.
        """
        types = set(map(type, keys))
        if types == {str} and "\0" not in "".join(keys):
            return keys
        if types == {int}:
            codes = _codes_of_ints(keys)
            if codes is not None:
                return codes
        try:
            return list(map(self.__getitem__, keys))
        except TypeError:  # unhashable: say which type it is
            return list(map(key_code, keys))


# --- one function a kind -------------------------------------------------------------------------------------------------


def _code_text(key: str) -> str:
    text = str.__str__(key)
    return "\0t" + text if text[:1] == "\0" else text


def _code_int(key: int) -> str:
    shifted = int(key) + _SIGN
    if 0 <= shifted < 1 << 64:
        return "\0i" + _pack_u64(shifted).decode("latin-1")
    return f"\0j{shifted:x}"


def _codes_of_ints(keys: list[int]) -> list[str] | None:
    """Return the codes of exact integers, made all at once, or None if one of them has more than 64 bits."""
    count = len(keys)
    try:
        packed = bytearray(struct.pack(f">{count}q", *keys))
    except struct.error:
        return None
    packed[::8] = packed[::8].translate(_SIGN_TURNED)
    text = bytearray(b"\0i12345678" * count)
    for place in range(8):
        text[2 + place :: 10] = packed[place::8]
    codes = text.decode("latin-1")
    return [codes[start : start + 10] for start in range(0, 10 * count, 10)]


def _code_float(key: float) -> str:
    if float.is_integer(key):
        return _code_int(int(key))
    if math.isnan(key):
        raise UnstableKey(type(key).__name__, "nan is not equal to itself")
    return "\0f" + _pack_f64(key).decode("latin-1")


def _code_exact(key: decimal.Decimal | fractions.Fraction) -> str:
    number = simplest_number(key)
    if isinstance(number, fractions.Fraction):
        return f"\0r{number.numerator:x}/{number.denominator:x}"
    return _code_float(number) if isinstance(number, float) else _code_int(number)


def _code_bytes(key: bytes) -> str:
    return "\0b" + bytes.decode(key, "latin-1")


def _code_none(_key: None) -> str:
    return "\0n"


def _code_sequence(key: tuple[Hashable, ...]) -> str:
    return "\0s" + _joined(map(key_code, key))


def _code_frozenset(key: frozenset[Hashable]) -> str:
    return "\0z" + _joined(sorted(map(key_code, key)))


def _joined(codes: Iterable[str]) -> str:
    return "".join([code.replace("\0", "\0\xff") + "\0\1" for code in codes])


def _code_enum(key: enum.Enum) -> str:
    member = key.value if isinstance(key, enum.Flag) else key.name
    return f"\0e{name_of(type(key))}.{member}"


def _code_date(key: dt.date) -> str:
    return "\0d" + _pack_u64(key.toordinal()).decode("latin-1")


def _code_datetime(key: dt.datetime) -> str:
    # `fold` takes no part in equality within one zone, so the offset is that of the first of two ambiguous times.
    offset = key.replace(fold=0).utcoffset()
    elapsed = key.replace(tzinfo=None) - _EPOCH
    if offset is None:
        return "\0D" + _code_int(elapsed // _MICROSECOND)
    return "\0A" + _code_int((elapsed - offset) // _MICROSECOND)


def _code_time(key: dt.time) -> str:
    offset = key.replace(fold=0).utcoffset()
    since_midnight = ((key.hour * 60 + key.minute) * 60 + key.second) * 1_000_000 + key.microsecond
    if offset is None:
        return "\0T" + _code_int(since_midnight)
    return "\0O" + _code_int(since_midnight - offset // _SECOND * 1_000_000)


def _code_timedelta(key: dt.timedelta) -> str:
    return "\0m" + _code_int(key // _MICROSECOND)


def _code_uuid(key: uuid.UUID) -> str:
    return "\0u" + key.bytes.decode("latin-1")


_CODERS: dict[type, Coder] = {
    str: _code_text,
    int: _code_int,
    bool: _code_int,
    float: _code_float,
    bytes: _code_bytes,
    type(None): _code_none,
    tuple: _code_sequence,
    frozenset: _code_frozenset,
    decimal.Decimal: _code_exact,
    fractions.Fraction: _code_exact,
    dt.datetime: _code_datetime,
    dt.date: _code_date,
    dt.time: _code_time,
    dt.timedelta: _code_timedelta,
    uuid.UUID: _code_uuid,
    enum.Enum: _code_enum,
}


@functools.lru_cache(maxsize=4096)
def _coder_of(cls: type) -> Coder:
    """Return the function for a type that is not in the table itself, found once for each type.

    Raises:
        UnstableKey: if there is none.
    """
    base = base_of(cls)
    coder = _CODERS.get(base)
    if coder is not None:
        return coder
    assert dataclasses.is_dataclass(base), "what is neither in the table nor an enum is a dataclass"
    names, prefix = compared_fields(base), name_of(base)

    def code_object(key: Any) -> str:
        return f"\0o{prefix}\0\1" + _joined(key_code(getattr(key, name)) for name in names)

    return code_object
