"""The simulated dispatcher: a whole actor system on one thread, on a clock that moves when nothing else can, in a seeded order.

Each step picks one of the ready actors at random and lets it handle one message, so that another seed is another interleaving and
the same seed is the same history. Messages between two actors keep their order. Every dispatcher of the system ("pinned" and "pool"
too) and the pool's work become this one.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from actorflow.actor.dispatcher import Runnable, Task
from actorflow.actor.timers import TimerKey, Timers, TimerTarget
from actorflow.clock import ManualClock

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell


class SimulatedDispatcher:
    """Runs everything on the calling thread, deterministically.

    Args:
        seed: of the order in which ready actors get their turns.
    """

    def __init__(self, seed: int = 0) -> None:
        self.sleeping = False
        self.ready: deque[Runnable] = deque()
        self.random = random.Random(seed)
        self.acted_at = 0.0
        """When an actor had its last turn, on the simulated clock."""
        self._timers = Timers()
        self._tickets = itertools.count(1)
        self._clock = ManualClock()
        self._owner: int | None = None
        self._idle_hooks: list[Callable[[], None]] = []

    def attach(self, clock: ManualClock) -> None:
        """Take the clock of the system that is simulated."""
        self._clock = clock

    def run_until_idle(self) -> None:
        """Run until no actor is ready, also after the idle hooks. No time passes; timers that are due fire."""
        while self.step() or self._idle():
            pass

    def run_for(self, seconds: float) -> None:
        """Run for `seconds` of virtual time: whenever no actor is ready, the clock moves on to the next timer."""
        end = self._clock.now() + seconds
        self.run_until_idle()
        while (at := self._timers.next_at()) is not None and at <= end:
            self._clock.advance_to(at)
            self.run_until_idle()
        self._clock.advance_to(end)

    def run_until(self, until: Callable[[], bool], horizon_s: float = 3600.0) -> bool:
        """Run, moving the clock on where needed, until `until()`. Returns False if nothing is left to do within `horizon_s`, then over."""
        end = self._clock.now() + horizon_s
        while not until():
            if self.step() or self._idle():
                continue
            at = self._timers.next_at()
            if at is None or at > end:
                self._clock.advance_to(end)
                return False
            self._clock.advance_to(at)
        return True

    def step(self) -> bool:
        """Give one ready actor one turn. Returns False if none is ready and no timer is due."""
        now = self._clock.now()
        self._timers.fire(now)
        if not self.ready:
            return False
        self.acted_at = now
        before, self._owner = self._owner, threading.get_ident()
        try:
            self._pick().turn()
        finally:
            self._owner = before
        return True

    def _idle(self) -> bool:
        """Run the idle hooks, as a loop does before it waits; return whether they made something ready."""
        before, self._owner = self._owner, threading.get_ident()
        try:
            for hook in tuple(self._idle_hooks):
                hook()
        finally:
            self._owner = before
        return bool(self.ready)

    def add_idle_hook(self, hook: Callable[[], None]) -> None:
        """Run `hook` whenever no actor is ready."""
        self._idle_hooks.append(hook)

    def remove_idle_hook(self, hook: Callable[[], None]) -> None:
        """Forget a hook."""
        self._idle_hooks.remove(hook)

    def _pick(self) -> Runnable:
        """Take the first entry of an actor chosen at random (the messages of a light actor stand in the queue one by one)."""
        if len(self.ready) == 1:
            return self.ready.popleft()
        firsts: dict[object, Runnable] = {}
        for item in self.ready:
            firsts.setdefault(getattr(item, "cell", item), item)
        picked = self.random.choice(tuple(firsts.values()))
        self.ready.remove(picked)
        return picked

    # --- Dispatcher --------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Nothing sleeps here."""

    def runs_here(self, cell: Cell) -> bool:  # noqa: ARG002 - one thread runs everything
        """Return whether the calling thread is inside a step."""
        return self._owner == threading.get_ident()

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` in some later step."""
        self.enqueue(Task(function))

    def enqueue(self, item: Runnable) -> None:
        """Put something into the ready queue."""
        self.ready.append(item)

    def halt(self) -> None:
        """There is no loop to end."""

    def join(self, timeout_s: float) -> None:
        """There is no thread to wait for."""

    def close(self) -> None:
        """There is nothing to release."""

    def drive(self, until: Callable[[], bool], timeout_s: float | None) -> None:
        """Run until `until()`, for at most `timeout_s` of virtual time."""
        self.run_until(until, 3600.0 if timeout_s is None else timeout_s)

    def next_ticket(self) -> int:
        """See `Dispatcher.next_ticket`."""
        return next(self._tickets)

    def add_timer(self, at: float, ticket: int, target: TimerTarget, key: TimerKey) -> None:
        """Schedule a timer."""
        self._timers.add(at, ticket, target, key)

    def forget_timer(self) -> None:
        """Take notice that a timer was cancelled or replaced."""
        self._timers.forget()
