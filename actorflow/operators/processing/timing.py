"""Timers of operators: how user code sets them, and how many that are due at once are fired without keeping others waiting.

Event-time timers fire when the watermark reaches them, and before it is passed on. Processing-time timers wait for the wall clock: one alarm
of the subtask stands for the first of them. Both live in the keyed backend, so they belong to the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from actorflow.errors import PlanError
from actorflow.operators.contract import Alarm, SubtaskContext
from actorflow.state.backend import NO_KEY, KeyedBackend
from actorflow.state.timers import Timer, TimerQueue
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP

EVENT: Final = "event"
PROCESSING: Final = "processing"

_SLICE_MS = 2
"""For how long timers are fired before others get their turn. A message waits for the slices of all subtasks of its worker."""

_STRIDE_MAX = 256
"""Timers between two looks at the clock: a look costs about as much as firing one of them."""


def fire_slice(queue: TimerQueue, until: int, call: Callable[[Timer], None], now_ms: Callable[[], int]) -> bool:
    """Take timers that are due and call for each, for a few milliseconds.

    Args:
        queue: where they are taken from, one at a time: a call may set timers, and delete those that come next.
        until: the latest timestamp that is due (ms).
        call: what to do for each.
        now_ms: the clock; on one that stands still everything fires at once.

    Returns:
        Whether nothing that is due is left.
    """
    started = now_ms()
    stride = 1
    take = queue.take
    while True:
        for _ in range(stride):
            timer = take(until)
            if timer is None:
                return True
            call(timer)
        if not 0 <= now_ms() - started < _SLICE_MS:  # a wall clock may be set back
            return False
        stride = min(2 * stride, _STRIDE_MAX)


class KeyTimers:
    """What `ctx.timers` is: the timers of the current key.

    Args:
        operator: its name, for errors.
        backend: holds the timers, and knows the current key.
        context: the subtask.
        keyed: whether there are keys at all.
        ring: called when a processing-time timer is due; it fires them, and calls `arm`.

    Attributes:
        events: the event-time timers.
        waiting: the processing-time timers.
    """

    def __init__(
        self, operator: str, backend: KeyedBackend, context: SubtaskContext, *, keyed: bool, ring: Callable[[], None]
    ) -> None:
        self._operator = operator
        self._backend = backend
        self._context = context
        self._keyed = keyed
        self._ring = ring
        self._alarm: Alarm | None = None
        self._armed_at = 0
        self.begin()

    def begin(self) -> None:
        """Start with the timers that the backend has, which are none after it was cleared."""
        self.events = self._backend.timers(EVENT)
        self.waiting = self._backend.timers(PROCESSING)
        self._ended = False

    def event(self, timestamp: int) -> None:
        """Have `on_timer` called for this key when the watermark reaches `timestamp` (ms).

        Raises:
            PlanError: if there is no key, or `timestamp` is not a whole number within 64 bits.
        """
        self.events.set(self._checked(timestamp), self._key())

    def processing(self, timestamp: int) -> None:
        """Have `on_timer` called for this key when the wall clock reaches `timestamp` (ms).

        Raises:
            PlanError: if there is no key, or `timestamp` is not a whole number within 64 bits.
        """
        key = self._key()
        if self._ended:
            return
        self.waiting.set(self._checked(timestamp), key)
        if self._alarm is None or timestamp < self._armed_at:
            self.arm()

    def delete(self, timestamp: int, *, processing: bool = False) -> None:
        """Forget a timer of this key.

        Raises:
            PlanError: if there is no key.
        """
        (self.waiting if processing else self.events).delete(timestamp, self._key())

    def arm(self) -> None:
        """Have the first processing-time timer ring."""
        first = self.waiting.first()
        if self._alarm is not None:
            if self._armed_at == first:
                return
            self._alarm.cancel()
            self._alarm = None
        if first is not None:
            self._armed_at = first
            self._alarm = self._context.call_at(first, self._rang)

    def _rang(self) -> None:
        self._alarm = None
        self._ring()

    def end(self) -> None:
        """Note that no record will follow: what is pending is fired by the caller, and no processing-time timer can be set any more."""
        self._ended = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def __len__(self) -> int:
        """Return the number of timers of all keys."""
        return len(self.events) + len(self.waiting)

    def _checked(self, timestamp: int) -> int:
        if timestamp.__class__ is not int or not MIN_TIMESTAMP <= timestamp <= MAX_TIMESTAMP:
            raise PlanError(
                f"'{self._operator}' sets a timer for {timestamp!r}, which is not a whole number of milliseconds within 64 bits",
                hint="a time is in ms since 1970, UTC: ctx.timestamp + 60_000",
            )
        return timestamp

    def _key(self) -> Any:
        key = self._backend.current_key
        if key is NO_KEY:
            if self._keyed:
                raise PlanError(
                    f"'{self._operator}' uses a timer where there is no current key",
                    hint="timers belong to a key: use them in on_record and on_timer",
                )
            raise PlanError(
                f"'{self._operator}' uses a timer, but its input has no key", hint="use stream.key_by(...).process(...)"
            )
        return key
