"""The pool: daemon threads for work that blocks, and the dispatcher of actors that block.

The standard library's executor is not used because its threads keep a process alive until the last blocking call returns.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from actorflow.actor.dispatcher import Dispatcher, Runnable, log_fault, run_logged
from actorflow.actor.timers import TimerKey, TimerTarget

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell


class Pool:
    """Daemon threads that run functions. Threads are made when work finds none idle, up to a limit.

    Args:
        name: prefix of the thread names.
        threads_max: most threads at a time; more work waits its turn.
    """

    def __init__(self, name: str, threads_max: int = 16) -> None:
        self._name = name
        self._threads_max = threads_max
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._excess = 0  # functions submitted and not finished, less the threads there are
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` on some thread of the pool. After `close` it is dropped."""
        with self._lock:
            if self._closed:
                return
            self._work.put(function)
            self._excess += 1
            if self._excess > 0 and len(self._threads) < self._threads_max:
                self._excess -= 1
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Take no more work, and let the threads end when they have done what they have."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _thread in self._threads:
                    self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """After `close`, wait for the threads to end, at most `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        for thread in tuple(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (function := self._work.get()) is not None:
            run_logged(function)
            with self._lock:
                self._excess -= 1


class PoolDispatcher:
    """Runs each of its cells on some thread of the pool, on one at a time.

    Timers are kept by the system's default dispatcher, which tells the cell like anyone else.
    """

    def __init__(self, pool: Pool, timers: Dispatcher) -> None:
        self.sleeping = False
        self._pool = pool
        self._timers = timers
        self._lock = threading.Lock()
        self._again: dict[Runnable, bool] = {}
        self._threads: dict[Runnable, int] = {}

    @property
    def ready(self) -> PoolDispatcher:
        """Itself: a cell that has mail goes straight to the pool."""
        return self

    def append(self, item: Runnable, /) -> None:
        """Give `item` a turn on a thread of the pool; if it has one just now, another one after it."""
        with self._lock:
            if item in self._again:
                self._again[item] = True
                return
            self._again[item] = False
        self._pool.submit(lambda: self._run(item))

    def __len__(self) -> int:
        return len(self._again)

    def wake(self) -> None:
        """Nothing sleeps here."""

    def runs_here(self, cell: Cell) -> bool:
        """Return whether `cell` has its turn on the calling thread."""
        return self._threads.get(cell) == threading.get_ident()  # type: ignore[call-overload,no-any-return]  # only cells are keys

    def drive(self, until: Callable[[], bool], timeout_s: float | None) -> None:
        """The pool needs nobody to drive it."""

    def submit(self, function: Callable[[], None]) -> None:
        """See `Dispatcher.submit`."""
        self._pool.submit(function)

    def next_ticket(self) -> int:
        """See `Dispatcher.next_ticket`."""
        return self._timers.next_ticket()

    def add_timer(self, at: float, ticket: int, target: TimerTarget, key: TimerKey) -> None:
        """See `ThreadDispatcher.add_timer`."""
        self._timers.add_timer(at, ticket, target, key)

    def forget_timer(self) -> None:
        """See `ThreadDispatcher.forget_timer`."""
        self._timers.forget_timer()

    def _run(self, item: Runnable) -> None:
        self._threads[item] = threading.get_ident()
        try:
            item.turn()
        except BaseException as error:
            log_fault(item, error)
        del self._threads[item]
        with self._lock:
            again = self._again.pop(item)
        if again:
            self.append(item)
