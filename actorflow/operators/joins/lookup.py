"""Looks records up by key in something that answers slowly: a service, a database. For `map_async`, which calls it for each record.

What was found is remembered, nothing found as well: the keys used last, each for a limited time. While a key is being looked up, others with the
same key wait for that answer. A look-up that fails is not remembered, and fails for all who wait.

All of it happens on the worker's event loop; subtasks of one worker process may share the memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any


class CachedLookup:
    """A coroutine function from a record to `(record, what was found for its key)`.

    Args:
        look_up: `await look_up(key)` is what is found, or None.
        key: gives the key of a record; it can be hashed.
        cache_size: how many keys are remembered; 0: none.
        cache_ttl_s: for how long, in seconds; None: for ever.
    """

    def __init__(
        self, look_up: Callable[[Any], Awaitable[Any]], key: Callable[[Any], Any], cache_size: int, cache_ttl_s: float | None
    ) -> None:
        self.look_up = look_up
        self.key = key
        self._size = cache_size
        self._ttl_s = cache_ttl_s
        self._found: OrderedDict[Any, tuple[Any, float]] = OrderedDict()
        self._pending: dict[Any, asyncio.Task[Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without what was found: it belongs to a process."""
        return CachedLookup, (self.look_up, self.key, self._size, self._ttl_s)

    async def __call__(self, record: Any) -> tuple[Any, Any]:
        """Look a record up."""
        key = self.key(record)
        now = asyncio.get_running_loop().time()
        known = self._found.get(key)
        if known is not None:
            value, at = known
            if self._ttl_s is None or now - at < self._ttl_s:
                self._found.move_to_end(key)
                return record, value
            del self._found[key]
        return record, await self._ask(key)

    async def _ask(self, key: Any) -> Any:
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.ensure_future(self._look_up(key))
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)  # who gives up does not take the answer from others

    async def _look_up(self, key: Any) -> Any:
        return await self.look_up(key)

    def _answered(self, key: Any, task: asyncio.Task[Any]) -> None:
        del self._pending[key]
        if task.cancelled() or task.exception() is not None or not self._size:
            return
        self._found[key] = task.result(), asyncio.get_running_loop().time()
        if len(self._found) > self._size:
            self._found.popitem(last=False)


def was_found(pair: tuple[Any, Any]) -> bool:
    """Return whether a look-up has found something: what inner joins keep."""
    return pair[1] is not None
