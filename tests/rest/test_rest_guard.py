"""What requests must pass: whatever they send, nothing larger than allowed and nothing without the token gets through."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from actorflow.rest.guard import Guard

TOKEN = "0123456789abcdef"


def passed(headers, chunks=(b"",), token=None, body_bytes_max=100, public=(), path="/jobs", method="GET"):
    """Send a request through a guard; return its status, and what the application has read of the body."""
    read, sent = [], []

    async def application(scope, receive, send):
        more = True
        while more:
            message = await receive()
            read.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    parts = iter(chunks)
    left = [len(chunks)]

    async def receive():
        left[0] -= 1
        return {"type": "http.request", "body": next(parts), "more_body": left[0] > 0}

    async def send(message):
        sent.append(message)

    guard = Guard(application, token=token, public=public, address="127.0.0.1", body_bytes_max=body_bytes_max)
    named = any(name == b"host" for name, _ in headers)
    host = [] if named else [(b"host", b"localhost:1")]
    asyncio.run(guard({"type": "http", "method": method, "path": path, "headers": [*host, *headers]}, receive, send))
    return sent[0]["status"], b"".join(read)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.booleans())
def test_bodies_are_bounded_whether_or_not_they_say_their_length(chunks, says):
    body = b"".join(chunks)
    headers = [(b"content-length", str(len(body)).encode())] if says else []
    status, read = passed(headers, chunks)

    assert status == (200 if len(body) <= 100 else 413)
    assert len(read) <= 100
    assert status == 413 or read == body


@given(st.binary(max_size=40))
def test_no_other_token_passes(other):
    status, read = passed([(b"authorization", b"Bearer " + other)], [b"x"], token=TOKEN)

    expected = other.strip() == TOKEN.encode()
    assert (status, read) == ((200, b"x") if expected else (401, b""))
    assert passed([(b"authorization", f"Bearer {TOKEN}".encode())], token=TOKEN)[0] == 200


def test_public_paths_are_read_without_the_token_and_nothing_else():
    public = ("/", "/web/app.js")
    for path, method, status in (
        ("/", "GET", 200),
        ("/web/app.js", "GET", 200),
        ("/", "POST", 401),
        ("/web/app.js/../jobs", "GET", 401),
        ("/web/", "GET", 401),
        ("/jobs", "GET", 401),
    ):
        assert passed([], token=TOKEN, public=public, path=path, method=method)[0] == status, path


def test_only_names_of_this_host_are_answered_to():
    hosts = (
        b"localhost",
        b"LOCALHOST:80",
        b"127.0.0.1:8081",
        b"[::1]:1",
        b"evil.example",
        b"localhost.evil.example",
        b"",
        b"[",
        b"\xff",
    )

    assert [passed([(b"host", host)])[0] for host in hosts] == [200, 200, 200, 200, 403, 403, 403, 403, 403]


@given(st.binary(max_size=30))
def test_whatever_host_and_origin_say_is_answered(text):
    assert passed([(b"host", text)])[0] in {200, 403}
    assert passed([(b"origin", text)])[0] in {200, 403}


def test_lengths_that_are_none_are_refused():
    assert [passed([(b"content-length", text)])[0] for text in (b"-1", b"many", b"1e9", b"99999999999999")] == [400, 400, 400, 413]
