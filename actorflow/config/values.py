"""Durations and sizes: how people write them, and the numbers they mean.

    "200ms"  "5s"  "10min"  "1h30min"  timedelta(seconds=5)  5000      durations; a bare number is milliseconds
    "32kb"  "64 mb"  "1gb"  32768                                      sizes; a bare number is bytes, kb is 1024 bytes

The engine counts durations in seconds (`float`), like the clocks it compares them with; event time counts in whole milliseconds
(`int`), like the timestamps of records.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import NoReturn

from actorflow.errors import ConfigError

Duration = str | int | float | timedelta
"""What may be given where a duration is asked for."""

Size = str | int
"""What may be given where a number of bytes is asked for."""

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_DURATION_HINT = "write '200ms', '5s', '10min', '1h', '1h30min', a timedelta, or a number of milliseconds"
_SIZE_HINT = "write '512b', '32kb', '64mb', '1gb', or a number of bytes"


def duration_s(value: object, option: str = "duration") -> float:
    """Return a duration in seconds.

    Args:
        value: see the module's text.
        option: what the value is for; named in the error.

    Raises:
        ConfigError: if the value is no duration, negative, or not finite.
    """
    seconds = _seconds(value, option)
    if not math.isfinite(seconds) or seconds < 0:
        refuse(option, value, "a duration", "a duration is finite and not negative")
    return seconds


def duration_ms(value: object, option: str = "duration") -> int:
    """Return a duration in whole milliseconds.

    Args:
        value: see the module's text.
        option: what the value is for; named in the error.

    Raises:
        ConfigError: if the value is no duration, negative, or no whole number of milliseconds.
    """
    milliseconds = duration_s(value, option) * 1000
    whole = round(milliseconds)
    if not math.isclose(milliseconds, whole, rel_tol=1e-12, abs_tol=1e-9):
        refuse(option, value, "a duration", "a whole number of milliseconds is needed here")
    return whole


def signed_duration_ms(value: object, option: str = "duration") -> int:
    """Return a duration in whole milliseconds that may be negative: a number, a timedelta, or text with a minus sign.

    Raises:
        ConfigError: see `duration_ms`.
    """
    match value:
        case str() if value.lstrip().startswith("-"):
            return -duration_ms(value.lstrip()[1:], option)
        case timedelta() if value < timedelta():
            return -duration_ms(-value, option)
        case int() | float() if value < 0:
            return -duration_ms(-value, option)
    return duration_ms(value, option)


def memory_bytes(value: object, option: str = "size") -> int:
    """Return a size in bytes.

    Args:
        value: see the module's text.
        option: what the value is for; named in the error.

    Raises:
        ConfigError: if the value is no size, negative, or no whole number of bytes.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            refuse(option, value, "a size", "a size is not negative")
        return int(value)
    match = _QUANTITY.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None or (match[2] or "b") not in _BYTES:
        refuse(option, value, "a size", _SIZE_HINT)
    size = float(match[1]) * _BYTES[match[2] or "b"]
    if not size.is_integer():
        refuse(option, value, "a size", "a whole number of bytes is needed here")
    return int(size)


def show_duration(seconds: float) -> str:
    """Return a duration as people write it: in the largest unit that gives a whole number, else in milliseconds."""
    for unit in ("d", "h", "min", "s", "ms"):
        count = seconds / _SECONDS[unit]
        if count >= 1 and math.isclose(count, round(count), rel_tol=1e-12):
            return f"{round(count)}{unit}"
    return f"{seconds * 1000:g}ms"


def show_bytes(size: int) -> str:
    """Return a size as people write it: in the largest unit that gives a whole number."""
    for unit in ("tb", "gb", "mb", "kb"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}b"


def refuse(option: str, value: object, wanted: str, hint: str) -> NoReturn:
    """Raise the error of a value that is not what its option takes."""
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    raise ConfigError(f"{option}: {shown} is not {wanted}", hint=hint)


def _seconds(value: object, option: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000
    if not isinstance(value, str):
        refuse(option, value, "a duration", _DURATION_HINT)
    text = value.strip().lower()
    parts = _QUANTITY.findall(text)
    if not parts or re.sub(r"\s+", "", text) != "".join(number + unit for number, unit in parts):
        refuse(option, value, "a duration", _DURATION_HINT)
    if len(parts) == 1 and not parts[0][1]:
        return float(parts[0][0]) / 1000
    if any(unit not in _SECONDS for _, unit in parts):
        refuse(option, value, "a duration", _DURATION_HINT)
    # Summed with one rounding, so that "1h30min" and "90min" are the same float.
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)
