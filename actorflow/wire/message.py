"""Control messages: frozen `msgspec` structs, and the codec that turns them into bytes and back.

Decoding validates: a peer's bytes become one of the message types that the codec was built with, or they are refused.
No bytes from the network are unpickled to become a control message; user code and user values travel *inside* messages as
opaque `bytes`, and are loaded only on nodes that are meant to run them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self, Union

import msgspec

from actorflow.errors import FrameRefused, SerializationError


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of every control message. Subclasses declare typed fields; the class name is the tag on the wire.

    Subclass with keyword `frozen=True`. `array_like` keeps the wire form small and makes appended fields with defaults readable
    by older nodes.
    """

    def replaced(self, **changes: Any) -> Self:
        """Return the same message with other values of some fields."""
        return msgspec.structs.replace(self, **changes)


class MessageCodec:
    """Encodes and decodes a closed set of message types.

    Args:
        types: the message classes a node understands. Two classes of one name are refused.
    """

    def __init__(self, types: Iterable[type[Message]]) -> None:
        self.types = tuple(types)
        names = [cls.__name__ for cls in self.types]
        assert len(names) == len(set(names)), f"two message types share a name: {sorted(names)}"
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[self.types])  # noqa: UP007 - built at run time

    def encode(self, message: Message) -> bytes:
        """Return the bytes of a message.

        Raises:
            SerializationError: if a field holds what the wire has no form for.
        """
        try:
            return self._encoder.encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise SerializationError(f"cannot encode message '{type(message).__name__}': {error}") from None

    def decode(self, data: bytes | memoryview) -> Message:
        """Return the message in `data`.

        Raises:
            FrameRefused: if the bytes are not one of the known messages, complete and with the declared types.
        """
        try:
            message: Message = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FrameRefused(f"control message refused: {error}") from None
        return message
