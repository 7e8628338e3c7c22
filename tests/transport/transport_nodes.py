"""Nodes for the tests of the transport: endpoints that are polled by hand, and what arrived at them."""

import threading
import time
from dataclasses import dataclass, field

from actorflow.clock import SystemClock
from actorflow.transport.endpoint import Endpoint
from actorflow.transport.limits import TransportLimits
from actorflow.wire.message import Message, MessageCodec

DEADLINE_S = 8.0


class Note(Message, frozen=True):
    n: int


class Text(Message, frozen=True):
    text: str


class CountingCodec(MessageCodec):
    """A codec that knows how often it was asked to decode."""

    def __init__(self, types):
        super().__init__(types)
        self.decoded = 0

    def decode(self, data):
        self.decoded += 1
        return super().decode(data)


@dataclass
class Inbox:
    """Stands for the actor system: keeps what it is given."""

    messages: list = field(default_factory=list)
    lost: list = field(default_factory=list)
    restored: list = field(default_factory=list)

    def deliver(self, path, message, *, control, reply_to=None, correlation=None, sender=None):
        self.messages.append((path, message, control, reply_to, correlation))

    def node_lost(self, node):
        self.lost.append(node)

    def link_restored(self, node):
        self.restored.append(node)

    def numbers(self):
        return [message.n for _path, message, *_rest in self.messages]


class Node:
    """An endpoint with an inbox."""

    def __init__(self, name, bind="tcp://127.0.0.1:0", *, clock=None, keys=None, **limits):
        self.name = name
        self.clock = clock or SystemClock()
        self.codec = CountingCodec([Note, Text])
        self.inbox = Inbox()
        self.endpoint = Endpoint(
            name, self.codec, bind=[bind], clock=self.clock, keys=keys, limits=TransportLimits(reconnect_initial_s=0.01, **limits)
        )
        self.endpoint.attach(self.inbox)
        self.broken = []
        self.endpoint.on_link_broken.append(self.broken.append)
        self.reasons = []
        self.endpoint.on_peer_lost.append(lambda _node, reason: self.reasons.append(reason))

    def knows(self, *others):
        for other in others:
            self.endpoint.learn(other.name, other.endpoint.endpoints)
        return self

    def note(self, other, *numbers):
        for n in numbers:
            self.endpoint.send(f"{other.name}/inbox", Note(n), control=False)

    def up(self, other):
        return any(peer.node == other.name and peer.up for peer in self.endpoint.observe().peers)

    def vanish(self):
        """End without a goodbye, as a killed process does."""
        self.endpoint.io._on_close = lambda: None
        self.endpoint.close()


class Nodes:
    """All nodes of a test, polled in turn."""

    def __init__(self, folder):
        self._folder = folder
        self._made = []
        self.all = []

    def make(self, name, bind="tcp", **options):
        url = {"tcp": "tcp://127.0.0.1:0", "ipc": f"ipc://{self._folder}/{name}{len(self.all)}.sock"}.get(bind, bind)
        node = Node(name, url, **options)
        self.all.append(node)
        self._made.append(node)
        return node

    def spin(self, until):
        """Poll all nodes until `until()` holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not until():
            assert time.monotonic() < deadline, "what was waited for did not happen"
            for node in self.all:
                node.endpoint.io.poll(0.001)

    def settle(self):
        """Poll until nothing has arrived anywhere for a while."""
        quiet = 0
        while quiet < 20:
            before = [node.endpoint.observe().frames_in for node in self.all]
            for node in self.all:
                node.endpoint.io.poll(0.001)
            quiet = quiet + 1 if before == [node.endpoint.observe().frames_in for node in self.all] else 0

    def linked(self, first, second):
        """Let `first` learn `second`, and poll until both are up."""
        first.knows(second)
        first.note(second, 0)
        self.spin(lambda: first.up(second) and second.up(first) and second.inbox.messages)
        second.inbox.messages.clear()
        return first, second

    def close(self):
        """Close all, those that were dialled first: who has not heard that its dialler has left would linger."""
        for node in reversed(self._made):
            node.endpoint.close()


class Event(threading.Event):
    """An event whose wait asserts that it came."""

    def expect(self):
        assert self.wait(DEADLINE_S), "what was waited for did not happen"
