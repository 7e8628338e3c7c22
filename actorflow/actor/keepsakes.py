"""What is kept of messages for people to read: small ones whole, of large ones an outline, so that memory stays bounded.

Weighing looks at plain data and the fields of structs, dataclasses and objects; outlining shows the same. Neither calls what a message's
class defines for itself (`__repr__`, `__len__`, properties), which may raise or take long.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

KEPT_BYTES_MAX = 16_384
"""Messages of about this size and less are kept whole."""

_PART_BYTES = 32
"""What each part of a message weighs, besides its text or bytes."""

_COLLECTIONS = frozenset({tuple, list, set, frozenset, deque})
_FIELDS_SHOWN_MAX = 12
_TEXT_SHOWN_MAX = 60
_INT_SHOWN_BITS_MAX = 256


@dataclass(frozen=True, slots=True)
class Outline:
    """What is kept of a large message.

    Attributes:
        kind: name of its class.
        text: its fields, shortened.
    """

    kind: str
    text: str

    def __repr__(self) -> str:
        return self.text


def kept(message: object) -> object:
    """Return the message itself if it is small, else its `Outline`."""
    return message if _is_small(message) else Outline(type(message).__name__, _outlined(message, 2))


def outline(message: object) -> str:
    """Return a message as a line of text, whatever its size."""
    return message.text if isinstance(message, Outline) else _outlined(message, 2)


def _is_small(message: object) -> bool:
    left = KEPT_BYTES_MAX
    parts = [message]
    try:
        while parts and left >= 0:
            part: Any = parts.pop()
            cls = type(part)
            left -= _PART_BYTES
            if cls is str or cls is bytes:
                left -= len(part)
            elif cls is int:
                left -= part.bit_length() >> 3
            elif cls is float or cls is bool or part is None:
                pass
            else:
                inner, weight = _opened(part, cls)
                left -= weight
                if _PART_BYTES * len(inner) > left:
                    return False
                parts.extend(inner)
    except Exception:  # a size that cannot be told is not known to be small
        return False
    return left >= 0


def _opened(part: Any, cls: type) -> tuple[list[object], int]:
    """Return what `part` consists of, and what it weighs by itself. A collection that is too large is not opened, but weighed."""
    if cls in _COLLECTIONS or issubclass(cls, tuple):
        size = tuple.__len__(part) if issubclass(cls, tuple) else len(part)
        return ([], size * _PART_BYTES) if size * _PART_BYTES > KEPT_BYTES_MAX else (list(_members(part, cls)), 0)
    if cls is dict:
        size = len(part)
        return ([], size * _PART_BYTES) if size * _PART_BYTES > KEPT_BYTES_MAX else ([*part, *part.values()], 0)
    names = _field_names(cls)
    if names:
        return [getattr(part, name, None) for name in names], 0
    attributes = getattr(part, "__dict__", None)
    inside = list(attributes.values()) if type(attributes) is dict else []
    return inside, part.nbytes if cls is memoryview else sys.getsizeof(part)


def _members(part: Any, cls: type) -> Iterable[object]:
    members: Iterable[object] = tuple.__iter__(part) if issubclass(cls, tuple) else part
    return members


def _field_names(cls: type) -> tuple[str, ...]:
    names: Iterable[str] = getattr(cls, "__struct_fields__", ()) or getattr(cls, "__dataclass_fields__", ())
    return tuple(names)


def _outlined(value: Any, depth: int) -> str:
    cls = type(value)
    if cls is str:
        more = f"... ({len(value):,} characters)" if len(value) > _TEXT_SHOWN_MAX else ""
        return repr(value[:_TEXT_SHOWN_MAX]) + more
    if cls is bytes or cls is bytearray:
        return f"<{len(value):,} bytes>"
    if cls is float or cls is bool or value is None or (cls is int and value.bit_length() <= _INT_SHOWN_BITS_MAX):
        return repr(value)
    if cls in _COLLECTIONS or cls is dict:
        return f"<{cls.__name__} of {len(value):,}>"
    names = _field_names(cls)
    if not names or depth == 0:
        return f"<{cls.__name__}>"
    fields = [f"{name}={_outlined(getattr(value, name, None), depth - 1)}" for name in names[:_FIELDS_SHOWN_MAX]]
    return f"{cls.__name__}({', '.join([*fields, *(['...'] if len(names) > _FIELDS_SHOWN_MAX else [])])})"
