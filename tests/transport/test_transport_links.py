"""Links between nodes: who dials, what waits, who is lost, and that a node's next life gets nothing of its last one."""

import socket
import threading

import pytest
import zmq
from transport_nodes import Event, Note, Text

from actorflow.clock import ManualClock
from actorflow.errors import TransportError
from actorflow.transport.pieces import control_frames
from actorflow.wire.frame import Kind, pack

both_ways = pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")], ids=["knocks", "dials"])
protocols = pytest.mark.parametrize("protocol", ["tcp", "ipc"])


@protocols
@both_ways
def test_messages_wait_for_the_link_and_arrive_in_order(nodes, protocol, first, second):
    one, two = nodes.make(first, protocol), nodes.make(second, protocol)
    one.note(two, 1, 2)
    one.knows(two)
    one.note(two, 3)
    nodes.spin(lambda: len(two.inbox.messages) == 3)
    one.note(two, *range(4, 100))
    nodes.spin(lambda: len(two.inbox.messages) == 99)
    assert list(range(1, 100)) == two.inbox.numbers()
    two.note(one, 7)
    nodes.spin(lambda: one.inbox.messages)
    assert [7] == one.inbox.numbers()


def test_all_fields_of_a_message_arrive(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    one.endpoint.send("b/jobs/x", Text("hi"), control=True, reply_to="a/y", correlation=5)
    nodes.spin(lambda: two.inbox.messages)
    assert [("/jobs/x", Text("hi"), True, "a/y", 5)] == two.inbox.messages


def test_two_nodes_that_dial_and_knock_at_once_have_one_connection(nodes):
    one, two = nodes.make("a"), nodes.make("b")
    one.knows(two)
    two.knows(one)
    one.note(two, 1)
    two.note(one, 2)
    nodes.spin(lambda: one.inbox.messages and two.inbox.messages)
    nodes.settle()
    one.note(two, 3)
    two.note(one, 4)
    nodes.spin(lambda: len(one.inbox.messages) == len(two.inbox.messages) == 2)
    assert ([2, 4], [1, 3]) == (one.inbox.numbers(), two.inbox.numbers())
    assert ([], []) == (one.broken, two.broken)


@protocols
@both_ways
def test_a_node_that_leaves_is_lost_at_once_and_its_last_messages_arrive(nodes, protocol, first, second):
    one, two = nodes.linked(nodes.make(first, protocol), nodes.make(second, protocol))
    one.note(two, *range(100))
    one.endpoint.close()
    nodes.spin(lambda: two.inbox.lost)
    assert list(range(100)) == two.inbox.numbers()
    assert ([first], ["it left"]) == (two.inbox.lost, two.reasons)


@protocols
@both_ways
def test_a_connection_that_breaks_is_noticed_at_once(nodes, protocol, first, second):
    one, two = nodes.linked(nodes.make(first, protocol), nodes.make(second, protocol))
    one.vanish()
    nodes.spin(lambda: two.broken)
    assert ([first], False, []) == (two.broken, two.up(one), two.inbox.lost)


@both_ways
def test_a_restarted_node_is_lost_first_and_gets_nothing_that_was_for_its_last_life(nodes, first, second):
    one, two = nodes.linked(nodes.make(first), nodes.make(second))
    where = one.endpoint.endpoints[0]
    one.vanish()
    nodes.spin(lambda: two.broken)
    two.note(one, 1, 2)
    again = nodes.make(first, where)
    again.knows(two)
    again.note(two, 9)
    nodes.spin(lambda: two.inbox.messages)
    assert ([first], ["it was restarted"]) == (two.inbox.lost, two.reasons)
    two.note(again, 3)
    nodes.spin(lambda: again.inbox.messages)
    assert [3] == again.inbox.numbers()
    assert 2 == two.endpoint.observe().dropped_frames


def test_a_node_that_was_stopped_itself_does_not_blame_the_others(nodes):
    clock = ManualClock()
    one, two = nodes.make("a", clock=clock), nodes.make("b", clock=clock)
    nodes.linked(one, two)
    clock.advance(1000)
    nodes.settle()
    clock.advance(5)
    nodes.settle()
    assert ([], [], True, True) == (one.inbox.lost, two.inbox.lost, one.up(two), two.up(one))


@both_ways
def test_a_peer_that_is_never_there_is_lost_once_it_is_wanted(nodes, first, second):
    clock = ManualClock()
    one, two = nodes.make(first, clock=clock), nodes.make(second)
    one.knows(two)
    two.vanish()
    nodes.all.remove(two)
    one.endpoint.watch(f"{second}/x")
    for _ in range(10):
        one.endpoint.io.poll(0)
        clock.advance(5)
    assert [] == one.inbox.lost
    for _ in range(3):
        one.endpoint.io.poll(0)
        clock.advance(5)
    assert ([second], ["it could not be reached for 50 s"]) == (one.inbox.lost, one.reasons)


@pytest.mark.parametrize("limits", [{"unsent_bytes_max": 1000}, {"unsent_frames_max": 10}])
def test_what_waits_for_a_peer_is_bounded(nodes, limits):
    one = nodes.make("a", **limits)
    for n in range(100):
        one.endpoint.send("b/x", Note(n), control=False)
        if not n:
            one.endpoint.io.poll(0)
    one.endpoint.io.poll(0)
    seen = one.endpoint.observe()
    assert "b" in one.inbox.lost
    assert one.reasons[0] == "more waits for it than may be kept"
    assert seen.dropped_frames + sum(peer.unsent_frames for peer in seen.peers) == 100


def test_a_forgotten_peer_gets_nothing(nodes):
    one, two = nodes.make("b"), nodes.make("a")
    one.note(two, 1)
    one.endpoint.forget("a")
    one.knows(two)
    one.note(two, 2)
    nodes.spin(lambda: two.inbox.messages)
    assert [2] == two.inbox.numbers()


def test_sizes_are_limited_where_a_message_is_sent(nodes):
    one = nodes.make("a", unsent_bytes_max=100)
    with pytest.raises(TransportError, match="the limit is 100"):
        one.endpoint.send("b/x", Text("x" * 100), control=False)
    with pytest.raises(TransportError, match="only control messages leave a node"):
        one.endpoint.send("b/x", {"a": 1}, control=False)


def test_a_message_larger_than_a_frame_travels_in_pieces_and_keeps_its_place(nodes):
    one, two = nodes.linked(nodes.make("a", control_bytes_max=100), nodes.make("b", control_bytes_max=100))
    for number, size in enumerate((10, 1000, 10, 5000, 100)):
        one.endpoint.send("b/x", Text(f"{number}" * size), control=False)
    nodes.spin(lambda: len(two.inbox.messages) == 5)
    expected = [(10, "0"), (1000, "1"), (10, "2"), (5000, "3"), (100, "4")]
    assert expected == [(len(message.text), message.text[0]) for _path, message, *_rest in two.inbox.messages]


def test_a_message_whose_beginning_is_missing_is_refused_and_the_next_is_taken(nodes):
    one, two = nodes.linked(nodes.make("a", control_bytes_max=100), nodes.make("b", control_bytes_max=100))
    frames = list(control_frames(b"x" * 250, 100))
    for frame in (frames[0], frames[2], *frames[1:]):
        one.endpoint._links.send("b", frame)
    one.endpoint.send("b/x", Text("y" * 500), control=False)
    nodes.spin(lambda: two.inbox.messages)
    assert ["y" * 500] == [message.text for _path, message, *_rest in two.inbox.messages]
    assert {"control": 3} == two.endpoint.observe().refused


def test_a_message_in_pieces_is_limited_where_it_arrives(nodes):
    one, two = nodes.linked(nodes.make("a", control_bytes_max=100), nodes.make("b", control_bytes_max=100, unsent_bytes_max=400))
    one.endpoint.send("b/x", Text("x" * 1000), control=False)
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages)
    assert [1] == two.inbox.numbers()
    assert any("control message refused: it is larger than 400 bytes" in text for text in two.endpoint.observe().last_refusals)


