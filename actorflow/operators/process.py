"""Runs an operator of the user's inside a chain: calls it for each record, and passes on what it emits, a batch at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from actorflow.errors import PlanError
from actorflow.ids import Address
from actorflow.operators.actor import OperatorActor, Recipient, Tagged
from actorflow.operators.columns import to_objects
from actorflow.operators.contract import SubtaskContext
from actorflow.operators.failures import NOTHING, call_user, entered, user_failure
from actorflow.operators.specs import ProcessSpec, Selector
from actorflow.operators.stage import Consumer, Lookup, Receiver, Stage
from actorflow.state.backend import NO_KEY, KeyedBackend
from actorflow.state.descriptors import declared_states
from actorflow.wire.batch import MIN_TIMESTAMP, Batch, ColumnBatch, ObjectBatch


class ProcessStage(Stage):
    """One user operator.

    Args:
        name: the operator's name.
        spec: holds the instance to copy.
        backend: where its keyed states live.
        following: gets what it emits.
        sides: get what it emits to side outputs, by tag.
        context: the subtask.
    """

    def __init__(
        self,
        name: str,
        spec: ProcessSpec,
        backend: KeyedBackend,
        following: Consumer,
        sides: Mapping[str, Consumer],
        context: SubtaskContext,
    ) -> None:
        self._name = name
        self._subtask = str(context.subtask)
        self._keyed = spec.key is not None
        self._key_of = _key_function(spec.key)
        self._operator = _own_copy(name, spec.operator)
        self._backend = backend
        self._ctx = RunningContext(name, following, sides, context)
        self._started = False
        self._records_in = 0

    def open(self) -> None:
        """Bind the declared states and start the operator.

        Raises:
            PlanError: if it declares keyed state without `key_by`.
            UserFunctionError: if `on_start` raises.
        """
        states = declared_states(type(self._operator))
        if states and not self._keyed:
            raise PlanError(
                f"'{self._name}' declares keyed state ({', '.join(states)}) but its input has no key",
                hint="use stream.key_by(...).process(...)",
            )
        for attribute, descriptor in states.items():
            vars(self._operator)[attribute] = self._backend.bind(descriptor)
        self._started = True
        self._call(self._operator.on_start, self._ctx)
        self._ctx.flush()

    def process(self, batch: Batch) -> None:
        """Call `on_record` for each record of the batch."""
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        self._records_in += len(batch)
        record: Any = NOTHING
        ctx, backend, key_of, on_record = self._ctx, self._backend, self._key_of, self._operator.on_record
        try:
            if batch.timestamps is not None:
                for record, ctx.timestamp in zip(batch.records, batch.timestamps, strict=True):
                    if key_of is not None:
                        backend.current_key = ctx.key = key_of(record)
                    on_record(record, ctx)
            elif key_of is not None:
                for record in batch.records:
                    backend.current_key = ctx.key = key_of(record)
                    on_record(record, ctx)
            else:
                for record in batch.records:
                    on_record(record, ctx)
        except BaseException as error:
            failure = self._failure(error, record)
            if failure is error:
                raise
            raise failure from error
        finally:
            self._leave_record()
        ctx.flush()

    def _failure(self, error: BaseException, record: Any) -> BaseException:
        """Return what to raise. The key of a record is known only if the key function has returned, so that `on_record` was reached."""
        on_record = self._operator.on_record
        reached = self._key_of is None or entered(error, on_record)
        return user_failure(
            error,
            operator=self._name,
            subtask=self._subtask,
            function=on_record if reached else self._key_of,
            record=record,
            key=self._ctx.key if self._keyed and reached else NOTHING,
        )

    def _leave_record(self) -> None:
        """Take the current key and timestamp away: there are none between batches."""
        self._ctx.key = self._ctx.timestamp = None
        self._backend.current_key = NO_KEY

    def advance_watermark(self, timestamp: int) -> int:
        """Let the operator see the watermark."""
        self._ctx.watermark = timestamp
        return timestamp

    def receivers(self) -> Mapping[str, Receiver]:
        """Return the operator's `on_message`, by its name."""
        return {self._name: self._message}

    def _message(self, message: object, reply: Callable[[object], None]) -> None:
        self._ctx.replying = reply
        try:
            self._call(self._operator.on_message, message, self._ctx)
        finally:
            self._ctx.replying = None
        self._ctx.flush()

    def close(self) -> None:
        """Stop the operator, if it was started."""
        if self._started:
            self._started = False
            self._ctx.discard()
            self._call(self._operator.on_stop, self._ctx)
            self._ctx.refuse_emitted()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        call_user(function, *arguments, operator=self._name, subtask=self._subtask)

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, and the number of keys in state."""
        facts: dict[str, object] = {"records_in": self._records_in, "records_out": self._ctx.records_out}
        if self._keyed:
            facts["keys"] = len(self._backend.keys())
        return {self._name: facts}

    def lookups(self) -> Mapping[str, Lookup]:
        """Return how to read the states of a key."""
        return {self._name: lambda key: dict(self._backend.values(key))}


def _own_copy(name: str, operator: OperatorActor) -> OperatorActor:
    """Return a copy for one subtask, because several of them may share the pipeline's object in one process."""
    try:
        return copy.deepcopy(operator)
    except Exception as error:
        raise PlanError(
            f"'{name}' cannot give each subtask its own {type(operator).__name__}: {error}",
            hint="open files, locks and connections in on_start instead of __init__",
        ) from error


