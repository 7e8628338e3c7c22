"""Security: keys are kept safe, and who has no known key gets nothing decoded."""

import stat

import pytest
import zmq

from actorflow.cluster import node as cluster_node
from actorflow.config import Config
from actorflow.errors import ConfigError
from actorflow.transport.curve import CurveKeys, guard_client
from actorflow.transport.greetings import Hello, Knock, greeting_codec
from actorflow.wire.frame import Kind, pack


def each_other(count):
    """Key pairs that let each other in."""
    pairs = [CurveKeys.make() for _ in range(count)]
    everyone = frozenset(pair.public for pair in pairs)
    return [CurveKeys(pair.public, pair.secret, everyone) for pair in pairs]


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")], ids=["knocks", "dials"])
@pytest.mark.parametrize("shared", [True, False], ids=["one pair", "a pair each"])
def test_nodes_with_known_keys_talk(nodes, first, second, shared):
    mine, yours = [CurveKeys.make()] * 2 if shared else each_other(2)
    one, two = nodes.linked(nodes.make(first, keys=mine), nodes.make(second, keys=yours))
    two.note(one, 1)
    one.note(two, *range(5))
    nodes.spin(lambda: one.inbox.messages and len(two.inbox.messages) == 5)
    assert f"#{yours.public}" in two.endpoint.endpoints[0]
    assert 0 == one.endpoint.observe().turned_away + two.endpoint.observe().turned_away


def test_keys_allow_to_listen_to_other_hosts(nodes):
    one = nodes.make("a", "tcp://0.0.0.0:0", keys=CurveKeys.make())
    assert not one.endpoint.endpoints[0].startswith("tcp://0.0.0.0")


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")], ids=["knocks", "dials"])
def test_a_node_with_an_unknown_key_gets_nothing_decoded(nodes, first, second):
    one, two = nodes.make(first, keys=CurveKeys.make()), nodes.make(second, keys=CurveKeys.make())
    one.knows(two)
    one.note(two, 1)
    nodes.spin(lambda: two.endpoint.observe().turned_away and two.endpoint.observe().handshakes_failed)
    nodes.settle()
    assert (0, 0, {}) == (two.codec.decoded, two.endpoint.observe().frames_in, two.endpoint.observe().refused)
    assert 0 == one.endpoint.observe().frames_in


def test_a_node_that_expects_another_server_says_nothing_to_it(nodes):
    mine, yours, other = each_other(3)
    one, two = nodes.make("b", keys=mine), nodes.make("a", keys=yours)
    one.endpoint.learn("a", [two.endpoint.endpoints[0].replace(yours.public, other.public)])
    one.note(two, 1)
    nodes.settle()
    assert (0, False) == (two.endpoint.observe().frames_in, one.up(two))


@pytest.mark.parametrize("mechanism", ["none", "plain", "stranger"])
def test_a_stranger_gets_nothing_decoded_and_the_others_go_on(nodes, zmq_context, mechanism):
    mine, yours = each_other(2)
    one, two = nodes.linked(nodes.make("a", keys=mine), nodes.make("b", keys=yours))
    decoded, frames = two.codec.decoded, two.endpoint.observe().frames_in
    stranger = zmq_context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.IDENTITY, b"a")
    if mechanism == "plain":
        stranger.setsockopt(zmq.PLAIN_USERNAME, b"admin")
    if mechanism == "stranger":
        keys = CurveKeys.make()
        stranger.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(keys.public))
        stranger.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(keys.secret))
        stranger.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(yours.public))
    failures = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    monitor = stranger.get_monitor_socket(failures | zmq.EVENT_DISCONNECTED)
    stranger.connect(two.endpoint.endpoints[0].partition("#")[0])
    stranger.send(pack(Kind.BYE))
    try:
        nodes.spin(lambda: monitor.poll(0))
    finally:
        stranger.disable_monitor()
        monitor.close()
        stranger.close(linger=0)
    nodes.settle()
    assert (decoded, frames) == (two.codec.decoded, two.endpoint.observe().frames_in)
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages)
    assert ([], []) == (two.broken, two.inbox.lost)


def test_links_on_one_host_need_no_keys_even_where_others_do(nodes):
    keys = CurveKeys.make()
    one, two = nodes.linked(nodes.make("a", "ipc", keys=keys), nodes.make("b", "ipc", keys=keys))
    assert "#" not in one.endpoint.endpoints[0] + two.endpoint.endpoints[0]


def test_a_key_file_can_be_read_by_its_owner_only_and_comes_back(tmp_path):
    keys, peer = CurveKeys.make(), CurveKeys.make()
    keys.save(tmp_path / "node.key")
    (tmp_path / "peers").mkdir()
    peer.save(tmp_path / "peers" / "peer.key")
    loaded = CurveKeys.load(tmp_path / "node.key", tmp_path / "peers")
    assert CurveKeys(keys.public, keys.secret, frozenset({peer.public})) == loaded
    assert 0o600 == stat.S_IMODE((tmp_path / "node.key").stat().st_mode)
    assert keys.secret not in (tmp_path / "node.pub").read_text() + repr(loaded)
    assert [True, True, False] == [loaded.lets_in(key) for key in (keys.public, peer.public, CurveKeys.make().public)]


