"""Runs windows of every kind, with any trigger, evictor and function: a record at a time, as `pane_stage` need not.

    record ──► its windows ──► late? ──► merged with others ──► contents ──► trigger ──► fire ──► evictor, function ──► results
                                                                                └──► purge
    timers of the trigger ────────────────────────────────────────────────────► trigger
    end of the window, and its lateness ──► trigger is cleared, everything of the window is forgotten

Three queues of timers are in the backend: `event` and `processing` are the trigger's, `end` says when windows are forgotten. At the same
time the trigger comes first. The contents of a window are kept by key (see `window_scope`); that a key has contents for a window is what makes
the window exist. Windows that merge need no more than that: what the old ones held is put under the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any, Final

from actorflow.errors import PlanError
from actorflow.operators.failures import NOTHING
from actorflow.operators.place import Place
from actorflow.operators.processing.timing import EVENT, PROCESSING
from actorflow.operators.windowing.contents_stage import ContentsStage
from actorflow.operators.windowing.sliced_stage import Work
from actorflow.operators.windowing.trigger import TriggerResult
from actorflow.operators.windowing.window import GLOBAL, Window
from actorflow.operators.windowing.window_contents import FORGOTTEN
from actorflow.operators.windowing.window_scope import WindowTable, bound_trigger, drop_window
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.state.timers import TimerQueue
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch

CONTENTS: Final = "contents"
"""Name of the state that holds what windows got."""

WINDOW_STATE: Final = "window_state"
END: Final = "end"

_NONE: Final[dict[Window, Any]] = {}


class WindowStage(ContentsStage):
    """One window operator.

    Args:
        place: where it stands.
        spec: what it does.
    """

    def __init__(self, place: Place, spec: WindowSpec) -> None:
        super().__init__(place, spec)
        assigner = spec.assigner
        self._assign = assigner.assign
        self._merging = assigner.merging
        self._trigger = bound_trigger(place.name, spec.trigger or assigner.default_trigger(), self._scope)
        self._contents: WindowTable = self._scope.table(CONTENTS)
        if self._function is not None:
            self._scope.table(WINDOW_STATE)
        self._events: TimerQueue = self._backend.timers(EVENT)
        self._waiting: TimerQueue = self._backend.timers(PROCESSING)
        self._ends: TimerQueue = self._backend.timers(END)

    def begin(self) -> None:
        """Take up what the backend holds."""
        backend, scope = self._backend, self._scope
        scope.begin()
        self._contents = scope.table(CONTENTS)
        self._events, self._waiting, self._ends = backend.timers(EVENT), backend.timers(PROCESSING), backend.timers(END)
        scope.watermark = self._reached = self._passed = backend.watermark
        self._ring_at_first()

    # --- records ---------------------------------------------------------------------------------------------------------------

    def take(self, batch: ObjectBatch) -> None:
        """Add records to their windows, and ask the trigger about each."""
        times = self._times(batch)
        stamps: Iterable[int | None] = repeat(None) if batch.timestamps is None else batch.timestamps
        late: tuple[list[Any], list[int]] = ([], [])
        record: Any = NOTHING
        try:
            if self._backend.wants_keys:
                self._scope.load(list(map(self._key_of, batch.records)))
            for record, time, stamp in zip(batch.records, times, stamps, strict=False):
                if not self._taken(record, time, stamp):
                    late[0].append(record)
                    late[1].append(time)
        except BaseException as error:
            self._blame(error, record)
        else:
            if self._key_check is not None:
                self._key_check.key(self._scope.key)
        finally:
            self._leave()
        self._outputs.flush()
        self._late.take(*late)
        self._ring_at_first()

    def _taken(self, record: Any, time: Any, stamp: int | None) -> bool:
        """Take a record; return False if it is late for all its windows."""
        scope = self._scope
        key = scope.key = self._backend.current_key = self._key_of(record)
        found: Window | None = None
        late = False
        for assigned in self._assign(record, time):
            window = self._merged(key, assigned) if self._merging else assigned
            if self._in_event_time and self._end_of(window) <= scope.watermark:
                late = True
                continue
            found = scope.window = window
            self._put(key, window, record, stamp)
            result = self._trigger.on_element(record, stamp, window, scope)
            if result is not TriggerResult.CONTINUE:
                self._act(result, stamp)
        return found is not None or not late

    def _put(self, key: Any, window: Window, record: Any, stamp: int | None) -> None:
        """Add a record to what is held for a window."""
        held = self._contents.get(key)
        if held is None:
            held = self._contents[key] = {}
        before = held.get(window, _NONE)
        if before is _NONE or before is FORGOTTEN:
            held[window] = self._ways.first(record, stamp)
            if before is _NONE:
                self._await_end(key, window)
        else:
            held[window] = self._ways.add(before, record, stamp)

    def _end_of(self, window: Window) -> int:
        """Return when a window is forgotten, by the clock that it ends by."""
        return window[1] - 1 + self._lateness if self._in_event_time else window[1]

    def _await_end(self, key: Any, window: Window) -> None:
        if window != GLOBAL:
            self._ends.set(self._end_of(window), key, window)

    # --- windows that merge ----------------------------------------------------------------------------------------------------

    def _merged(self, key: Any, window: Window) -> Window:
        """Return what becomes of a new window with those of its key that it touches."""
        start, end = window
        held = self._contents.get(key, _NONE)
        touched = [other for other in held if other[0] <= end and start <= other[1]]
        if not touched:
            return window
        for other in touched:
            window = window.cover(other)
        if touched != [window]:
            self._merge(key, held, sorted(touched), window)
        return window

    def _merge(self, key: Any, held: dict[Window, Any], windows: list[Window], window: Window) -> None:
        """Put what some windows hold under the one that they have become."""
        merged: Any = FORGOTTEN
        for other in windows:
            self._ends.delete(self._end_of(other), key, other)
            part = held.pop(other)
            if merged is FORGOTTEN:
                merged = part
            elif part is not FORGOTTEN:
                merged = self._ways.merge(merged, part)
        held[window] = merged
        self._await_end(key, window)
        scope, trigger = self._scope, self._trigger
        scope.window, scope.merged_from = window, windows
        trigger.on_merge(window, scope)
        for other in windows:
            scope.window = other
            trigger.clear(other, scope)
            scope.forget(other)

    # --- what the trigger wants ------------------------------------------------------------------------------------------------

    def _act(self, result: TriggerResult, stamp: int | None) -> None:
        """Do what the trigger wants for the current key and window."""
        if not isinstance(result, TriggerResult):
            raise PlanError(
                f"the trigger of '{self._name}' returned {result!r}",
                hint="return af.TriggerResult.CONTINUE, FIRE, PURGE or FIRE_AND_PURGE",
            )
        scope = self._scope
        held = self._contents.get(scope.key, _NONE).get(scope.window, FORGOTTEN)
        if held is FORGOTTEN:
            return
        if result.fires:
            content = self._ways.content(held, scope.window)
            if content is None:
                self._keep(FORGOTTEN)
                return
            self._emit(scope.key, scope.window, content.value, stamp)
            if content.kept is not held:
                self._keep(content.kept)
        if result.purges:
            self._keep(FORGOTTEN)

    def _keep(self, held: Any) -> None:
        key, window = self._scope.key, self._scope.window
        if held is FORGOTTEN and window == GLOBAL:
            drop_window(self._contents, key, window)
        else:
            self._contents[key][window] = held

    # --- time ------------------------------------------------------------------------------------------------------------------

    def due(self, watermark: int) -> bool:
        """Return whether a timer fires."""
        if watermark == MAX_TIMESTAMP:
            return bool(len(self._events) or len(self._waiting) or len(self._ends))
        first = self._events.first()
        if first is not None and first <= watermark:
            return True
        end = self._ends.first() if self._in_event_time else None
        return end is not None and end <= watermark

    def fire(self, watermark: int) -> Work:
        """Fire the timers of a watermark. After the last one no clock will be asked: what waits for one fires before."""
        if watermark == MAX_TIMESTAMP:
            self._scope.timers.ended = True
            self._bell.at(None)
            yield from self._fire_timers(self._waiting, MAX_TIMESTAMP, in_event_time=False)
        self._scope.watermark = self._backend.watermark = watermark
        yield from self._fire_timers(self._events, watermark, in_event_time=True)

    def rang(self) -> None:
        """Fire the timers that the wall clock has reached."""
        self.do(self._fire_timers(self._waiting, self._context.processing_time(), in_event_time=False))

    def _ring_at_first(self) -> None:
        if self._scope.timers.ended:
            return
        times = [self._waiting.first()] if self._in_event_time else [self._waiting.first(), self._ends.first()]
        self._bell.at(min((time for time in times if time is not None), default=None))

    def _fire_timers(self, queue: TimerQueue, until: int, *, in_event_time: bool) -> Work:
        """Take the timers that are due, and the windows that end by the same clock, in the order of their times."""
        ends = self._ends if in_event_time == self._in_event_time else None
        yield from self.portions(lambda: self._fire_next(queue, ends, until, in_event_time=in_event_time))
        self._ring_at_first()

    def _fire_next(self, queue: TimerQueue, ends: TimerQueue | None, until: int, *, in_event_time: bool) -> bool:
        """Fire the first timer that is due; return False if there is none."""
        first = queue.first()
        end = ends.first() if ends is not None else None
        if ends is not None and end is not None and (first is None or end < first):
            timer = ends.take(until)
            ending = True
        else:
            timer = queue.take(until)
            ending = False
        if timer is None:
            return False
        scope, trigger = self._scope, self._trigger
        time, key, window = timer
        assert isinstance(window, Window), "the timers of windows are in their namespaces"
        scope.key, scope.window = key, window
        self._backend.current_key = key
        if self._backend.wants_keys:
            scope.load([key])
        if window != GLOBAL and window not in self._contents.get(key, _NONE):
            return True
        if ending:
            trigger.clear(window, scope)
            scope.forget(window)
            return True
        result = trigger.on_event_time(time, window, scope) if in_event_time else trigger.on_processing_time(time, window, scope)
        if result is not TriggerResult.CONTINUE:
            self._act(result, self._stamp_of(time, in_event_time=in_event_time))
        return True

    def _stamp_of(self, time: int, *, in_event_time: bool) -> int | None:
        """Return the event time of a result of the global window that a timer made: the timer's, or the first that has not passed."""
        if in_event_time and time < GLOBAL.max_timestamp:
            return time
        return None if self._passed == MIN_TIMESTAMP else self._passed + 1

    def observe(self) -> dict[str, dict[str, object]]:
        """Return facts; see `ContentsStage`."""
        return self._facts(len(self._ends), len(self._events) + len(self._waiting))
