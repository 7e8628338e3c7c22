"""The triggers that come with actorflow: `af.triggers.*`. They say when a window gives results.

    stream.key_by(key).window(af.windows.tumbling("1h")).trigger(af.triggers.continuous_event_time("5min")).count()

Derive a class from `af.Trigger` for others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.config.values import Duration, duration_ms
from actorflow.errors import PlanError
from actorflow.operators.windowing.trigger import Trigger
from actorflow.operators.windowing.triggers_of_records import CountTrigger, DeltaTrigger, NeverTrigger, PurgingTrigger
from actorflow.operators.windowing.triggers_of_time import (
    ContinuousEventTimeTrigger,
    ContinuousProcessingTimeTrigger,
    EventTimeTrigger,
    ProcessingTimeTrigger,
    TimeoutTrigger,
)

__all__ = [
    "continuous_event_time",
    "continuous_processing_time",
    "count",
    "delta",
    "event_time",
    "never",
    "processing_time",
    "purging",
    "timeout",
]


def event_time() -> Trigger:
    """Fire when the watermark has passed the window's last millisecond, and again for each late record that is admitted after that."""
    return EventTimeTrigger()


def processing_time() -> Trigger:
    """Fire when the wall clock has reached the window's end."""
    return ProcessingTimeTrigger()


def count(size: int) -> Trigger:
    """Fire after every `size` records.

    Raises:
        PlanError: if `size` is not at least 1.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise PlanError(f"a count trigger needs a whole number of records, 1 or more, not {size!r}")
    return CountTrigger(size)


def continuous_event_time(interval: Duration) -> Trigger:
    """Fire whenever the watermark has passed another multiple of `interval`, and at the window's end.

    Raises:
        PlanError: if the interval is 0.
    """
    return ContinuousEventTimeTrigger(_positive("interval of continuous_event_time", interval))


def continuous_processing_time(interval: Duration) -> Trigger:
    """Fire whenever the wall clock has passed another multiple of `interval`, as long as the window lasts.

    Raises:
        PlanError: if the interval is 0.
    """
    return ContinuousProcessingTimeTrigger(_positive("interval of continuous_processing_time", interval))


def delta(threshold: float, fn: Callable[[Any, Any], Any]) -> Trigger:
    """Fire at a record that differs from the one of the last firing (at first, from the first record) by more than `threshold`.

    Args:
        threshold: compared with what `fn` returns.
        fn: `fn(record of the last firing, record)`, a number.
    """
    if not callable(fn):
        raise PlanError(f"a delta trigger needs a function of two records, not {fn!r}")
    return DeltaTrigger(threshold, fn)


def purging(trigger: Trigger) -> Trigger:
    """Fire when `trigger` does, and forget the records then: each result is of what came since the last."""
    return PurgingTrigger(_checked("purging", trigger))


def timeout(trigger: Trigger, timeout: Duration, *, reset: bool = False, clear: bool = True) -> Trigger:
    """Fire when `trigger` does, or when `timeout` of processing time has passed since the first record after the last firing.

    Args:
        trigger: asked first.
        timeout: how long a record waits at most.
        reset: count from the latest record instead.
        clear: whether `trigger` starts anew when the time is up; a count begins at 0 again.

    Raises:
        PlanError: if the time-out is 0.
    """
    return TimeoutTrigger(_checked("timeout", trigger), _positive("timeout of a trigger", timeout), reset=reset, clear=clear)


def never() -> Trigger:
    """Never fire. The default of the global window."""
    return NeverTrigger()


def _positive(what: str, duration: Duration) -> int:
    length = duration_ms(duration, what)
    if length <= 0:
        raise PlanError(f"the {what} must be longer than 0, not {duration!r}")
    return length


def _checked(verb: str, trigger: object) -> Trigger:
    if not isinstance(trigger, Trigger):
        raise PlanError(f"{verb} needs a trigger, not {trigger!r}", hint="such as af.triggers.count(100)")
    return trigger
