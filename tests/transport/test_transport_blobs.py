"""Blobs: whole, in order, and never in the way."""

import pytest
from transport_nodes import Note

CHUNK = 1000


def receiver(node):
    blobs, pieces = {}, []

    def on_piece(piece):
        pieces.append(piece.last)
        data = blobs.setdefault((piece.sender, piece.key), bytearray())
        assert len(data) == piece.offset
        data += piece.data

    node.endpoint.receive_blobs(on_piece)
    return blobs, pieces


def linked(nodes, **limits):
    one, two = nodes.make("a", blob_chunk_bytes=CHUNK, **limits), nodes.make("b", blob_chunk_bytes=CHUNK)
    return nodes.linked(one, two)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"y" * CHUNK, bytes(range(256)) * 50, memoryview(b"z" * 2500)],
    ids=["empty", "byte", "chunk", "12800", "view"],
)
def test_a_blob_arrives_whole(nodes, data):
    one, two = linked(nodes)
    blobs, pieces = receiver(two)
    ends = []
    one.endpoint.send_blob("b", "job/code", data, ends.append)
    nodes.spin(lambda: ends)
    assert ([True], {("a", "job/code"): bytes(data)}) == (ends, blobs)
    assert [False] * (len(pieces) - 1) + [True] == pieces
    assert 0 == one.endpoint.observe().blobs_waiting


def test_an_iterable_is_read_as_fast_as_it_is_taken(nodes):
    one, two = linked(nodes)
    blobs, pieces = receiver(two)
    read = []

    def parts():
        for n in range(20):
            read.append(len(pieces))
            yield b"%d," % n * 100

    ends = []
    one.endpoint.send_blob("b", "k", parts(), ends.append)
    nodes.spin(lambda: ends)
    assert b"".join(b"%d," % n * 100 for n in range(20)) == blobs["a", "k"]
    assert all(n - taken <= 6 for n, taken in enumerate(read)), "never more than the window and one ahead"


def test_blobs_to_one_peer_come_one_after_the_other(nodes):
    one, two = linked(nodes)
    blobs, _pieces = receiver(two)
    ends = []
    for n in range(3):
        one.endpoint.send_blob("b", f"k{n}", b"%d" % n * 5000, lambda delivered, n=n: ends.append((n, delivered)))
    nodes.spin(lambda: len(ends) == 3)
    assert [(0, True), (1, True), (2, True)] == ends
    assert {("a", f"k{n}"): b"%d" % n * 5000 for n in range(3)} == blobs


def test_a_message_passes_a_large_blob(nodes):
    one, two = linked(nodes)
    _blobs, pieces = receiver(two)
    taken_before = []
    two.inbox.deliver = lambda *_args, **_fields: taken_before.append(len(pieces))
    one.endpoint.send_blob("b", "k", b"x" * (64 << 20 >> 10))
    nodes.spin(lambda: len(pieces) > 5)
    sent = len(pieces)
    one.endpoint.send("b/x", Note(1), control=True)
    nodes.spin(lambda: taken_before)
    assert taken_before[0] <= sent + 2 * one.endpoint.limits.blob_chunks_in_flight_max
    assert not pieces[-1]


@pytest.mark.parametrize("end", ["close", "vanish"])
def test_a_blob_to_a_peer_that_is_lost_ends_undelivered(nodes, end):
    one, two = linked(nodes)
    _blobs, pieces = receiver(two)
    ends = []
    one.endpoint.send_blob("b", "k", b"x" * 1_000_000, ends.append)
    one.endpoint.send_blob("b", "k2", b"x", ends.append)
    nodes.spin(lambda: len(pieces) > 5)
    two.endpoint.close() if end == "close" else two.vanish()
    nodes.all.remove(two)
    nodes.spin(lambda: ends)
    assert [False, False] == ends


def test_pieces_out_of_place_and_unwanted_blobs_are_refused(nodes):
    one, two = linked(nodes)
    one.endpoint.send_blob("b", "k", b"x")
    nodes.spin(lambda: two.endpoint.observe().refused)
    assert "nobody here takes blobs" in two.endpoint.observe().last_refusals[0]
    blobs, _pieces = receiver(two)
    from actorflow.wire.frame import Kind, pack

    one.endpoint._links.send("b", pack(Kind.BLOB, b"data", channel=99, sequence=4))
    nodes.spin(lambda: two.endpoint.observe().refused == {"blob": 2})
    assert {} == blobs
