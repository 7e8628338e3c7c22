"""Timers of which only the next ones are in memory. A `TimerQueue`.

    next        in memory: all timers before `border`
    changes     set or deleted behind the border, and not written yet
    rows        in the store, behind the border, in the order of their times

When no timer is next any more, the first rows move into memory; when too many are, the later half moves to the rows. Timers of one time come
out in an order that depends on nothing but what was set and taken.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from actorflow.state.rocksdb.cached_table import CachedTable
from actorflow.state.rocksdb.layout import timer_row, timer_value, timers_in
from actorflow.state.rocksdb.store import Changes, Family, Store
from actorflow.state.timers import HeapTimers, Timer, Triples

_TIMERS_MAX: Final = 32_768
"""Timers in memory, and changes that wait to be written."""

_KEYS_AHEAD: Final = 256
"""Whose values are read together."""

_START: Final = b""


class RocksDBTimers:
    """Timers of one name.

    Args:
        store: where the rows are.
        family: of the rows.
        groups: what stands for each key group.
        used: tables that timers ask for the values of their keys, probably.
        timers_max: how many may be in memory; as many changes may wait.

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
        self._changes: dict[bytes, Timer | None] = {}
        self._rows = 0
        self._fetched = 0  # so many timers ahead, the values of their keys are in memory

    # --- a timer at a time -----------------------------------------------------------------------------------------------------

    def set(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Set a timer."""
        if self._changed is not None:
            self._changed.add((timestamp, key, namespace))
        if self._border is None or timestamp < self._border_time:
            self._next.set(timestamp, key, namespace)
        else:
            self._set_behind(Timer(timestamp, key, namespace))
        if len(self._next) > self._timers_max:
            self._spill()

    def _set_behind(self, timer: Timer) -> None:
        row = timer_row(timer, self._groups)
        assert self._border is not None, "there are rows"
        if row < self._border:
            self._next.set(*timer)
            return
        self._changes[row] = timer
        if len(self._changes) > self._timers_max:
            self._write()

    def delete(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Forget a timer."""
        if self._changed is not None:
            self._changed.add((timestamp, key, namespace))
        if self._border is not None and timestamp >= self._border_time:
            row = timer_row(Timer(timestamp, key, namespace), self._groups)
            if row >= self._border:
                self._changes[row] = None
                if len(self._changes) > self._timers_max:
                    self._write()
                return
        self._next.delete(timestamp, key, namespace)

    def take(self, until: int) -> Timer | None:
        """Remove and return the first timer that is due."""
        if not len(self._next):
            self._refill()
        if not self._fetched:
            self._fetch(until)
        timer = self._next.take(until)
        if timer is not None:
            self._fetched -= 1
            if self._changed is not None:
                self._changed.add(tuple(timer))
        return timer

    def _fetch(self, until: int) -> None:
        """Bring the values of the keys whose timers come next."""
        keys = self._next.coming(_KEYS_AHEAD, until)
        self._fetched = len(keys)
        for table in self._used:
            table.bring(keys)

    def first(self) -> int | None:
        """Return the timestamp of the first timer."""
        if not len(self._next):
            self._refill()
        return self._next.first()

    def __len__(self) -> int:
        self._write()
        return len(self._next) + self._rows

    def __iter__(self) -> Iterator[Timer]:
        self._write()
        yield from self._next
        yield from timers_in(self._family.scan(self._border or _START))

    # --- for incremental snapshots -----------------------------------------------------------------------------------------------

    def changed(self) -> Triples:
        """Return the timers that were set or taken away since the last call, and note them from now on."""
        changed = self._changed or Triples()
        self._changed = Triples()
        return changed

    def holds(self, timestamp: int, key: Any, namespace: Hashable) -> bool:
        """Return whether a timer is set."""
        if self._border is not None and timestamp >= self._border_time:
            row = timer_row(Timer(timestamp, key, namespace), self._groups)
            if row >= self._border:
                return self._changes[row] is not None if row in self._changes else self._family.get(row) is not None
        return self._next.holds(timestamp, key, namespace)

    def triples(self) -> Iterator[tuple[int, Any, Hashable]]:
        """Give all timers as plain tuples."""
        return map(tuple, self)

    # --- between memory and store ----------------------------------------------------------------------------------------------

    def _spill(self) -> None:
        """Move the later half of what is in memory behind the border."""
        ordered = sorted((timer_row(timer, self._groups), timer) for timer in self._next)
        kept = len(ordered) // 2
        self._next = HeapTimers(timer for _, timer in ordered[:kept])
        self._set_border(ordered[kept][0], ordered[kept][1].timestamp)
        changes = Changes(self.store)
        rows = ordered[kept:]
        changes.put(self._family, [row for row, _ in rows], [timer_value(timer) for _, timer in rows])
        changes.commit()
        self._rows += len(rows)

    def _write(self) -> None:
        """Write what has changed behind the border."""
        if not self._changes:
            return
        rows = sorted(self._changes)
        there = {row for row, value in zip(rows, self._family.get_many(rows), strict=True) if value is not None}
        new = [row for row in rows if self._changes[row] is not None and row not in there]
        old = [row for row in rows if self._changes[row] is None and row in there]
        changes = Changes(self.store)
        changes.put(self._family, new, [timer_value(timer) for row in new if (timer := self._changes[row]) is not None])
        changes.delete(self._family, old)
        changes.commit()
        self._rows += len(new) - len(old)
        self._changes.clear()

    def _refill(self) -> None:
        """Move the first rows into memory."""
        if self._border is None:
            return
        self._write()
        found = list(islice(self._family.scan(self._border), self._timers_max // 2 + 1))
        if not found:
            self._border = None
            return
        taken = found[: self._timers_max // 2]
        self._next = HeapTimers(timers_in(taken))
        changes = Changes(self.store)
        changes.delete_range(self._family, self._border, taken[-1][0] + b"\0")
        changes.commit()
        self._rows -= len(taken)
        if len(found) > len(taken):
            self._set_border(found[-1][0], next(timers_in(found[-1:])).timestamp)
        else:
            self._border = None

    def _set_border(self, row: bytes, timestamp: int) -> None:
        self._border = row
        self._border_time = timestamp
