"""Io: what a dispatcher waits on when it has nothing to do. The default waits on file descriptors; the transport brings its own."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

from actorflow.actor.dispatcher import run_logged


class Io(Protocol):
    """Readiness of file descriptors, and a way to be woken. Only `wake` may be called from another thread."""

    def poll(self, timeout_s: float | None) -> None:
        """Wait until something is ready, `wake` is called, or time is up; run the callbacks of what is ready.

        Args:
            timeout_s: 0 does not wait, None waits for ever.
        """
        ...

    def wake(self) -> None:
        """Make the current `poll`, or else the next one, return at once. Thread-safe."""
        ...

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Run `callback` on the dispatcher's thread whenever `fd` is readable."""
        ...

    def unwatch(self, fd: int) -> None:
        """Forget `fd`; nothing happens if it is not watched."""
        ...

    def close(self) -> None:
        """Release what is held. A second call does nothing."""
        ...


class SelectorIo:
    """Io over `selectors`, woken through a pair of sockets (which every platform can select on)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        self._closed = False

    def poll(self, timeout_s: float | None) -> None:
        """See `Io.poll`."""
        for key, _events in self._selector.select(timeout_s):
            run_logged(key.data)

    def wake(self) -> None:
        """See `Io.wake`. A full socket buffer means that a wake-up is under way already; a closed one, that nobody waits."""
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """See `Io.watch`."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """See `Io.unwatch`."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def close(self) -> None:
        """See `Io.close`."""
        if not self._closed:
            self._closed = True
            self._selector.close()
            self._woken.close()
            self._waker.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
