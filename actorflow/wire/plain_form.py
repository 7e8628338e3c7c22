"""Any value as plain data, so that it can be shown on another node: to people, in a page, as JSON. And plain data as the views it was.

Dataclasses and messages become dicts of their fields, enumerations their values, collections lists, keys text; what has no such form becomes text.
Nothing that a user's class defines is called but its `__repr__` and `__str__`, and one that raises is shown as such.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

import msgspec

from actorflow.errors import FrameRefused

T = TypeVar("T")

TEXT_SHOWN_MAX = 500
"""Characters of the text of a value that has no plain form."""

_DEPTH_MAX = 12
_INT_LIMIT = 1 << 63
_AS_THEY_ARE = frozenset({bool, float, str, type(None)})


def plain_form(value: object, depth: int = _DEPTH_MAX) -> Any:
    """Return a value as plain data: None, bool, int, float, str, and lists and dicts of them."""
    cls = type(value)
    if cls is int:
        return value if -_INT_LIMIT <= value < _INT_LIMIT else str(value)  # type: ignore[operator]
    if cls in _AS_THEY_ARE:
        return value
    names = _field_names(value, cls)
    if names is not None and depth:
        return {name: plain_form(getattr(value, name, None), depth - 1) for name in names}
    if isinstance(value, enum.Enum):
        return plain_form(value.value, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value):,} bytes>"
    if depth == 0:
        return as_text(value)
    if isinstance(value, Mapping):
        return {_key(key): plain_form(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | AbstractSet | deque):
        return [plain_form(inner, depth - 1) for inner in value]
    return str.__str__(value) if isinstance(value, str) else as_text(value)


def as_text(value: object) -> str:
    """Return the shortened `repr` of a value, which may be a user's."""
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose __repr__ raised {type(error).__name__}>"
    return text if len(text) <= TEXT_SHOWN_MAX else f"{text[:TEXT_SHOWN_MAX]}... ({len(text):,} characters)"


def typed(plain: object, kind: type[T]) -> T:
    """Return plain data as the dataclass, or the tuple of dataclasses, that it was.

    Raises:
        FrameRefused: if it does not fit.
    """
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise FrameRefused(f"what another node shows is no {kind}: {error}") from None


def _key(key: object) -> str:
    if isinstance(key, enum.Enum):
        return str(key.value)
    try:
        return str(key)
    except Exception:
        return as_text(key)


def _field_names(value: object, cls: type) -> Iterable[str] | None:
    """Return the names of the fields of a message or dataclass; its class is looked at, for that is quick."""
    if isinstance(value, type):
        return None
    names: Iterable[str] | None = getattr(cls, "__struct_fields__", None) or getattr(cls, "__dataclass_fields__", None)
    return names
