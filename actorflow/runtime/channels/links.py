"""Channels between nodes: batches out as frames, credit back; frames in as elements that are decoded when they are taken.

What has arrived and was not taken yet stays encoded: it is cheap to hold, and warm in the cache when it is decoded just before it is
processed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from actorflow.ids import ChannelId, NodeId
from actorflow.wire.batch import ChannelEvent, ColumnBatch, Element, ObjectBatch
from actorflow.wire.codec import compress, decode_batch, decode_event, decompress, encode_batch, encode_event
from actorflow.wire.frame import Flag, Frame, Kind


class FrameSender(Protocol):
    """What takes the frames of channels."""

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
        """Send a frame of a channel. Never blocks: credit bounds what is under way."""
        ...


class DataPlane(FrameSender, Protocol):
    """What the runtime needs of a node's transport endpoint."""

    def learn(self, node: NodeId, endpoints: Sequence[str]) -> None:
        """Note where a peer can be reached."""
        ...

    def send_credit(self, node: NodeId, deployment: int, channel: int, credit: int, batch_records_max: int) -> None:
        """Grant credit to the sender of a channel."""
        ...

    def register_input(self, deployment: int, channel: int, handler: Callable[[Frame], None]) -> None:
        """Have frames of a channel handed to `handler`, on the node's dispatcher thread."""
        ...

    def register_output(self, deployment: int, channel: int, on_credit: Callable[[int, int], None]) -> None:
        """Have credit (buffers, records in a buffer) of a channel handed to `on_credit`, on the node's dispatcher thread."""
        ...

    def unregister(self, deployments: Iterable[int], channels: Collection[int] | None = None) -> None:
        """Forget these channels of some deployments, or all of them; what still arrives for them is dropped."""
        ...


class ReceivedBatch:
    """A batch as it came over the wire.

    Attributes:
        frame: the frame, whose payload is the batch.
    """

    __slots__ = ("frame",)

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    @property
    def bytes(self) -> int:
        """Size of the payload."""
        return len(self.frame.payload)

    def decode(self, payload_bytes_max: int) -> ObjectBatch | ColumnBatch:
        """Return the batch."""
        payload: bytes | memoryview = self.frame.payload
        if self.frame.flags & Flag.LZ4:
            payload = decompress(payload, payload_bytes_max)
        return decode_batch(self.frame.codec, payload)


def received(frame: Frame) -> ReceivedBatch | ChannelEvent:
    """Return what a frame of a channel carries."""
    return ReceivedBatch(frame) if frame.kind is Kind.DATA else decode_event(frame.payload)


TOO_LARGE = -1
"""What a link answers instead of a size: nothing was sent, the batch has to be cut first."""


class RemoteLink:
    """To a subtask on another node.

    Args:
        plane: this node's transport, or what else takes its frames.
        node: where the consumer runs.
        deployment: fences the frames.
        channel: the channel's id.
        compressed: whether payloads are compressed when that shrinks them.
        payload_bytes_max: larger batches are cut, where they can be.
    """

    __slots__ = ("_channel", "_compressed", "_deployment", "_node", "_payload_bytes_max", "_plane", "_sequence")

    def __init__(
        self, plane: FrameSender, node: NodeId, deployment: int, channel: ChannelId, *, compressed: bool, payload_bytes_max: int
    ) -> None:
        self._plane = plane
        self._node = node
        self._deployment = deployment
        self._channel = channel
        self._compressed = compressed
        self._payload_bytes_max = payload_bytes_max
        self._sequence = 0

    def send(self, element: Element, backlog: int) -> int:
        """Encode and send one element; return the size of its payload in bytes, or `TOO_LARGE`."""
        flags = codec = 0
        payload: bytes | memoryview
        if isinstance(element, ObjectBatch | ColumnBatch):
            kind = Kind.DATA
            codec, payload = encode_batch(element)
            if len(payload) > self._payload_bytes_max and len(element) > 1:
                return TOO_LARGE  # decoded, it has to fit a payload at the receiver too, compressed or not
            packed = compress(payload) if self._compressed else None
            if packed is not None:
                flags, payload = int(Flag.LZ4), packed
        else:
            kind, payload = Kind.EVENT, encode_event(element)
        self._sequence += 1
        self._plane.send_data(
            self._node,
            deployment=self._deployment,
            channel=self._channel,
            kind=kind,
            sequence=self._sequence,
            backlog=backlog,
            flags=flags,
            codec=codec,
            payload=payload,
        )
        return len(payload)
