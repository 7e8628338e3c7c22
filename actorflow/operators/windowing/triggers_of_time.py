"""Triggers that fire by a clock: the watermark, or the wall clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from actorflow.errors import PlanError
from actorflow.operators.windowing.trigger import Trigger, TriggerContext, TriggerResult
from actorflow.operators.windowing.window import Window
from actorflow.state.descriptors import ValueState

_CONTINUE: Final = TriggerResult.CONTINUE
_FIRE: Final = TriggerResult.FIRE


class EventTimeTrigger(Trigger):
    """See `triggers.event_time`."""

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Fire at once if the window has ended; else wait for its end."""
        if window[1] - 1 <= ctx.watermark:
            return _FIRE
        ctx.timers.event(window[1] - 1)
        return _CONTINUE

    def on_event_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Fire at the end."""
        return _FIRE if time == window.max_timestamp else _CONTINUE

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:
        """Wait for the new end; what has passed it fires with the record that made the windows merge."""
        if window.max_timestamp > ctx.watermark:
            ctx.timers.event(window.max_timestamp)

    def clear(self, window: Window, ctx: TriggerContext) -> None:
        """Wait no more."""
        ctx.timers.delete(window.max_timestamp)


class ProcessingTimeTrigger(Trigger):
    """See `triggers.processing_time`."""

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Wait for the end."""
        ctx.timers.processing(window.end)
        return _CONTINUE

    def on_processing_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Fire at the end."""
        return _FIRE

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:
        """Wait for the new end."""
        ctx.timers.processing(window.end)

    def clear(self, window: Window, ctx: TriggerContext) -> None:
        """Wait no more."""
        ctx.timers.delete(window.end, processing=True)


class ContinuousEventTimeTrigger(Trigger):
    """See `triggers.continuous_event_time`."""

    next_fire = ValueState(int)

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Fire at once if the window has ended; else wait for its end and for the next multiple after the record."""
        if window.max_timestamp <= ctx.watermark:
            return _FIRE
        ctx.timers.event(window.max_timestamp)
        if self.next_fire.get() is None:
            if timestamp is None:
                raise PlanError(
                    "a continuous_event_time trigger got a record without an event time", hint="add with_timestamps(...) before it"
                )
            self._wait(timestamp - timestamp % self.interval, window, ctx)
        return _CONTINUE

    def on_event_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Fire, and wait for the next multiple. A watermark that has passed several of them at once makes one result."""
        if time == window.max_timestamp:
            return _FIRE
        if time != self.next_fire.get():
            return _CONTINUE
        self._wait(ctx.watermark - ctx.watermark % self.interval, window, ctx)
        return _FIRE

    def _wait(self, since: int, window: Window, ctx: TriggerContext) -> None:
        following = min(since + self.interval, window.max_timestamp)
        self.next_fire.set(following)
        ctx.timers.event(following)

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:
        """Fire when the first of them would have, and at the new end."""
        if window.max_timestamp > ctx.watermark:
            ctx.timers.event(window.max_timestamp)
        waiting = ctx.merged(self.next_fire)
        if waiting:
            self.next_fire.set(min(waiting))
            ctx.timers.event(min(waiting))

    def clear(self, window: Window, ctx: TriggerContext) -> None:
        """Wait no more."""
        ctx.timers.delete(window.max_timestamp)
        following = self.next_fire.get()
        if following is not None:
            ctx.timers.delete(following)
            self.next_fire.clear()


class ContinuousProcessingTimeTrigger(Trigger):
    """See `triggers.continuous_processing_time`."""

    next_fire = ValueState(int)

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Wait for the next multiple."""
        if self.next_fire.get() is None:
            now = ctx.processing_time()
            self._wait(now - now % self.interval, window, ctx)
        return _CONTINUE

    def on_processing_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Fire, and wait for the next multiple."""
        if time != self.next_fire.get():
            return _CONTINUE
        if ctx.in_processing_time and time >= window.end:
            self.next_fire.clear()
        else:
            self._wait(time, window, ctx)
        return _FIRE

    def _wait(self, since: int, window: Window, ctx: TriggerContext) -> None:
        following = since + self.interval
        if ctx.in_processing_time:
            following = min(following, window.end)
        self.next_fire.set(following)
        ctx.timers.processing(following)

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:  # noqa: ARG002
        """Fire when the first of them would have."""
        waiting = ctx.merged(self.next_fire)
        if waiting:
            self.next_fire.set(min(waiting))
            ctx.timers.processing(min(waiting))

    def clear(self, window: Window, ctx: TriggerContext) -> None:  # noqa: ARG002
        """Wait no more."""
        following = self.next_fire.get()
        if following is not None:
            ctx.timers.delete(following, processing=True)
            self.next_fire.clear()


class TimeoutTrigger(Trigger):
    """See `triggers.timeout`."""

    due = ValueState(int)

    def __init__(self, trigger: Trigger, timeout: int, *, reset: bool, clear: bool) -> None:
        self.trigger = trigger
        self.timeout = timeout
        self.reset = reset
        self.clears = clear

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Ask the trigger; if it does not fire, see to it that the time runs."""
        result = self.trigger.on_element(record, timestamp, window, ctx)
        if result.fires:
            self.clear(window, ctx)
            return result
        due = self.due.get()
        if due is not None and self.reset:
            ctx.timers.delete(due, processing=True)
            due = None
        if due is None:
            due = ctx.processing_time() + self.timeout
            self.due.set(due)
            ctx.timers.processing(due)
        return result

    def on_event_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Ask the trigger."""
        return self._settled(self.trigger.on_event_time(time, window, ctx), window, ctx)

    def on_processing_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Ask the trigger, and fire anyway if the time is up."""
        result = self.trigger.on_processing_time(time, window, ctx)
        if time == self.due.get():
            self.due.clear()
            result = TriggerResult((True, result.purges))
        return self._settled(result, window, ctx)

    def _settled(self, result: TriggerResult, window: Window, ctx: TriggerContext) -> TriggerResult:
        if result.fires:
            self._forget(ctx)
            if self.clears:
                self.trigger.clear(window, ctx)
        return result

    def _forget(self, ctx: TriggerContext) -> None:
        due = self.due.get()
        if due is not None:
            ctx.timers.delete(due, processing=True)
            self.due.clear()

    def clear(self, window: Window, ctx: TriggerContext) -> None:
        """Wait no more, and tell the trigger."""
        self._forget(ctx)
        self.trigger.clear(window, ctx)

    def nested(self) -> Sequence[Trigger]:
        """Return the trigger."""
        return (self.trigger,)
