"""Runs an operator of the user's inside a chain: calls it for each record and timer, and passes on what it emits, a batch at a time.

A watermark makes the timers fire that are due, a slice at a time:

                      ┌──── more is due: blocked, wake ◄─┐
    watermark ──► fire a slice, pass on what it emitted ─┴─ nothing is due ──► the watermark holds behind this stage

`operators.processing.two_inputs` has the stages with two inputs, which share all of this.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from actorflow.errors import PlanError
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.compiled.key_check import key_check
from actorflow.operators.failures import NOTHING, call_user, entered, user_failure
from actorflow.operators.place import Place
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.processing.emitting import Outputs
from actorflow.operators.processing.metrics import Metrics
from actorflow.operators.processing.running_context import EventTimerContext, ProcessingTimerContext, RunningContext
from actorflow.operators.processing.sieve import Sieve
from actorflow.operators.processing.timing import KeyTimers, fire_slice
from actorflow.operators.specs import ProcessSpec, Selector
from actorflow.operators.stage import Kept, Lookup, Receiver, Stage
from actorflow.state.backend import NO_KEY, KeyedBackend
from actorflow.state.descriptors import declared_states
from actorflow.state.operator_state import OperatorStates, declared_operator_states
from actorflow.state.timers import Timer, TimerQueue
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Batch, ColumnBatch

Own = TypeVar("Own", bound=OperatorActor)


class OperatorStage(Stage, Generic[Own]):
    """One user operator, whatever its inputs.

    Args:
        place: where it stands.
        operator: the instance to copy.
        keyed: whether its inputs have keys.
    """

    _context_class: ClassVar[type[RunningContext]] = RunningContext

    def __init__(self, place: Place, operator: Own, *, keyed: bool) -> None:
        self.blocked = False
        self._name = place.name
        self._subtask = str(place.context.subtask)
        self._keyed = keyed
        self._key_check = key_check(place.name, place.context)
        self._operator = _own_copy(place.name, operator)
        self._backend = place.backend()
        self._held = place.held
        self._subtask_context = place.context
        self._outputs = outputs = Outputs(place.name, place.following, place.sides)
        self._timers = KeyTimers(place.name, self._backend, place.context, keyed=keyed, ring=self._ring)
        self._metrics = Metrics(place.name, place.context.log)
        shared = (place.name, outputs, self._timers, self._backend, place.context, self._metrics)
        self._ctx = self._context_class(*shared)
        self._at_event = EventTimerContext(*shared)
        self._at_processing = ProcessingTimerContext(*shared)
        self._backend.event_time = self._event_time
        self._operator_states = OperatorStates()
        self._sieve: Sieve | None = None
        self._reached = MIN_TIMESTAMP  # the latest watermark
        self._passed = MIN_TIMESTAMP  # the latest watermark all of whose timers have fired
        self._started = False
        self._records_in = 0

    # --- life ----------------------------------------------------------------------------------------------------------------

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
        for attribute, shared in declared_operator_states(type(self._operator)).items():
            vars(self._operator)[attribute] = self._operator_states.bind(shared)
        self._timers.begin()
        self._reached = self._passed = self._backend.watermark
        self._show(self._reached)
        self._started = True
        self._call(self._operator.on_start, self._ctx)
        self._outputs.flush()
        self._timers.arm()

    def close(self) -> None:
        """Stop the operator, if it was started."""
        if self._started:
            self._started = False
            self._outputs.discard()
            self._call(self._operator.on_stop, self._ctx)
            self._outputs.refuse()

    def finish(self) -> bool:
        """Return whether all timers of the last watermark have fired."""
        return not self.blocked

    # --- records and messages ------------------------------------------------------------------------------------------------

    def _each(self, batch: Batch, key_of: Callable[[Any], Any] | None, on_record: Callable[[Any, Any], None]) -> None:
        """Call `on_record`, or what it is called for this input, for each record of the batch."""
        while self.blocked:  # a stage before it has passed on records between two watermarks of one batch
            self._fire()
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        self._records_in += len(batch)
        record: Any = NOTHING
        ctx, backend = self._ctx, self._backend
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
            # The key of a record is known only if the key function has returned, so that `on_record` was reached.
            reached = key_of is None or entered(error, on_record)
            key = ctx.key if key_of is not None and reached else NOTHING
            self._raise(error, on_record if reached else key_of, record, key)
        else:
            if self._key_check is not None:
                self._key_check.key(ctx.key)
        finally:
            self._leave(ctx)
        self._outputs.flush()

    def receivers(self) -> Mapping[str, Receiver]:
        """Return the operator's `on_message`, by its name."""
        return {self._name: self._message}

    def _message(self, message: object, reply: Callable[[object], None]) -> None:
        self._ctx.replying = reply
        try:
            self._call(self._operator.on_message, message, self._ctx)
        finally:
            self._ctx.replying = None
        self._outputs.flush()

    # --- time ----------------------------------------------------------------------------------------------------------------

    def advance_watermark(self, timestamp: int) -> int:
        """Fire the timers that are due, or some of them; return the latest watermark that all of its timers have fired for."""
        self._reached = max(self._reached, timestamp)
        if self._passed < self._reached:
            if self._held() and self._due():
                self.blocked = True  # whoever holds it back wakes the subtask
            else:
                self._fire()
        return self._passed

    def _due(self) -> bool:
        if self._reached == MAX_TIMESTAMP and len(self._timers.waiting):
            return True
        first = self._timers.events.first()
        return first is not None and first <= self._reached

    def _fire(self) -> None:
        """Fire a slice of what is due. After the last watermark no clock will be asked: what waits for one fires before that watermark."""
        done = True
        if self._reached == MAX_TIMESTAMP:
            self._timers.end()
            done = self._fire_slice(self._timers.waiting, MAX_TIMESTAMP, self._at_processing)
        if done:
            self._show(self._reached)
            done = self._fire_slice(self._timers.events, self._reached, self._at_event)
        if done:
            # Not before: what a timer finds has not expired because of timers that are later than it.
            self._passed = self._backend.watermark = self._reached
            self._backend.settle()
        else:
            self._subtask_context.wake()
        self.blocked = not done

    def finish_keys(self) -> bool:
        """Fire all timers of the keys there are, a slice at a time, and forget these keys: event time begins anew for the next ones."""
        if not self._keyed:
            return True
        self._reached = MAX_TIMESTAMP
        self._fire()
        if self.blocked:
            self.blocked = False  # it does not wait for a watermark: this is called again in the next turn
            return False
        self._backend.clear()
        self._backend.watermark = self._reached = self._passed = MIN_TIMESTAMP
        self._show(MIN_TIMESTAMP)
        self._timers.begin()
        return True

    def _show(self, watermark: int) -> None:
        for ctx in (self._ctx, self._at_event, self._at_processing):
            ctx.watermark = watermark

    def _ring(self) -> None:
        """Fire a slice of the processing-time timers that are due."""
        self._fire_slice(self._timers.waiting, self._subtask_context.processing_time(), self._at_processing)
        self._timers.arm()

    def _fire_slice(self, queue: TimerQueue, until: int, ctx: EventTimerContext | ProcessingTimerContext) -> bool:
        backend, on_timer = self._backend, self._operator.on_timer

        def call(timer: Timer) -> None:
            timestamp, backend.current_key, _ = timer
            ctx.key = timer.key
            ctx.timestamp = timestamp
            on_timer(timestamp, ctx)

        try:
            done = fire_slice(queue, until, call, self._subtask_context.processing_time)
        except BaseException as error:
            self._raise(error, on_timer, NOTHING, ctx.key)
        finally:
            self._leave(ctx)
        self._outputs.flush()
        return done

    # --- what lasts ----------------------------------------------------------------------------------------------------------

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return the backend of the operator's keyed states and timers."""
        return {self._name: self._backend} if self._keyed else {}

    def snapshot(self) -> Mapping[str, Kept]:
        """Return the operator states."""
        put_aside = {} if self._sieve is None else self._sieve.snapshot()
        return {self._name: Kept(self._operator_states.snapshot(), put_aside=put_aside)}

    def restore(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        """Take this subtask's share of the operator states."""
        context = self._subtask_context
        mine = kept.get(self._name, ())
        self._operator_states.restore([of_subtask.states for of_subtask in mine], context.subtask.index, context.parallelism)
        if self._sieve is not None:
            self._sieve.restore(mine)

    # --- being looked at -----------------------------------------------------------------------------------------------------

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, the numbers of keys in state and of timers, what the operator shows of itself, and its metrics."""
        facts: dict[str, object] = {"records_in": self._records_in, "records_out": self._outputs.records_out}
        if self._keyed:
            facts["keys"] = len(self._backend)
            facts["timers"] = len(self._timers)
        own: Mapping[str, object] = call_user(self._operator.observe, operator=self._name, subtask=self._subtask)
        metrics = self._metrics.values()
        return {self._name: {**facts, **own, **({"metrics": metrics} if metrics else {})}}

    def lookups(self) -> Mapping[str, Lookup]:
        """Return how to read the states of a key."""
        return {self._name: lambda key: dict(self._backend.values(key))}

    # --- calls of the user's code --------------------------------------------------------------------------------------------

    def _leave(self, ctx: RunningContext) -> None:
        """Take the current key and timestamp away: there are none between batches."""
        ctx.key = ctx.timestamp = None
        self._backend.current_key = NO_KEY
        self._backend.settle()

    def _event_time(self) -> int:
        """Return the event time of the record or timer that is being processed; the watermark if it has none."""
        timestamp = self._ctx.timestamp
        if timestamp is None:
            timestamp = self._at_event.timestamp
        return self._backend.watermark if timestamp is None else timestamp

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        call_user(function, *arguments, operator=self._name, subtask=self._subtask)

    def _raise(self, error: BaseException, function: object, record: Any, key: Any) -> NoReturn:
        """Raise the report of a failure, or the failure itself if it is one of actorflow's own."""
        failure = user_failure(error, operator=self._name, subtask=self._subtask, function=function, record=record, key=key)
        if self._sieve is not None and record is not NOTHING:
            failure = self._sieve.blamed(failure, record, self._ctx.timestamp)
        if failure is not error:
            failure.__cause__ = error
        raise failure


class ProcessStage(OperatorStage[OperatorActor]):
    """An operator with one input.

    Args:
        place: where it stands.
        spec: the operator and the key.
    """

    def __init__(self, place: Place, spec: ProcessSpec) -> None:
        super().__init__(place, spec.operator, keyed=spec.key is not None)
        self._key_of = key_function(spec.key)
        if spec.supervise is not None and spec.supervise.quarantine_after is not None:
            self._sieve = Sieve(place.name, spec.supervise.tag, self._outputs, place.context, keyed=self._keyed)

    def process(self, batch: Batch) -> None:
        """Call `on_record` for each record of the batch."""
        if self._sieve is not None:
            batch = self._sieve.sift(batch)
        self._each(batch, self._key_of, self._operator.on_record)


def _own_copy(name: str, operator: Own) -> Own:
    """Return a copy for one subtask, because several of them may share the pipeline's object in one process."""
    try:
        return copy.deepcopy(operator)
    except Exception as error:
        raise PlanError(
            f"'{name}' cannot give each subtask its own {type(operator).__name__}: {error}",
            hint="open files, locks and connections in on_start instead of __init__",
        ) from error


def key_function(key: Selector | None) -> Callable[[Any], Any] | None:
    """Return the function that a selector stands for."""
    return itemgetter(key) if isinstance(key, str) else key