def test_key_files_that_are_unsafe_or_broken_are_refused(tmp_path):
    path = tmp_path / "node.key"
    with pytest.raises(ConfigError, match=r"cannot read key file .*actorflow keygen"):
        CurveKeys.load(path)
    CurveKeys.make().save(path)
    with pytest.raises(ConfigError, match="exists already"):
        CurveKeys.make().save(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"can be read by others than its owner.*chmod 600"):
        CurveKeys.load(path)
    for text, reason in [
        ("public 00\nsecret 11\n", "not 32 bytes"),
        ("nonsense\n", "malformed"),
        (f"public {'0' * 64}\n", "lacks"),
    ]:
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match=reason):
            CurveKeys.load(path)
    with pytest.raises(ConfigError, match="cannot write key file"):
        CurveKeys.make().save(tmp_path / "no" / "directory.key")


def test_authorized_keys_come_from_the_options(tmp_path):
    keys, peer = CurveKeys.make(), CurveKeys.make()
    keys.save(tmp_path / "node.key")
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "peer.pub").write_text(f"public {peer.public.upper()}\n")
    (tmp_path / "sockets").mkdir()
    settings = {
        "actorflow.security.curve.key-file": str(tmp_path / "node.key"),
        "actorflow.security.curve.authorized-keys": str(tmp_path / "peers"),
    }
    node = cluster_node.Node("a", Config.of(settings, "test"), tmp_path / "sockets")
    node.endpoint.close()
    assert node.endpoint._socket.gate._keys.lets_in(peer.public)
    assert not node.endpoint._socket.gate._keys.lets_in(CurveKeys.make().public)


def test_a_missing_directory_of_authorized_keys_is_an_error(tmp_path):
    CurveKeys.make().save(tmp_path / "node.key")
    with pytest.raises(ConfigError, match=r"authorized keys: '.*nowhere' is not a directory.*hint: put a \*.pub file"):
        CurveKeys.load(tmp_path / "node.key", tmp_path / "nowhere")


def introduction(name, endpoints=(), incarnation=99):
    return pack(Kind.HELLO, greeting_codec.encode(Hello(name, incarnation, 0, 1, endpoints)))


@pytest.fixture
def insider(zmq_context):
    """Connects to a node with a key that is let in, under any name, and stays until the end of the test."""
    connected = []

    def connect(node, keys, name, *frames):
        dealer = zmq_context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        if name:
            dealer.setsockopt(zmq.IDENTITY, name)
        url, _, server = node.endpoint.endpoints[0].partition("#")
        guard_client(dealer, keys, server)
        dealer.connect(url)
        for frame in frames:
            dealer.send(frame)
        connected.append(dealer)

    yield connect
    for dealer in connected:
        dealer.close()


def test_a_node_with_another_key_cannot_take_the_name_of_a_peer(nodes, insider):
    mine, yours, theirs = each_other(3)
    one, two = nodes.linked(nodes.make("a", keys=mine), nodes.make("b", keys=yours))
    insider(one, theirs, b"b", introduction("b", two.endpoint.endpoints), pack(Kind.BYE))
    nodes.spin(lambda: one.endpoint.observe().refused.get("hello"))
    assert "b refused: it shows another key" in one.endpoint.observe().last_refusals[0]
    assert [] == one.inbox.lost
    nodes.spin(lambda: one.up(two))
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages)
    assert [1] == two.inbox.numbers()


def test_a_key_that_was_announced_is_the_only_one_that_counts(nodes, insider):
    mine, yours, theirs = each_other(3)
    one = nodes.make("a", keys=mine)
    one.endpoint.learn("b", [f"tcp://127.0.0.1:1#{yours.public}"])
    insider(one, theirs, b"b", introduction("b"))
    nodes.spin(lambda: one.endpoint.observe().refused.get("hello"))
    assert [False] == [peer.up for peer in one.endpoint.observe().peers]


@pytest.mark.parametrize("announced", ["own key", "another key"])
def test_a_knock_redirects_no_peer_that_is_known(nodes, insider, announced):
    mine, yours, theirs = each_other(3)
    one, two = nodes.linked(nodes.make("a", keys=mine), nodes.make("b", keys=yours))
    where = [peer.endpoints for peer in two.endpoint.observe().peers]
    evil = f"tcp://127.0.0.1:1#{theirs.public if announced == 'another key' else mine.public}"
    insider(two, theirs, b"", pack(Kind.KNOCK, greeting_codec.encode(Knock("a", 1, 1, (evil,)))))
    nodes.spin(lambda: two.endpoint.observe().refused.get("knock"))
    insider(two, mine, b"", pack(Kind.KNOCK, greeting_codec.encode(Knock("a", 1, 1, (f"tcp://127.0.0.1:1#{mine.public}",)))))
    nodes.spin(lambda: two.broken and two.up(one))
    assert where == [peer.endpoints for peer in two.endpoint.observe().peers]
    assert ([], ["a"]) == (two.inbox.lost, two.inbox.restored)


def test_a_node_whose_thread_is_busy_completes_handshakes(nodes, zmq_context):
    keys = CurveKeys.make()
    one = nodes.make("a", keys=keys)
    dealer = zmq_context.socket(zmq.DEALER)
    url, _, server = one.endpoint.endpoints[0].partition("#")
    guard_client(dealer, keys, server)
    monitor = dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    dealer.connect(url)
    try:
        assert monitor.poll(8000), "nobody polls the node"
    finally:
        dealer.disable_monitor()
        monitor.close()
        dealer.close(linger=0)
