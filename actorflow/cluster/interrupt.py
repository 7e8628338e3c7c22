"""Ctrl-C while the calling thread runs the actors: it ends the wait, whichever code it meets.

An actor takes every exception of its code for a failure of its own, `KeyboardInterrupt` too, and a job may be restarted after a failure.
So what was pressed on the keyboard is noted beside the exception: the loop ends, and the interrupt is raised again where the user waits.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interruptible:
    """Notes Ctrl-C while it is entered, if this is the main thread and the program has no handler of its own.

    Attributes:
        interrupted: whether it was pressed.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._installed = False

    def __enter__(self) -> Self:
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        signal.default_int_handler(number, frame)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.interrupted and error is None:
            raise KeyboardInterrupt
