"""Endpoints as text: what they say, and which one is taken."""

import pytest

from actorflow.errors import TransportError
from actorflow.transport.addresses import nearest, parse

KEY = "0f" * 32


@pytest.mark.parametrize(
    ("text", "host", "local", "ipv6"),
    [
        ("tcp://127.0.0.1:80", "127.0.0.1", True, False),
        ("tcp://127.9.9.9:80", "127.9.9.9", True, False),
        ("tcp://localhost:80", "localhost", True, False),
        (f"tcp://[::1]:80#{KEY}", "::1", True, True),
        ("tcp://[2001:db8::1]:80", "2001:db8::1", False, True),
        (f"tcp://10.0.0.1:80#{KEY}", "10.0.0.1", False, False),
        ("tcp://worker-3.example:80", "worker-3.example", False, False),
    ],
)
def test_an_endpoint_says_what_it_is(text, host, local, ipv6):
    location = parse(text)
    assert (text, host, local, ipv6) == (str(location), location.host, location.local, location.ipv6)
    assert text.partition("#")[0] == location.url


@pytest.mark.parametrize("text", ["", "tcp://", "tcp://a", "tcp://a:b", "http://a:1", "tcp://a:1#key", f"tcp://a:1#{KEY}0"])
def test_what_is_no_endpoint_is_refused(text):
    with pytest.raises(TransportError, match="is not an endpoint"):
        parse(text)


def test_a_socket_file_of_this_host_comes_first(tmp_path):
    here, elsewhere, tcp = f"ipc://{tmp_path}/here", f"ipc://{tmp_path}/elsewhere", "tcp://10.0.0.1:80"
    (tmp_path / "here").touch()
    here, elsewhere, tcp = map(parse, (here, elsewhere, tcp))
    assert here == nearest([tcp, elsewhere, here])
    assert tcp == nearest([elsewhere, tcp])
    assert elsewhere == nearest([elsewhere])
    assert nearest([]) is None
