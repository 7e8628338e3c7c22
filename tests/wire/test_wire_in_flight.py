"""What a checkpoint stores of channels: bytes and back, and nothing else is taken for it."""

import pytest

from actorflow.errors import CheckpointError
from actorflow.wire.in_flight import InFlight, StoredBatch, decode_in_flight, encode_in_flight


def test_what_was_in_flight_is_read_as_it_was_written():
    written = InFlight((StoredBatch(0, 1, 2, b"payload"), StoredBatch(3, 0, 0, b"")), (StoredBatch(1, 7, 1, bytes(range(256))),))

    assert decode_in_flight(encode_in_flight(written)) == written
    assert (written.payload_bytes, bool(written), bool(InFlight())) == (7 + 256, True, False)


@pytest.mark.parametrize("data", [b"", b"\x90\x00", encode_in_flight(InFlight((StoredBatch(0, 1, 2, b"payload"),)))[:-2]])
def test_what_is_damaged_is_refused(data):
    with pytest.raises(CheckpointError, match="cannot be read"):
        decode_in_flight(data)
