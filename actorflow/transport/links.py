"""The links to all peers: who is up, who is wanted, who is lost, and the frames that wait until a peer is up.

See `peer` for the states and `greetings` for the handshake. Liveness is judged at ticks: a peer that was silent for `peer_timeout_s`, or is
wanted and could not be reached for as long, is lost. When a tick itself is late (the process was stopped, or a message took long), the
time that was missed counts for nobody: a node that was not looking cannot say that others were silent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from actorflow.errors import FrameRefused
from actorflow.ids import NodeId
from actorflow.transport.addresses import nearest
from actorflow.transport.greetings import Hello, Knock, greeting_codec
from actorflow.transport.limits import TransportLimits
from actorflow.transport.peer import Peer
from actorflow.transport.router_socket import RouterSocket
from actorflow.wire.frame import Frame, Kind, pack

_HEARTBEAT = pack(Kind.HEARTBEAT)
_BYE = pack(Kind.BYE)
_SECOND_LOOK_S = 0.02


class Links:
    """Decides when to dial, knock, greet, send, keep and give up. Used on the dispatcher's thread.

    Args:
        node: this node.
        incarnation: this node's life, not 0.
        endpoints: where this node listens.
        socket: carries the frames.
        limits: sizes and times.
        now: reads the clock, in seconds.

    Attributes:
        peers: by identity.
        on_lost: told when a peer is lost: its id and why.
        on_broken: told when a connection broke that had been up: frames may be missing.
        frames_out: frames handed to the socket.
        bytes_out: their size.
        dropped_frames: frames that waited for a peer that was lost.
    """

    def __init__(
        self,
        node: NodeId,
        incarnation: int,
        endpoints: tuple[str, ...],
        socket: RouterSocket,
        limits: TransportLimits,
        now: Callable[[], float],
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._endpoints = endpoints
        self._socket = socket
        self._limits = limits
        self._now = now
        self.tick_s = min(limits.heartbeat_interval_s / 2, limits.peer_timeout_s / 4)
        self.tick_at_s = now() + self.tick_s
        self.peers: dict[bytes, Peer] = {}
        self.on_lost: Callable[[NodeId, str], None] = lambda _node, _reason: None
        self.on_broken: Callable[[NodeId], None] = lambda _node: None
        self.frames_out = 0
        self.bytes_out = 0
        self.dropped_frames = 0

    # --- what this node wants -------------------------------------------------------------------------------------------

    def learn(self, node: NodeId, endpoints: Sequence[str]) -> None:
        """Note where a peer listens, and dial it if that is this node's part."""
        peer = self._peer(node)
        peer.endpoints = tuple(endpoints)
        if peer.dialled is not None and str(peer.dialled) not in peer.endpoints and not peer.up:
            self._hang_up(peer)
        if self._node > node or peer.wanted_at_s is not None:
            self._reach(peer)

    def forget(self, node: NodeId) -> None:
        """Drop a peer and everything that waits for it, without a word to it or to `on_lost`."""
        peer = self.peers.pop(node.encode(), None)
        if peer is not None:
            self.dropped_frames += peer.drop_unsent()
            self._stop_knocking(peer)
            self._hang_up(peer)

    def send(self, node: NodeId, frame: bytes) -> None:
        """Send a frame, now or when the peer is up."""
        identity = node.encode()
        peer = self.peers.get(identity)
        if peer is None:
            peer = self._peer(node)
        if peer.up:
            if self._socket.send(identity, frame):
                peer.told = True
                self.frames_out += 1
                self.bytes_out += len(frame)
                return
            self._break(peer)
        peer.keep(frame)
        if peer.unsent_bytes > self._limits.unsent_bytes_max or len(peer.unsent) > self._limits.unsent_frames_max:
            self._lose(peer, "more waits for it than may be kept")
            self._redial(peer)
        else:
            self._want(peer)

    def want(self, node: NodeId) -> None:
        """Make sure that there is a link to a peer, as if there were something to send; if there cannot be, the peer is lost."""
        peer = self._peer(node)
        if not peer.up:
            self._want(peer)

    def leave(self) -> None:
        """Tell all peers that this node goes."""
        for peer in self.peers.values():
            if peer.up:
                self._socket.send(peer.identity, _BYE)

    # --- what happens ----------------------------------------------------------------------------------------------------

    def connected(self, identity: bytes) -> None:
        """A connection was made: introduce this node. What the peer said on an earlier one no longer counts."""
        if identity.startswith(b"\0"):
            return  # a name that ZeroMQ made up: someone who knocks
        peer = self.peers.get(identity)
        if peer is not None:
            if peer.up:
                self._interrupt(peer)
            peer.connected = peer.told = True
        self._socket.send(identity, self._hello(0))

    def disconnected(self, urls: Collection[str]) -> float:
        """Connections ended that were made by dialling, or accepted, at these endpoints. Returns when the next tick is due."""
        for peer in list(self.peers.values()):
            if peer.dialled is not None:
                if peer.connected and peer.dialled.url in urls:
                    self._break(peer)
            elif peer.up:
                # Whose accepted connection it was ZeroMQ does not say; the next heartbeat finds out.
                peer.told = False
                self.tick_at_s = min(self.tick_at_s, self._now() + _SECOND_LOOK_S)
        return self.tick_at_s

    def greeted(self, identity: bytes, frame: Frame) -> None:
        """A peer introduced itself.

        Raises:
            FrameRefused: if it is not who it says it is.
        """
        hello = greeting_codec.decode(frame.payload)
        if not isinstance(hello, Hello) or hello.node.encode() != identity:
            raise FrameRefused(f"greeting refused: the peer {identity!r} calls itself {hello}")
        peer = self._peer(NodeId(hello.node))
        if peer.incarnation not in {0, hello.incarnation}:
            self._lose(peer, "it was restarted")
        elif peer.up and hello.seen == 0:
            self._interrupt(peer)  # it has forgotten this node, and what was on its way
        peer.incarnation = hello.incarnation
        peer.endpoints = hello.endpoints
        peer.connected = peer.up = peer.heard = True
        peer.heard_at_s = self._now()
        peer.wanted_at_s = None
        self._stop_knocking(peer)
        if hello.seen != self._incarnation:
            self._socket.send(identity, self._hello(peer.incarnation))
        while peer.up and peer.unsent:
            if not self._socket.send(identity, peer.unsent[0]):
                self._break(peer)
                return
            self.frames_out += 1
            self.bytes_out += len(peer.unsent[0])
            peer.sent()

    def knocked(self, frame: Frame) -> None:
        """A node with a lesser id wants to be dialled.

        Raises:
            FrameRefused: if the knock is malformed, or comes from a node that dials itself.
        """
        knock = greeting_codec.decode(frame.payload)
        if not isinstance(knock, Knock) or not self._node > knock.node:
            raise FrameRefused(f"knock refused: {knock}")
        self.learn(NodeId(knock.node), knock.endpoints)

    def said_goodbye(self, peer: Peer) -> None:
        """A peer ends the connection on purpose."""
        self._lose(peer, "it left")
        self._hang_up(peer)

    def tick(self, now: float) -> float:
        """If it is time, send heartbeats, try again to reach who is wanted, and give up who was silent too long.

        Returns:
            When the next tick is due.
        """
        if now < self.tick_at_s:
            return self.tick_at_s
        late = now - self.tick_at_s
        missed = late if late > self._limits.peer_timeout_s / 4 else 0.0
        self.tick_at_s = now + self.tick_s
        for peer in list(self.peers.values()):
            peer.heard_at_s = now if peer.heard else peer.heard_at_s + missed
            peer.heard = False
            if peer.up:
                self._tick_up(peer, now)
            elif peer.connected:
                peer.connected = peer.told or self._socket.send(peer.identity, self._hello(0))
            elif peer.wanted_at_s is not None:
                self._reach(peer)
            peer.told = False
            if peer.wanted_at_s is not None:
                peer.wanted_at_s += missed
                if now - peer.wanted_at_s > self._limits.peer_timeout_s:
                    self._lose(peer, f"it could not be reached for {self._limits.peer_timeout_s:g} s")
                    self._redial(peer)
        return self.tick_at_s

    # --- steps -----------------------------------------------------------------------------------------------------------

    def _tick_up(self, peer: Peer, now: float) -> None:
        if now - peer.heard_at_s > self._limits.peer_timeout_s:
            self._lose(peer, f"it was silent for {self._limits.peer_timeout_s:g} s")
            self._redial(peer)
        elif not peer.told and not self._socket.send(peer.identity, _HEARTBEAT):
            self._break(peer)

    def _peer(self, node: NodeId) -> Peer:
        identity = node.encode()
        peer = self.peers.get(identity)
        if peer is None:
            peer = self.peers[identity] = Peer(node, self._now())
        return peer

    def _want(self, peer: Peer) -> None:
        if peer.wanted_at_s is None:
            peer.wanted_at_s = self._now()
            self._reach(peer)

    def _reach(self, peer: Peer) -> None:
        location = nearest(peer.endpoints)
        if location is None or peer.up:
            return
        if self._node > peer.node:
            if peer.dialled is None:
                peer.dialled = location
                self._socket.dial(location)
        else:
            peer.knocked = location
            self._socket.knock(location, pack(Kind.KNOCK, greeting_codec.encode(Knock(self._node, self._endpoints))))

    def _interrupt(self, peer: Peer) -> None:
        peer.up = peer.connected = False
        if peer.wanted_at_s is None:
            peer.wanted_at_s = self._now()
        self.on_broken(peer.node)

    def _break(self, peer: Peer) -> None:
        self._interrupt(peer)
        self._redial(peer)
        self._reach(peer)

    def _redial(self, peer: Peer) -> None:
        if peer.dialled is not None:
            self._hang_up(peer)
            self._reach(peer)

    def _hang_up(self, peer: Peer) -> None:
        if peer.dialled is not None:
            self._socket.hang_up(peer.dialled)
            peer.dialled = None
            peer.connected = False

    def _lose(self, peer: Peer, reason: str) -> None:
        self.dropped_frames += peer.drop_unsent()
        self._stop_knocking(peer)
        peer.up = False
        peer.incarnation = 0
        peer.wanted_at_s = None
        self.on_lost(peer.node, reason)

    def _stop_knocking(self, peer: Peer) -> None:
        if peer.knocked is not None:
            self._socket.stop_knocking(peer.knocked)
            peer.knocked = None

    def _hello(self, seen: int) -> bytes:
        return pack(Kind.HELLO, greeting_codec.encode(Hello(self._node, self._incarnation, seen, self._endpoints)))