def test_a_message_beyond_the_receivers_limit_is_refused_undecoded(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b", control_bytes_max=500))
    decoded = two.codec.decoded
    one.endpoint.send("b/x", Text("x" * 1000), control=False)
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages)
    assert (decoded + 1, {"frame": 1}) == (two.codec.decoded, two.endpoint.observe().refused)


def test_unknown_messages_are_refused_and_the_node_goes_on(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    one.endpoint._links.send("b", pack(Kind.CONTROL, b"\xc1 nonsense"))
    one.endpoint._links.send("b", pack(Kind.CONTROL, b"\x95\xa2/x\xc3\xc0\xc0\x91\xa5Evil!"))
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages)
    assert {"control": 2} == two.endpoint.observe().refused
    assert all("control message refused" in text for text in two.endpoint.observe().last_refusals)


def test_garbage_from_strangers_harms_nothing(nodes, zmq_context):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    decoded = two.codec.decoded
    host, _, port = two.endpoint.endpoints[0].removeprefix("tcp://").rpartition(":")
    raw = socket.create_connection((host, int(port)))
    raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 20)
    dealer, liar = zmq_context.socket(zmq.DEALER), zmq_context.socket(zmq.DEALER)
    liar.setsockopt(zmq.IDENTITY, b"mallory")
    for sock in (dealer, liar):
        sock.setsockopt(zmq.LINGER, 0)
        sock.connect(two.endpoint.endpoints[0])
        for frame in (
            b"x",
            b"\0" * 1000,
            pack(Kind.CONTROL, b"{}"),
            pack(Kind.HELLO, b"?"),
            pack(Kind.KNOCK, b"?"),
            pack(Kind.BYE),
        ):
            sock.send(frame)
        sock.send_multipart([b"more", b"parts", b"than", b"two"])
        sock.send(pack(Kind.HELLO, one.endpoint._links._hello(1, 0)[40:]))
    nodes.spin(lambda: two.endpoint.observe().refused.get("hello") == 4)
    refused = two.endpoint.observe().refused
    assert {"hello": 4, "knock": 2, "control": 2, "bye": 2} == {step: n for step, n in refused.items() if step != "frame"}
    assert refused["frame"] >= 6, "ZeroMQ may take the raw bytes for frames of its oldest version"
    one.note(two, 1)
    nodes.spin(lambda: two.inbox.messages)
    assert ([1], decoded + 1) == (two.inbox.numbers(), two.codec.decoded)
    assert ["a"] == [peer.node for peer in two.endpoint.observe().peers]
    assert ([], []) == (two.inbox.lost, two.broken)
    raw.close()


