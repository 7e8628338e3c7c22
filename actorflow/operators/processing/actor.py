"""Operators are actors: the base class of operators that users write, and what they are given.

An operator runs inside a subtask, on one thread: its methods are never called at the same time. Its instance is private to the
subtask (the engine copies what the pipeline holds), so plain attributes are safe, but only declared state is kept by key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from actorflow.ids import Address
from actorflow.operators.processing.metrics import Metrics
from actorflow.state.descriptors import StateDescriptor

TimeDomain = Literal["event", "processing"]
"""Which clock a timer waits for: the watermark, or the wall clock."""


class Tagged(Protocol):
    """Names a side output."""

    @property
    def name(self) -> str:
        """The name."""
        ...


class Recipient(Protocol):
    """Another actor, to an operator."""

    def tell(self, message: object) -> None:
        """Send a message. At most once, in order."""
        ...


class Timers(Protocol):
    """Timers of the current key: calls of `on_timer` at a time in the future.

    A timer is there once, however often it is set. Timers of one kind fire in the order of their timestamps, those of one timestamp in
    the order in which they were set.
    """

    def event(self, timestamp: int) -> None:
        """Call `on_timer` when the watermark reaches `timestamp` (ms), before the watermark is passed on.

        A timer at or before the current watermark fires when the watermark advances next; one that is set while timers fire, with them.
        """
        ...

    def processing(self, timestamp: int) -> None:
        """Call `on_timer` when the wall clock reaches `timestamp` (ms).

        What is pending when the input ends fires then, in order, before the last event-time timers; what is set from then on is dropped.
        """
        ...

    def delete(self, timestamp: int, *, processing: bool = False) -> None:
        """Forget the timer at `timestamp` (ms) in event time, or processing time; nothing happens if there is none."""
        ...


class OperatorContext(Protocol):
    """What an operator can know and do. Valid only during the call it was passed to.

    Attributes:
        key: key of the current record or timer; None without `key_by`, and where there is neither.
        timestamp: event time of the current record in ms, or time of the timer; None when the pipeline has none, and where there is
            neither record nor timer.
        parallel_index: this subtask's number, from 0.
        parallelism: number of subtasks of the operator.
        attempt: 1 for the first deployment, one more after each restart.
        log: a logger named after the subtask.
        metrics: makes counters, gauges and histograms of the operator's own, which are seen wherever the engine's are.
    """

    key: Any
    timestamp: int | None
    parallel_index: int
    parallelism: int
    attempt: int
    log: logging.Logger
    metrics: Metrics

    @property
    def timers(self) -> Timers:
        """Timers of the current key."""
        ...

    @property
    def watermark(self) -> int:
        """Event time that the operator has reached, in ms."""
        ...

    def processing_time(self) -> int:
        """Return the wall clock, in ms since the Unix epoch, UTC."""
        ...

    def emit(self, record: Any, timestamp: int | None = None) -> None:
        """Give a record to the next operator, with this event time or that of the current record."""
        ...

    def emit_to(self, tag: str | Tagged, record: Any, timestamp: int | None = None) -> None:
        """Give a record to a side output. It is dropped if nothing reads that side output."""
        ...

    def reply(self, message: object) -> None:
        """Answer the message that `on_message` was called with."""
        ...

    def actor(self, path: Address | str) -> Recipient:
        """Return another actor by its address, or by its path on this node."""
        ...

    def cached_file(self, name: str) -> str:
        """Return the local path of a distributed-cache file.

        Raises:
            KeyError: if the pipeline registered no file of this name.
        """
        ...


class TimerContext(OperatorContext, Protocol):
    """What an operator can know and do when a timer fires. Its `timestamp` is the timer's.

    Records that are emitted at an event-time timer have its timestamp; those emitted at a processing-time timer have none, unless it is given.

    Attributes:
        time_domain: which kind of timer it is.
    """

    time_domain: TimeDomain


class BroadcastContext(OperatorContext, Protocol):
    """What an operator can know and do when a record was broadcast to all of its subtasks."""

    def apply_to_keyed_state(self, state: StateDescriptor, apply: Callable[[Any, Any], None]) -> None:
        """Call `apply(key, handle)` for each key of this subtask that has a value in a keyed state; it may change and clear it.

        Args:
            state: the declaration, such as `Alerts.pending`.
            apply: the handle is the one for that key: `handle.get()`.
        """
        ...


class OperatorActor:
    """Base of operators with their own behaviour. Override what is needed; declare keyed state as class attributes."""

    def on_start(self, ctx: OperatorContext) -> None:
        """Get ready. Called once, before the first record; there is no current key yet."""

    def on_record(self, record: Any, ctx: OperatorContext) -> None:
        """Take one record."""
        raise NotImplementedError(f"{type(self).__name__} has no on_record")

    def on_timer(self, timestamp: int, ctx: TimerContext) -> None:
        """Take a timer that has fired: keyed state is that of the key that set it."""
        raise NotImplementedError(f"{type(self).__name__} sets timers but has no on_timer")

    def on_message(self, message: object, ctx: OperatorContext) -> None:
        """Take a message of another actor, between two batches."""
        raise NotImplementedError(f"{type(self).__name__} takes no messages: it has no on_message")

    def on_stop(self, ctx: OperatorContext) -> None:
        """Free what `on_start` took. Called once, also after a failure. Nothing can be emitted any more."""

    def observe(self) -> Mapping[str, object]:
        """Return facts to show beside the engine's own, by name. Called between two batches."""
        return {}


class TwoInputOperator(OperatorActor):
    """Base of operators with two inputs, made by `left.connect(right).process(...)`.

    Both sides share attributes and state. If the streams are keyed, the keys of both are of one kind: what `on_left` keeps for a key, `on_right` finds
    for an equal key. The watermark is the lower one of the two inputs.
    """

    def on_left(self, record: Any, ctx: OperatorContext) -> None:
        """Take one record of the left stream."""
        raise NotImplementedError(f"{type(self).__name__} has no on_left")

    def on_right(self, record: Any, ctx: OperatorContext) -> None:
        """Take one record of the right stream."""
        raise NotImplementedError(f"{type(self).__name__} has no on_right")


class BroadcastOperator(OperatorActor):
    """Base of operators that see a share of the data, by `on_record`, and every record of another stream: `data.connect(rules.broadcast_state())`.

    What is broadcast is kept in a `BroadcastState`, which only `on_broadcast` can write: so it is the same in all subtasks, as long as what
    `on_broadcast` does depends on nothing but the record and that state.
    """

    def on_broadcast(self, record: Any, ctx: BroadcastContext) -> None:
        """Take one record of the broadcast stream. There is no current key."""
        raise NotImplementedError(f"{type(self).__name__} has no on_broadcast")
