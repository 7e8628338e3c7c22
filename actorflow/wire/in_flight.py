"""What an unaligned checkpoint stores of the channels of a subtask: batches that its barrier has overtaken, as they were encoded for the wire.

Events are not stored: event time is told anew by the sources after a restore, as it is after a restore of an aligned checkpoint. A watermark that
was on its way might even be wrong then, because another subtask may read the split that it speaks of.
"""

from __future__ import annotations

import msgspec

from actorflow.errors import CheckpointError


class StoredBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A batch, as the payload of a DATA frame.

    Attributes:
        edge: position among the edges that lead to the subtask's vertex, or among those that leave it.
        codec: how the payload reads.
        flags: of the frame: whether the payload is compressed.
        payload: the batch.
        lane: of an output: where it waited.
        lanes: of an output: how many there were.
    """

    edge: int
    codec: int
    flags: int
    payload: bytes
    lane: int = 0
    lanes: int = 0


class InFlight(msgspec.Struct, frozen=True, array_like=True):
    """The batches that were in flight.

    Attributes:
        inputs: received and not processed, in the order in which they are to be.
        outputs: emitted and not sent, in the order in which they were.
    """

    inputs: tuple[StoredBatch, ...] = ()
    outputs: tuple[StoredBatch, ...] = ()

    @property
    def payload_bytes(self) -> int:
        """Size of all payloads."""
        return sum(len(batch.payload) for batch in (*self.inputs, *self.outputs))

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs)


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(InFlight)


def encode_in_flight(in_flight: InFlight) -> bytes:
    """Return the bytes that are stored."""
    return _encode(in_flight)


def decode_in_flight(data: bytes) -> InFlight:
    """Return what `encode_in_flight` wrote.

    Raises:
        CheckpointError: if it was not that.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"what a checkpoint holds of channels cannot be read: {error}") from None
