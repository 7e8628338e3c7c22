"""The `Io` of a node with a transport: the dispatcher sleeps here, and all use of the socket happens here, on one thread at a time.

Ownership. The thread that polls owns the socket. It sends directly; every other thread posts what it wants done and wakes the owner. A
dispatcher may be driven by different threads in turn, so ownership is settled under a lock, which nobody else contends for.

Edges. ZeroMQ's descriptor signals *changes*: sending may consume the signal that a message has come. So each poll first asks the socket
itself, and sleeps only when that says no. What the owner sends after that, it sends before the next poll; what others want sent wakes it.

Failures. Whatever is run here for the transport and its listeners may fail, and is logged; the dispatcher's thread goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from actorflow.clock import Clock
from actorflow.transport.readiness import Readiness
from actorflow.transport.router_socket import RouterSocket

logger = logging.getLogger("actorflow.transport")

_TICK_AFTER_FAILURE_S = 1.0


class SocketIo:
    """Receives, runs what other threads posted, and ticks; see `actorflow.actor.io.Io`.

    Args:
        socket: the node's socket.
        clock: when to tick.
        receive_frames_max: messages taken before the dispatcher goes on.
        on_message: takes (identity, bytes, key) of each message.
        on_disconnected: takes the endpoints of connections that ended; called once everything that came over
            them was handed on; returns when the next tick is due.
        on_close: called before the socket closes, to say goodbye.
        on_tick: called with the time when a tick is due; returns when the next one is.
    """

    def __init__(
        self,
        socket: RouterSocket,
        clock: Clock,
        receive_frames_max: int,
        on_message: Callable[[bytes, bytes, str], None],
        on_disconnected: Callable[[list[str]], float],
        on_tick: Callable[[float], float],
        on_close: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._now = clock.now
        self._receive_frames_max = receive_frames_max
        self._on_message = on_message
        self._on_disconnected = on_disconnected
        self._on_tick = on_tick
        self._on_close = on_close
        self._disconnections: list[str] = []
        self._tick_at_s = 0.0
        self._posted: deque[Callable[[], None]] = deque()
        self._lock = threading.RLock()
        self._owner = 0
        self._closed = False
        self._readiness = Readiness()
        self._readiness.watch(socket.fileno(), self._receive)
        self._readiness.watch(socket.monitor_fileno(), self._note_disconnections)
        self._note_disconnections()  # a descriptor signals only after its socket was found empty once

    def poll(self, timeout_s: float | None) -> None:
        """See `Io.poll`."""
        now = self._now()
        with self._lock:
            if self._closed:
                return
            self._owner = threading.get_ident()
            if now >= self._tick_at_s:
                self._tick(lambda: self._on_tick(now))
                self._note_disconnections()  # the tick may have consumed their signal
            self._run_posted()
            if self._receive():
                timeout_s = 0.0
            elif self._disconnections:
                urls, self._disconnections = self._disconnections, []
                self._tick(lambda: self._on_disconnected(urls))
                timeout_s = 0.0  # it may have sent, and consumed the signal of a message that has just come
        if self._disconnections:
            timeout_s = 0.0
        if timeout_s != 0.0:
            until_tick = max(0.0, self._tick_at_s - now)
            timeout_s = until_tick if timeout_s is None else min(timeout_s, until_tick)
        self._readiness.wait(timeout_s)
        if self._posted:
            with self._lock:
                self._run_posted()

    def run(self, action: Callable[[], None]) -> None:
        """Do something with the socket: at once on the thread that polls, else as soon as that thread gets to it. Thread-safe.

        After `close` there is nothing to do it with, and it is dropped.
        """
        if self._closed:
            return
        if self._owner == threading.get_ident():
            with self._lock:
                if self._owner == threading.get_ident():
                    action()
                    return
        self._posted.append(action)
        self._readiness.wake()

    def wake(self) -> None:
        """See `Io.wake`."""
        self._readiness.wake()

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """See `Io.watch`."""
        self._readiness.watch(fd, callback)

    def unwatch(self, fd: int) -> None:
        """See `Io.unwatch`."""
        self._readiness.unwatch(fd)

    def close(self) -> None:
        """Do what was posted, say goodbye, and close the socket. Not while another thread polls. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._owner = threading.get_ident()
            self._run_posted()
            try:
                self._on_close()
            except Exception:
                logger.exception("the transport failed to say goodbye")
            self._closed = True
            self._readiness.close()
            self._socket.close()

    def _tick(self, step: Callable[[], float]) -> None:
        try:
            self._tick_at_s = step()
        except Exception:
            logger.exception("the transport failed at a tick or a disconnection")
            self._tick_at_s = self._now() + _TICK_AFTER_FAILURE_S

    def _run_posted(self) -> None:
        while self._posted:
            action = self._posted.popleft()
            try:
                action()
            except Exception:
                logger.exception("the transport failed at what another thread asked of it")

    def _note_disconnections(self) -> None:
        self._disconnections += self._socket.disconnections()

    def _receive(self) -> bool:
        """Take what has come, up to the limit; return whether there was anything."""
        with self._lock:
            for count in range(self._receive_frames_max):
                message = self._socket.receive()
                if message is None:
                    return count > 0
                try:
                    self._on_message(*message)
                except Exception:
                    logger.exception("the transport failed at a message from %r", message[0])
        return True
