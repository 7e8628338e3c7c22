"""Codecs: batches and events come back exactly as they were, types included."""

import enum
import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import FrameRefused, SerializationError
from actorflow.wire.batch import (
    MAX_TIMESTAMP,
    MIN_TIMESTAMP,
    Active,
    Barrier,
    ColumnBatch,
    EndOfInput,
    Idle,
    ObjectBatch,
    Watermark,
)
from actorflow.wire.codec import (
    TIMESTAMPS,
    Codec,
    compress,
    decode_batch,
    decode_event,
    decompress,
    encode_batch,
    encode_event,
)
from actorflow.wire.parcel import decode_parcel


class Pair(NamedTuple):
    word: object
    n: object


class Word(str):
    __slots__ = ()


class Size(enum.IntEnum):
    SMALL = 1


@dataclass
class Trip:
    origin: str


def shape(value):
    """A value with its types spelled out, so that 1, 1.0, True and Size.SMALL differ, and nan equals itself."""
    if isinstance(value, (list, tuple)):
        return (type(value), [shape(part) for part in value])
    if isinstance(value, dict):
        return (type(value), [(shape(key), shape(part)) for key, part in value.items()])
    return (type(value), repr(value))


def through_the_wire(batch):
    codec, payload = encode_batch(batch)
    return decode_batch(codec, memoryview(bytes(payload)))


scalars = st.one_of(
    st.text(max_size=5),
    st.text(st.characters(), max_size=3),
    st.sampled_from(["", "\0", "a\0b", "\ud800"]),
    st.integers(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=4),
    st.just(Size.SMALL),
    st.builds(Word, st.text(max_size=3)),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Pair, inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=4,
)
record_lists = st.one_of(
    st.lists(values, max_size=6), st.lists(st.text(max_size=4)), st.lists(st.integers()), st.lists(st.floats()), st.lists(scalars)
)


@given(record_lists, st.data())
def test_an_object_batch_comes_back_exactly(records, data):
    times = st.lists(st.integers(MIN_TIMESTAMP, MAX_TIMESTAMP), min_size=len(records), max_size=len(records))
    timestamps = data.draw(st.one_of(st.none(), times))
    back = through_the_wire(ObjectBatch(records, timestamps))
    assert shape(records) == shape(back.records)
    assert timestamps == back.timestamps


@pytest.mark.parametrize(
    ("records", "codec"),
    [
        (["a", "b"], Codec.TEXT),
        (["a\0b"], Codec.PICKLE),
        (["\ud800"], Codec.PICKLE),
        ([Word("a")], Codec.PICKLE),
        ([1, -(2**63)], Codec.INT64),
        ([1, 2**63], Codec.PICKLE),
        ([1, True], Codec.PICKLE),
        ([True, False], Codec.PICKLE),
        ([1.5, math.inf], Codec.FLOAT64),
        ([1, 1.5], Codec.PICKLE),
        ([("a", 1)], Codec.PICKLE),
        ([], Codec.PICKLE),
    ],
)
def test_each_batch_takes_the_cheapest_codec_that_is_exact_for_it(records, codec):
    assert codec == encode_batch(ObjectBatch(records))[0]
    assert codec | TIMESTAMPS == encode_batch(ObjectBatch(records, [7] * len(records)))[0]


@pytest.mark.parametrize("timestamps", [None, pa.array([1, 2, 3], pa.int64())])
def test_a_column_batch_comes_back_exactly(timestamps):
    columns = pa.record_batch({"word": ["a", None, "c"], "n": [1, 2, 3]}).replace_schema_metadata({"k": "v"})
    back = through_the_wire(ColumnBatch(columns, timestamps))
    assert columns.equals(back.columns, check_metadata=True)
    assert timestamps == back.timestamps


def test_a_slice_of_columns_sends_only_its_rows():
    columns = pa.record_batch({"n": list(range(100_000))}).slice(10, 3)
    _codec, payload = encode_batch(ColumnBatch(columns))
    assert len(payload) < 1000
    assert [10, 11, 12] == through_the_wire(ColumnBatch(columns)).columns.column(0).to_pylist()


