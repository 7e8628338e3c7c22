"""Triggers that fire by what comes, and those that change what another one says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from actorflow.operators.windowing.trigger import Trigger, TriggerContext, TriggerResult
from actorflow.operators.windowing.window import Window
from actorflow.state.descriptors import ValueState

_CONTINUE: Final = TriggerResult.CONTINUE
_FIRE: Final = TriggerResult.FIRE


class CountTrigger(Trigger):
    """See `triggers.count`."""

    seen = ValueState(int, default=0)

    def __init__(self, size: int) -> None:
        self.size = size

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Count, and fire at the last one."""
        seen = self.seen.get() + 1
        if seen >= self.size:
            self.seen.clear()
            return _FIRE
        self.seen.set(seen)
        return _CONTINUE

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:  # noqa: ARG002
        """Count the records of all of them."""
        seen = sum(ctx.merged(self.seen))
        if seen:
            self.seen.set(seen)

    def clear(self, window: Window, ctx: TriggerContext) -> None:  # noqa: ARG002
        """Start at 0."""
        self.seen.clear()


class DeltaTrigger(Trigger):
    """See `triggers.delta`."""

    last = ValueState(object)

    def __init__(self, threshold: float, fn: Callable[[Any, Any], Any]) -> None:
        self.threshold = threshold
        self.fn = fn

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Compare with the record of the last firing."""
        last = self.last.get()
        if last is None:
            self.last.set((record,))
            return _CONTINUE
        if self.fn(last[0], record) > self.threshold:  # type: ignore[index]  # a record in a tuple, so that None can be one
            self.last.set((record,))
            return _FIRE
        return _CONTINUE

    def clear(self, window: Window, ctx: TriggerContext) -> None:  # noqa: ARG002
        """Forget the record."""
        self.last.clear()


class NeverTrigger(Trigger):
    """See `triggers.never`."""

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Do nothing."""
        return _CONTINUE

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:
        """Nothing to take over."""


class PurgingTrigger(Trigger):
    """See `triggers.purging`."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Ask the trigger."""
        return _purged(self.trigger.on_element(record, timestamp, window, ctx))

    def on_event_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Ask the trigger."""
        return _purged(self.trigger.on_event_time(time, window, ctx))

    def on_processing_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Ask the trigger."""
        return _purged(self.trigger.on_processing_time(time, window, ctx))

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:
        """Tell the trigger."""
        self.trigger.on_merge(window, ctx)

    def clear(self, window: Window, ctx: TriggerContext) -> None:
        """Tell the trigger."""
        self.trigger.clear(window, ctx)

    def nested(self) -> Sequence[Trigger]:
        """Return the trigger."""
        return (self.trigger,)


def _purged(result: TriggerResult) -> TriggerResult:
    return TriggerResult.FIRE_AND_PURGE if result.fires else result
