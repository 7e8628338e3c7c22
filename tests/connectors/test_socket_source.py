"""The socket source against a real TCP server: lines as they come, never waiting, until the server closes."""

import os
import select
import socket

import pytest

from actorflow.connectors import sources
from actorflow.connectors.contracts import END_OF_SPLIT, Pause
from actorflow.errors import SourceError


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def connect(server, **options):
    source = sources.socket("127.0.0.1", server.getsockname()[1], **options)
    [split] = source.splits(4)
    reader = source.open(split, None)
    peer, _ = server.accept()
    return reader, peer


def read_when_ready(reader, records_max=10):
    """Wait for what a pause says to wait for, as a node does."""
    while isinstance(got := reader.read(records_max), Pause):
        assert got.fd is not None
        assert select.select([got.fd], [], [], 10.0)[0], "the peer sent something"
    return got


def test_it_is_unbounded_and_cannot_be_replayed():
    source = sources.socket("127.0.0.1", 1)
    assert (False, False) == (source.bounded, source.replayable)


def test_lines_come_as_they_are_sent_and_the_end_of_the_connection_is_the_end(server):
    reader, peer = connect(server)
    with peer:
        pause = reader.read(10)
        assert isinstance(pause, Pause)
        os.fstat(pause.fd)
        peer.sendall(b"eins\r\nzw")
        assert ["eins"] == read_when_ready(reader).records
        peer.sendall("ei €\n\ndrei".encode())
        assert ["zwei €", ""] == read_when_ready(reader).records
    assert ["drei"] == read_when_ready(reader).records
    assert END_OF_SPLIT is read_when_ready(reader)
    reader.close()


def test_many_lines_come_in_batches_of_the_size_asked_for(server):
    reader, peer = connect(server)
    with peer:
        peer.sendall(b"".join(b"%d\n" % number for number in range(1000)))
    lines = []
    while (got := read_when_ready(reader, 7)) is not END_OF_SPLIT:
        assert len(got) <= 7
        lines += got.records
    assert [str(number) for number in range(1000)] == lines
    reader.close()


def test_nobody_listening_is_named():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    source = sources.socket("127.0.0.1", port)
    with pytest.raises(SourceError) as caught:
        source.open(f"127.0.0.1:{port}", None)
    assert f"cannot connect to 127.0.0.1:{port}: connection refused" == caught.value.message


def test_a_line_without_end_is_refused(server):
    reader, peer = connect(server, line_bytes_max=10)
    with peer, pytest.raises(SourceError, match="the line at byte 0 is longer than 10 bytes"):
        peer.sendall(b"x" * 30)
        while read_when_ready(reader):
            pass
    reader.close()


def test_a_connection_that_breaks_is_named(server):
    reader, peer = connect(server)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    peer.close()  # resets the connection, as nothing lingers
    with pytest.raises(SourceError, match=r"cannot read from 127.0.0.1:\d+: connection reset by peer"):
        read_when_ready(reader)
    reader.close()
