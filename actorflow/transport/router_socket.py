"""The one ZeroMQ socket of a node: it listens, it dials, and carries everything between this node and all others.

Why one ROUTER does both. A ROUTER addresses peers by the identity that they announce in the handshake, and every node announces its
node id. So it does not matter who dialled: one socket, one connection for each pair, both directions.

Why one end dials only. If both dialled, there would be two connections of one identity, and each side might keep the other one. Therefore
*the node with the greater id dials*. A node with the lesser id that wants to talk first knocks: through a short-lived DEALER it
says who it is and where it listens, and is dialled back. (A node that nobody can dial, such as a client behind NAT, takes an
id that begins with `~`, which is greater than all others.)

How a dead host is noticed. Between hosts the I/O threads of ZeroMQ exchange heartbeats of their own, whatever the nodes' threads are doing, and
cut a connection that stays silent; it then ends like one that broke. On one host the operating system reports the end of a process, and a
process that is stopped is not dead: there are no such heartbeats.

How connections come and go. `PROBE_ROUTER` makes each side send an empty message first, so both notice a new connection. A monitor reports
broken ones. ZeroMQ would reconnect by itself and send what was queued to whoever answers, perhaps the successor of a process that died; so
the dialling side hangs up and dials afresh, which drops that queue. (`IMMEDIATE` would do the same, and throw away what the peer
said last before it left.) `ROUTER_MANDATORY` turns sending to nobody into an error, `ROUTER_HANDOVER` lets a peer that dials again
take its identity over from a connection that has not been seen to be dead.

Why no high-water marks. They count messages for a whole peer and block or drop: a stalled channel would stall its neighbours. What is under
way is bounded above this layer, by credits for batches and windows for blobs.
"""

from __future__ import annotations

import contextlib
import socket as names

import zmq

from actorflow.errors import TransportError
from actorflow.ids import NodeId
from actorflow.transport.addresses import Location, parse
from actorflow.transport.curve import CurveKeys, Gate, guard_client, guard_server
from actorflow.transport.limits import TransportLimits
from actorflow.transport.monitor import Monitor

_TTL_MS_MAX = 6_553_500
"""ZeroMQ's limit."""


