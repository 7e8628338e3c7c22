"""Finds what has expired in a state of which most is on disk: passes over all its values, a few after every batch.

A pass begins when the oldest value may have expired, and finds how old the oldest of those is that it leaves. So there are none
while there is nothing to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from actorflow.state.binding import KeyedState
from actorflow.state.comparing import MISSING
from actorflow.state.descriptors import ListState, MapState
from actorflow.state.rocksdb.cached_table import CachedTable
from actorflow.state.rocksdb.values import oldest_use
from actorflow.state.ttl import Ages, Ttl
from actorflow.wire.batch import MIN_TIMESTAMP


class ExpiryPasses:
    """What may expire of one state. A `ttl.Uses`.

    Args:
        descriptor: the state.
        table: its values.
        clock: returns now, in ms.
        horizon: returns the time (ms) before which nothing comes any more.

    Attributes:
        ages: the state's clock and rule.
    """

    def __init__(
        self, descriptor: KeyedState, ttl: Ttl, table: CachedTable, clock: Callable[[], int], horizon: Callable[[], int]
    ) -> None:
        self.ages = Ages(ttl, clock, horizon, self)
        self._elements = isinstance(descriptor, ListState)
        self._entries = isinstance(descriptor, MapState)
        self._table = table
        self._oldest: int | None = None
        self._pass: Iterator[None] | None = None

    def used(self, entry: Any, at: int) -> None:  # noqa: ARG002 - the pass looks at all entries
        """Note a use."""
        if self._oldest is None or at < self._oldest:
            self._oldest = at

    def forget(self) -> None:
        """Begin anew: all values are gone."""
        self._oldest = self._pass = None

    def find_oldest(self) -> None:
        """Begin anew: there may be other values than those whose use was noted."""
        self._oldest, self._pass = MIN_TIMESTAMP, None

    def clean(self, looks: int) -> None:
        """Look at some values, if any may have expired."""
        if self._pass is None:
            if self._oldest is None or not self.ages.expired(self._oldest, self.ages.horizon()):
                return
            self._oldest = None
            self._pass = self._over_all()
        for _ in range(looks):
            if next(self._pass, self) is self:
                self._pass = None
                return

    def _over_all(self) -> Iterator[None]:
        for key in list(self._table.entries):
            held = self._table.entries.get(key, MISSING)
            if held is not MISSING:
                self._look(key, self._age_of(held))
            yield
        for key, encoded in self._table.stored():
            if key not in self._table.entries:
                self._look(key, oldest_use(encoded))
            yield

    def _age_of(self, held: Any) -> int:
        elements = held.values() if self._entries else held if self._elements else (held,)
        return min(int(last_use) for _, last_use in elements)

    def _look(self, key: Any, oldest: int) -> None:
        now = self.ages.horizon()
        if not self.ages.expired(oldest, now):
            self.used(None, oldest)
        elif self._entries:
            held = self._table.get(key)
            self._keep(key, {entry: value for entry, value in held.items() if not self.ages.expired(value[1], now)})
        elif self._elements:
            self._keep(key, [value for value in self._table.get(key) if not self.ages.expired(value[1], now)])
        else:
            self._table.remove(key)

    def _keep(self, key: Any, alive: Any) -> None:
        if alive:
            self._table.put(key, alive)
            self.used(None, self._age_of(alive))
        else:
            self._table.remove(key)
