"""Dispatchers: the loops that run actors. One thread runs many actors, a turn at a time, and waits only when none is ready.

No wake-up is lost, and nobody locks. This rests on the GIL making each step below atomic and visible in program order:

- *An actor with mail is in `ready`.* A sender appends to the mailbox, then looks at `scheduled`, and enqueues the cell if it is not
  set. A turn ends by clearing `scheduled`, then looks into the mailbox, and enqueues the cell if there is mail. Whichever of the
  two second steps comes last sees what the other side wrote first, so one of them enqueues. Both may: a second turn on an
  empty mailbox does nothing.
- *A dispatcher with ready cells is awake.* A sender enqueues, then looks at `sleeping`, and wakes the dispatcher if it is set. The
  dispatcher sets `sleeping`, then looks into `ready`, and waits only if it is empty. By the same argument either the dispatcher
  sees the cell, or the sender sees `sleeping`. A wake-up persists in the `Io` until the next poll, so it cannot come too early.

While it is busy, the dispatcher looks at timers and polls its `Io` once a slice (about a millisecond). A turn that takes longer than a
slice halves the number of messages that actor may handle in a turn, so that slow messages cannot starve timers and sockets.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from actorflow.actor.timers import TimerKey, Timers, TimerTarget
from actorflow.errors import ActorflowError

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell
    from actorflow.actor.io import Io
    from actorflow.clock import Clock

logger = logging.getLogger("actorflow.actor")

SLICE_S = 0.001
_WAIT_MAX_S = 3600.0
"""Longest wait for something to happen; the kernel's calls refuse times of weeks."""
_GLANCE_S = 0.05
"""Longest wait of a loop that runs until something is so, which may come to be without a message."""


class Runnable(Protocol):
    """What stands in a ready queue."""

    def turn(self) -> None:
        """Do a bounded piece of work. What it raises is a fault of the engine, and only logged."""
        ...

    def shorten(self) -> None:
        """Do less in the next turn: this one took longer than a slice."""
        ...


class ReadyQueue(Protocol):
    """Where senders put cells that have mail."""

    def append(self, item: Runnable, /) -> None:
        """Enqueue. Thread-safe."""
        ...

    def __len__(self) -> int: ...