def test_columns_without_rows_come_back():
    columns = pa.record_batch({"n": pa.array([], pa.int64())})
    assert columns.equals(through_the_wire(ColumnBatch(columns)).columns)


def test_a_record_that_cannot_be_pickled_is_named():
    with pytest.raises(SerializationError) as refused:
        encode_batch(ObjectBatch([1, "two", threading.Lock()]))
    assert "record of type 'lock'" in str(refused.value)
    assert "<unlocked _thread.lock" in str(refused.value)


def test_records_whose_class_no_module_holds_travel_with_their_definition():
    @dataclass
    class Local:
        x: int

    first = through_the_wire(ObjectBatch([Local(1), Local(2)])).records
    second = through_the_wire(ObjectBatch([Local(3)])).records
    assert [1, 2, 3] == [record.x for record in first + second]
    assert {Local} == {type(record) for record in first + second}


def test_an_importable_class_travels_by_name():
    assert [Trip("OSL")] == through_the_wire(ObjectBatch([Trip("OSL")])).records
    assert len(encode_batch(ObjectBatch([Trip("OSL")]))[1]) < 150


def test_event_times_that_are_no_64_bit_integers_are_refused_where_they_are_sent():
    with pytest.raises(SerializationError, match="event times"):
        encode_batch(ObjectBatch([1], [2**63]))


codecs = st.sampled_from([Codec.TEXT, Codec.INT64, Codec.FLOAT64, Codec.COLUMNS, 0, 77])


@given(codecs, st.booleans(), st.binary(max_size=80))
def test_a_malformed_payload_gives_a_batch_or_a_refusal(codec, timed, payload):
    try:
        batch = decode_batch(codec | TIMESTAMPS if timed else codec, payload)
    except FrameRefused:
        return
    assert (len(batch) if timed else None) == (len(batch.timestamps) if timed else None)


@given(st.binary(max_size=40))
def test_a_malformed_pickle_is_an_actorflow_error(payload):
    with pytest.raises((SerializationError, FrameRefused)):
        decode_batch(Codec.PICKLE, b"\x80\x05}" + payload.replace(b".", b"") + b"}.")  # whatever it builds, a dict is on top


@pytest.mark.parametrize(
    "event",
    [Watermark(5), Barrier(3, 7, unaligned=True), Idle(), Active(), EndOfInput()],
    ids=lambda event: type(event).__name__,
)
def test_a_channel_event_comes_back(event):
    assert event == decode_event(memoryview(encode_event(event)))


@given(st.binary(max_size=40))
def test_malformed_events_are_refused(payload):
    with pytest.raises(FrameRefused, match="channel event refused"):
        decode_event(payload + b"\xc1")


@given(st.sampled_from([b"\x91", b"\x81\xa1x", b"\x92\xc0", b"\xdc\x00\x01"]), st.integers(20_000, 100_000), st.booleans())
def test_deeply_nested_events_and_parcels_are_refused(opening, depth, ended):
    deep = opening * depth + (b"\xc0" if ended else b"")
    with pytest.raises(FrameRefused, match="channel event refused"):
        decode_event(b"\x82\xa4type\xa4Idle\xa1x" + deep)
    with pytest.raises(FrameRefused, match="control message refused"):
        decode_parcel(b"\x95\xa1/\xc3\xc0\xc0" + deep)


@given(st.binary(max_size=50), st.integers(20, 60))
def test_compressed_payloads_come_back(unit, times):
    payload = unit * times
    packed = compress(payload)
    assert packed is None or (len(packed) < len(payload) and payload == decompress(packed, len(payload)))


def test_compression_that_does_not_pay_is_left_out():
    assert compress(bytes(range(256)) * 1) is None
    assert compress(b"the same again " * 100) is not None


@given(st.binary(max_size=60))
def test_malformed_compressed_payloads_are_refused_or_small(payload):
    try:
        data = decompress(payload, 1000)
    except FrameRefused:
        return
    assert len(data) <= 1000


def test_a_compressed_payload_that_claims_to_be_huge_is_refused_unread():
    with pytest.raises(FrameRefused, match="grows to 2147483647 bytes, the limit is 1000"):
        decompress(b"\xff\xff\xff\x7f" + b"\0" * 20, 1000)
