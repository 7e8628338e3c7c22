"""Futures of local asks. They refuse to block the very thread that has to bring the answer."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from pykka import ThreadingFuture, Timeout

from actorflow.errors import AskRefused

if TYPE_CHECKING:
    from pykka._types import OptExcInfo

    from actorflow.actor.cell import Cell

_LOOK_AGAIN_S = 0.05


class ReplyFuture(ThreadingFuture[Any]):
    """A pykka future that knows which actor will answer it.

    Args:
        cell: the actor that was asked; None for futures made by `map` and the like, which get through the one they were made from.
    """

    def __init__(self, cell: Cell | None = None) -> None:
        super().__init__()
        self._cell = cell

    def done(self) -> bool:
        """Return whether an answer, or an error, is there."""
        return self._result is not None

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the answer, waiting for it at most `timeout` seconds.

        If nobody runs the actor's dispatcher, the calling thread runs it until the answer is there.

        Raises:
            AskRefused: on the thread that runs the actor: it would wait for itself.
            pykka.Timeout: if time is up.
        """
        if self._cell is not None and self._result is None and self._get_hook is None:
            self._await_answer(self._cell, timeout)
        return super().get(timeout=timeout)

    def set(self, value: Any = None) -> None:
        """Give the answer. Thread-safe."""
        super().set(value)
        self._wake()

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Give an error as the answer; without an argument, the one being handled. Thread-safe."""
        super().set_exception(exc_info)
        self._wake()

    def _await_answer(self, cell: Cell, timeout: float | None) -> None:
        """Wait until an answer is there. Whoever drives the dispatcher stops when it has its own answer, so look again and again."""
        refuse_deadlock(cell, "wait for an answer from")
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._result is None:
            left_s = max(0.0, deadline - time.monotonic())
            cell.dispatcher.drive(self.done, None if timeout is None else left_s)
            if self._result is None and cell.system.simulated:
                raise Timeout(f"nothing is left to do that would make {cell.path} answer")
            if left_s <= 0 and self._result is None:
                raise Timeout(f"{cell.path} did not answer in {timeout} seconds")
            with self._condition:
                if self._result is None:
                    self._condition.wait(min(_LOOK_AGAIN_S, left_s))

    def _wake(self) -> None:
        """End the sleep of a thread that drives the dispatcher for this answer, if it came from another thread."""
        if self._cell is not None and self._cell.dispatcher.sleeping:
            self._cell.dispatcher.wake()


def refuse_deadlock(cell: Cell, verb: str, target: str | None = None) -> None:
    """Raise unless another thread than this one runs `cell`, which has to bring the answer.

    Args:
        cell: who must not be waited for on the thread that runs it.
        verb: what is attempted.
        target: to whom; by default the cell itself.

    Raises:
        AskRefused: if this thread runs it.
    """
    if cell.dispatcher.runs_here(cell):
        raise AskRefused(
            f"cannot {verb} {target or cell.path} on this thread: the answer has to come on the same thread, and never would",
            hint="tell it, and receive the answer as a message; or ask with block=False and look at the future later",
        )