class Dispatcher(Protocol):
    """What a cell needs of the loop that runs it."""

    sleeping: bool

    @property
    def ready(self) -> ReadyQueue:
        """Cells that have mail."""
        ...

    def wake(self) -> None:
        """End the dispatcher's wait, after `sleeping` was seen set. Thread-safe."""
        ...

    def runs_here(self, cell: Cell) -> bool:
        """Return whether the calling thread is the one that runs `cell`."""
        ...

    def drive(self, until: Callable[[], bool], timeout_s: float | None) -> None:
        """If nobody runs this dispatcher, run it on the calling thread until `until()` or time is up."""
        ...

    def next_ticket(self) -> int:
        """Return a new ticket for a timer. The target notes it before it adds the timer, for it may come due at once."""
        ...

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` on the dispatcher's thread. Thread-safe."""
        ...

    def add_timer(self, at: float, ticket: int, target: TimerTarget, key: TimerKey) -> None:
        """Schedule a timer."""
        ...

    def forget_timer(self) -> None:
        """Take notice that a timer was cancelled or replaced."""
        ...


class Task:
    """A function that runs once on a dispatcher's thread."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def turn(self) -> None:
        """Run the function."""
        run_logged(self._function)

    def shorten(self) -> None:
        """A task has only one turn."""


def run_logged(function: Callable[[], None]) -> None:
    """Run a function whose failure must not end the loop, nor may a `SystemExit`: nobody is there to exit but the loop."""
    try:
        function()
    except BaseException:
        logger.exception("a function run by a dispatcher failed: %r", function)


def log_fault(item: Runnable, error: BaseException) -> None:
    """Log that a turn raised, which must not end the loop: other actors run on it."""
    logger.error("a turn of %r failed by an error of the engine", item, exc_info=error)


class ThreadDispatcher:
    """Runs its cells on whichever one thread calls `run`.

    Args:
        name: for the thread and for error texts.
        io: what to wait on.
        clock: time of the timers.
    """

    def __init__(self, name: str, io: Io, clock: Clock) -> None:
        self.name = name
        self.io = io
        self.ready: deque[Runnable] = deque()
        self.sleeping = False
        self.thread: threading.Thread | None = None
        self.broken = False
        """Whether the loop ended by an error of the engine, such as an `Io` that cannot be polled."""
        self._idle_hooks: list[Callable[[], None]] = []
        self._timers = Timers()
        self._tickets = itertools.count(1)
        self._clock = clock
        self._owner: int | None = None
        self._run_lock = threading.Lock()
        self._halted = False

    # --- for cells and senders -------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """End the wait. The first sender that sees `sleeping` clears it, so that a burst wakes once."""
        self.sleeping = False
        self.io.wake()

    def runs_here(self, cell: Cell) -> bool:  # noqa: ARG002 - one thread runs all cells of this dispatcher
        """Return whether the calling thread runs this loop."""
        return self._owner == threading.get_ident()

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` on the dispatcher's thread. Thread-safe."""
        self.enqueue(Task(function))

    def enqueue(self, item: Runnable) -> None:
        """Put something into the ready queue. Thread-safe."""
        self.ready.append(item)
        if self.sleeping:
            self.wake()

    def next_ticket(self) -> int:
        """See `Dispatcher.next_ticket`. Thread-safe."""
        return next(self._tickets)

    def add_timer(self, at: float, ticket: int, target: TimerTarget, key: TimerKey) -> None:
        """Schedule a timer. Thread-safe."""
        if self._owner == threading.get_ident():
            self._timers.add(at, ticket, target, key)
        else:
            self.submit(lambda: self._timers.add(at, ticket, target, key))

    def forget_timer(self) -> None:
        """Take notice that a timer was cancelled or replaced."""
        if self._owner == threading.get_ident():
            self._timers.forget()
        else:
            self.submit(self._timers.forget)

    def add_idle_hook(self, hook: Callable[[], None]) -> None:
        """Run `hook` on the loop's thread whenever it would otherwise wait."""
        self._idle_hooks.append(hook)

    def remove_idle_hook(self, hook: Callable[[], None]) -> None:
        """Forget a hook."""
        self._idle_hooks.remove(hook)

    # --- running ---------------------------------------------------------------------------------------------------------

    def start(self, on_end: Callable[[], None] | None = None) -> None:
        """Run the loop on a daemon thread until `halt`, then call `on_end` there."""
        assert self.thread is None, f"dispatcher '{self.name}' was started twice"

        def main() -> None:
            try:
                with self._run_lock:  # whoever drives just now stops at its next glance
                    self._loop(_never, None)
            except BaseException:
                logger.exception("dispatcher '%s' ended by an error of the engine", self.name)
            finally:
                if on_end is not None:
                    on_end()

        self.thread = threading.Thread(target=main, name=f"actorflow-{self.name}", daemon=True)
        self.thread.start()

    def halt(self) -> None:
        """Make `run` return soon. Thread-safe."""
        self._halted = True
        self.io.wake()

    @property
    def halted(self) -> bool:
        """Whether `halt` was called."""
        return self._halted

    def join(self, timeout_s: float) -> None:
        """Halt, and wait for the loop's thread to end, at most `timeout_s`."""
        self.halt()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(timeout_s)

    def close(self) -> None:
        """Close the `Io`, unless somebody still runs the loop."""
        if self._owner is None:
            self.io.close()

    def drive(self, until: Callable[[], bool], timeout_s: float | None) -> None:
        """See `Dispatcher.drive`. A loop that was started on its own thread is not taken over, and handed over when it is started."""
        if self.thread is not None or self._halted or not self._run_lock.acquire(blocking=False):
            return
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._loop(lambda: until() or self.thread is not None or time.monotonic() >= deadline, deadline)
        finally:
            self._run_lock.release()

    def run(self, until: Callable[[], bool] | None = None, on_end: Callable[[], None] | None = None) -> None:
        """Run cells on the calling thread until `halt`, or until `until()`, which is looked at about once a slice; then call `on_end`.

        Raises:
            ActorflowError: if another thread runs this loop.
        """
        if self.thread is not None or not self._run_lock.acquire(blocking=False):
            raise ActorflowError(
                f"cannot run dispatcher '{self.name}' on two threads",
                hint="use start() or run(), and run_until() only without them",
            )
        try:
            self._loop(until or _never, None)
        finally:
            self._run_lock.release()
            if on_end is not None:
                on_end()

    def _loop(self, until: Callable[[], bool], deadline: float | None) -> None:
        """Run cells; the caller holds the lock. `deadline` (`time.monotonic()`) is when to look at `until` at the latest."""
        self._owner = threading.get_ident()
        try:
            while not self._halted and not until():
                if self._run_slice():
                    self.io.poll(0)
                elif not until():  # what ran just now may have been the last that was waited for
                    self._wait(until, deadline)
        except KeyboardInterrupt:  # of whoever runs this loop, who may run it again
            raise
        except BaseException:
            self.broken = True
            raise
        finally:
            self._owner = None

    def _run_slice(self) -> bool:
        """Run ready cells for about a slice, then fire timers. Returns whether there is more to do."""
        ready = self.ready
        monotonic = time.monotonic
        before = monotonic()
        end = before + SLICE_S
        while ready:
            item = ready.popleft()
            try:
                item.turn()
            except BaseException as error:
                log_fault(item, error)
            now = monotonic()
            if now >= end:
                if now - before >= SLICE_S:
                    item.shorten()
                break
            before = now
        if len(self._timers):
            run_logged(self._fire)
        return bool(ready)

    def _fire(self) -> None:
        self._timers.fire(self._clock.now())

    def _wait(self, until: Callable[[], bool], deadline: float | None) -> None:
        for hook in tuple(self._idle_hooks):
            run_logged(hook)
        self.sleeping = True
        try:
            idle = not (self.ready or self._halted or until())
            self.io.poll(self._wait_s(until, deadline) if idle else 0)
        finally:
            self.sleeping = False

    def _wait_s(self, until: Callable[[], bool], deadline: float | None) -> float:
        """Return how long to wait if nothing happens: until the next timer, the deadline, or a look at `until`."""
        wait_s = _WAIT_MAX_S if until is _never else _GLANCE_S
        timer_at = self._timers.next_at()
        if timer_at is not None:
            wait_s = min(wait_s, timer_at - self._clock.now())
        if deadline is not None:
            wait_s = min(wait_s, deadline - time.monotonic())
        return max(0.0, wait_s)


def _never() -> bool:
    return False
