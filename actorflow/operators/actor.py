"""Operators are actors: the base class of operators that users write, and what they are given.

An operator runs inside a subtask, on one thread: its methods are never called at the same time. Its instance is private to the
subtask (the engine copies what the pipeline holds), so plain attributes are safe, but only declared state is kept by key.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from actorflow.ids import Address


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


class OperatorContext(Protocol):
    """What an operator can know and do. Valid only during the call it was passed to.

    Attributes:
        key: key of the current record; None without `key_by`, and outside `on_record`.
        timestamp: event time of the current record in ms; None when the pipeline has none, and outside `on_record`.
        watermark: event time that the operator has reached, in ms.
        parallel_index: this subtask's number, from 0.
        parallelism: number of subtasks of the operator.
        attempt: 1 for the first deployment, one more after each restart.
        log: a logger named after the subtask.
    """

    key: Any
    timestamp: int | None
    watermark: int
    parallel_index: int
    parallelism: int
    attempt: int
    log: logging.Logger

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


class OperatorActor:
    """Base of operators with their own behaviour. Override what is needed; declare keyed state as class attributes."""

    def on_start(self, ctx: OperatorContext) -> None:
        """Get ready. Called once, before the first record; there is no current key yet."""

    def on_record(self, record: Any, ctx: OperatorContext) -> None:
        """Take one record."""
        raise NotImplementedError(f"{type(self).__name__} has no on_record")

    def on_message(self, message: object, ctx: OperatorContext) -> None:
        """Take a message of another actor, between two batches."""
        raise NotImplementedError(f"{type(self).__name__} takes no messages: it has no on_message")

    def on_stop(self, ctx: OperatorContext) -> None:
        """Free what `on_start` took. Called once, also after a failure. Nothing can be emitted any more."""