def _key_function(key: Selector | None) -> Callable[[Any], Any] | None:
    return itemgetter(key) if isinstance(key, str) else key


class _Buffer:
    """What was emitted to one output since the last flush."""

    __slots__ = ("records", "stamps", "target")

    def __init__(self, target: Consumer) -> None:
        self.target = target
        self.records: list[Any] = []
        self.stamps: list[int] = []

    def flush(self, operator: str) -> int:
        """Pass it on; return the number of records."""
        records, stamps = self.records, self.stamps
        if not records:
            return 0
        if stamps and len(stamps) != len(records):
            raise PlanError(
                f"'{operator}' emitted some records with a timestamp and some without",
                hint="outside on_record, and where the input has no timestamps, give all of them a timestamp or none",
            )
        self.records, self.stamps = [], []
        self.target.process(ObjectBatch(records, stamps or None))
        return len(records)


class RunningContext:
    """What the operator is given. See `operators.actor.OperatorContext`."""

    def __init__(self, name: str, following: Consumer, sides: Mapping[str, Consumer], context: SubtaskContext) -> None:
        self.key: Any = None
        self.timestamp: int | None = None
        self.watermark = MIN_TIMESTAMP
        self.parallel_index = context.subtask.index
        self.parallelism = context.parallelism
        self.attempt = context.attempt
        self.log = context.log
        self.records_out = 0
        self.replying: Callable[[object], None] | None = None
        self._name = name
        self._subtask = context
        self._main = _Buffer(following)
        self._sides = {tag: _Buffer(side) for tag, side in sides.items()}

    def emit(self, record: Any, timestamp: int | None = None) -> None:
        """Give a record to the next operator."""
        if timestamp is None:
            timestamp = self.timestamp
        main = self._main
        main.records.append(record)
        if timestamp is not None:
            main.stamps.append(timestamp)

    def emit_to(self, tag: str | Tagged, record: Any, timestamp: int | None = None) -> None:
        """Give a record to a side output, if anything reads it."""
        side = self._sides.get(tag if isinstance(tag, str) else tag.name)
        if side is None:
            return
        if timestamp is None:
            timestamp = self.timestamp
        side.records.append(record)
        if timestamp is not None:
            side.stamps.append(timestamp)

    def flush(self) -> None:
        """Pass on what was emitted."""
        self.records_out += self._main.flush(self._name)
        for side in self._sides.values():
            side.flush(self._name)

    def discard(self) -> None:
        """Forget what a failed call has emitted."""
        for buffer in (self._main, *self._sides.values()):
            buffer.records, buffer.stamps = [], []

    def refuse_emitted(self) -> None:
        """Complain of what was emitted when the outputs have ended.

        Raises:
            PlanError: if anything was.
        """
        if self._main.records or any(side.records for side in self._sides.values()):
            raise PlanError(
                f"'{self._name}' emitted records in on_stop, when its outputs had ended", hint="emit in on_record or on_message"
            )

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


class _Recipient:
    """Another actor, reached through the subtask."""

    __slots__ = ("_path", "_subtask")

    def __init__(self, subtask: SubtaskContext, path: Address | str) -> None:
        self._subtask = subtask
        self._path = path

    def tell(self, message: object) -> None:
        """Send a message."""
        self._subtask.tell(self._path, message)
