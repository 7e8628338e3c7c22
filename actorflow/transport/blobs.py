"""Large things in small pieces: a lane below all others.

A blob travels as one opening frame (its name) and pieces of at most `blob_chunk_bytes`. The receiver acknowledges each piece; the sender has
at most `blob_chunks_in_flight_max` unacknowledged ones for each peer. So a control message is never behind more than that many pieces,
however large the blob, and neither end holds more of it than that (unless the caller already holds it whole).

Frames: BLOB with `channel` = number of the blob, `sequence` = offset of the piece, flag LAST on the last piece, codec 1 on the opening;
BLOB_TAKEN with the same `channel` for each piece. Blobs to one peer go one after the other.

Failures. A blob that the sender cannot read to its end is ABORTED, by a frame without a piece. A piece that the receiver does not take, because
nobody there wants it or who wanted it failed, is answered with REFUSED, as are the rest of that blob: each piece has exactly one answer,
so the window is always given back. Either way the next blob follows, and neither end mistakes a part for the whole.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from actorflow.errors import FrameRefused
from actorflow.ids import NodeId
from actorflow.wire.frame import Flag, Frame, Kind, pack

logger = logging.getLogger("actorflow.transport")

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
        aborted: nothing follows, and what came is not the whole: to be thrown away. `data` is empty.
    """

    sender: NodeId
    key: str
    offset: int
    data: memoryview
    last: bool
    aborted: bool = False


class _Outgoing:
    __slots__ = ("_pieces", "_upcoming", "key", "number", "offset", "on_end", "opened")

    def __init__(self, number: int, key: str, pieces: Iterator[memoryview], on_end: Callable[[bool], None] | None) -> None:
        self.number = number
        self.key = key
        self.on_end = on_end
        self.offset = 0
        self.opened = False
        self._pieces = pieces
        self._upcoming: memoryview | None = None

    def next_piece(self) -> tuple[memoryview, bool]:
        """Return the next piece, and whether it is the last one. Raises what reading raises."""
        piece = self._upcoming if self._upcoming is not None else next(self._pieces, memoryview(b""))
        self._upcoming = next(self._pieces, None)
        self.offset += len(piece)
        return piece, self._upcoming is None

    def end(self, *, delivered: bool) -> None:
        """Tell who sent it. What a listener raises is logged: others are to be told too."""
        if self.on_end is not None:
            try:
                self.on_end(delivered)
            except Exception:
                logger.exception("a listener failed when blob '%s' ended", self.key)


class _Lane:
    """The blobs on their way to one peer."""

    __slots__ = ("in_flight", "queue", "sent")

    def __init__(self) -> None:
        self.queue: deque[_Outgoing] = deque()
        self.sent: dict[int, _Outgoing] = {}
        self.in_flight = 0

    def knows(self, blob: _Outgoing) -> bool:
        """Whether a blob is still on its way."""
        return blob.number in self.sent or (bool(self.queue) and self.queue[0] is blob)

    def remove(self, number: int) -> _Outgoing | None:
        """Take a blob off the lane that the peer does not want, if it is still there."""
        if self.queue and self.queue[0].number == number:
            return self.queue.popleft()
        return self.sent.pop(number, None)


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
        lane = self._lanes.setdefault(node, _Lane())
        lane.queue.append(blob)
        self._pump(node, lane)

    def forget(self, node: NodeId) -> None:
        """Drop what is on its way to and from a peer, and abort it at both ends."""
        for incoming in [at for at in self._incoming if at[0] == node]:
            self._abort(*incoming)
        lane = self._lanes.pop(node, None)
        if lane is not None:
            blobs = [*lane.sent.values(), *lane.queue]
            lane.sent.clear()
            lane.queue.clear()
            for blob in blobs:
                blob.end(delivered=False)

    def taken(self, node: NodeId, frame: Frame) -> None:
        """Note that a peer has taken a piece, or does not take that blob, and send the next piece."""
        lane = self._lanes.get(node)
        if lane is None:
            return
        lane.in_flight = max(0, lane.in_flight - 1)
        ended = None
        if frame.flags & Flag.REFUSED:
            ended = lane.remove(frame.channel)
        elif frame.flags & Flag.LAST:
            ended = lane.sent.pop(frame.channel, None)
        self._pump(node, lane)
        if ended is not None:
            ended.end(delivered=not frame.flags & Flag.REFUSED)

    def arrived(self, node: NodeId, frame: Frame) -> None:
        """Take a frame of a blob.

        Raises:
            FrameRefused: if it does not follow the ones before, or nobody here takes blobs.
        """
        if frame.codec == _OPENING:
            self._incoming[node, frame.channel] = (_text(frame.payload), 0)
        elif frame.flags & Flag.ABORTED:
            self._abort(node, frame.channel)
        else:
            answer = int(Flag.REFUSED)
            try:
                self._take(node, frame)
                answer = frame.flags & Flag.LAST
            finally:
                if answer == Flag.REFUSED:
                    self._incoming.pop((node, frame.channel), None)
                self._send(node, pack(Kind.BLOB_TAKEN, channel=frame.channel, flags=answer))

    def _abort(self, node: NodeId, number: int) -> None:
        key, offset = self._incoming.pop((node, number), ("", -1))
        if offset >= 0 and self.on_piece is not None:
            try:
                self.on_piece(BlobPiece(node, key, offset, memoryview(b""), last=False, aborted=True))
            except Exception:
                logger.exception("a receiver failed when blob '%s' from %s was aborted", key, node)

    def _take(self, node: NodeId, frame: Frame) -> None:
        at = (node, frame.channel)
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

    def waiting(self) -> int:
        """Return the number of blobs that are queued or under way."""
        return sum(len(lane.queue) + len(lane.sent) for lane in self._lanes.values())

    def _pump(self, node: NodeId, lane: _Lane) -> None:
        """Fill the window. A send may lose the peer, which empties the lane."""
        while lane.queue and lane.in_flight < self._in_flight_max:
            blob = lane.queue[0]
            offset = blob.offset
            try:
                piece, last = blob.next_piece()
            except Exception:
                logger.exception("cannot read blob '%s' for %s beyond byte %d", blob.key, node, offset)
                lane.queue.popleft()
                if blob.opened:
                    self._send(node, pack(Kind.BLOB, channel=blob.number, sequence=offset, flags=int(Flag.ABORTED)))
                blob.end(delivered=False)
                continue
            lane.in_flight += 1
            if last:
                lane.sent[blob.number] = lane.queue.popleft()
            if not blob.opened:
                blob.opened = True
                self._send(node, pack(Kind.BLOB, blob.key.encode(), codec=_OPENING, channel=blob.number))
            if lane.knows(blob):
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
