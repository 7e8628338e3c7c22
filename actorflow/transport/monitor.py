"""What ZeroMQ's own thread saw of a socket's connections: which attempts to connect stand, which connections have ended, and how many were not let in.

A process whose thread is busy with user code answers nothing for minutes, and lives: its operating system and its ZeroMQ thread accept
and keep connections meanwhile. So a dialled endpoint *stands* once there is evidence that a process is behind it, without a word from that
process's own thread: on this host a connection (a socket without a process cannot be connected to, and a stopped process may come back), from
another host ZeroMQ's handshake (which a host that only half works does not finish).
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import parse_monitor_message

from actorflow.transport.addresses import Location

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH


class Monitor:
    """Watches one socket.

    Args:
        socket: is watched until `close`.

    Attributes:
        handshakes_failed: connections that have ended before they were let in, as far as it has read.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._watched = socket
        self._events = socket.get_monitor_socket(
            zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _FAILED
        )
        self.handshakes_failed = 0
        self._evidence: dict[str, int] = {}
        self._standing: set[str] = set()
        self._ended: list[str] = []

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something may have `ended`. Edge-triggered."""
        return int(self._events.getsockopt(zmq.FD))

    def expect(self, endpoint: Location) -> None:
        """Note that an endpoint is about to be dialled."""
        self._evidence[endpoint.url] = zmq.EVENT_CONNECTED if endpoint.local else zmq.EVENT_HANDSHAKE_SUCCEEDED

    def forget(self, endpoint: Location) -> None:
        """Note that an endpoint is about to be hung up: what was seen of it says nothing about the next attempt."""
        self._read()
        self._evidence.pop(endpoint.url, None)
        self._standing.discard(endpoint.url)

    def stands(self, endpoint: Location) -> bool:
        """Return whether there is a process behind a dialled endpoint."""
        self._read()
        return endpoint.url in self._standing

    def ended(self) -> list[str]:
        """Return the endpoints (dialled, or listened at) of connections that have ended since the last call."""
        self._read()
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Stop watching. Before the socket is closed."""
        self._watched.disable_monitor()
        self._events.close()

    def _read(self) -> None:
        while int(self._events.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message = parse_monitor_message(self._events.recv_multipart(zmq.NOBLOCK))
            event, url = message["event"], message["endpoint"].decode()
            if event == zmq.EVENT_DISCONNECTED:
                self._ended.append(url)
                self._standing.discard(url)
            elif event & _FAILED:
                self.handshakes_failed += 1
            elif event == self._evidence.get(url):
                self._standing.add(url)
