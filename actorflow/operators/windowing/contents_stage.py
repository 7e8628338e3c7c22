"""What window operators share that keep the contents of windows by key: what they take, give, and report.

`window_stage` does everything, `session_stage` does sessions that fire when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from types import GeneratorType
from typing import Any, Final, NoReturn

from actorflow.errors import PlanError
from actorflow.operators.compiled.folding import fold_of, part_of
from actorflow.operators.failures import NOTHING, engine_local
from actorflow.operators.place import Place
from actorflow.operators.windowing.late_records import LateRecords
from actorflow.operators.windowing.sliced_stage import SlicedStage, Work
from actorflow.operators.windowing.window import GLOBAL, Window, Windowed
from actorflow.operators.windowing.window_contents import Contents, ElementContents, FoldedContents, RecordContents
from actorflow.operators.windowing.window_scope import WindowScope
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.state.backend import NO_KEY
from actorflow.wire.batch import ObjectBatch

_TIMERS_AT_ONCE: Final = 64


class ContentsStage(SlicedStage):
    """A window operator.

    Args:
        place: where it stands.
        spec: what it does.
    """

    def __init__(self, place: Place, spec: WindowSpec) -> None:
        super().__init__(place)
        self._in_event_time = spec.assigner.time == "event"
        self._needs_timestamps = spec.assigner.needs_timestamps
        self._lateness = spec.lateness_ms
        self._key_of = part_of(spec.key)
        self._function = spec.function
        self._ways = contents_of(spec)
        self._late = LateRecords(self._sides.get(spec.late_tag) if spec.late_tag is not None else None)
        self._scope = WindowScope(
            self._backend,
            place.context.processing_time,
            self._outputs.sides,
            in_processing_time=not self._in_event_time,
            merging=spec.assigner.merging,
        )

    def _times(self, batch: ObjectBatch) -> Iterable[Any]:
        """Return the times that windows are assigned by."""
        if not self._in_event_time:
            return repeat(self._context.processing_time(), len(batch))
        if batch.timestamps is not None:
            return batch.timestamps
        if self._needs_timestamps:
            raise PlanError(
                f"'{self._name}' goes by event time, and its records have none",
                hint="say what it is, before: stream.with_timestamps('time', af.Watermarks.bounded(out_of_order='10s'))",
            )
        return repeat(None, len(batch))

    def _emit(self, key: Any, window: Window, value: Any, stamp: int | None) -> None:
        """Give the result of a window, or what the function makes of it.

        Args:
            key: whose window.
            window: which.
            value: its aggregate, or its records.
            stamp: event time of results of the global window; all others have that of their window.
        """
        main = self._outputs.main
        if window != GLOBAL:
            stamp = window[1] - 1
        values: Iterable[Any] = (value,)
        if self._function is not None:
            scope = self._scope
            scope.key, scope.window, scope.stamp = key, window, stamp
            self._backend.current_key = key
            made = self._function(key, window, value, scope)
            values = made if type(made) is GeneratorType else (made,)
        for result in values:
            main.records.append(Windowed(key, window, result))
            if stamp is not None:
                main.stamps.append(stamp)

    def portions(self, fire_next: Callable[[], bool]) -> Work:
        """Fire timers, some at a time, and pass on what they bring.

        Args:
            fire_next: fires one; returns False if none is due.
        """
        more = True
        while more:
            try:
                more = all(fire_next() for _ in range(_TIMERS_AT_ONCE))
            except BaseException as error:
                self._blame(error)
            finally:
                self._leave()
            self._outputs.flush()
            yield

    def _leave(self) -> None:
        """Note that no key is being worked on."""
        self._backend.current_key = NO_KEY
        self._backend.settle()

    def _blame(self, error: BaseException, record: Any = NOTHING) -> NoReturn:
        """Report what user code raised, with record, and with the key and window that the code was at."""
        self._raise(error, None, record=record, key=engine_local(error, "key"), window=engine_local(error, "window"))

    def _facts(self, windows: int, timers: int) -> dict[str, dict[str, object]]:
        """Return records in and out, windows that have not ended, timers of triggers, and records that were dropped because they were late."""
        facts: dict[str, object] = {
            "records_in": self._records_in,
            "records_out": self._outputs.records_out,
            "windows": windows,
            "timers": timers,
        }
        if self._in_event_time:
            facts["numLateRecordsDropped"] = self._late.dropped
        return {self._name: facts}


def contents_of(spec: WindowSpec) -> Contents:
    """Return how a window's contents are kept."""
    evictor = spec.evictor or spec.assigner.default_evictor()
    fold = fold_of(spec.fold) if spec.fold is not None else None
    if evictor is not None:
        return ElementContents(evictor, fold)
    return RecordContents() if fold is None else FoldedContents(fold)
