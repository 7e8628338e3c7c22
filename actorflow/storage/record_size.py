"""How much memory Python values take: an estimate from samples, for those who must stay below a limit.

`sys.getsizeof` knows an object without what it refers to. Here the references are followed too, through containers and attributes; of a
large container only some members are looked at, and the rest is taken to be like them. What several of the values share counts once.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

_ATOMS = frozenset({str, bytes, int, float, bool, complex, type(None), bytearray})
_SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_MEMBERS_SEEN_MAX = 32
_DEPTH_MAX = 12
_UNKNOWN_BYTES = 64
_ROUNDING = 1.1
"""The allocator rounds up to 16 bytes, and keeps some for itself."""


def sampled_bytes(columns: Sequence[Sequence[Any]], samples: int = 16) -> float:
    """Return about how many bytes the values in some columns of one length take, without the sequences, from `samples` of their rows."""
    count = len(columns[0])
    if not count:
        return 0.0
    seen: set[int] = set()
    step = max(1, count // samples)
    size = sum(_bytes_of(value, seen, 0) for column in columns for value in column[::step])
    return size * count / len(range(0, count, step)) * _ROUNDING


def _bytes_of(value: Any, seen: set[int], depth: int) -> float:
    if id(value) in seen or isinstance(value, _SHARED):
        return 0.0
    seen.add(id(value))
    try:
        size = float(sys.getsizeof(value, _UNKNOWN_BYTES))
        members, count = ((), 0) if type(value) in _ATOMS else _members(value)
        looked_at = list(members)
    except Exception:  # a class of the user's whose attributes cannot be read
        return float(_UNKNOWN_BYTES)
    if not looked_at or depth >= _DEPTH_MAX:
        return size
    inner = sum(_bytes_of(member, seen, depth + 1) for member in looked_at)
    return size + inner * count / len(looked_at)


def _members(value: Any) -> tuple[islice[Any] | Sequence[Any], int]:
    """Return some of what a value refers to, and how much there is of it."""
    if isinstance(value, dict):
        pairs = islice(value.items(), _MEMBERS_SEEN_MAX)
        return list(chain.from_iterable(pairs)), 2 * len(value)
    if isinstance(value, list | tuple):
        return value[:: max(1, len(value) // _MEMBERS_SEEN_MAX)], len(value)
    if isinstance(value, set | frozenset):
        return islice(value, _MEMBERS_SEEN_MAX), len(value)
    attributes = [getattr(value, "__dict__", None)]
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        attributes += [getattr(value, name, None) for name in names if name not in {"__dict__", "__weakref__"}]
    return attributes, len(attributes)
