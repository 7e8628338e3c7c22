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


def test_a_message_waits_for_no_more_than_a_window_of_a_blob_of_64_megabytes(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    blob, limits = bytes(64 << 20), one.endpoint.limits
    taken, behind = [], []
    two.endpoint.receive_blobs(lambda piece: taken.append(piece.last))
    two.inbox.deliver = lambda *_args, **_fields: behind.append(len(taken) - before)
    one.endpoint.send_blob("b", "k", blob)
    for _ in range(3):
        due = len(taken) + 5
        nodes.spin(lambda due=due: len(taken) > due)
        before, heard = len(taken), len(behind)
        one.endpoint.send("b/x", Note(1), control=True)
        nodes.spin(lambda heard=heard: len(behind) > heard)
    assert limits.blob_chunks_in_flight_max * limits.blob_chunk_bytes == 1 << 20, "what a message can be behind"
    assert max(behind) <= limits.blob_chunks_in_flight_max
    assert not taken[-1], "the blob was still under way"


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


def test_a_blob_that_cannot_be_read_to_its_end_is_aborted_and_the_next_one_follows(nodes, caplog):
    one, two = linked(nodes)
    pieces, ends = [], []
    two.endpoint.receive_blobs(lambda piece: pieces.append((piece.key, bytes(piece.data)[:1], piece.last, piece.aborted)))

    def parts():
        yield b"a" * CHUNK
        yield b"b" * CHUNK
        raise OSError("disk is gone")

    one.endpoint.send_blob("b", "k", parts(), lambda delivered: ends.append(("k", delivered)))
    one.endpoint.send_blob("b", "next", b"x", lambda delivered: ends.append(("next", delivered)))
    nodes.spin(lambda: len(ends) == 2)
    assert [("k", False), ("next", True)] == ends
    assert [("k", b"a", False, False), ("k", b"", False, True), ("next", b"x", True, False)] == pieces
    assert ({}, 0) == (two.endpoint._blobs._incoming, one.endpoint.observe().blobs_waiting)
    assert "disk is gone" in caplog.text


def test_a_blob_that_cannot_be_read_at_all_is_not_announced(nodes):
    one, two = linked(nodes)
    _blobs, pieces = receiver(two)
    ends = []
    one.endpoint.send_blob("b", "k", (1 / 0 for _ in range(1)), ends.append)
    nodes.spin(lambda: ends)
    assert ([False], []) == (ends, pieces)


@pytest.mark.parametrize("fails_at", [0, 2, 9])
def test_a_blob_that_its_receiver_fails_on_ends_undelivered_and_the_next_one_follows(nodes, fails_at):
    one, two = linked(nodes)
    seen, ends = [], []

    def on_piece(piece):
        seen.append((piece.key, piece.offset))
        if seen[-1] == ("k", fails_at * CHUNK):
            raise OSError("disk is full")

    two.endpoint.receive_blobs(on_piece)
    one.endpoint.send_blob("b", "k", b"x" * 10 * CHUNK, lambda delivered: ends.append(("k", delivered)))
    one.endpoint.send_blob("b", "next", b"x" * 10 * CHUNK, lambda delivered: ends.append(("next", delivered)))
    nodes.spin(lambda: len(ends) == 2)
    assert [("k", False), ("next", True)] == ends
    assert [("k", n * CHUNK) for n in range(fails_at + 1)] + [("next", n * CHUNK) for n in range(10)] == seen
    assert 0 == one.endpoint.observe().blobs_waiting


def test_a_blob_that_nobody_takes_ends_undelivered(nodes):
    one, _two = linked(nodes)
    ends = []
    one.endpoint.send_blob("b", "k", b"x" * 100 * CHUNK, ends.append)
    nodes.spin(lambda: ends)
    assert ([False], 0) == (ends, one.endpoint.observe().blobs_waiting)


def test_a_listener_that_fails_keeps_no_other_blob_from_ending(nodes):
    one, two = linked(nodes)
    ends = []
    one.endpoint.send_blob("b", "k", b"x" * 100 * CHUNK, lambda _delivered: 1 / 0)
    one.endpoint.send_blob("b", "k2", b"x", ends.append)
    two.endpoint.close()
    nodes.spin(lambda: ends)
    assert [False] == ends


def test_a_blob_that_is_cut_off_with_its_sender_is_aborted_where_it_arrives(nodes):
    one, two = linked(nodes)
    pieces = []
    two.endpoint.receive_blobs(pieces.append)
    one.endpoint.send_blob("b", "k", b"x" * 1_000_000)
    nodes.spin(lambda: len(pieces) > 5)
    one.endpoint.close()
    nodes.spin(lambda: two.inbox.lost)
    assert [("k", False)] * (len(pieces) - 1) + [("k", True)] == [(piece.key, piece.aborted) for piece in pieces]
