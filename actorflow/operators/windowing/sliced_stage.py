"""What operators share that have much to do at certain times, and do it a slice at a time: windows.

Work is a generator. It is run until it has taken a few milliseconds; then the stage is blocked, messages are answered, outputs are sent, and the
subtask comes back for the next slice. A watermark counts as passed when the work that it brought about is done.

                                ┌── time is up: blocked, wake ◄──┐
    watermark, alarm ──► work ──┴─► a slice of it ───────────────┴──► done ──► the watermark holds behind this stage
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.compiled.key_check import key_check
from actorflow.operators.contract import Alarm, SubtaskContext
from actorflow.operators.failures import NOTHING, user_failure
from actorflow.operators.place import Place
from actorflow.operators.processing.emitting import Outputs
from actorflow.operators.stage import Kept, Lookup, Stage
from actorflow.state.backend import KeyedBackend
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Batch, ColumnBatch, ObjectBatch

SLICE_MS: Final = 2
"""For how long work is done before others get their turn. A message waits for the slices of all subtasks of its worker."""

Work = Iterator[None]
"""Pauses now and then, so that time can be looked at."""


class SlicedStage(Stage):
    """An operator with state by key, and work to do when watermarks and alarms come.

    Args:
        place: where it stands.
    """

    def __init__(self, place: Place) -> None:
        self.blocked = False
        self._name = place.name
        self._subtask = str(place.context.subtask)
        self._key_check = key_check(place.name, place.context)
        self._backend = place.backend()
        self._context = place.context
        self._held = place.held
        self._outputs = Outputs(place.name, place.following, place.sides)
        self._sides = place.sides
        self._bell = Bell(place.context, self.rang)
        self._work: deque[Work] = deque()
        self._reached = self._passed = MIN_TIMESTAMP
        self._under_way = False
        self._records_in = 0

    # --- for subclasses --------------------------------------------------------------------------------------------------------

    def take(self, batch: ObjectBatch) -> None:
        """Take one batch."""
        raise NotImplementedError

    def due(self, watermark: int) -> bool:
        """Return whether there is work to do at a watermark."""
        raise NotImplementedError

    def fire(self, watermark: int) -> Work:
        """Do the work of a watermark. Also called if there is none, because it is to be remembered."""
        raise NotImplementedError

    def rang(self) -> None:
        """Hear the alarm that was set with `_bell`."""
        raise NotImplementedError

    def begin(self) -> None:
        """Take up what the backend holds, and the watermark that it has reached."""
        raise NotImplementedError

    # --- as a stage --------------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take up what the backend holds; what a snapshot found undone of its watermark is done first."""
        self.begin()
        if self._under_way and self.due(self._reached):
            self._passed = MIN_TIMESTAMP
            self._work.append(self._passing(self._reached))
            self.blocked = True
            self._context.wake()

    def process(self, batch: Batch) -> None:
        """Take one batch."""
        while self._work:  # a stage before it has passed on records between two watermarks of one batch
            self._slice()
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        self._records_in += len(batch)
        self.take(batch)

    def advance_watermark(self, timestamp: int) -> int:
        """Do what a new watermark brings about, or more of it; return the latest watermark for which all is done."""
        if timestamp > self._reached:
            self._reached = timestamp
            work = self._passing(timestamp)
            if self._work or self.due(timestamp):
                self._work.append(work)
            else:
                deque(work, maxlen=0)
        if self._work:
            self._go_on()
        return self._passed

    def _passing(self, watermark: int) -> Work:
        yield from self.fire(watermark)
        self._passed = watermark

    def do(self, work: Work) -> None:
        """Do some work, now or as soon as there is time."""
        self._work.append(work)
        self._go_on()

    def _go_on(self) -> None:
        """Do a slice, unless a stage behind can take nothing: whoever holds it back wakes the subtask."""
        if not self._held():
            self._slice()
            if self._work:
                self._context.wake()
        self.blocked = bool(self._work)

    def _slice(self) -> None:
        now = self._context.processing_time
        started = now()
        while self._work:
            for _ in self._work[0]:
                if not 0 <= now() - started < SLICE_MS:  # a wall clock may be set back
                    return
            self._work.popleft()
        self.blocked = False

    def finish_keys(self) -> bool:
        """Do all that the keys there are wait for, a slice at a time, and forget them: event time begins anew for the next ones."""
        if self._reached != MAX_TIMESTAMP:
            self._reached = MAX_TIMESTAMP
            self._work.append(self.fire(MAX_TIMESTAMP))
        self._slice()
        if self._work:
            return False
        self._backend.clear()
        self._backend.watermark = self._reached = self._passed = MIN_TIMESTAMP
        self.begin()
        return True

    def finish(self) -> bool:
        """Return whether nothing is left to do."""
        return not self._work

    def backends(self) -> Mapping[str, KeyedBackend]:
        """Return the backend of its states and timers."""
        return {self._name: self._backend}

    def snapshot(self) -> Mapping[str, Kept]:
        """Return whether a watermark is under way; a timer that was set for a time that has passed waits for the next one."""
        return {self._name: Kept(under_way=self._passed < self._reached)}

    def restore(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        """Note whether a watermark was under way in any subtask."""
        self._under_way = any(of_subtask.under_way for of_subtask in kept.get(self._name, ()))

    def lookups(self) -> Mapping[str, Lookup]:
        """Return how to read the states of a key."""
        return {self._name: lambda key: dict(self._backend.values(key))}

    def _raise(
        self, error: BaseException, function: object, *, record: Any = NOTHING, key: Any = NOTHING, window: Any = NOTHING
    ) -> NoReturn:
        """Raise the report of a failure, or the failure itself if it is one of actorflow's own."""
        failure = user_failure(
            error, operator=self._name, subtask=self._subtask, function=function, record=record, key=key, window=window
        )
        if failure is not error:
            failure.__cause__ = error
        raise failure


class Bell:
    """One alarm at the earliest time that was asked for.

    Args:
        context: keeps the alarm.
        ring: called when it is due.
    """

    def __init__(self, context: SubtaskContext, ring: Callable[[], None]) -> None:
        self._context = context
        self._ring = ring
        self._alarm: Alarm | None = None
        self._at = 0

    def at(self, timestamp: int | None) -> None:
        """Ring at `timestamp` (ms, processing time) and not before; None: not at all."""
        if self._alarm is not None:
            if self._at == timestamp:
                return
            self._alarm.cancel()
            self._alarm = None
        if timestamp is not None:
            self._at = timestamp
            self._alarm = self._context.call_at(timestamp, self._rang)

    def by(self, timestamp: int) -> None:
        """Ring at `timestamp`, or at the earlier time that it is set for."""
        if self._alarm is None or timestamp < self._at:
            self.at(timestamp)

    def _rang(self) -> None:
        self._alarm = None
        self._ring()
