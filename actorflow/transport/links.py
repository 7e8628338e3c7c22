"""The links to all peers: who is up, who is wanted, who is lost, and the frames that wait until a peer is up.

See `peer` for the states and `greetings` for the handshake. Who is lost is decided by connections alone, never by silence: a node's thread
may be busy with user code for hours, while its process keeps its connections (see `monitor`, and `router_socket` for hosts that die). A
peer that is wanted is lost when for `peer_timeout_s` nobody stood where it listens. When a tick is late (this process was stopped, or
a message took long), the time that was missed does not count: a node that was not looking cannot say that nobody was there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from actorflow.errors import FrameRefused, TransportError
from actorflow.ids import NodeId
from actorflow.transport.addresses import Location, nearest, parse
from actorflow.transport.greetings import Hello, Knock, greeting_codec
from actorflow.transport.limits import TransportLimits
from actorflow.transport.peer import Peer
from actorflow.transport.router_socket import RouterSocket
from actorflow.wire.frame import Frame, Kind, pack

_HEARTBEAT = pack(Kind.HEARTBEAT)
_BYE = pack(Kind.BYE)
_SECOND_LOOK_S = 0.02
_RETIRED_MAX = 1000
_STRANGERS_MAX = 1000


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
        on_restored: told when a peer is up again, in the same life, after its connection broke.
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
        self._attempts = 0
        self._retired: dict[bytes, Peer] = {}
        self._strangers: dict[bytes, int] = {}
        self._tick_s = min(limits.heartbeat_interval_s / 2, limits.peer_timeout_s / 4)
        self._tick_at_s = now() + self._tick_s
        self._look_at_s: float | None = None
        self.peers: dict[bytes, Peer] = {}
        self.on_lost: Callable[[NodeId, str], None] = lambda _node, _reason: None
        self.on_broken: Callable[[NodeId], None] = lambda _node: None
        self.on_restored: Callable[[NodeId], None] = lambda _node: None
        self.frames_out = 0
        self.bytes_out = 0
        self.dropped_frames = 0

    # --- what this node wants -------------------------------------------------------------------------------------------

    def learn(self, node: NodeId, locations: Sequence[Location]) -> None:
        """Note where a peer listens, and dial it if that is this node's part.

        Raises:
            FrameRefused: if the peer is known by another key than the one announced.
        """
        key = self._vouched(node, "", locations)
        peer = self._peer(node)
        peer.key = key
        peer.locations = tuple(locations)
        peer.idle_since_s = None
        if not peer.up:
            if peer.dialled is not None and peer.dialled not in peer.locations:
                self._hang_up(peer)
            if self._node > node or peer.wanted_at_s is not None:
                self._reach(peer)

    def forget(self, node: NodeId) -> None:
        """Drop a peer and everything that waits for it, without a word to it or to `on_lost`."""
        self._retired.pop(node.encode(), None)
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
            self._give_up(peer, "more waits for it than may be kept")
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
        if peer is None:
            attempt = self._strangers[identity] = self._next_attempt()
            if len(self._strangers) > _STRANGERS_MAX:
                del self._strangers[next(iter(self._strangers))]
        else:
            if peer.up:
                self._interrupt(peer)
            peer.connected = peer.told = True
            attempt = peer.attempt = self._next_attempt()
        self._socket.send(identity, self._hello(attempt, 0))

    def disconnected(self, urls: Collection[str]) -> float:
        """Connections ended that were made by dialling, or accepted, at these endpoints. Returns when the next tick is due."""
        for peer in list(self.peers.values()):
            if peer.dialled is not None:
                if peer.connected and peer.dialled.url in urls:
                    self._break(peer)
            elif peer.up and self._look_at_s is None:
                # Whose accepted connection it was ZeroMQ does not say; a heartbeat to each finds out.
                self._look_at_s = self._now() + _SECOND_LOOK_S
        return self._due_s()

    def greeted(self, identity: bytes, frame: Frame, key: str) -> None:
        """A peer introduced itself, over a connection that was opened with `key` (empty if it was not, or not by the peer).

        Raises:
            FrameRefused: if it is not who it says it is.
        """
        hello = greeting_codec.decode(frame.payload)
        if not isinstance(hello, Hello) or hello.node.encode() != identity:
            raise FrameRefused(f"greeting refused: the peer {identity!r} calls itself {hello}")
        locations = _parsed(hello.endpoints)
        key = self._vouched(NodeId(hello.node), key, locations)
        peer = self._peer(NodeId(hello.node))
        again = peer.incarnation == hello.incarnation
        if peer.incarnation and not again:
            self._lose(peer, "it was restarted")
        elif peer.up and hello.attempt != peer.their_attempt:
            self._interrupt(peer)  # it has forgotten this node, and what was on its way
        again = again and not peer.up
        peer.key = key
        peer.incarnation = hello.incarnation
        peer.their_attempt = hello.attempt
        peer.locations = locations
        peer.connected = peer.up = True
        peer.wanted_at_s = peer.idle_since_s = None
        self._stop_knocking(peer)
        self._evict(peer)
        if hello.seen != self._incarnation:
            self._socket.send(identity, self._hello(peer.attempt, peer.incarnation))
        if again:
            self.on_restored(peer.node)
        self._send_waiting(peer)

    def knocked(self, frame: Frame, key: str) -> None:
        """A node with a lesser id wants to be dialled. One that is up keeps its endpoints, and if it knocks anew its link is made anew.

        Raises:
            FrameRefused: if the knock is malformed, comes from a node that dials itself, or shows another key than that node's.
        """
        knock = greeting_codec.decode(frame.payload)
        if not isinstance(knock, Knock) or not self._node > knock.node:
            raise FrameRefused(f"knock refused: {knock}")
        node, locations = NodeId(knock.node), _parsed(knock.endpoints)
        key = self._vouched(node, key, locations)
        peer = self._peer(node)
        if not peer.up:
            self.learn(node, locations)
            peer.key = key
        elif knock.incarnation != peer.incarnation or knock.attempt > peer.their_attempt:
            self._break(peer)

    def usurped(self, peer: Peer) -> None:
        """Someone else connected under the name of a peer, and displaced it: send nothing, and make the link anew."""
        if peer.up:
            self._break(peer)

    def said_goodbye(self, peer: Peer) -> None:
        """A peer ends the connection on purpose."""
        self._give_up(peer, "it left")

    def tick(self, now: float) -> float:
        """If it is time, see whether peers are still there, try again to reach who is wanted, and give up who could not be.

        Returns:
            When the next tick is due.
        """
        if self._look_at_s is not None and now >= self._look_at_s:
            self._look_at_s = None
            for peer in list(self.peers.values()):
                if peer.up and peer.dialled is None and not self._socket.send(peer.identity, _HEARTBEAT):
                    self._break(peer)
        if now >= self._tick_at_s:
            late_s = now - self._tick_at_s
            missed_s = late_s if late_s > self._limits.peer_timeout_s / 4 else 0.0
            self._tick_at_s = now + self._tick_s
            for peer in list(self.peers.values()):
                self._keep_up(peer)
                self._judge(peer, now, missed_s)
        return self._due_s()

    # --- steps -----------------------------------------------------------------------------------------------------------

    def _due_s(self) -> float:
        return self._tick_at_s if self._look_at_s is None else min(self._tick_at_s, self._look_at_s)

    def _keep_up(self, peer: Peer) -> None:
        if peer.up:
            if not peer.told and not self._socket.send(peer.identity, _HEARTBEAT):
                self._break(peer)
        elif peer.connected:
            peer.connected = peer.told or self._socket.send(peer.identity, self._hello(peer.attempt, 0))
        elif peer.wanted_at_s is not None:
            self._reach(peer)
        peer.told = False

    def _judge(self, peer: Peer, now: float, missed_s: float) -> None:
        limit_s = self._limits.peer_timeout_s
        if peer.wanted_at_s is not None:
            peer.wanted_at_s = now if self._stands(peer) else peer.wanted_at_s + missed_s
            if now - peer.wanted_at_s > limit_s:
                self._give_up(peer, f"it could not be reached for {limit_s:g} s")
        elif peer.up or peer.connected:
            peer.idle_since_s = None
        elif peer.idle_since_s is None:
            peer.idle_since_s = now
        elif now - peer.idle_since_s > limit_s:
            self._retire(peer)

    def _stands(self, peer: Peer) -> bool:
        """Whether the peer's process seems to be there, though its thread has not answered yet."""
        return peer.connected or any(self._socket.stands(at) for at in (peer.dialled, peer.knocked) if at is not None)

    def _peer(self, node: NodeId) -> Peer:
        identity = node.encode()
        peer = self.peers.get(identity)
        if peer is None:
            peer = self.peers[identity] = self._retired.pop(identity) if identity in self._retired else Peer(node)
            peer.attempt = self._strangers.pop(identity, 0) or self._next_attempt()
        return peer

    def _retire(self, peer: Peer) -> None:
        """Stop dialling a peer that nobody here wants, and remember of it only where it listens and its key."""
        self._hang_up(peer)
        self._retired[peer.identity] = self.peers.pop(peer.identity)
        if len(self._retired) > _RETIRED_MAX:
            del self._retired[next(iter(self._retired))]

    def _vouched(self, node: NodeId, key: str, locations: Sequence[Location]) -> str:
        """Return the key that a node is known by from now on; the first one that was seen or announced stays."""
        known = self.peers.get(node.encode()) or self._retired.get(node.encode())
        claimed = {key, known.key if known is not None else "", *(location.public_key for location in locations)} - {""}
        if len(claimed) > 1:
            raise FrameRefused(f"{node} refused: it shows another key than the one it is known by")
        return claimed.pop() if claimed else ""

    def _evict(self, arrived: Peer) -> None:
        """Give up peers that are looked for where another node turns out to listen: they have ended, and it got their port."""
        urls = {location.url for location in arrived.locations}
        for peer in list(self.peers.values()):
            if peer is not arrived and peer.dialled is not None and peer.dialled.url in urls and not peer.connected:
                self._give_up(peer, f"{arrived.node} listens where it did")

    def _want(self, peer: Peer) -> None:
        if peer.wanted_at_s is None:
            peer.wanted_at_s = self._now()
            peer.idle_since_s = None
            self._reach(peer)

    def _reach(self, peer: Peer) -> None:
        location = nearest(peer.locations)
        if location is None or peer.up:
            return
        try:
            if not self._node > peer.node:
                self._knock(peer, location)
            elif peer.dialled is None:
                self._socket.dial(location)
                peer.dialled = location
        except TransportError as error:
            self._give_up(peer, str(error))

    def _knock(self, peer: Peer, location: Location) -> None:
        if peer.knocked != location:
            self._stop_knocking(peer)
        peer.knocked = location
        knock = Knock(self._node, self._incarnation, peer.attempt, self._endpoints)
        self._socket.knock(location, pack(Kind.KNOCK, greeting_codec.encode(knock)))

    def _send_waiting(self, peer: Peer) -> None:
        while peer.up and peer.unsent:
            if not self._socket.send(peer.identity, peer.unsent[0]):
                self._break(peer)
                return
            self.frames_out += 1
            self.bytes_out += len(peer.unsent[0])
            peer.sent()

    def _interrupt(self, peer: Peer) -> None:
        peer.up = peer.connected = False
        peer.attempt = self._next_attempt()
        if peer.wanted_at_s is None:
            peer.wanted_at_s = self._now()
        self.on_broken(peer.node)

    def _break(self, peer: Peer) -> None:
        self._interrupt(peer)
        self._hang_up(peer)
        self._reach(peer)

    def _hang_up(self, peer: Peer) -> None:
        if peer.dialled is not None:
            self._socket.hang_up(peer.dialled)
            peer.dialled = None
            peer.connected = False

    def _give_up(self, peer: Peer, reason: str) -> None:
        """Lose a peer and leave it alone, until something is wanted of it or it comes by itself."""
        self._hang_up(peer)
        peer.connected = False
        self._lose(peer, reason)

    def _lose(self, peer: Peer, reason: str) -> None:
        self.dropped_frames += peer.drop_unsent()
        self._stop_knocking(peer)
        peer.up = False
        peer.incarnation = 0
        peer.attempt = self._next_attempt()
        peer.wanted_at_s = None
        self.on_lost(peer.node, reason)

    def _stop_knocking(self, peer: Peer) -> None:
        if peer.knocked is not None:
            self._socket.stop_knocking(peer.knocked)
            peer.knocked = None

    def _next_attempt(self) -> int:
        self._attempts += 1
        return self._attempts

    def _hello(self, attempt: int, seen: int) -> bytes:
        return pack(Kind.HELLO, greeting_codec.encode(Hello(self._node, self._incarnation, seen, attempt, self._endpoints)))


def _parsed(endpoints: Sequence[str]) -> tuple[Location, ...]:
    try:
        return tuple(map(parse, endpoints))
    except TransportError as error:
        raise FrameRefused(f"endpoints of a peer refused: {error}") from None
