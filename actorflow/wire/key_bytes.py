"""Keys as bytes: the same for equal keys and only for them, in the order of `key_order`, and to be read back where that is possible.

    kind                    bytes
    text                    UTF-8; behind NUL `t` if it begins with NUL
    integer in 64 bits      NUL `i`, then 8 bytes, big-endian, with the sign turned round
    everything else         its code (see `key_order`): in Latin-1 where its kind has no text in it, else in UTF-8

Equal keys of different types (`1` and `True`, a tuple and a named tuple) have the same bytes, which are read back as the simplest of
these types. `plain` tells whether a key comes back as it was. What is not plain and not text, number, bytes, None, or a tuple of these is
not read back at all.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Sequence
from typing import Any, Final

from xxhash import xxh3_64_intdigest as _digest

from actorflow.wire.key_order import key_code
from actorflow.wire.stable_hash import stable_hash

_PLAIN: Final = frozenset({str, int, bytes, type(None)})
_WITHOUT_TEXT: Final = frozenset("ijbfrndDATOmu")
"""Kinds of codes with no characters but those of Latin-1."""

_SIGN: Final = 1 << 63
_INT_SEED: Final = 1
"""With which `stable_hash` hashes integers of 64 bits."""

_pack_i64 = struct.Struct("<q").pack
_pack_u64 = struct.Struct(">Q").pack
_pack_int = struct.Struct(">2sQ").pack
_unpack_u64 = struct.Struct(">Q").unpack_from
_INT: Final = struct.Struct(">2xQ")


def plain(key: Hashable) -> bool:
    """Return whether the bytes of a key are read back as this key, type and all."""
    return type(key) in _PLAIN or (type(key) is tuple and all(map(plain, key)))


def all_plain(keys: Sequence[Hashable]) -> bool:
    """Return whether all keys are plain."""
    return _PLAIN.issuperset(map(type, keys)) or all(map(plain, keys))


def key_bytes(key: Hashable) -> bytes:
    """Return the bytes of a key.

    Raises:
        UnstableKey: if the key, or a part of it, is of a type that cannot be hashed stably.
    """
    if type(key) is int and -_SIGN <= key < _SIGN:
        return b"\0i" + _pack_u64(key + _SIGN)
    code = key_code(key)
    if code[:1] == "\0" and code[1] in _WITHOUT_TEXT:
        return code.encode("latin-1")
    return code.encode("utf-8", "surrogatepass")


def grouped_bytes(keys: Sequence[Any], groups: Sequence[bytes]) -> list[bytes]:
    """Return the bytes of many keys, each behind the bytes of its key group.

    Args:
        keys: the keys.
        groups: for each key group, what to put first.

    Raises:
        UnstableKey: see `key_bytes`.
    """
    count, types = len(groups), set(map(type, keys))
    try:
        if types == {str} and "\0" not in "".join(keys):
            return [groups[_digest(code) % count] + code for code in map(str.encode, keys)]
        if types == {int}:
            return [groups[_digest(_pack_i64(key), _INT_SEED) % count] + _pack_int(b"\0i", key + _SIGN) for key in keys]
    except (UnicodeEncodeError, struct.error):
        pass  # lone surrogates, or beyond 64 bits
    return [groups[stable_hash(key) % count] + key_bytes(key) for key in keys]


def key_of(data: bytes) -> Any:
    """Return the plain key that equals the one whose bytes these are.

    Raises:
        ValueError: if they are not of text, a number, bytes, None, or a tuple of these.
    """
    if data[:1] != b"\0":
        return data.decode("utf-8", "surrogatepass")
    if data[:2] == b"\0i":
        return _unpack_u64(data, 2)[0] - _SIGN
    if chr(data[1]) in _WITHOUT_TEXT:
        return _of_code(data.decode("latin-1"))
    return _of_code(data.decode("utf-8", "surrogatepass"))


def keys_of(codes: Sequence[bytes]) -> list[Any]:
    """Return the plain keys of several, see `key_of`."""
    together, count = b"".join(codes), len(codes)
    if b"\0" not in together:
        try:
            return list(map(bytes.decode, codes))
        except UnicodeDecodeError:  # lone surrogates
            pass
    elif set(map(len, codes)) == {_INT.size} and together[:: _INT.size] + together[1 :: _INT.size] == b"\0" * count + b"i" * count:
        return [key - _SIGN for (key,) in _INT.iter_unpack(together)]
    return list(map(key_of, codes))


def _of_code(code: str) -> Any:
    """Return the key of a code (see `key_order`)."""
    if code[:1] != "\0":
        return code
    body = code[2:]
    match code[1:2]:
        case "t":
            return body
        case "i":
            return _unpack_u64(body.encode("latin-1"))[0] - _SIGN
        case "j":
            return int(body, 16) - _SIGN
        case "b":
            return body.encode("latin-1")
        case "n":
            return None
        case "s":
            return tuple(_of_code(member.replace("\0\xff", "\0")) for member in body.split("\0\1")[:-1])
        case kind:
            raise ValueError(f"a key of kind {kind!r} cannot be read back from its bytes")
