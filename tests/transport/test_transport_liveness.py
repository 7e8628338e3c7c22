"""Who counts as alive: connections decide, silence does not; what breaks is said once; what is lost is left alone."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zmq

from actorflow.clock import ManualClock
from actorflow.errors import TransportError
from actorflow.transport.addresses import Location, nearest
from actorflow.transport.greetings import Hello, Knock, greeting_codec
from actorflow.wire.frame import Kind, pack

pytestmark = pytest.mark.slow

both_ways = pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")], ids=["knocks", "dials"])
protocols = pytest.mark.parametrize("protocol", ["tcp", "ipc"])


def pass_time(clock, seconds, *polled):
    for _ in range(seconds // 5):
        clock.advance(5)
        for node in polled:
            node.endpoint.io.poll(0)


def peer_of(node, other):
    return node.endpoint._links.peers[other.encode()]


def stands(node, other):
    peer = node.endpoint._links.peers.get(other.encode())
    return peer is not None and node.endpoint._links._stands(peer)


def hello(name, incarnation=7, attempt=1, endpoints=()):
    return pack(Kind.HELLO, greeting_codec.encode(Hello(name, incarnation, 0, attempt, endpoints)))


@pytest.fixture
def stranger(zmq_context):
    """Connects to a node under any name, and says hello."""

    def connect(node, name, **fields):
        dealer = zmq_context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.IDENTITY, name.encode())
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(node.endpoint.endpoints[0])
        dealer.send(hello(name, **fields))
        return dealer

    return connect


# --- busy is not dead ----------------------------------------------------------------------------------------------------


@protocols
@both_ways
def test_a_connected_peer_whose_thread_is_busy_is_not_lost_however_long_it_is_silent(nodes, protocol, first, second):
    clock = ManualClock()
    one, two = nodes.linked(nodes.make(first, protocol, clock=clock), nodes.make(second, protocol))
    one.note(two, 1)
    pass_time(clock, 1000, one)
    assert ([], []) == (one.inbox.lost, one.broken)
    nodes.spin(lambda: two.inbox.messages)
    assert [1] == two.inbox.numbers()


@protocols
@both_ways
def test_a_peer_whose_thread_is_busy_before_it_could_say_hello_is_waited_for(nodes, protocol, first, second):
    clock = ManualClock()
    one, two = nodes.make(first, protocol, clock=clock), nodes.make(second, protocol)
    one.knows(two)
    one.note(two, 1)
    nodes.all.remove(two)
    nodes.spin(lambda: stands(one, second))
    pass_time(clock, 1000, one)
    assert [] == one.inbox.lost
    nodes.all.append(two)
    nodes.spin(lambda: two.inbox.messages)
    assert [1] == two.inbox.numbers()


FAR_NODE = """
import sys
sys.path.insert(0, {folder!r})
from transport_nodes import Node
node = Node("far")
# Linux takes 0.0.0.0 for itself; nothing says that it is this host.
node.endpoint._links._endpoints = node.endpoint.endpoints = (node.endpoint.endpoints[0].replace("127.0.0.1", "0.0.0.0"),)
print(*node.endpoint.endpoints, flush=True)
while True:
    node.endpoint.io.poll(1)
