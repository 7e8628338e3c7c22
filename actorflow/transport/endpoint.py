"""The transport of a node: remote refs, channels and blobs over one socket.

`Endpoint` is the `Router` of the node's actor system (`send`, `watch`, `unwatch`) and the data plane of its subtasks (`send_data`,
`send_credit`, `register_*`); `Endpoint.io` is the `Io` that the dispatcher sleeps on. Everything that arrives is checked in this
order, and refused at the first step that fails, without harm to anything else:

    ZeroMQ's own handshake, CURVE and ZAP ► frame: size, version, checksum ► hello ► message types, channel, sequence ► receiver

Delivery between two actors is first in, first out, and at most once.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from actorflow.clock import Clock
from actorflow.errors import FrameRefused, TransportError
from actorflow.ids import ActorPath, Address, NodeId, split_address
from actorflow.transport.addresses import parse
from actorflow.transport.blobs import BlobData, BlobLanes, BlobPiece
from actorflow.transport.channels import ChannelTable, CreditHandler, FrameHandler
from actorflow.transport.curve import CurveKeys
from actorflow.transport.limits import TransportLimits
from actorflow.transport.links import Links
from actorflow.transport.observation import PeerObservation, TransportObservation
from actorflow.transport.peer import Peer
from actorflow.transport.pieces import Pieces, control_frames
from actorflow.transport.router_socket import RouterSocket
from actorflow.transport.socket_io import SocketIo
from actorflow.wire.frame import Frame, Kind, pack, unpack
from actorflow.wire.message import Message, MessageCodec
from actorflow.wire.parcel import decode_parcel, encode_parcel

logger = logging.getLogger("actorflow.transport")

_REFUSALS_KEPT_MAX = 16


class System(Protocol):
    """What the transport needs of the actor system that it is attached to."""

    def deliver(
        self,
        path: ActorPath,
        message: object,
        *,
        control: bool,
        reply_to: Address | None = None,
        correlation: int | None = None,
        sender: NodeId | None = None,
    ) -> None:
        """Hand a message of node `sender` to the actor at `path`, or to the dead letters."""
        ...

    def link_restored(self, node: NodeId) -> None:
        """Say again to `node` what may have been lost when the connection to it broke: it is up again, in the same life."""
        ...

    def node_lost(self, node: NodeId) -> None:
        """Tell those who watch actors on `node` that it is gone."""
        ...


class Endpoint:
    """A node on the network. `send*`, `learn`, `forget` and `watch` may be called from any thread.

    Args:
        node: this node's id; what `~` begins with is never dialled, and dials everybody.
        codec: the control messages that this node understands.
        bind: where to listen: `tcp://127.0.0.1:0` (any free port), `ipc:///path`; several are possible.
        clock: times heartbeats.
        keys: demanded from and shown to peers on tcp; needed to listen on anything but loopback.
        limits: sizes and times.
        advertise_host: host name to be known by, where it differs from the one that is bound.

    Attributes:
        node: this node's id.
        endpoints: where it listens, as peers can `learn` them.
        io: what the node's dispatcher polls.
        on_peer_lost: called with each peer that is lost, and why.
        on_link_broken: called with each peer whose connection broke or lost frames; channels to and from it are not complete.

    Raises:
        TransportError: if an endpoint cannot be bound, or is open to other hosts without keys.
    """

    def __init__(
        self,
        node: NodeId,
        codec: MessageCodec,
        *,
        bind: Sequence[str],
        clock: Clock,
        keys: CurveKeys | None = None,
        limits: TransportLimits | None = None,
        advertise_host: str | None = None,
    ) -> None:
        self.node = node
        self.limits = limits or TransportLimits()
        self._codec = codec
        self._frame_limits = self.limits.frames
        self._system: System | None = None
        self._socket = RouterSocket(node, keys, self.limits)
        try:
            self.endpoints = tuple(str(self._socket.bind(text, advertise_host)) for text in bind)
        except TransportError:
            self._socket.close()
            raise
        incarnation = int.from_bytes(os.urandom(8), "little") >> 1 | 1
        self._links = Links(node, incarnation, self.endpoints, self._socket, self.limits, clock.now)
        self._links.on_lost = self._lost
        self._links.on_broken = self._broken
        self._links.on_restored = self._restored
        self._channels = ChannelTable()
        self._pieces = Pieces(self.limits.unsent_bytes_max)
        self._blobs = BlobLanes(self._links.send, self.limits.blob_chunk_bytes, self.limits.blob_chunks_in_flight_max)
        self.on_peer_lost: list[Callable[[NodeId, str], None]] = []
        self.on_link_broken: list[Callable[[NodeId], None]] = []
        self._frames_in = 0
        self._bytes_in = 0
        self._refused: Counter[str] = Counter()
        self._last_refusals: deque[str] = deque(maxlen=_REFUSALS_KEPT_MAX)
        self.io = SocketIo(
            self._socket,
            clock,
            self.limits.receive_frames_max,
            on_message=self._received,
            on_disconnected=self._links.disconnected,
            on_tick=self._links.tick,
            on_close=self._links.leave,
        )

    def attach(self, system: System) -> None:
        """Say which actor system gets what arrives. Before the first poll."""
        self._system = system

    def close(self) -> None:
        """Say goodbye to all peers and close the socket, as the actor system does when it shuts down. See `SocketIo.close`."""
        self.io.close()

    # --- peers -----------------------------------------------------------------------------------------------------------

    def learn(self, node: NodeId, endpoints: Sequence[str]) -> None:
        """Note where a peer can be reached; this may connect to it.

        Raises:
            TransportError: if a text is not an endpoint.
        """
        locations = tuple(map(parse, endpoints))
        if node != self.node:
            self.io.run(lambda: self._links.learn(node, locations))

    def forget(self, node: NodeId) -> None:
        """Drop what waits for a peer, and stop connecting to it."""
        self.io.run(lambda: self._links.forget(node))

    # --- messages between actors -----------------------------------------------------------------------------------------

    def send(
        self, to: Address, message: object, *, control: bool, reply_to: Address | None = None, correlation: int | None = None
    ) -> None:
        """Send a control message to an actor on another node.

        Raises:
            TransportError: if it is not a control message, or larger than what may wait for a peer (`unsent_bytes_max`).
        """
        node, path = split_address(to)
        if not isinstance(message, Message):
            raise TransportError(
                f"cannot send a '{type(message).__name__}' to {to}: only control messages leave a node",
                hint="subclass actorflow.wire.message.Message, and name it to the node's codec",
            )
        payload = encode_parcel(path, message, self._codec, control=control, reply_to=reply_to, correlation=correlation)
        if len(payload) > self.limits.unsent_bytes_max:
            raise TransportError(
                f"cannot send '{type(message).__name__}' of {len(payload)} bytes to {to}: the limit is {self.limits.unsent_bytes_max}",
                hint="send what is large as a blob, or raise actorflow.transport.unsent-bytes-max",
            )
        self.io.run(lambda: self._send_control(node, payload))

    def _send_control(self, node: NodeId, payload: bytes) -> None:
        for frame in control_frames(payload, self.limits.control_bytes_max):
            self._links.send(node, frame)

    def watch(self, target: Address) -> None:
        """Keep an eye on the node of `target`: when it is lost or cannot be reached, the system hears of it."""
        self.io.run(lambda: self._links.want(split_address(target)[0]))

    def unwatch(self, target: Address) -> None:
        """Nobody watches `target` any more. There is nothing to undo: an eye is kept on every peer that is or was connected."""

    # --- channels --------------------------------------------------------------------------------------------------------

    def send_data(
        self,
        node: NodeId,
        *,
        deployment: int,
        channel: int,
        kind: Kind,
        sequence: int,
        backlog: int,
        flags: int,
        codec: int,
        payload: bytes | memoryview,
    ) -> None:
        """Send a batch or event of a channel. Never blocks: credit bounds what is under way.

        Raises:
            TransportError: if the payload is larger than `data_bytes_max`.
        """
        if len(payload) > self.limits.data_bytes_max:
            raise TransportError(
                f"cannot send a batch of {len(payload)} bytes to {node}: the limit is {self.limits.data_bytes_max}",
                hint="raise actorflow.transport.frame-bytes-max, or emit smaller records",
            )
        frame = pack(
            kind, payload, flags=flags, codec=codec, deployment=deployment, channel=channel, sequence=sequence, backlog=backlog
        )
        self.io.run(lambda: self._links.send(node, frame))

    def send_credit(self, node: NodeId, deployment: int, channel: int, credit: int, batch_records_max: int) -> None:
        """Grant buffers, of so many records each, to the sender of a channel."""
        frame = pack(Kind.CREDIT, deployment=deployment, channel=channel, backlog=credit, sequence=batch_records_max)
        self.io.run(lambda: self._links.send(node, frame))

    def register_input(self, deployment: int, channel: int, handler: FrameHandler) -> None:
        """Have frames of a channel handed to `handler`, on the dispatcher's thread."""
        self._channels.register_input(deployment, channel, handler)

    def register_output(self, deployment: int, channel: int, on_credit: CreditHandler) -> None:
        """Have credit of a channel handed to `on_credit(buffers, records in a buffer)`, on the dispatcher's thread."""
        self._channels.register_output(deployment, channel, on_credit)

    def unregister(self, deployments: Iterable[int], channels: Collection[int] | None = None) -> None:
        """Forget these channels of some deployments, or all of them; what still arrives for them is dropped and counted."""
        self._channels.unregister(deployments, channels)

    # --- blobs -----------------------------------------------------------------------------------------------------------

    def send_blob(self, node: NodeId, key: str, data: BlobData, on_end: Callable[[bool], None] | None = None) -> None:
        """Send something large in pieces, behind everything else.

        Args:
            node: who gets it.
            key: its name there.
            data: bytes, or an iterable of bytes that is read, on the dispatcher's thread, as fast as the peer takes it.
            on_end: called on the dispatcher's thread: True when the peer has taken all of it, False when it was lost before.
        """
        self.io.run(lambda: self._blobs.send(node, key, data, on_end))

    def receive_blobs(self, on_piece: Callable[[BlobPiece], None]) -> None:
        """Have the pieces of blobs handed to `on_piece`, on the dispatcher's thread."""
        self._blobs.on_piece = on_piece

    # --- inspection ------------------------------------------------------------------------------------------------------

    def observe(self) -> TransportObservation:
        """Return the state of the transport."""
        peers = tuple(
            PeerObservation(peer.node, peer.up, tuple(map(str, peer.locations)), len(peer.unsent), peer.unsent_bytes)
            for peer in list(self._links.peers.values())
        )
        return TransportObservation(
            node=self.node,
            endpoints=self.endpoints,
            peers=peers,
            frames_in=self._frames_in,
            bytes_in=self._bytes_in,
            frames_out=self._links.frames_out,
            bytes_out=self._links.bytes_out,
            dropped_frames=self._links.dropped_frames,
            fenced_frames=self._channels.fenced_frames,
            refused=dict(self._refused),
            last_refusals=tuple(self._last_refusals),
            turned_away=self._socket.gate.turned_away if self._socket.gate is not None else 0,
            handshakes_failed=self._socket.handshakes_failed,
            blobs_waiting=self._blobs.waiting(),
            channels=len(self._channels),
        )

    # --- what arrives ----------------------------------------------------------------------------------------------------

    def _received(self, identity: bytes, data: bytes, key: str) -> None:
        if not data:
            self._links.connected(identity)
            return
        self._frames_in += 1
        self._bytes_in += len(data)
        step = "frame"
        try:
            frame = unpack(data, self._frame_limits)
            step = frame.kind.name.lower()
            self._take(identity, frame, key)
        except FrameRefused as refused:
            self._refused[step] += 1
            self._last_refusals.append(f"from {identity!r}: {refused}")
            logger.debug("refused a frame from %r: %s", identity, refused)
        except Exception:
            self._refused[f"{step} failed"] += 1
            logger.exception("a receiver failed on a %s from %r", step, identity)

    def _take(self, identity: bytes, frame: Frame, key: str) -> None:
        kind = frame.kind
        peer = self._links.peers.get(identity)
        if key and peer is not None and peer.key and key != peer.key:
            self._links.usurped(peer)
            raise FrameRefused(f"{peer.node} refused: it shows another key than the one it is known by")
        if kind is Kind.HELLO:
            self._links.greeted(identity, frame, key)
            return
        if kind is Kind.KNOCK:
            self._links.knocked(frame, key)
            return
        if peer is None or not peer.up:
            raise FrameRefused(f"{kind.name} before a hello")
        if kind is Kind.DATA or kind is Kind.EVENT:
            self._take_data(peer, frame)
        elif kind is Kind.CONTROL:
            payload = self._pieces.joined(peer.node, frame)
            if payload is not None:
                self._take_message(peer.node, payload)
        elif kind is Kind.CREDIT:
            self._channels.credit(frame)
        elif kind is Kind.BLOB:
            self._blobs.arrived(peer.node, frame)
        elif kind is Kind.BLOB_TAKEN:
            self._blobs.taken(peer.node, frame)
        elif kind is Kind.BYE:
            self._links.said_goodbye(peer)

    def _take_data(self, peer: Peer, frame: Frame) -> None:
        try:
            self._channels.deliver(peer.node, frame)
        except FrameRefused:
            self._tell_broken(peer.node)
            raise

    def _take_message(self, sender: NodeId, payload: memoryview) -> None:
        parcel = decode_parcel(payload)
        message = parcel.open(self._codec)
        if self._system is not None:
            self._system.deliver(
                ActorPath(parcel.path),
                message,
                control=parcel.control,
                reply_to=Address(parcel.reply_to) if parcel.reply_to is not None else None,
                correlation=parcel.correlation,
                sender=sender,
            )

    # --- what becomes of peers -------------------------------------------------------------------------------------------

    def _lost(self, node: NodeId, reason: str) -> None:
        logger.info("lost %s: %s", node, reason)
        self._blobs.forget(node)
        self._pieces.forget(node)
        for hear in self.on_peer_lost:
            with _logged("of the loss", node):
                hear(node, reason)
        if self._system is not None:
            with _logged("of the loss", node):
                self._system.node_lost(node)

    def _broken(self, node: NodeId) -> None:
        self._blobs.forget(node)
        self._pieces.forget(node)
        self._tell_broken(node)

    def _tell_broken(self, node: NodeId) -> None:
        for hear in self.on_link_broken:
            with _logged("of the broken link", node):
                hear(node)

    def _restored(self, node: NodeId) -> None:
        if self._system is not None:
            with _logged("of the restored link", node):
                self._system.link_restored(node)


@contextlib.contextmanager
def _logged(news: str, node: NodeId) -> Iterator[None]:
    """Keep a listener that fails from those that hear after it."""
    try:
        yield
    except Exception:
        logger.exception("a listener failed when it heard %s: %s", news, node)
