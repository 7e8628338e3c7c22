"""Points in time as tests write them.

    1_700_000_000_000        milliseconds since the epoch, UTC
    "10s", "1h30min"         so long after the start of time; a timedelta means the same
    "00:01:30", "25:00"      hours, minutes and seconds, or hours and minutes, after the start of time
    datetime(..., tzinfo)    an aware datetime

The start of time is 1970-01-01 00:00 UTC, unless the test says otherwise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from actorflow.config.values import duration_ms
from actorflow.errors import ConfigError, PlanError
from actorflow.wire.batch import EVENT_TIME_MAX

Moment = int | str | timedelta | datetime
"""What may be given where a point in time is asked for."""

_CLOCK = re.compile(r"(\d+):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3}))?)?")
_HINT = "write milliseconds since the epoch, '10s', '00:01:30', or an aware datetime"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_ms(moment: Moment, origin_ms: int = 0) -> int:
    """Return a point in time in milliseconds since the epoch.

    Args:
        moment: see the module's text.
        origin_ms: the start of time.

    Raises:
        PlanError: if it is none.
    """
    at_ms = _moment_ms(moment, origin_ms)
    if not -EVENT_TIME_MAX < at_ms < EVENT_TIME_MAX:
        raise PlanError(f"{moment!r} is no point in time: it is not within 146 million years", hint=_HINT)
    return at_ms


def _moment_ms(moment: Moment, origin_ms: int) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise PlanError(f"{moment!r} has no time zone", hint="give it one: datetime(..., tzinfo=UTC)")
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    if isinstance(moment, int) and not isinstance(moment, bool):
        return moment
    if isinstance(moment, timedelta):
        return origin_ms + moment // timedelta(milliseconds=1)
    clock = _CLOCK.fullmatch(moment) if isinstance(moment, str) else None
    if clock is not None:
        hours, minutes, seconds, fraction = clock.groups("0")
        return origin_ms + (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))
    try:
        return origin_ms + duration_ms(moment, "moment")
    except ConfigError as error:
        raise PlanError(f"{moment!r} is no point in time", hint=_HINT) from error