def test_a_receiver_that_raises_does_not_stop_the_node(nodes, caplog):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    deliver, two.inbox.deliver = two.inbox.deliver, lambda *_args, **_fields: 1 / 0
    one.note(two, 1)
    nodes.spin(lambda: two.endpoint.observe().refused)
    two.inbox.deliver = deliver
    one.note(two, 2)
    nodes.spin(lambda: two.inbox.messages)
    assert {"control failed": 1} == two.endpoint.observe().refused
    assert "division by zero" in caplog.text


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        ("udp://127.0.0.1:1", "'udp://127.0.0.1:1' is not an endpoint"),
        ("tcp://127.0.0.1", "is not an endpoint"),
        ("tcp://0.0.0.0:0", "refusing to listen at tcp://0.0.0.0:0 without keys.*hint: make keys with `actorflow keygen`"),
        ("tcp://example.org:0", "refusing to listen"),
        ("tcp://[::]:0", "refusing to listen"),
        ("ipc:///" + "x" * 120, "longer than 107 bytes"),
        ("ipc:///no/such/directory/s", "cannot listen at"),
    ],
)
def test_endpoints_that_cannot_be_are_refused_by_name(nodes, bind, reason):
    with pytest.raises(TransportError, match=reason):
        nodes.make("a", bind)


def test_another_thread_wakes_a_node_that_sleeps_and_its_message_is_sent_then(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    nodes.settle()
    sleeping, woken, slept = Event(), Event(), []
    wait = one.endpoint.io._readiness.wait

    def observed_wait(timeout_s):
        slept.append(timeout_s)
        sleeping.set()
        wait(timeout_s)
        woken.set()

    one.endpoint.io._readiness.wait = observed_wait
    one.endpoint.io._tick_at_s = one.clock.now() + 3600
    thread = threading.Thread(target=one.endpoint.io.poll, args=(None,), daemon=True)
    thread.start()
    sleeping.expect()
    one.note(two, 5)
    woken.expect()
    thread.join()
    assert slept[-1] > 60, "it would have slept on"
    nodes.spin(lambda: two.inbox.messages)
    assert [5] == two.inbox.numbers()
