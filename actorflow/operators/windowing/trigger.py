"""When a window gives results: the contract of triggers.

A trigger is asked for each record that a window gets, and at the times that it has asked for. Its answer says whether the window gives a
result now, and whether it forgets its records then. One instance serves all windows of all keys of a subtask, so what it has to remember
it declares as state, which is kept for each key and window:

    class Bell(af.Trigger):
        rung = af.ValueState(bool, default=False)

        def on_element(self, record, timestamp, window, ctx):
            if record["bell"] and not self.rung.get():
                self.rung.set(True)
                return af.TriggerResult.FIRE
            return af.TriggerResult.CONTINUE
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Protocol

from actorflow.operators.windowing.window import Window
from actorflow.state.handles import ValueHandle


class TriggerResult(enum.Enum):
    """What a trigger wants to happen to its window."""

    CONTINUE = (False, False)
    """Nothing."""
    FIRE = (True, False)
    """Give a result, and keep the records."""
    PURGE = (False, True)
    """Forget the records."""
    FIRE_AND_PURGE = (True, True)
    """Give a result, then forget the records."""

    @property
    def fires(self) -> bool:
        """Whether there is a result."""
        fires: bool = self.value[0]
        return fires

    @property
    def purges(self) -> bool:
        """Whether the records are forgotten."""
        purges: bool = self.value[1]
        return purges


class WindowTimers(Protocol):
    """Times at which a trigger is asked again about the current key and window. A timer is there once, however often it is set."""

    def event(self, timestamp: int) -> None:
        """Have `on_event_time` called when the watermark reaches `timestamp` (ms)."""
        ...

    def processing(self, timestamp: int) -> None:
        """Have `on_processing_time` called when the wall clock reaches `timestamp` (ms)."""
        ...

    def delete(self, timestamp: int, *, processing: bool = False) -> None:
        """Forget a timer; nothing happens if it is not set."""
        ...


class TriggerContext(Protocol):
    """What a trigger can know and do, about the current key and window.

    Attributes:
        key: the key.
        watermark: event time that the operator has reached, in ms.
        in_processing_time: whether the windows end by the wall clock.
        timers: times at which to be asked again.
    """

    key: Any
    watermark: int
    in_processing_time: bool

    @property
    def timers(self) -> WindowTimers:
        """Times at which to be asked again."""
        ...

    def processing_time(self) -> int:
        """Return the wall clock, in ms."""
        ...

    def merged(self, state: ValueHandle[Any]) -> list[Any]:
        """In `on_merge`: return what a declared state holds for the windows that have become one, leaving out those without a value."""
        ...


class Trigger:
    """Base of triggers. Override what is needed, and declare what it remembers as `af.ValueState` attributes."""

    def on_element(self, record: Any, timestamp: int | None, window: Window, ctx: TriggerContext) -> TriggerResult:
        """Decide what follows from a record, which is in the window already.

        Args:
            record: the record.
            timestamp: its event time in ms; None if it has none.
            window: one of its windows.
            ctx: see `TriggerContext`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no on_element")

    def on_event_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Decide what happens now that the watermark has reached a time that was asked for."""
        return TriggerResult.CONTINUE

    def on_processing_time(self, time: int, window: Window, ctx: TriggerContext) -> TriggerResult:  # noqa: ARG002
        """Decide what happens now that the wall clock has reached a time that was asked for."""
        return TriggerResult.CONTINUE

    def on_merge(self, window: Window, ctx: TriggerContext) -> None:
        """Take over from windows that have become `window`. Timers of theirs that are still wanted are set again, for this one.

        A trigger without this method cannot be used with windows that merge.
        """
        raise NotImplementedError(f"{type(self).__name__} has no on_merge")

    def clear(self, window: Window, ctx: TriggerContext) -> None:
        """Delete the timers of a window that has ended or was merged into another. Declared state is forgotten without this."""

    def nested(self) -> Sequence[Trigger]:
        """Return the triggers that this one asks, so that their state is known, too."""
        return ()

    @property
    def can_merge(self) -> bool:
        """Whether it can be used with windows that merge: it and those nested in it have `on_merge`."""
        return type(self).on_merge is not Trigger.on_merge and all(trigger.can_merge for trigger in self.nested())
