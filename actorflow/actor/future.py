"""Futures of local asks. They refuse to block the very thread that has to bring the answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pykka import ThreadingFuture, Timeout

from actorflow.errors import AskRefused

if TYPE_CHECKING:
    from actorflow.actor.cell import Cell


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
        if self._cell is not None and self._result is None:
            refuse_deadlock(self._cell, "wait for an answer from")
            started = time.monotonic()
            self._cell.dispatcher.drive(self.done, timeout)
            if self._result is None and self._cell.system.simulated:
                raise Timeout(f"nothing is left to do that would make {self._cell.path} answer")
            if timeout is not None:
                timeout = max(0.0, timeout - (time.monotonic() - started))
        return super().get(timeout=timeout)


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
