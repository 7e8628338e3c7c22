"""Timers of which only the next ones are in memory. A `TimerQueue`.

    next        in memory: all timers before `border`
    changes     set or deleted behind the border, and not written yet
    unplaced    set or deleted at the border's own time: before it or behind it
    rows        in the store, behind the border, in the order of their times

When no timer is next any more, the first rows move into memory; when too many are, the later half moves to the rows. Rows are made and read many at
once, so what is unplaced gets its place when somebody asks, or the border moves. Timers of one time come out in an order that depends on nothing
but what was set and taken.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from actorflow.state.rocksdb.cached_table import CachedTable
from actorflow.state.rocksdb.layout import timer_rows, timer_values, timers_in
from actorflow.state.rocksdb.store import Changes, Family, Store
from actorflow.state.timers import HeapTimers, Timer, Triple, Triples

_TIMERS_MAX: Final = 32_768
"""Timers in memory."""

_CHANGES_MAX: Final = 8192
"""Changes that wait to be written, which takes about 20 ms; messages wait meanwhile."""

_REFILL_MAX: Final = 4096
"""Rows that become timers at once, which takes about 10 ms; messages wait meanwhile."""

_KEYS_AHEAD: Final = 1024
"""Whose values are read together."""

_ROWS_AT_ONCE: Final = 1024
"""Rows that become timers together where all are looked at."""

_START: Final = b""


class RocksDBTimers:
    """Timers of one name.

    Args:
        store: where the rows are.
        family: of the rows.
        groups: what stands for each key group.
        used: tables that timers ask for the values of their keys, probably.
        timers_max: how many may be in memory; as many changes may wait, if they are not too many to be written at once.

    Attributes:
        store: where the rows are.
    """

    def __init__(
        self,
        store: Store,
        family: Family,
        groups: Sequence[bytes],
        used: Sequence[CachedTable] = (),
        timers_max: int = _TIMERS_MAX,
    ) -> None:
        self.store = store
        self._family = family
        self._groups = groups
        self._used = used
        self._timers_max = timers_max
        self._changed: Triples | None = None
        self.forget()

    def forget(self) -> None:
        """Be empty: the rows are gone."""
        self._next = HeapTimers()
        self._border: bytes | None = None  # of rows: those from here on are not in memory; None: all timers are
        self._border_time = 0
        self._changes: dict[Triple, bool] = {}  # whether it is set
        self._unplaced: dict[Triple, bool] = {}
        self._rows = 0
        self._fetched = 0  # so many timers ahead, the values of their keys are in memory

    # --- a timer at a time -----------------------------------------------------------------------------------------------------

    def set(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Set a timer."""
        if self._changed is not None:
            self._changed.add((timestamp, key, namespace))
        if self._border is None or timestamp < self._border_time:
            self._next.set(timestamp, key, namespace)
            if len(self._next) > self._timers_max:
                self._spill()
        else:
            self._change((timestamp, key, namespace), there=True)

    def delete(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Forget a timer."""
        if self._changed is not None:
            self._changed.add((timestamp, key, namespace))
        if self._border is None or timestamp < self._border_time:
            self._next.delete(timestamp, key, namespace)
        else:
            self._change((timestamp, key, namespace), there=False)

    def _change(self, timer: Triple, *, there: bool) -> None:
        changes = self._unplaced if timer[0] == self._border_time else self._changes
        if changes.get(timer) is not there:
            changes.pop(timer, None)  # those that go before the border go there in the order of what was done last
            changes[timer] = there
        if len(self._changes) + len(self._unplaced) > min(self._timers_max, _CHANGES_MAX):
            self._write()

    def _place(self) -> None:
        """Find out what belongs before the border."""
        unplaced, self._unplaced = self._unplaced, {}
        assert self._border is not None, "there are rows"
        for (timer, there), row in zip(unplaced.items(), timer_rows(list(unplaced), self._groups), strict=True):
            if row >= self._border:
                self._changes[timer] = there
            elif there:
                self._next.set(*timer)
            else:
                self._next.delete(*timer)
        if len(self._next) > self._timers_max:
            self._spill()

    def take(self, until: int) -> Timer | None:
        """Remove and return the first timer that is due."""
        timer = self._next.take(until) if self._fetched > 0 and not self._unplaced else None
        if timer is None:
            self._prepare(until)
            timer = self._next.take(until)
            if timer is None:
                return None
        self._fetched -= 1
        if self._changed is not None:
            self._changed.add(tuple(timer))
        return timer

    def _prepare(self, until: int) -> None:
        """Have the next timers in memory, and the values of their keys."""
        if self._unplaced:
            self._place()
        if not len(self._next):
            self._refill()
        self._fetch(until)

    def _fetch(self, until: int) -> None:
        """Bring the values of the keys whose timers come next."""
        keys = self._next.coming(_KEYS_AHEAD, until)
        self._fetched = len(keys)
        for table in self._used:
            table.bring(keys)

    def first(self) -> int | None:
        """Return the timestamp of the first timer."""
        if self._unplaced:
            self._place()
        if not len(self._next):
            self._refill()
        return self._next.first()

    def __len__(self) -> int:
        self._write()
        return len(self._next) + self._rows

    def __iter__(self) -> Iterator[Timer]:
        self._write()
        yield from self._next
        rows = self._family.scan(self._border or _START)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            for timestamp, entries in timers_in(some):
                for key, namespace in entries:
                    yield Timer(timestamp, key, namespace)

    # --- for incremental snapshots -----------------------------------------------------------------------------------------------

    def changed(self) -> Triples:
        """Return the timers that were set or taken away since the last call, and note them from now on."""
        changed = self._changed or Triples()
        self._changed = Triples()
        return changed

    def holds(self, timestamp: int, key: Any, namespace: Hashable) -> bool:
        """Return whether a timer is set."""
        if self._border is not None and timestamp >= self._border_time:
            timer = (timestamp, key, namespace)
            for changes in (self._unplaced, self._changes):
                if timer in changes:
                    return changes[timer]
            (row,) = timer_rows([timer], self._groups)
            if row >= self._border:
                return self._family.get(row) is not None
        return self._next.holds(timestamp, key, namespace)

    def triples(self) -> Iterator[tuple[int, Any, Hashable]]:
        """Give all timers as plain tuples."""
        return map(tuple, self)

    # --- between memory and store ----------------------------------------------------------------------------------------------

    def _spill(self) -> None:
        """Move the later half of what is in memory behind the border, if it is too much."""
        if self._unplaced:
            self._place()
        if len(self._next) <= self._timers_max:
            return
        timers = list(self._next)
        ordered = sorted(zip(timer_rows(timers, self._groups), timers, strict=True))
        kept = len(ordered) // 2
        self._next = HeapTimers(timer for _, timer in ordered[:kept])
        later = ordered[kept:]
        changes = Changes(self.store)
        changes.put(self._family, [row for row, _ in later], timer_values([timer for _, timer in later]))
        changes.commit()
        self._rows += len(later)
        self._border, self._border_time = later[0][0], later[0][1].timestamp

    def _write(self) -> None:
        """Write what has changed behind the border."""
        if self._unplaced:
            self._place()
        if not self._changes:
            return
        timers = list(self._changes)
        ordered = dict(sorted(zip(timer_rows(timers, self._groups), timers, strict=True)))
        there = [value is not None for value in self._family.get_many(list(ordered))]
        wanted = [self._changes[timer] for timer in ordered.values()]
        new = [item for item, is_there, is_set in zip(ordered.items(), there, wanted, strict=True) if is_set and not is_there]
        old = [row for row, is_there, is_set in zip(ordered, there, wanted, strict=True) if is_there and not is_set]
        changes = Changes(self.store)
        changes.put(self._family, [row for row, _ in new], timer_values([timer for _, timer in new]))
        changes.delete(self._family, old)
        changes.commit()
        self._rows += len(new) - len(old)
        self._changes.clear()

    def _refill(self) -> None:
        """Move the first rows into memory."""
        if self._border is None:
            return
        self._write()
        count = min(self._timers_max // 2, _REFILL_MAX)
        found = list(islice(self._family.scan(self._border), count + 1))
        if not found:
            self._border = None
            return
        taken = found[:count]
        self._next = HeapTimers()
        for timestamp, entries in timers_in(taken):
            self._next.set_all(timestamp, entries)
        changes = Changes(self.store)
        changes.delete_range(self._family, self._border, taken[-1][0] + b"\0")
        changes.commit()
        self._rows -= len(taken)
        self._border = None
        for timestamp, _ in timers_in(found[len(taken) :]):
            self._border, self._border_time = found[-1][0], timestamp
