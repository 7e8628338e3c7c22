"""Channels: many on one connection, fenced by deployment, and never silently incomplete."""

import socket
from pathlib import Path

import pytest
from transport_nodes import Note

from actorflow.errors import TransportError
from actorflow.wire.frame import Kind

CHANNELS = 50


def send(node, other, channel, sequence, payload=b"", *, deployment=1, kind=Kind.DATA):
    node.endpoint.send_data(
        other.name,
        deployment=deployment,
        channel=channel,
        kind=kind,
        sequence=sequence,
        backlog=3,
        flags=0,
        codec=2,
        payload=payload,
    )


def take(node, channel, deployment=1):
    frames = []
    node.endpoint.register_input(deployment, channel, frames.append)
    return frames


def tcp_connections(*ports):
    """Established TCP connections of this process with one of these local ports, from /proc."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    count = 0
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _number, local, _remote, state, *_rest = fields = line.split()
        count += state == "01" and int(local.rpartition(":")[2], 16) in ports and fields[9] in inodes
    return count


def port(node):
    return int(node.endpoint.endpoints[0].rpartition(":")[2])


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_fifty_channels_both_ways_and_messages_share_one_connection(nodes, first, second):
    one, two = nodes.make(first), nodes.make(second)
    inputs = [(node, channel, take(node, channel)) for node in (one, two) for channel in range(CHANNELS)]
    one.knows(two)
    two.knows(one)
    for sequence in (1, 2):
        for channel in range(CHANNELS):
            send(one, two, channel, sequence, b"%d" % channel)
            send(two, one, channel, sequence, b"%d" % channel)
        one.note(two, sequence)
    nodes.spin(lambda: all(len(frames) == 2 for *_, frames in inputs) and len(two.inbox.messages) == 2)
    nodes.settle()
    assert 1 == tcp_connections(port(one), port(two))
    for _node, channel, frames in inputs:
        assert [(1, b"%d" % channel), (2, b"%d" % channel)] == [(frame.sequence, bytes(frame.payload)) for frame in frames]


def test_the_count_of_connections_would_notice_a_second_one(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    nodes.settle()
    assert 1 == tcp_connections(port(one), port(two))
    with socket.create_connection(("127.0.0.1", port(two))):
        nodes.spin(lambda: tcp_connections(port(one), port(two)) == 2)  # it counts once ZeroMQ's thread has accepted it


def test_header_fields_and_credit_arrive(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    frames, credit = take(two, 7), []
    one.endpoint.register_output(1, 7, lambda buffers, records: credit.append((buffers, records)))
    send(one, two, 7, 1, b"batch")
    send(one, two, 7, 2, b"event", kind=Kind.EVENT)
    two.endpoint.send_credit("a", 1, 7, 4, 1000)
    nodes.spin(lambda: len(frames) == 2 and credit)
    assert [(4, 1000)] == credit
    assert [(Kind.DATA, 3, 2, b"batch"), (Kind.EVENT, 3, 2, b"event")] == [
        (frame.kind, frame.backlog, frame.codec, bytes(frame.payload)) for frame in frames
    ]


def test_some_channels_of_a_deployment_can_be_forgotten_and_the_others_stay(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    gone, stays = take(two, 7, deployment=1), take(two, 8, deployment=1)
    two.endpoint.unregister([1, 2], [7])
    send(one, two, 7, 1, deployment=1)
    send(one, two, 8, 1, deployment=1)
    nodes.spin(lambda: stays)
    assert [] == gone


def test_frames_of_other_deployments_and_channels_are_dropped_and_counted(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    frames = take(two, 7, deployment=2)
    old = take(two, 7, deployment=1)
    two.endpoint.unregister([1])
    send(one, two, 7, 1, deployment=1)
    send(one, two, 8, 1, deployment=2)
    one.endpoint.send_credit("b", 2, 7, 1, 1)
    send(one, two, 7, 1, b"new", deployment=2)
    nodes.spin(lambda: frames)
    assert ([b"new"], []) == ([bytes(frame.payload) for frame in frames], old)
    assert (3, 1) == (two.endpoint.observe().fenced_frames, two.endpoint.observe().channels)


def test_a_channel_that_lost_a_frame_delivers_nothing_more(nodes):
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    frames, other = take(two, 7), take(two, 8)
    send(one, two, 7, 1)
    send(one, two, 7, 3)
    send(one, two, 7, 2)
    send(one, two, 7, 4)
    send(one, two, 8, 1)
    nodes.spin(lambda: other)
    assert [1, 2] == [frame.sequence for frame in frames]
    assert ["a", "a"] == two.broken
    assert "frame 3 came where 2 was due" in two.endpoint.observe().last_refusals[0]


def test_a_receiver_is_told_before_a_stalled_channel_could_delay_others(nodes):
    """Frames that nobody takes do not hold up those behind them on the same connection."""
    one, two = nodes.linked(nodes.make("a"), nodes.make("b"))
    for sequence in range(200):
        send(one, two, 1, sequence + 1, b"x" * 10_000)
    one.endpoint.send("b/x", Note(5), control=True)
    nodes.spin(lambda: two.inbox.messages)
    assert 200 == two.endpoint.observe().fenced_frames


def test_a_batch_beyond_the_limit_is_refused_where_it_is_sent(nodes):
    one = nodes.make("a", data_bytes_max=100)
    with pytest.raises(TransportError, match="cannot send a batch of 101 bytes to b: the limit is 100"):
        send(one, nodes.make("b"), 1, 1, b"x" * 101)
