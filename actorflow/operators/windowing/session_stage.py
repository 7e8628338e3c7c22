"""Runs sessions that fire when they end: what `windows.session` does with its own trigger.

A record goes into the last session of its key, as most do, by a generated loop (`session_loop`): its end moves on, and nothing else
happens. A timer is set once, when a session begins, for its end as it is then; when it comes and the session has gone on, it is set anew
for the end of now. So a session of a thousand records costs two or three timers.

    record ──► last session of its key? ──► its end, its value
                    └─ no ─► placed: a new session, or several that become one, or late
    timer ──► the session has gone on? ──► a timer for its end
                    └─ no ─► result ──► kept for late records, or forgotten

The sessions of a key are a list in the order of their times, none touching another. Each is `(start, end, due, held)`: `due` is the time
of the timer that is set for it, `held` its contents. Whether it has fired follows from the watermark.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Any, Final

from actorflow.operators.compiled.codegen import loop_failure
from actorflow.operators.failures import NOTHING, engine_local
from actorflow.operators.place import Place
from actorflow.operators.windowing.contents_stage import ContentsStage
from actorflow.operators.windowing.session_loop import generate_sessions
from actorflow.operators.windowing.sliced_stage import Work
from actorflow.operators.windowing.window import Window
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import DynamicSessionWindows, SessionWindows
from actorflow.state.timers import TimerQueue
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch

SESSIONS: Final = "sessions"
"""Name of the state."""

END: Final = "end"

_start = itemgetter(0)
_end = itemgetter(1)

Session = tuple[int, int, int, Any]


class SessionStage(ContentsStage):
    """One operator on sessions.

    Args:
        place: where it stands.
        spec: what it does.
    """

    def __init__(self, place: Place, spec: WindowSpec) -> None:
        super().__init__(place, spec)
        assert isinstance(spec.assigner, SessionWindows | DynamicSessionWindows), "other windows are no sessions"
        self._gap = spec.assigner.gap_after
        self._loop = generate_sessions(place.name, spec.key, spec.fold, spec.assigner)
        self._last = 1 if self._in_event_time else 0
        """How much before its end a session is over: in event time at its last millisecond."""
        self._table: dict[Any, list[Session]] = {}
        self._timers: TimerQueue = self._backend.timers(END)
        self._watermark = MIN_TIMESTAMP
        """The latest; in processing time there is none."""
        self._tardy: tuple[list[Any], list[int]] = ([], [])

    def begin(self) -> None:
        """Take up what the backend holds."""
        self._table = self._backend.table(SESSIONS)
        self._timers = self._backend.timers(END)
        self._scope.watermark = self._reached = self._passed = self._backend.watermark
        self._watermark = self._backend.watermark if self._in_event_time else MIN_TIMESTAMP
        self._ring_at_first()

    # --- records ---------------------------------------------------------------------------------------------------------------

    def take(self, batch: ObjectBatch) -> None:
        """Add records to the sessions of their keys."""
        times = self._times(batch)
        try:
            if self._backend.wants_keys:
                self._backend.load(SESSIONS, list(map(self._key_of, batch.records)))
            self._loop.run(batch.records, times, self._table, self._place, self._watermark + self._last)
        except BaseException as error:
            record = engine_local(error, "record")
            if record is not NOTHING:
                self._blame(error, record)
            failure = loop_failure(error, self._loop, ("", self._name), self._subtask)
            if failure is error:
                raise
            raise failure from error
        else:
            if self._key_check is not None and self._table:
                self._key_check.key(next(reversed(self._table)))
        finally:
            self._leave()
        self._outputs.flush()
        late, self._tardy = self._tardy, ([], [])
        self._late.take(*late)
        self._ring_at_first()

    def _place(self, key: Any, record: Any, time: int) -> None:
        """Put a record where it belongs: it may begin a session, make several one, or be late."""
        start, end = time, time + self._gap(record)
        sessions = self._table.get(key)
        first, behind = 0, 0
        if sessions is not None:
            first = bisect_left(sessions, start, key=_end)
            behind = bisect_right(sessions, end, key=_start)
        if sessions is None or first == behind:
            self._begin_session(key, record, start, end, first)
            return
        touched = sessions[first:behind]
        start, end = min(start, touched[0][0]), max(end, touched[-1][1])
        window = Window(start, end)
        held = touched[0][3]
        for _, _, _, other in touched[1:]:
            held = self._ways.merge(held, other)
        held = self._ways.add(held, record, time)
        due, over = min(due for _, _, due, _ in touched), end - self._last
        if self._watermark < over < due:
            due = over
            self._timers.set(due, key)
        sessions[first:behind] = [(start, end, due, held)]
        if over <= self._watermark:
            self._give(key, window, held)

    def _begin_session(self, key: Any, record: Any, start: int, end: int, place: int) -> None:
        """Make a session of one record, unless it is late."""
        over = end - self._last
        if over + self._lateness <= self._watermark:
            self._tardy[0].append(record)
            self._tardy[1].append(start)
            return
        held = self._ways.first(record, start)
        ended = over <= self._watermark
        due = over + self._lateness if ended else over
        self._table.setdefault(key, []).insert(place, (start, end, due, held))
        self._timers.set(due, key)
        if ended:
            self._give(key, Window(start, end), held)

    def _give(self, key: Any, window: Window, held: Any) -> None:
        """Give the result of a session."""
        content = self._ways.content(held, window)
        assert content is not None, "without an evictor nothing is left out"
        self._emit(key, window, content.value, None)

    # --- time ------------------------------------------------------------------------------------------------------------------

    def due(self, watermark: int) -> bool:
        """Return whether a timer fires."""
        if not self._in_event_time:
            return watermark == MAX_TIMESTAMP
        first = self._timers.first()
        return first is not None and first <= watermark

    def fire(self, watermark: int) -> Work:
        """End the sessions that are over. After the last watermark no clock will be asked: all are over."""
        self._scope.watermark = self._backend.watermark = watermark
        if self._in_event_time:
            self._watermark = watermark
            yield from self.portions(lambda: self._fire_next(watermark))
        elif watermark == MAX_TIMESTAMP:
            yield from self.portions(lambda: self._fire_next(MAX_TIMESTAMP))
            self._bell.at(None)

    def rang(self) -> None:
        """End the sessions that are over by the wall clock."""
        now = self._context.processing_time()
        self.do(self._ring_out(now))

    def _ring_out(self, now: int) -> Work:
        yield from self.portions(lambda: self._fire_next(now))
        self._ring_at_first()

    def _ring_at_first(self) -> None:
        if not self._in_event_time:
            self._bell.at(self._timers.first())

    def _fire_next(self, until: int) -> bool:
        """Take the first timer that is due; return False if there is none."""
        timer = self._timers.take(until)
        if timer is None:
            return False
        time, key, _ = timer
        if self._backend.wants_keys:
            self._backend.load(SESSIONS, [key])
        sessions = self._table.get(key)
        if sessions is None:
            return True
        # A session's timer is set for a time in it, or so much later as it is kept.
        for inside in dict.fromkeys((time - self._lateness, time)):
            place = bisect_left(sessions, inside + self._last, key=_end)
            if place < len(sessions) and sessions[place][2] == time:
                self._settle(key, sessions, place, time)
        if not sessions:
            del self._table[key]
        return True

    def _settle(self, key: Any, sessions: list[Session], place: int, time: int) -> None:
        """Do what a session is due for: give its result, wait on, or forget it."""
        start, end, _, held = sessions[place]
        over = end - self._last
        if over == time:
            self._give(key, Window(start, end), held)
        forgotten = over + self._lateness
        if forgotten <= time:
            del sessions[place]
            return
        due = over if over > time else forgotten
        sessions[place] = (start, end, due, held)
        self._timers.set(due, key)

    def observe(self) -> dict[str, dict[str, object]]:
        """Return facts; see `ContentsStage`. Each session waits for one time."""
        return self._facts(len(self._timers), 0)
