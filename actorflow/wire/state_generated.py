"""Functions made for one class with fields, or one form of tuple: what a good programmer would write by hand to take it apart and build it.

    def write(v):                                   def read(t):
        if type(v) is not cls: raise Rare               p0, p1, = t
        p0 = v.user                                     v = new(cls)
        if type(p0) is not cls0: raise Rare             v.user = p0
        p1 = v.places                                   v.places = part1(p1)
        return (p0, part1(p1),)                         return v

Making them takes some hundred microseconds; a call costs some tens of nanoseconds for each field.
"""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

Function = Callable[[Any], Any]


class Rare(Exception):  # noqa: N818 - it ends the fast way, nothing more
    """Something that the fast way leaves to the exact one."""


def record_writer(cls: type, names: Sequence[str], parts: Sequence[frozenset[type] | Function]) -> Function:
    """Return the function from an instance to the tuple of its fields.

    Args:
        cls: the class; instances of others, and of subclasses, raise `Rare`.
        names: its fields.
        parts: for each field the exact classes of values that stay as they are, or the function that writes it.
    """
    known: dict[str, Any] = {"cls": cls, "Rare": Rare}
    lines = [f"p{i} = {_get(name)}" for i, name in enumerate(names)]
    return _function("v", ["if type(v) is not cls: raise Rare", *lines, *_written(parts, known)], known)


def tuple_writer(parts: Sequence[frozenset[type] | Function]) -> Function:
    """Return the function from a tuple to the same with its parts written. See `record_writer`."""
    known: dict[str, Any] = {"cls": tuple, "size": len(parts), "Rare": Rare}
    lines = ["if type(v) is not cls or len(v) != size: raise Rare", f"{_parts(len(parts))} = v"]
    return _function("v", [*lines, *_written(parts, known)], known)


def record_reader(cls: type, names: Sequence[str], parts: Sequence[Function | None]) -> Function:
    """Return the function from the tuple of an instance's fields to the instance.

    Args:
        cls: the class.
        names: its fields.
        parts: for each field the function that finishes its value, or None if it is the value already.
    """
    known: dict[str, Any] = {"cls": cls}
    values = _read(parts, known)
    lines = [f"{_parts(len(parts))} = t"]
    if issubclass(cls, msgspec.Struct):
        named = [
            f"{name}={value}" if _is_attribute(name) else f"**{{{name!r}: {value}}}"
            for name, value in zip(names, values, strict=True)
        ]
        lines.append(f"return cls({', '.join(named)})")
    elif not dataclasses.is_dataclass(cls):
        known["new"] = tuple.__new__
        lines.append(f"return new(cls, {_tuple(values)})")
    else:
        known["new"], known["set"] = object.__new__, object.__setattr__
        plain = cls.__setattr__ is object.__setattr__
        lines.append("v = new(cls)")
        lines += [
            f"{_get(name)} = {value}" if plain and _is_attribute(name) else f"set(v, {name!r}, {value})"
            for name, value in zip(names, values, strict=True)
        ]
        lines.append("return v")
    return _function("t", lines, known)


def tuple_reader(parts: Sequence[Function | None]) -> Function:
    """Return the function from a tuple to the same with its parts finished. See `record_reader`."""
    known: dict[str, Any] = {}
    return _function("t", [f"{_parts(len(parts))} = t", f"return {_tuple(_read(parts, known))}"], known)


def _written(parts: Sequence[frozenset[type] | Function], known: dict[str, Any]) -> list[str]:
    """Return the lines that check and return the parts `p0`, `p1` …; what they refer to goes into `known`."""
    lines, written = [], []
    for i, part in enumerate(parts):
        if not isinstance(part, frozenset):
            known[f"part{i}"] = part
            written.append(f"part{i}(p{i})")
            continue
        if len(part) == 1:
            (known[f"cls{i}"],) = part
            lines.append(f"if type(p{i}) is not cls{i}: raise Rare")
        else:
            known[f"classes{i}"] = part
            lines.append(f"if type(p{i}) not in classes{i}: raise Rare")
        written.append(f"p{i}")
    return [*lines, f"return {_tuple(written)}"]


def _read(parts: Sequence[Function | None], known: dict[str, Any]) -> list[str]:
    """Return the expressions of the parts `p0`, `p1` …; what they refer to goes into `known`."""
    known |= {f"part{i}": part for i, part in enumerate(parts) if part is not None}
    return [f"p{i}" if part is None else f"part{i}(p{i})" for i, part in enumerate(parts)]


def _parts(count: int) -> str:
    return _tuple([f"p{i}" for i in range(count)])


def _get(name: str) -> str:
    return f"v.{name}" if _is_attribute(name) else f"getattr(v, {name!r})"


def _is_attribute(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def _tuple(parts: Sequence[str]) -> str:
    return f"({''.join(part + ', ' for part in parts)})"


def _function(parameter: str, lines: Sequence[str], known: dict[str, Any]) -> Function:
    source = "\n    ".join([f"def made({parameter}):", *lines])
    exec(source, known)  # noqa: S102 - of our own text: names of fields are quoted, or checked to be names
    made: Function = known["made"]
    return made
