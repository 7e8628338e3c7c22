"""What a node's thread sleeps on: the socket, a wake-up from other threads, and whatever else was asked to be watched."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable


class Readiness:
    """Waits on file descriptors with `poll(2)`. Only `wake` may be called from another thread."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._signalled = False
        self.watch(self._woken.fileno(), self._drain)

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until something is ready or time is up (0: not at all, None: for ever), and run the callbacks of what is ready."""
        for fd, _event in self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            callback = self._callbacks.get(fd)
            if callback is not None:  # an earlier callback may have forgotten it
                callback()

    def wake(self) -> None:
        """Make the current `wait`, or else the next one, return at once."""
        if not self._signalled:
            self._signalled = True
            with contextlib.suppress(OSError):  # closed: nobody waits
                self._waker.send(b"\0")

    def watch(self, fd: int, callback: Callable[[], object]) -> None:
        """Run `callback` whenever `fd` is readable, or broken."""
        self._callbacks[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`; nothing happens if it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def close(self) -> None:
        """Release what is held."""
        self._callbacks.clear()
        self._woken.close()
        self._waker.close()

    def _drain(self) -> None:
        # The flag falls after the bytes are read. A wake between the two writes nothing, and needs nothing: this wait is returning.
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        self._signalled = False
