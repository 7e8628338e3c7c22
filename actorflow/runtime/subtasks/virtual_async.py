"""The asyncio loop of a simulated node: on virtual time, run by the simulated dispatcher, one round a step.

`asyncio.sleep` and time-outs wait for the virtual clock, so a request that takes an hour takes no time, and the order in which requests and
actors get their turns follows from the seed. Nothing here waits for sockets or threads: what a coroutine awaits has to be simulated, too.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from typing import TypeVarTuple

from actorflow.actor import ActorSystem, SimulatedDispatcher

Ts = TypeVarTuple("Ts")


class VirtualAsync:
    """The asyncio loop of a simulated node, made on first use (`context.AsyncHome`).

    Args:
        system: the node's actors.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._loop: VirtualLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        if self._loop is None:
            self._loop = VirtualLoop(self._system)
        return self._loop

    def close(self) -> None:
        """Cancel what is under way, and close the loop."""
        if self._loop is not None:
            loop, self._loop = self._loop, None
            loop.cancel_all()
            loop.close()


class _NothingReady(selectors.SelectSelector):
    """Never waits: the dispatcher decides when time passes."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # noqa: ARG002 - the loop's wish to wait
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is the virtual clock and whose rounds are steps of the simulated dispatcher.

    Args:
        system: has the clock and the dispatcher.
    """

    def __init__(self, system: ActorSystem) -> None:
        assert isinstance(system.dispatcher, SimulatedDispatcher), "virtual time needs a simulated dispatcher"
        self._system = system
        self._dispatcher = system.dispatcher
        self._round_wanted = False
        self._handles: dict[int, asyncio.TimerHandle] = {}
        super().__init__(_NothingReady())

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._system.clock.now()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call in the next round."""
        self._want_round()
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call in the next round; everything here is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call in the first round at or after a virtual time."""
        handle = super().call_at(when, callback, *args, context=context)
        ticket = self._dispatcher.next_ticket()
        self._handles[ticket] = handle
        self._dispatcher.add_timer(when, ticket, self, "asyncio")
        return handle

    def timer_live(self, key: object, ticket: int) -> bool:  # noqa: ARG002 - all timers are alike
        """Return whether a call is still wanted: time does not pass for one that was cancelled."""
        handle = self._handles.get(ticket)
        if handle is not None and handle.cancelled():
            del self._handles[ticket]
            return False
        return handle is not None

    def timer_due(self, key: object, ticket: int) -> None:  # noqa: ARG002 - all timers are alike
        """Run a round, which makes the calls that are due."""
        del self._handles[ticket]
        self._want_round()

    def cancel_all(self) -> None:
        """Cancel all tasks and let them end."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        while not all(task.done() for task in tasks):
            self._round()

    def _want_round(self) -> None:
        if not self._round_wanted:
            self._round_wanted = True
            self._system.call_soon(self._round)

    def _round(self) -> None:
        """Make the calls that are due now; what they ask for comes in a later round. The caller may be in a loop of its own."""
        self._round_wanted = False
        if self.is_closed():
            return
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            super().call_soon(self.stop)
            self.run_forever()
        finally:
            asyncio._set_running_loop(outer)
