"""A parcel: a control message together with its target, as it crosses a connection."""

from __future__ import annotations

import msgspec

from actorflow.errors import FrameRefused
from actorflow.wire.message import Message, MessageCodec


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a CONTROL frame.

    Attributes:
        path: path of the target on the receiving node.
        control: whether it goes to the target's control lane.
        reply_to: address that an answer goes to, or None.
        correlation: number that the answer must carry, or None.
        message: the message, encoded by the node's `MessageCodec`.
    """

    path: str
    control: bool
    reply_to: str | None
    correlation: int | None
    message: msgspec.Raw

    def open(self, codec: MessageCodec) -> Message:
        """Return the message.

        Raises:
            FrameRefused: if it is not one that the codec knows.
        """
        return codec.decode(memoryview(self.message))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Parcel)


def encode_parcel(
    path: str, message: Message, codec: MessageCodec, *, control: bool, reply_to: str | None, correlation: int | None
) -> bytes:
    """Return a message and its target as bytes."""
    return _encoder.encode(Parcel(path, control, reply_to, correlation, msgspec.Raw(codec.encode(message))))


def decode_parcel(payload: bytes | memoryview) -> Parcel:
    """Return the parcel in `payload`, its message still encoded.

    Raises:
        FrameRefused: if it is not a parcel.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameRefused(f"control message refused: {error}") from None
