"""Frames: whatever arrives becomes a frame, or is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import FrameRefused
from actorflow.wire.frame import HEADER_BYTES, Flag, FrameLimits, Kind, pack, unpack

LIMITS = FrameLimits()
SMALL = FrameLimits(control_bytes_max=10, data_bytes_max=20, blob_chunk_bytes_max=30)

u32 = st.integers(0, 2**32 - 1)
fields = st.fixed_dictionaries(
    {
        "flags": st.sampled_from([0, Flag.LZ4, Flag.LAST, Flag.LZ4 | Flag.LAST]),
        "codec": st.integers(0, 2**16 - 1),
        "deployment": u32,
        "channel": u32,
        "sequence": st.integers(0, 2**64 - 1),
        "backlog": u32,
    }
)


@given(st.sampled_from(list(Kind)), st.binary(max_size=300), fields)
def test_a_frame_comes_back_as_it_was_packed(kind, payload, header):
    frame = unpack(pack(kind, payload, **header), LIMITS)
    assert kind is frame.kind
    assert payload == bytes(frame.payload)
    assert header == {name: getattr(frame, name) for name in header}


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data):
    with pytest.raises(FrameRefused):
        unpack(data, LIMITS)


@given(st.binary(max_size=100), st.sampled_from(list(Kind)), fields, st.data())
def test_a_damaged_frame_is_refused(payload, kind, header, data):
    whole = pack(kind, payload, **header)
    at = data.draw(st.integers(0, len(whole)))
    junk = data.draw(st.binary(max_size=4))
    drop = data.draw(st.integers(0, 4))
    damaged = whole[:at] + junk + whole[at + drop :]
    if damaged == whole:
        assert payload == bytes(unpack(damaged, LIMITS).payload)
    else:
        with pytest.raises(FrameRefused):
            unpack(damaged, LIMITS)


@pytest.mark.parametrize("payload", [b"", b"x", b"call me ishmael" * 20])
def test_every_single_flipped_bit_is_noticed(payload):
    whole = pack(Kind.DATA, payload, channel=7, sequence=9)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameRefused):
            unpack(damaged, LIMITS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"AF", "shorter than a header"),
        (b"GE" + pack(Kind.HELLO)[2:], "it starts with b'GE'"),
        (b"AF\x63" + pack(Kind.HELLO)[3:], "version 99, this node speaks 1"),
        (b"AF\x01\xee" + pack(Kind.HELLO)[4:], "unknown kind 238"),
        (pack(Kind.DATA, flags=0x80), "unknown flags 0x0080"),
        (pack(Kind.CONTROL, b"x" * 11), "CONTROL of 11 bytes, the limit is 10"),
        (pack(Kind.DATA, b"x" * 21), "DATA of 21 bytes, the limit is 20"),
        (pack(Kind.EVENT, b"x" * 21), "EVENT of 21 bytes, the limit is 20"),
        (pack(Kind.BLOB, b"x" * 31), "BLOB of 31 bytes, the limit is 30"),
        (pack(Kind.DATA, b"xyz")[:-1], "the header says 3 bytes of payload, there are 2"),
        (pack(Kind.DATA, b"xyz")[:-1] + b"a", "wrong checksum"),
    ],
)
def test_a_refusal_says_what_is_wrong(data, reason):
    with pytest.raises(FrameRefused, match="frame refused") as refused:
        unpack(data, SMALL)
    assert reason in str(refused.value)


def test_the_payload_is_a_view_and_the_header_has_its_documented_size():
    whole = pack(Kind.DATA, b"payload")
    assert HEADER_BYTES == 40
    assert unpack(whole, LIMITS).payload.obj is whole


def test_a_number_too_wide_for_its_field_is_an_error_of_the_sender():
    with pytest.raises(Exception, match="'I' format requires"):
        pack(Kind.DATA, channel=2**32)