"""


@pytest.mark.slow
def test_a_host_that_falls_silent_is_cut_off_and_lost(nodes):
    one = nodes.make("near", heartbeat_interval_s=0.05, peer_timeout_s=0.4)
    program = FAR_NODE.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as far:
        try:
            one.endpoint.learn("far", far.stdout.readline().split())
            nodes.spin(lambda: any(peer.up for peer in one.endpoint.observe().peers))
            far.send_signal(signal.SIGSTOP)
            nodes.spin(lambda: one.inbox.lost)
        finally:
            far.kill()
    assert (["far"], ["it could not be reached for 0.4 s"]) == (one.broken, one.reasons)


def test_an_endpoint_that_another_node_took_over_is_given_up(nodes):
    clock = ManualClock()
    one, two = nodes.make("b", clock=clock), nodes.make("a")
    one.endpoint.learn("a9", two.endpoint.endpoints)
    one.note(type("Gone", (), {"name": "a9"}), 1)
    nodes.spin(lambda: one.inbox.lost)
    assert (["a9"], ["a listens where it did"]) == (one.inbox.lost, one.reasons)


# --- what broke, and what did not ----------------------------------------------------------------------------------------


def test_a_handshake_that_takes_long_is_not_taken_for_a_break(nodes, stranger):
    one, slow = nodes.make("a"), nodes.make("w")
    one.knows(slow)
    slow.knows(one)
    slow.endpoint.io.poll(0)
    nodes.all.remove(slow)
    others = [stranger(one, f"x{n}", incarnation=n + 1) for n in range(3)]
    nodes.spin(lambda: all(f"x{n}".encode() in one.endpoint._links.peers for n in range(3)))
    for number, other in enumerate(others):
        other.close()
        nodes.spin(lambda number=number: len(one.broken) > number)
    nodes.all.append(slow)
    nodes.spin(lambda: slow.up(one) and one.up(slow))
    nodes.settle()
    assert ([], []) == (slow.broken, [node for node in one.broken if node == "w"])


def test_a_repeated_hello_changes_nothing_and_one_of_another_attempt_is_a_break(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    links = two.endpoint._links
    links._socket.send(b"a", links._hello(peer_of(two, "a").attempt, 0))
    nodes.settle()
    assert ([], []) == (one.broken, one.inbox.restored)
    links._socket.send(b"a", links._hello(links._next_attempt(), 0))
    nodes.settle()
    assert (["b"], ["b"], True) == (one.broken, one.inbox.restored, one.up(two))


@protocols
def test_a_link_that_broke_is_restored_on_both_sides(nodes, protocol):
    one, two = nodes.linked(nodes.make("a", protocol), nodes.make("b", protocol))
    two.endpoint._links._socket.hang_up(peer_of(two, "a").dialled)
    nodes.spin(lambda: one.broken)
    two.note(one, 1)
    nodes.spin(lambda: one.inbox.messages and two.inbox.restored)
    assert (["b"], ["a"], ["b"], ["a"]) == (one.broken, two.broken, one.inbox.restored, two.inbox.restored)
    assert ([], []) == (one.inbox.lost, two.inbox.lost)


@both_ways
def test_a_peer_that_was_forgotten_comes_back_when_it_is_wanted(nodes, first, second):
    one, two = nodes.linked(nodes.make(first), nodes.make(second))
    one.endpoint.forget(second)
    one.knows(two)
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages or one.broken)
    if not two.inbox.messages:  # it went into the connection that was about to end, and its sender has heard of that
        nodes.spin(lambda: one.inbox.restored)
        one.note(two, 2)
        nodes.spin(lambda: two.inbox.messages)
    nodes.spin(lambda: one.up(two) and two.up(one))
    assert two.inbox.numbers() in ([1], [2], [1, 2]), "each at most once, in order"
    assert ([], []) == (one.inbox.lost, two.inbox.lost)


def test_a_knock_that_was_answered_already_changes_nothing(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    links = one.endpoint._links
    links._knock(peer_of(one, "b"), peer_of(one, "b").locations[0])
    nodes.settle()
    assert ([], []) == (one.broken, two.broken)


def test_a_poll_that_handled_a_disconnection_does_not_sleep(nodes):
    one = nodes.make("a")
    one.endpoint.io.poll(0)
    one.endpoint.io._disconnections.append("tcp://127.0.0.1:1")
    waits = []
    one.endpoint.io._readiness.wait = waits.append
    one.endpoint.io.poll(5)
    assert [0.0] == waits


# --- what is lost is left alone ------------------------------------------------------------------------------------------


@both_ways
def test_a_lost_peer_is_not_dialled_for_ever_and_is_still_found_when_it_is_wanted_again(nodes, first, second):
    clock = ManualClock()
    one, two = nodes.linked(nodes.make(first, clock=clock), nodes.make(second))
    where = two.endpoint.endpoints[0]
    two.vanish()
    nodes.all.remove(two)
    nodes.spin(lambda: one.broken or clock.advance(0.01))
    pass_time(clock, 60, one)
    lost = peer_of(one, second)
    assert ([second], None, None) == (one.inbox.lost, lost.dialled, lost.knocked)
    pass_time(clock, 60, one)
    assert {} == one.endpoint._links.peers
    again = nodes.make(second, where)
    one.note(again, 1)
    nodes.spin(lambda: again.inbox.messages)
    assert [1] == again.inbox.numbers()


def test_what_is_remembered_of_peers_that_are_gone_is_bounded(nodes):
    clock = ManualClock()
    one = nodes.make("a", clock=clock)
    for n in range(1500):
        one.endpoint.learn(f"b{n}", ["tcp://127.0.0.1:1"])
    pass_time(clock, 120, one)
    assert ({}, 1000) == (one.endpoint._links.peers, len(one.endpoint._links._retired))


def test_knocking_elsewhere_leaves_the_first_door(nodes):
    one = nodes.make("a")
    one.endpoint.watch("b/x")
    for port in range(20):
        one.endpoint.learn("b", [f"tcp://127.0.0.1:{20_000 + port}"])
        one.endpoint.io.poll(0)
    assert ["tcp://127.0.0.1:20019"] == list(one.endpoint._socket._knocks)
    one.endpoint.forget("b")
    assert {} == one.endpoint._socket._knocks


# --- nothing ends the node's thread --------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["garbage", "tcp://", "ipc:///" + "x" * 200])
def test_a_hello_or_knock_with_what_is_no_endpoint_is_refused(nodes, stranger, endpoint):
    one = nodes.make("b")
    dealer = stranger(one, "a", endpoints=(endpoint,))
    dealer.send(pack(Kind.KNOCK, greeting_codec.encode(Knock("a", 7, 1, (endpoint,)))))
    nodes.spin(lambda: one.endpoint.observe().refused.get("knock"))
    dealer.close()
    nodes.settle()
    assert ({"hello": 1, "knock": 1}, ()) == (one.endpoint.observe().refused, one.endpoint.observe().peers)


def test_learning_what_is_no_endpoint_is_the_callers_error(nodes):
    one = nodes.make("b")
    with pytest.raises(TransportError, match="'nonsense' is not an endpoint"):
        one.endpoint.learn("a", ["nonsense"])


@both_ways
def test_a_peer_whose_endpoint_cannot_be_dialled_is_lost(nodes, first, second):
    one = nodes.make(first)
    one.endpoint.watch(f"{second}/x")
    one.endpoint.learn(second, ["tcp://a,b:1"])
    one.endpoint.io.poll(0)
    assert [second] == one.inbox.lost
    assert one.reasons[0].startswith("cannot connect to tcp://a,b:1")
    assert {} == one.endpoint._socket._knocks


def test_a_path_that_cannot_be_looked_at_is_not_here():
    unreadable, tcp = Location("ipc", "/" + "x" * 300), Location("tcp", "10.0.0.1:80")
    assert tcp == nearest([unreadable, tcp])


def test_a_listener_that_fails_keeps_no_other_from_hearing(nodes, caplog):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    one.endpoint.on_peer_lost.insert(0, lambda _node, _reason: 1 / 0)
    one.endpoint.on_link_broken.insert(0, lambda _node: 1 / 0)
    links = two.endpoint._links
    links._socket.send(b"a", links._hello(links._next_attempt(), 0))
    nodes.settle()
    two.endpoint.close()
    nodes.spin(lambda: one.inbox.lost)
    assert (["b"], ["b"], ["it left"]) == (one.broken, one.inbox.lost, one.reasons)
    assert 2 == caplog.text.count("ZeroDivisionError")


@pytest.mark.parametrize("step", ["posted", "tick", "disconnection", "message"])
def test_a_step_of_the_transport_that_fails_is_logged_and_the_node_goes_on(nodes, caplog, step):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    io = one.endpoint.io
    attribute = {"tick": "_on_tick", "disconnection": "_on_disconnected", "message": "_on_message"}.get(step)
    if attribute is None:
        thread = threading.Thread(target=io.run, args=(lambda: 1 / 0,))
        thread.start()
        thread.join()
    else:
        working = getattr(io, attribute)

        def fail(*_args):
            setattr(io, attribute, working)
            return 1 / 0

        setattr(io, attribute, fail)
        io._tick_at_s = 0.0
        io._disconnections.append("tcp://127.0.0.1:1")
        two.note(one, 1)
    nodes.spin(lambda: "ZeroDivisionError" in caplog.text)
    two.note(one, 2)
    nodes.spin(lambda: 2 in one.inbox.numbers())  # behind the first note, which may still be on its way
