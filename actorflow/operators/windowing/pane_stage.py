"""Runs aggregations over regular windows by panes: what `windows.tumbling` and `windows.sliding` do with their own trigger.

A batch whose records are all in one pane, as most are, runs through one generated loop over the pane's table, from key to accumulator.
Nothing is done per record but that: whether records are late is seen once a batch, at the earliest of them. When a watermark has passed the
end of a window, its panes are merged (`pane_merging`), and what no window needs any more is dropped as a whole.

    batch ──► late? ──► pane ──► table of the pane, in the backend             watermark ──► windows that end ──► results
                │                                                                                  └──► panes dropped
                └──► side output, or counted

In processing time the wall clock takes the place of timestamps and watermark: every record is in the pane of now, and none is late.

All state is in the backend, in the namespaces of the state `panes`. How far windows have fired is the backend's `watermark`, which belongs
to a snapshot as well; a window that is giving its results gives the rest of them before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from actorflow.errors import PlanError
from actorflow.operators.compiled.codegen import loop_failure
from actorflow.operators.compiled.folding import fold_of, part_of
from actorflow.operators.failures import engine_local, entered
from actorflow.operators.place import Place
from actorflow.operators.specs import ColumnarKeyedSpec
from actorflow.operators.windowing.late_records import LateRecords
from actorflow.operators.windowing.pane_loop import generate_update
from actorflow.operators.windowing.pane_merging import KEYS_AT_ONCE, PaneMerger, portions
from actorflow.operators.windowing.panes import PaneShape
from actorflow.operators.windowing.sliced_stage import SlicedStage, Work
from actorflow.operators.windowing.window import Window, Windowed
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import TimeWindows
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, ObjectBatch

PANES: Final = "panes"
"""Name of the state."""

_FOR_EVER: Final = 1 << 80
"""The time after the last watermark: every window has ended."""

_windowed: Callable[[tuple[Any, Window, Any]], Windowed[Any, Any]] = partial(tuple.__new__, Windowed)


class PaneStage(SlicedStage):
    """One windowed aggregation.

    Args:
        place: where it stands.
        spec: windows and aggregation.
    """

    def __init__(self, place: Place, spec: WindowSpec) -> None:
        super().__init__(place)
        assert isinstance(spec.assigner, TimeWindows), "other windows have no panes"
        assert spec.fold is not None, "panes hold accumulators"
        self._shape = PaneShape.of(spec.assigner, spec.lateness_ms)
        self._in_event_time = spec.assigner.time == "event"
        self._key_of = part_of(spec.key)
        self._fold = fold_of(spec.fold)
        self._update = generate_update(place.name, spec.fold)
        if isinstance(spec.fold, ColumnarKeyedSpec):
            self._backend.replaced(PANES)
        self._merger = PaneMerger(self._fold.merge, self._entries, self._look_up)
        self._late = LateRecords(self._sides.get(spec.late_tag) if spec.late_tag is not None else None)
        self._panes: list[int] = []
        """Those that hold something, in order."""
        self._tables: dict[int, dict[Any, Any]] = {}
        self._next = 0
        """No window that starts before this has to fire any more."""
        self._kept_from = 0
        """Records before this are late."""
        self._now = MIN_TIMESTAMP
        """The latest processing time."""
        self._giving = False
        """Whether some keys of a window have their results, and others not."""

    def begin(self) -> None:
        """Take up what the backend holds."""
        self._panes = sorted(self._backend.namespaces(PANES))
        self._tables = {pane: self._backend.table(PANES, pane) for pane in self._panes}
        self._remember(self._backend.watermark)
        if self._in_event_time:
            self._reached = self._passed = self._backend.watermark
        self._now = self._backend.watermark + 1
        self._ring_at_end()

    # --- records ---------------------------------------------------------------------------------------------------------------

    def take(self, batch: ObjectBatch) -> None:
        """Add records to their panes."""
        if not self._in_event_time:
            self._now = max(self._now, self._context.processing_time())
            if not (self._shape.gaps and self._shape.in_gap(self._now)):
                self._add(self._shape.pane(self._now), batch.records)
                self._ring_at_end()
        elif batch.timestamps is None:
            raise PlanError(
                f"'{self._name}' goes by event time, and its records have none",
                hint="say what it is, before: stream.with_timestamps('time', af.Watermarks.bounded(out_of_order='10s'))",
            )
        else:
            self._take_timed(batch.records, batch.timestamps)
        self._backend.settle()

    def _take_timed(self, records: list[Any], timestamps: list[int]) -> None:
        earliest = min(timestamps)
        if earliest < self._kept_from or self._shape.gaps or (self._shape.lateness and earliest < self._fired_to):
            records, timestamps = self._sifted(records, timestamps)
            if not records:
                return
            earliest = min(timestamps)
        pane = self._shape.pane(earliest)
        if max(timestamps) < pane + self._shape.length:
            self._add(pane, records)
            return
        for pane, part in self._by_pane(records, timestamps).items():
            self._add(pane, part)

    def _by_pane(self, records: list[Any], timestamps: list[int]) -> dict[int, list[Any]]:
        """Return the records of each pane, in their order."""
        offset, step = self._shape.offset, self._shape.step
        parts: dict[int, list[Any]] = {}
        last: int | None = None
        part: list[Any] = []
        for record, timestamp in zip(records, timestamps, strict=True):
            pane = timestamp - (timestamp - offset) % step
            if pane != last:
                part = parts.setdefault(pane, [])
                last = pane
            part.append(record)
        return parts

    def _add(self, pane: int, records: list[Any]) -> None:
        table = self._tables.get(pane)
        if table is None:
            insort(self._panes, pane)
            table = self._tables[pane] = self._backend.table(PANES, pane)
        try:
            if self._backend.wants_keys:
                self._backend.load(PANES, map(self._key_of, records), pane)
            self._update.run(records, table)
        except BaseException as error:
            failure = loop_failure(error, self._update, ("", self._name), self._subtask)
            if failure is error:
                raise
            raise failure from error
        if self._key_check is not None:
            self._key_check.key(next(reversed(table)))
        self._merger.changed(pane, map(self._key_of, records))

    # --- records that are late -------------------------------------------------------------------------------------------------

    @property
    def _fired_to(self) -> int:
        """The end of the last window that has fired."""
        return self._next - self._shape.slide + self._shape.size

    def _sifted(self, records: list[Any], timestamps: list[int]) -> tuple[list[Any], list[int]]:
        """Handle the records that are late or make windows fire again; return the others that are in a window, with their timestamps."""
        shape, kept_from = self._shape, self._kept_from
        fired_to = self._fired_to if shape.lateness else MIN_TIMESTAMP
        others: tuple[list[Any], list[int]] = ([], [])
        late: tuple[list[Any], list[int]] = ([], [])
        for record, timestamp in zip(records, timestamps, strict=True):
            if shape.gaps and shape.in_gap(timestamp):
                continue
            if kept_from <= timestamp < fired_to:
                self._add(shape.pane(timestamp), [record])
                self._fire_again(self._key_of(record), timestamp)
                continue
            taken = late if timestamp < kept_from else others
            taken[0].append(record)
            taken[1].append(timestamp)
        self._late.take(*late)
        self._outputs.flush()
        return others

    def _fire_again(self, key: Any, timestamp: int) -> None:
        """Give the result of one key in each window around a time that has fired and is kept."""
        shape, main = self._shape, self._outputs.main
        first = max(shape.first_start(timestamp), self._kept_from)
        last = min(shape.last_start(timestamp), self._next - shape.slide)
        for start in range(first, last + 1, shape.slide):
            window = shape.window(start)
            try:
                found = self._merger.fresh(key, self._inside(window))
                assert found is not None, "a record of this key was just added"
                value = found[0] if self._fold.result is None else self._fold.result(found[0])
            except BaseException as error:
                self._blame(error, window)
            main.records.append(Windowed(key, window, value))
            main.stamps.append(window.max_timestamp)

    # --- time ------------------------------------------------------------------------------------------------------------------

    def due(self, watermark: int) -> bool:
        """Return whether a window ends."""
        if not self._in_event_time:
            return watermark == MAX_TIMESTAMP
        start = self._next_start()
        return start is not None and start + self._shape.size - 1 <= _end_of_time(watermark)

    def fire(self, watermark: int) -> Work:
        """Give the results of the windows that end. After the last watermark no clock will be asked: all windows end."""
        if self._in_event_time:
            yield from self._fire_panes(_end_of_time(watermark))
        elif watermark == MAX_TIMESTAMP:
            self._bell.at(None)
            yield from self._fire_panes(_FOR_EVER)

    def rang(self) -> None:
        """Give the results of the windows that the wall clock has ended."""
        self._now = max(self._now, self._context.processing_time())
        self.do(self._fire_panes(self._now - 1))

    def _ring_at_end(self) -> None:
        if not self._in_event_time:
            start = self._next_start()
            self._bell.at(None if start is None else start + self._shape.size)

    def _next_start(self) -> int | None:
        """Return the start of the first window that has not fired and holds something."""
        panes = self._panes
        place = bisect_left(panes, self._next)
        return None if place == len(panes) else max(self._next, self._shape.first_start(panes[place]))

    def _fire_panes(self, until: int) -> Work:
        """Fire the windows whose last millisecond is at or before a time, one after the other, and remember that."""
        size = self._shape.size
        while (start := self._next_start()) is not None and start + size - 1 <= until:
            window = self._shape.window(start)
            yield from self._results(window)
            self._next = start + self._shape.slide
            self._backend.watermark = window.max_timestamp
            self._drop_before(min(self._next, self._shape.kept_from(until)))
            if self._giving:
                self._giving = False
                self._outputs.flush()
                yield
        self._outputs.flush()
        self._remember(until)
        self._ring_at_end()

    def _remember(self, time: int) -> None:
        """Note that all windows have fired that have ended by a time."""
        self._backend.watermark = min(time, MAX_TIMESTAMP)
        self._next = self._shape.first_after(time)
        self._kept_from = self._shape.kept_from(time)
        self._drop_before(self._kept_from)

    def _drop_before(self, time: int) -> None:
        panes = self._panes
        gone = bisect_left(panes, time)
        for pane in panes[:gone]:
            del self._tables[pane]
            self._backend.drop(PANES, pane)
        del panes[:gone]
        if not panes:
            self._merger.clear()

    def complete(self) -> None:
        """Give the rest of a window's results: half of them, and no word of which, would not be a state to go on from."""
        while self._giving:
            next(self._work[0])

    # --- results ---------------------------------------------------------------------------------------------------------------

    def _results(self, window: Window) -> Work:
        """Emit the results of all keys, some at a time; the last ones stay in the output's buffer."""
        if self._shape.overlapping:
            entries = self._merger.window(window.start, window.end, self._panes)
        else:
            entries = portions(self._entries(window.start))
        result, stamp, main = self._fold.result, window.max_timestamp, self._outputs.main
        given = False
        while True:
            try:
                some = next(entries, None)
                if some is None:
                    return
                if result is None:
                    main.records += [_windowed((key, window, acc)) for key, acc in some]
                else:
                    for key, acc in some:
                        main.records.append(_windowed((key, window, result(acc))))
            except BaseException as error:
                self._blame(error, window)
            main.stamps += [stamp] * (len(main.records) - len(main.stamps))
            given = given or bool(some)
            if some and len(main.records) < KEYS_AT_ONCE:  # the next window's results go with these
                continue
            self._outputs.flush()
            self._giving = given
            yield

    def _inside(self, window: Window) -> list[int]:
        return self._panes[bisect_left(self._panes, window.start) : bisect_left(self._panes, window.end)]

    def _entries(self, pane: int) -> Iterable[tuple[Any, Any]]:
        return self._backend.entries(PANES, pane)

    def _look_up(self, key: Any, panes: Sequence[int]) -> Iterator[Any]:
        for pane in panes:
            if self._backend.wants_keys:
                self._backend.load(PANES, (key,), pane)
            table = self._tables[pane]
            if key in table:
                yield table[key]

    def _blame(self, error: BaseException, window: Window) -> NoReturn:
        """Report what the aggregation raised: with the key that the code was at, and the window."""
        functions = self._fold.functions.values()
        function = next((function for function in functions if entered(error, function)), None)
        self._raise(error, function, key=engine_local(error, "key"), window=window)

    # --- being looked at -------------------------------------------------------------------------------------------------------

    def observe(self) -> dict[str, dict[str, object]]:
        """Return records in and out, panes that hold something, and records that were dropped because they were late."""
        facts: dict[str, object] = {
            "records_in": self._records_in,
            "records_out": self._outputs.records_out,
            "panes": len(self._panes),
        }
        if self._in_event_time:
            facts["numLateRecordsDropped"] = self._late.dropped
        return {self._name: facts}


def _end_of_time(watermark: int) -> int:
    """Return a watermark, or if it is the last one a time that is behind all windows."""
    return _FOR_EVER if watermark == MAX_TIMESTAMP else watermark