class RouterSocket:
    """A ROUTER socket with a context of its own. Not thread-safe: used under the endpoint's lock.

    Args:
        node: this node; its routing identity.
        keys: demanded of peers on tcp, and shown to them; None for links that do not leave this host.
        limits: sizes and times.
    """

    def __init__(self, node: NodeId, keys: CurveKeys | None, limits: TransportLimits) -> None:
        self._keys = keys
        self._limits = limits
        self._context = zmq.Context()
        self.gate = Gate(self._context, keys) if keys is not None else None
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.IDENTITY, node.encode())
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.ROUTER_HANDOVER, 1),
            (zmq.PROBE_ROUTER, 1),
            (zmq.SNDHWM, 0),
            (zmq.RCVHWM, 0),
            (zmq.LINGER, round(limits.linger_s * 1000)),
            (zmq.RECONNECT_IVL, round(limits.reconnect_initial_s * 1000)),
            (zmq.RECONNECT_IVL_MAX, round(limits.reconnect_max_s * 1000)),
            (zmq.MAXMSGSIZE, limits.frame_bytes_max),
        ):
            self._socket.setsockopt(option, value)
        self._monitor = Monitor(self._socket)
        self._knocks: dict[str, tuple[zmq.Socket[bytes], Monitor]] = {}

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when `receive` may have something. Edge-triggered: see `Endpoint.poll`."""
        return int(self._socket.getsockopt(zmq.FD))

    def monitor_fileno(self) -> int:
        """Return the descriptor that becomes readable when there may be `disconnections`."""
        return self._monitor.fileno()

    @property
    def handshakes_failed(self) -> int:
        """How many connections have ended before they were let in."""
        return self._monitor.handshakes_failed

    def disconnections(self) -> list[str]:
        """Return the endpoints (dialled, or listened at) of connections that have ended since the last call."""
        return self._monitor.ended()

    def stands(self, endpoint: Location) -> bool:
        """Return whether there is a process where this node dials or knocks, busy as it may be. See `monitor`."""
        knock = self._knocks.get(endpoint.url)
        return self._monitor.stands(endpoint) or (knock is not None and knock[1].stands(endpoint))

    def bind(self, text: str, advertise_host: str | None) -> Location:
        """Listen at an endpoint and return it as peers should know it: with the port that was chosen, and this node's public key.

        Raises:
            TransportError: if it is open to other hosts without keys, or cannot be bound.
        """
        wanted = parse(text)
        if not wanted.local and self._keys is None:
            raise TransportError(
                f"refusing to listen at {wanted.url} without keys: any host could send this node work",
                hint="make keys with `actorflow keygen` and set actorflow.security.curve.key-file, or listen at 127.0.0.1",
            )
        guarded = self._keys if wanted.protocol == "tcp" else None
        guard_server(self._socket, guarded)
        self._socket.setsockopt(zmq.IPV6, wanted.ipv6)
        self._keep_alive(self._socket, wanted)
        try:
            self._socket.bind(wanted.url.replace("//localhost:", "//127.0.0.1:"))
        except zmq.ZMQError as error:
            raise TransportError(f"cannot listen at {wanted.url}: {error}") from error
        bound = parse(self._socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())  # type: ignore[union-attr]  # a bytes option
        place = bound.place
        if advertise_host is not None or bound.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            place = f"{advertise_host or names.gethostname()}:{place.rpartition(':')[2]}"
        return Location(bound.protocol, place if bound.protocol == "tcp" else bound.place, guarded.public if guarded else "")

    def dial(self, endpoint: Location) -> None:
        """Connect to a peer, and go on trying until it answers. The connection announces itself by an empty message.

        Raises:
            TransportError: if the endpoint cannot be dialled at all.
        """
        self._connect(self._socket, self._monitor, endpoint)

    def hang_up(self, endpoint: Location) -> None:
        """End the connection to an endpoint that was dialled, or the attempts to make it, and drop what is queued for it."""
        self._monitor.forget(endpoint)
        with contextlib.suppress(zmq.ZMQError):  # not dialled, or gone already
            self._socket.disconnect(endpoint.url)

    def knock(self, endpoint: Location, frame: bytes) -> None:
        """Say `frame` at a peer's door, from a socket of its own that stays until `stop_knocking`.

        Raises:
            TransportError: if the endpoint cannot be dialled at all.
        """
        if endpoint.url not in self._knocks:
            knocking = self._context.socket(zmq.DEALER)
            knocking.setsockopt(zmq.LINGER, 0)
            knocking.setsockopt(zmq.MAXMSGSIZE, self._limits.frame_bytes_max)
            self._knocks[endpoint.url] = knocking, Monitor(knocking)
            try:
                self._connect(*self._knocks[endpoint.url], endpoint)
            except TransportError:
                self.stop_knocking(endpoint)
                raise
        with contextlib.suppress(zmq.Again):  # a full queue holds enough knocks
            self._knocks[endpoint.url][0].send(frame, zmq.NOBLOCK)

    def stop_knocking(self, endpoint: Location) -> None:
        """Leave a peer's door."""
        knock = self._knocks.pop(endpoint.url, None)
        if knock is not None:
            knocking, monitor = knock
            monitor.close()
            knocking.close()

    def send(self, identity: bytes, frame: bytes | memoryview) -> bool:
        """Hand a frame to ZeroMQ; return False if there is no connection to that peer. Never blocks."""
        try:
            self._socket.send(identity, zmq.SNDMORE | zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        self._socket.send(frame, zmq.NOBLOCK)
        return True

    def receive(self) -> tuple[bytes, bytes, str] | None:
        """Return the next message as (identity of the sender, frame, key), or None.

        The key is the sender's, in hexadecimal, if it opened the connection with one, and else empty. Parts beyond the second make an
        empty frame of a message.
        """
        if not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            return None
        key = ""
        if self.gate is None:
            identity = self._socket.recv(zmq.NOBLOCK)
        else:
            head = self._socket.recv(zmq.NOBLOCK, copy=False)
            identity = head.bytes
            with contextlib.suppress(zmq.ZMQError):  # dialled by this node, or over a link that asks for no key
                key = str(head.get("User-Id"))
        frame = self._socket.recv(zmq.NOBLOCK)
        while self._socket.getsockopt(zmq.RCVMORE):
            self._socket.recv(zmq.NOBLOCK)
            frame = b"\0"  # no frame of ours has parts: what is left is refused as too short
        return identity, frame, key

    def close(self) -> None:
        """Close everything, waiting at most `linger_s` for frames that are still to be sent."""
        for knocking, monitor in self._knocks.values():
            monitor.close()
            knocking.close()
        self._knocks.clear()
        self._monitor.close()
        self._socket.close()
        self._context.term()  # this ends the gate too

    def _connect(self, socket: zmq.Socket[bytes], monitor: Monitor, endpoint: Location) -> None:
        keys = self._keys if endpoint.protocol == "tcp" else None
        guard_client(socket, keys, endpoint.public_key or (keys.public if keys else ""))
        socket.setsockopt(zmq.IPV6, endpoint.ipv6)
        self._keep_alive(socket, endpoint)
        monitor.expect(endpoint)
        try:
            socket.connect(endpoint.url)
        except zmq.ZMQError as error:
            raise TransportError(f"cannot connect to {endpoint.url}: {error}") from error

    def _keep_alive(self, socket: zmq.Socket[bytes], endpoint: Location) -> None:
        """Have the next `bind` or `connect` make connections that end when the other host is silent for half of `peer_timeout_s`."""
        silent_ms = max(1, round(self._limits.peer_timeout_s * 500))
        socket.setsockopt(zmq.HEARTBEAT_IVL, 0 if endpoint.local else max(1, round(self._limits.heartbeat_interval_s * 1000)))
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, silent_ms)
        socket.setsockopt(zmq.HEARTBEAT_TTL, min(silent_ms, _TTL_MS_MAX))
