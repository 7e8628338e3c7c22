"""Control messages that are larger than a frame may be: cut into pieces that follow each other, and joined where they arrive.

Unlike a blob, such a message keeps its place: what was sent before it arrives before it, and what was sent after it, after. So it holds up
what comes behind it for as long as it takes to cross; that is right for a plan, a split or a chunk of results, and wrong for files.

Frames: CONTROL with flag PIECE, `sequence` = offset of the piece, flag LAST on the last one. A piece that does not follow the one before (its
beginning was lost with a connection) is refused, and with it the rest of that message.
"""

from __future__ import annotations

from collections.abc import Iterator

from actorflow.errors import FrameRefused
from actorflow.ids import NodeId
from actorflow.wire.frame import Flag, Frame, Kind, pack


def control_frames(payload: bytes, piece_bytes: int) -> Iterator[bytes]:
    """Give the frame of a control message, or the frames of its pieces."""
    size = len(payload)
    if size <= piece_bytes:
        yield pack(Kind.CONTROL, payload)
        return
    view = memoryview(payload)
    for start in range(0, size, piece_bytes):
        flags = int(Flag.PIECE) | (int(Flag.LAST) if start + piece_bytes >= size else 0)
        yield pack(Kind.CONTROL, view[start : start + piece_bytes], flags=flags, sequence=start)


class Pieces:
    """Joins the pieces of one message at a time from each peer. Used on the dispatcher's thread.

    Args:
        message_bytes_max: largest message.
    """

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._begun: dict[NodeId, bytearray] = {}

    def joined(self, node: NodeId, frame: Frame) -> memoryview | None:
        """Return the payload of a message, once it is there as a whole.

        Raises:
            FrameRefused: if the piece does not follow, or the message becomes too large.
        """
        if not frame.flags & Flag.PIECE:
            return frame.payload
        if frame.sequence == 0:
            self._begun[node] = bytearray()
        begun = self._begun.get(node)
        if begun is None or frame.sequence != len(begun):
            self.forget(node)
            raise FrameRefused(f"piece of a control message refused: it is at {frame.sequence}, and what comes before is not there")
        if len(begun) + len(frame.payload) > self._message_bytes_max:
            self.forget(node)
            raise FrameRefused(f"control message refused: it is larger than {self._message_bytes_max} bytes")
        begun += frame.payload
        if not frame.flags & Flag.LAST:
            return None
        self.forget(node)
        return memoryview(begun)

    def forget(self, node: NodeId) -> None:
        """Drop what has arrived of a message."""
        self._begun.pop(node, None)
