"""The line in which the keys of all tables of a backend stand that are in memory: the first that came is the first that leaves.

When there are more than the backend's share of memory holds, as many as are too many are written together, and let go.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from actorflow.state.rocksdb.store import Changes, Store

if TYPE_CHECKING:
    from actorflow.state.rocksdb.cached_table import CachedTable
    from actorflow.state.rocksdb.memory import ObjectShare

_KEYS_TOGETHER_MAX: Final = 256
"""Keys that came one by one, and leave together."""

Keys = list[Any]


class KeyLine:
    """See the module's text.

    Args:
        store: what they are written to.
        share: how much memory there is.
    """

    def __init__(self, store: Store, share: ObjectShare) -> None:
        self._store = store
        self._share = share
        self._line: deque[tuple[CachedTable, Keys]] = deque()
        self._open_keys: Keys = []
        self._count = 0

    def arrived(self, table: CachedTable, key: Any) -> None:
        """Note that a key has come into memory."""
        last = self._line[-1] if self._line else None
        if last is not None and last[0] is table and last[1] is self._open_keys and len(last[1]) < _KEYS_TOGETHER_MAX:
            last[1].append(key)
        else:
            self._open_keys = [key]
            self._line.append((table, self._open_keys))
        self._count += 1

    def arrived_all(self, table: CachedTable, keys: Keys) -> None:
        """Note that several keys have; the list is not changed after it."""
        if keys:
            self._line.append((table, keys))
            self._count += len(keys)

    def shorten(self) -> None:
        """Write the oldest, if there are too many, and let them go."""
        excess = self._share.excess(self._line, self._count)
        if excess <= 0:
            return
        changes = Changes(self._store)
        while excess > 0 and self._line:
            table, keys = self._line.popleft()
            self._count -= len(keys)
            excess -= len(keys)
            table.evict(keys, changes)
        changes.commit()

    def clear(self) -> None:
        """Forget all keys."""
        self._line.clear()
        self._count = 0

    def leave(self) -> None:
        """Give the share of memory back."""
        self._share.leave()
