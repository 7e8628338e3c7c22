"""Kinds of option values: how a value is read, checked and shown.

A value comes from YAML (already a number, a truth value or text), from Python, or from a command line (always text): each kind reads
all three, and refuses what it is not with the option's name, the value, and what would do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from actorflow.config.values import duration_s, memory_bytes, refuse, show_bytes, show_duration, signed_duration_ms

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value.

    Attributes:
        name: for the reference page, with its unit and bounds.
        parse: `parse(value, option)` returns the value of an option, or raises `ConfigError` naming the option.
        show: writes a value so that `parse` reads it back.
    """

    name: str
    parse: Callable[[object, str], T]
    show: Callable[[T], str] = str


def whole(at_least: int, at_most: int | None = None) -> Kind[int]:
    """Return the kind of whole numbers within bounds (inclusive)."""
    bounds = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most}"

    def parse(value: object, option: str) -> int:
        number = _number(value)
        if number is None or not number.is_integer() or number < at_least or (at_most is not None and number > at_most):
            refuse(option, value, "a whole number in range", bounds)
        return int(number)

    return Kind(f"whole number, {bounds}", parse)


def fraction(at_least: float, at_most: float) -> Kind[float]:
    """Return the kind of numbers within bounds (inclusive)."""
    bounds = f"{at_least:g} to {at_most:g}"

    def parse(value: object, option: str) -> float:
        number = _number(value)
        if number is None or not at_least <= number <= at_most:
            refuse(option, value, "a number in range", bounds)
        return number

    return Kind(f"number, {bounds}", parse, repr)


def duration(at_least_s: float = 0.0) -> Kind[float]:
    """Return the kind of durations, in seconds."""
    shortest = show_duration(at_least_s)

    def parse(value: object, option: str) -> float:
        seconds = duration_s(value, option)
        if seconds < at_least_s:
            refuse(option, value, "long enough", f"at least {shortest}")
        return seconds

    return Kind(f"duration, at least {shortest}" if at_least_s else "duration", parse, show_duration)


def duration_or_never() -> Kind[float]:
    """Return the kind of durations, in seconds, where a negative one means as long as it takes: `math.inf`."""

    def parse(value: object, option: str) -> float:
        milliseconds = signed_duration_ms(value, option)
        return math.inf if milliseconds < 0 else milliseconds / 1000

    return Kind("duration; negative for no limit", parse, lambda seconds: "-1" if math.isinf(seconds) else show_duration(seconds))


def memory(at_least: int, at_most: int | None = None) -> Kind[int]:
    """Return the kind of sizes within bounds (inclusive), in bytes."""
    bounds = f"at least {show_bytes(at_least)}" if at_most is None else f"{show_bytes(at_least)} to {show_bytes(at_most)}"

    def parse(value: object, option: str) -> int:
        size = memory_bytes(value, option)
        if size < at_least or (at_most is not None and size > at_most):
            refuse(option, value, "a size in range", bounds)
        return size

    return Kind(f"size, {bounds}", parse, show_bytes)


def choice(*words: str) -> Kind[str]:
    """Return the kind of one of some words; `NO_CLAIM` is taken for `no-claim`."""

    def parse(value: object, option: str) -> str:
        word = value.strip().lower().replace("_", "-") if isinstance(value, str) else value
        if word not in words:
            refuse(option, value, "one of the possible words", " or ".join(f"'{word}'" for word in words))
        return str(word)

    return Kind(" \\| ".join(f"`{word}`" for word in words), parse)


def levels(*words: str) -> Kind[tuple[tuple[str, str], ...]]:
    """Return the kind of levels by logger: `name=level` texts, in a list or separated by commas."""
    level = choice(*words)

    def parse(value: object, option: str) -> tuple[tuple[str, str], ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
            refuse(option, value, "a list of loggers and levels", "write 'actorflow.transport=debug, my.module=error'")
        found: dict[str, str] = {}
        for part in parts:
            logger, _, word = (piece.strip() for piece in part.partition("="))
            if not logger or not word:
                refuse(option, part, "a logger and its level", "write 'actorflow.transport=debug'")
            if logger in found:
                refuse(option, part, f"possible: the level of '{logger}' is already given", "keep one of the two")
            found[logger] = level.parse(word, f"{option}: {logger}")
        return tuple(found.items())

    def show(value: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(f"{logger}={word}" for logger, word in value)

    return Kind(f"`logger=level`, …; levels {level.name}", parse, show)


def _parse_texts(value: object, option: str) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(
        isinstance(part, str) and (part.strip() or isinstance(value, str)) for part in parts
    ):
        refuse(option, value, "a list of texts", "write 'a, b' or [a, b]")
    return tuple(part.strip() for part in parts if part.strip())


def ports() -> Kind[tuple[int, ...]]:
    """Return the kind of TCP ports to choose from: one, or a range `first-last`."""
    port = whole(0, 65535)

    def parse(value: object, option: str) -> tuple[int, ...]:
        first, dash, last = str(value).partition("-")
        if isinstance(value, bool) or not dash:
            return (port.parse(value, option),)
        low, high = port.parse(first, option), port.parse(last, option)
        if not 0 < low <= high:
            refuse(option, value, "a range of ports", "write 'first-last', such as 50100-50200")
        return tuple(range(low, high + 1))

    def show(value: tuple[int, ...]) -> str:
        return str(value[0]) if len(value) == 1 else f"{value[0]}-{value[-1]}"

    return Kind("port, or range `first-last`", parse, show)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Return a kind that may also be unset: YAML's null, Python's None, or an empty text."""

    def parse(value: object, option: str) -> T | None:
        return None if value is None or value == "" else kind.parse(value, option)

    def show(value: T | None) -> str:
        return "" if value is None else kind.show(value)

    return Kind(kind.name, parse, show)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _parse_flag(value: object, option: str) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in {"true", "false"}:
        refuse(option, value, "a truth value", "'true' or 'false'; YAML 1.2 has no 'yes' and 'on'")
    return word == "true"


def _parse_text(value: object, option: str) -> str:
    if not isinstance(value, str) or not value:
        refuse(option, value, "a text", "put it in quotes")
    return value


FLAG = Kind("`true` \\| `false`", _parse_flag, lambda value: str(value).lower())
TEXT = Kind("text", _parse_text)
TEXTS = Kind("texts, in a list or separated by commas", _parse_texts, ", ".join)
