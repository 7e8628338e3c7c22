"""What an operator of the user's is given, while it runs. See `operators.processing.actor.OperatorContext` for its contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from actorflow.errors import PlanError
from actorflow.ids import Address
from actorflow.operators.contract import SubtaskContext
from actorflow.operators.processing.actor import Recipient, Tagged
from actorflow.operators.processing.emitting import Outputs
from actorflow.operators.processing.metrics import Metrics
from actorflow.operators.processing.timing import KeyTimers
from actorflow.state.backend import NO_KEY, KeyedBackend
from actorflow.state.descriptors import StateDescriptor
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


class RunningContext:
    """The context of records and messages.

    Args:
        name: the operator's name.
        outputs: where its records go.
        timers: of the current key.
        backend: keeps the states.
        context: the subtask.
        metrics: the operator's own.
    """

    def __init__(
        self, name: str, outputs: Outputs, timers: KeyTimers, backend: KeyedBackend, context: SubtaskContext, metrics: Metrics
    ) -> None:
        self.key: Any = None
        self.timestamp: int | None = None
        self.watermark = backend.watermark
        self.timers = timers
        self.parallel_index = context.subtask.index
        self.parallelism = context.parallelism
        self.attempt = context.attempt
        self.log = context.log
        self.metrics = metrics
        self.replying: Callable[[object], None] | None = None
        self._name = name
        self._main = outputs.main
        self._sides = outputs.sides
        self._backend = backend
        self._subtask = context

    def processing_time(self) -> int:
        """Return the wall clock, in ms."""
        return self._subtask.processing_time()

    def emit(self, record: Any, timestamp: int | None = None) -> None:
        """Give a record to the next operator."""
        timestamp = self.timestamp if timestamp is None else self._checked(timestamp)
        main = self._main
        main.records.append(record)
        if timestamp is not None:
            main.stamps.append(timestamp)

    def emit_to(self, tag: str | Tagged, record: Any, timestamp: int | None = None) -> None:
        """Give a record to a side output, if anything reads it."""
        side = self._sides.get(tag if isinstance(tag, str) else tag.name)
        if side is None:
            return
        timestamp = self.timestamp if timestamp is None else self._checked(timestamp)
        side.records.append(record)
        if timestamp is not None:
            side.stamps.append(timestamp)

    def _checked(self, timestamp: Any) -> int:
        if timestamp.__class__ is not int or not MIN_TIMESTAMP <= timestamp <= MAX_TIMESTAMP:
            raise PlanError(
                f"'{self._name}' emits a record with the event time {timestamp!r}, which is not a whole number of milliseconds within 64 bits",
                hint="a time is in ms since 1970, UTC: int(...)",
            )
        whole: int = timestamp
        return whole

    def reply(self, message: object) -> None:
        """Answer the message that `on_message` was called with.

        Raises:
            PlanError: outside `on_message`.
        """
        if self.replying is None:
            raise PlanError(f"'{self._name}' replied where there is no message", hint="call ctx.reply in on_message")
        self.replying(message)

    def actor(self, path: Address | str) -> Recipient:
        """Return another actor."""
        return _Recipient(self._subtask, path)

    def cached_file(self, name: str) -> str:
        """Return the local path of a distributed-cache file."""
        return self._subtask.cached_file(name)


class EventTimerContext(RunningContext):
    """The context of event-time timers: what they emit has the timer's event time."""

    time_domain: Literal["event", "processing"] = "event"


class ProcessingTimerContext(RunningContext):
    """The context of processing-time timers: `timestamp` is no event time, so what they emit has none unless they say."""

    time_domain: Literal["event", "processing"] = "processing"

    def emit(self, record: Any, timestamp: int | None = None) -> None:
        """Give a record to the next operator."""
        self._main.records.append(record)
        if timestamp is not None:
            self._main.stamps.append(self._checked(timestamp))

    def emit_to(self, tag: str | Tagged, record: Any, timestamp: int | None = None) -> None:
        """Give a record to a side output, if anything reads it."""
        side = self._sides.get(tag if isinstance(tag, str) else tag.name)
        if side is None:
            return
        side.records.append(record)
        if timestamp is not None:
            side.stamps.append(self._checked(timestamp))


class BroadcastRunningContext(RunningContext):
    """The context of operators that are broadcast to; see `operators.processing.actor.BroadcastContext`.

    Attributes:
        broadcasting: whether the record in hand was broadcast.
    """

    broadcasting = False

    def apply_to_keyed_state(self, state: StateDescriptor, apply: Callable[[Any, Any], None]) -> None:
        """Call `apply(key, handle)` for each key that has a value in a keyed state.

        Raises:
            PlanError: if it is not a declared keyed state, or nothing was broadcast.
        """
        if not self.broadcasting:
            raise PlanError(
                f"'{self._name}' goes through the keyed state of all keys in a call that belongs to one",
                hint="call ctx.apply_to_keyed_state in on_broadcast",
            )
        if not isinstance(state, StateDescriptor):
            raise PlanError(
                f"'{self._name}' applies a function to {state!r}, which is not a declared keyed state",
                hint="name it by the class, as in ctx.apply_to_keyed_state(Alerts.pending, function)",
            )
        backend = self._backend
        handle = backend.bind(state)
        try:
            for key in [key for key, _ in backend.entries(state.name)]:
                backend.current_key = key
                apply(key, handle)
        finally:
            backend.current_key = NO_KEY


class _Recipient:
    """Another actor, reached through the subtask."""

    __slots__ = ("_path", "_subtask")

    def __init__(self, subtask: SubtaskContext, path: Address | str) -> None:
        self._subtask = subtask
        self._path = path

    def tell(self, message: object) -> None:
        """Send a message."""
        self._subtask.tell(self._path, message)
