"""Frames: what crosses a connection. A fixed binary header, then the payload.

    offset  size  field
         0     2  magic `AF`
         2     1  version
         3     1  kind
         4     2  flags
         6     2  codec        how the payload reads: an object or column codec for DATA, else 0
         8     4  deployment   fences the data plane: frames of an earlier deployment are dropped
        12     4  channel
        16     8  sequence     rises by one with each frame of a channel
        24     4  backlog      DATA: batches the sender still holds; CREDIT: buffers granted
        28     4  length       of the payload, in bytes
        32     8  checksum     XXH3 of the payload, seeded with the XXH3 of the 32 bytes before

All little-endian. A frame is one contiguous run of bytes, so an in-flight frame can be stored as it is. A checksum over the header
too means that a flipped bit is noticed wherever it is; it detects faults, not forgery, which is what CURVE is for.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

import msgspec
from xxhash import xxh3_64_intdigest as _digest

from actorflow.errors import FrameRefused

VERSION = 1
"""Version of the frame layout and of the protocol that uses it."""

_MAGIC = b"AF"
_PREFIX = struct.Struct("<2sBBHHIIQII")
_CHECKSUM = struct.Struct("<Q")
HEADER_BYTES = _PREFIX.size + _CHECKSUM.size
"""Size of a header."""


class Kind(enum.IntEnum):
    """What a frame is for."""

    HELLO = 1
    """Who a peer is; before anything else, in both directions."""
    KNOCK = 2
    """Asks a node that may dial to do so."""
    CONTROL = 3
    """A control message to an actor."""
    DATA = 4
    """A batch in a channel."""
    EVENT = 5
    """A watermark, barrier or other event in a channel."""
    CREDIT = 6
    """Buffers granted by the receiver of a channel."""
    BLOB = 7
    """A piece of something large."""
    HEARTBEAT = 8
    """Nothing but a sign of life."""
    BYE = 9
    """The node ends the connection on purpose."""
    BLOB_TAKEN = 10
    """The receiver has taken a piece of a blob."""


class Flag(enum.IntFlag):
    """What is special about a payload."""

    NONE = 0
    LZ4 = 1
    """The payload is compressed; see `codec.decompress`."""
    LAST = 2
    """The last piece of a blob, or of a control message."""
    PIECE = 4
    """A piece of a control message that is larger than a frame may be."""
    ABORTED = 8
    """The sender of a blob could not read it: nothing follows, and what came is not the whole."""
    REFUSED = 16
    """The receiver of a blob does not take this piece, nor what follows of that blob."""


_KINDS = {int(kind): kind for kind in Kind}
_FLAGS_KNOWN = int(Flag.LZ4 | Flag.LAST | Flag.PIECE | Flag.ABORTED | Flag.REFUSED)


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What a node is willing to take. Enforced before a payload is looked at.

    Attributes:
        control_bytes_max: payload of a control message or a piece of one, of a hello or other small talk.
        data_bytes_max: payload of a batch or channel event.
        blob_chunk_bytes_max: payload of one piece of a blob.
    """

    control_bytes_max: int = 16 << 20
    data_bytes_max: int = 256 << 20
    blob_chunk_bytes_max: int = 1 << 20

    def payload_bytes_max(self, kind: Kind) -> int:
        """Return the largest payload for a kind of frame."""
        if kind is Kind.DATA or kind is Kind.EVENT:
            return self.data_bytes_max
        if kind is Kind.BLOB:
            return self.blob_chunk_bytes_max
        return self.control_bytes_max


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame that was accepted. The fields are those of the header; `payload` is a view of the received bytes."""

    kind: Kind
    flags: int
    codec: int
    deployment: int
    channel: int
    sequence: int
    backlog: int
    payload: memoryview


def pack(
    kind: Kind,
    payload: bytes | bytearray | memoryview = b"",
    *,
    flags: int = 0,
    codec: int = 0,
    deployment: int = 0,
    channel: int = 0,
    sequence: int = 0,
    backlog: int = 0,
) -> bytes:
    """Return a frame as bytes. Numbers outside the width of their field are a bug and raise `struct.error`."""
    size = payload.nbytes if isinstance(payload, memoryview) else len(payload)
    prefix = _PREFIX.pack(_MAGIC, VERSION, kind, flags, codec, deployment, channel, sequence, backlog, size)
    return b"".join((prefix, _CHECKSUM.pack(_digest(payload, _digest(prefix))), payload))


def frame_bytes(header: bytes | memoryview) -> int:
    """Return how long the frame is that begins with this header, by its own word: only `unpack` tells whether that can be believed."""
    size: int = _PREFIX.unpack_from(header)[-1]
    return HEADER_BYTES + size


def unpack(data: bytes | bytearray | memoryview, limits: FrameLimits) -> Frame:
    """Return the frame in `data`, whose payload is a view of `data`.

    Raises:
        FrameRefused: if `data` is not exactly one well-formed frame within the limits; the text says what is wrong.
    """
    view = memoryview(data)
    if len(view) < HEADER_BYTES:
        raise FrameRefused(f"frame refused: {len(view)} bytes are shorter than a header of {HEADER_BYTES}")
    prefix = view[: _PREFIX.size]
    magic, version, number, flags, codec, deployment, channel, sequence, backlog, size = _PREFIX.unpack(prefix)
    if magic != _MAGIC:
        raise FrameRefused(f"frame refused: it starts with {bytes(magic)!r}, not {_MAGIC!r}")
    if version != VERSION:
        raise FrameRefused(f"frame refused: version {version}, this node speaks {VERSION}", hint="run one version on all nodes")
    kind = _KINDS.get(number)
    if kind is None:
        raise FrameRefused(f"frame refused: unknown kind {number}")
    if flags & ~_FLAGS_KNOWN:
        raise FrameRefused(f"frame refused: unknown flags {flags:#06x}")
    if size > limits.payload_bytes_max(kind):
        raise FrameRefused(f"frame refused: {kind.name} of {size} bytes, the limit is {limits.payload_bytes_max(kind)}")
    payload = view[HEADER_BYTES:]
    if len(payload) != size:
        raise FrameRefused(f"frame refused: the header says {size} bytes of payload, there are {len(payload)}")
    if _CHECKSUM.unpack_from(view, _PREFIX.size)[0] != _digest(payload, _digest(prefix)):
        raise FrameRefused(f"frame refused: {kind.name} of {size} bytes has a wrong checksum")
    return Frame(kind, flags, codec, deployment, channel, sequence, backlog, payload)
