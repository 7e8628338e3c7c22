"""Connections of the REST server that do not say what they want: they are closed, whatever they send, and others are answered."""

import http.client
import socket

import pytest

pytest.importorskip("uvicorn")

from rest_harness import DEADLINE_S

from actorflow.config import Config
from actorflow.rest import connections
from actorflow.rest.server import RestServer

REQUEST = b"GET /overview HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_WITHIN_S", 0.2)
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 8)
    server = RestServer(Config.of({"rest.port": 0}, "test"))
    yield int(server.url.rpartition(":")[2])
    server.close()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)


def ended(connection):
    """Wait until the server has closed a connection; return what it had said."""
    said = b""
    try:
        while data := connection.recv(4096):
            said += data
    except ConnectionResetError:
        pass
    return said


@pytest.mark.parametrize(
    "begun",
    [b"", REQUEST[:10], b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123"],
    ids=["nothing", "half a head", "half a body"],
)
def test_who_does_not_say_what_it_wants_in_time_is_cut_off(port, begun):
    with connected(port) as connection:
        connection.sendall(begun)
        ended(connection)


def test_to_send_a_byte_now_and_then_gains_no_time(port):
    with connected(port) as connection:
        connection.settimeout(0.05)
        cut_off = False
        for byte in REQUEST[:-1] * 20:
            try:
                connection.sendall(bytes([byte]))
                cut_off = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                cut_off = True
            if cut_off:
                break
        assert cut_off


def test_a_second_request_of_a_connection_has_a_time_of_its_own(port):
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    for _ in range(2):
        asking.request("GET", "/overview")
        answer = asking.getresponse()
        assert (503, True) == (answer.status, bool(answer.read()))
    asking.sock.sendall(REQUEST[:10])
    assert b"" == ended(asking.sock)
    asking.close()


def test_more_connections_than_there_may_be_are_closed_at_once_and_the_others_are_answered(port):
    kept = [connected(port) for _ in range(7)]
    answered = []
    for _ in range(20):
        with connected(port) as connection:
            connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answered.append(ended(connection).startswith(b"HTTP/1.1"))
    for connection in kept:
        connection.close()
    assert any(answered)


def test_there_are_never_more_connections_than_there_may_be(port):
    kept = [connected(port) for _ in range(30)]
    for connection in kept:
        ended(connection)
        connection.close()
    with connected(port) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(4096).startswith(b"HTTP/1.1 503")
