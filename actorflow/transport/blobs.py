"""Large things in small pieces: a lane below all others.

A blob travels as one opening frame (its name) and pieces of at most `blob_chunk_bytes`. The receiver acknowledges each piece; the sender has
at most `blob_chunks_in_flight_max` unacknowledged ones for each peer. So a control message is never behind more than that many pieces,
however large the blob, and neither end holds more of it than that (unless the caller already holds it whole).

Frames: BLOB with `channel` = number of the blob, `sequence` = offset of the piece, flag LAST on the last piece, codec 1 on the opening;
BLOB_TAKEN with the same `channel` for each piece. Blobs to one peer go one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from actorflow.errors import FrameRefused
from actorflow.ids import NodeId
from actorflow.wire.frame import Flag, Frame, Kind, pack

BlobData = bytes | bytearray | memoryview | Iterable[bytes]

_OPENING = 1


@dataclass(frozen=True, slots=True)
class BlobPiece:
    """A piece of a blob, as it arrives. Pieces come in order, the first one at offset 0.

    Attributes:
        sender: node that sends it.
        key: the blob's name.
        offset: place of `data` in the blob, in bytes.
        data: the piece; a view, to be copied or written before the receiver returns.
        last: nothing follows.
    """

    sender: NodeId
    key: str
    offset: int
    data: memoryview
    last: bool


class _Outgoing:
    __slots__ = ("_pieces", "key", "number", "offset", "on_end", "opened", "upcoming")

    def __init__(self, number: int, key: str, pieces: Iterator[memoryview], on_end: Callable[[bool], None] | None) -> None:
        self.number = number
        self.key = key
        self.on_end = on_end
        self.offset = 0
        self.opened = False
        self._pieces = pieces
        self.upcoming = next(pieces, memoryview(b""))

    def next_piece(self) -> tuple[memoryview, bool]:
        """Return the next piece, and whether it is the last one."""
        piece, following = self.upcoming, next(self._pieces, None)
        self.upcoming = following if following is not None else memoryview(b"")
        self.offset += len(piece)
        return piece, following is None


class _Lane:
    """The blobs on their way to one peer."""

    __slots__ = ("in_flight", "queue", "sent")

    def __init__(self) -> None:
        self.queue: deque[_Outgoing] = deque()
        self.sent: dict[int, _Outgoing] = {}
        self.in_flight = 0


class BlobLanes:
    """Sends and receives blobs, for all peers of a node. Used on the dispatcher's thread.

    Args:
        send: hands a frame to the link with a peer.
        chunk_bytes: size of a piece.
        in_flight_max: unacknowledged pieces for each peer.
    """

    def __init__(self, send: Callable[[NodeId, bytes], None], chunk_bytes: int, in_flight_max: int) -> None:
        self._send = send
        self._chunk_bytes = chunk_bytes
        self._in_flight_max = in_flight_max
        self._numbers = 0
        self._lanes: dict[NodeId, _Lane] = {}
        self._incoming: dict[tuple[NodeId, int], tuple[str, int]] = {}
        self.on_piece: Callable[[BlobPiece], None] | None = None

    def send(self, node: NodeId, key: str, data: BlobData, on_end: Callable[[bool], None] | None) -> None:
        """Queue a blob; `on_end(delivered)` is called when the peer has taken all of it, or was lost before. An iterable is read as it is sent."""
        self._numbers = self._numbers % 0xFFFF_FFFF + 1
        blob = _Outgoing(self._numbers, key, _cut(data, self._chunk_bytes), on_end)
        self._lanes.setdefault(node, _Lane()).queue.append(blob)
        self._pump(node)

    def forget(self, node: NodeId) -> None:
        """Drop what is on its way to and from a peer."""
        for incoming in [key for key in self._incoming if key[0] == node]:
            del self._incoming[incoming]
        lane = self._lanes.pop(node, None)
        for blob in [*lane.sent.values(), *lane.queue] if lane is not None else ():
            if blob.on_end is not None:
                blob.on_end(False)

    def taken(self, node: NodeId, frame: Frame) -> None:
        """Note that a peer has taken a piece, and send the next one."""
        lane = self._lanes.get(node)
        if lane is None:
            return
        lane.in_flight = max(0, lane.in_flight - 1)
        self._pump(node)
        if frame.flags & Flag.LAST:
            blob = lane.sent.pop(frame.channel, None)
            if blob is not None and blob.on_end is not None:
                blob.on_end(True)

    def arrived(self, node: NodeId, frame: Frame) -> None:
        """Take a frame of a blob.

        Raises:
            FrameRefused: if it does not follow the ones before, or nobody here takes blobs.
        """
        at = (node, frame.channel)
        if frame.codec == _OPENING:
            self._incoming[at] = (_text(frame.payload), 0)
            return
        key, offset = self._incoming.get(at, ("", -1))
        if frame.sequence != offset or self.on_piece is None:
            reason = "nobody here takes blobs" if self.on_piece is None else f"offset {frame.sequence} came where {offset} was due"
            raise FrameRefused(f"blob {frame.channel} from {node} refused: {reason}")
        last = bool(frame.flags & Flag.LAST)
        if last:
            del self._incoming[at]
        else:
            self._incoming[at] = (key, offset + len(frame.payload))
        self.on_piece(BlobPiece(node, key, offset, frame.payload, last))
        self._send(node, pack(Kind.BLOB_TAKEN, channel=frame.channel, flags=frame.flags))

    def waiting(self) -> int:
        """Return the number of blobs that are queued or under way."""
        return sum(len(lane.queue) + len(lane.sent) for lane in self._lanes.values())

    def _pump(self, node: NodeId) -> None:
        lane = self._lanes[node]
        while lane.queue and lane.in_flight < self._in_flight_max:
            blob = lane.queue[0]
            if not blob.opened:
                blob.opened = True
                self._send(node, pack(Kind.BLOB, blob.key.encode(), codec=_OPENING, channel=blob.number))
            offset = blob.offset
            piece, last = blob.next_piece()
            if last:
                lane.sent[blob.number] = lane.queue.popleft()
            lane.in_flight += 1
            flags = int(Flag.LAST) if last else 0
            self._send(node, pack(Kind.BLOB, piece, channel=blob.number, sequence=offset, flags=flags))


def _cut(data: BlobData, size: int) -> Iterator[memoryview]:
    parts = (data,) if isinstance(data, (bytes, bytearray, memoryview)) else data
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), size):
            yield view[start : start + size]


def _text(payload: memoryview) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise FrameRefused("blob refused: its name is not text") from None
