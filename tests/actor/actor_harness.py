"""What the tests of this folder share: an actor that records, a gate that holds it in the middle of a message, and a link of two nodes."""

import threading

from actorflow.actor import Actor
from actorflow.actor.messages import MESSAGES
from actorflow.errors import TransportError
from actorflow.ids import split_address
from actorflow.wire.message import Message, MessageCodec

DEADLINE_S = 5.0


class Gate:
    """Holds an actor in the middle of a message."""

    def __init__(self):
        self.entered = threading.Event()
        self.opened = threading.Event()

    def pass_through(self):
        self.entered.set()
        assert self.opened.wait(DEADLINE_S)


class Recorder(Actor):
    """Keeps what it gets, runs what it is given to run, and waits at its gate when told to."""

    def __init__(self, log=None, gate=None):
        super().__init__()
        self.log = [] if log is None else log
        self.gate = gate

    def on_stop(self):
        self.log.append(f"stop {self.ctx.path}")

    def on_receive(self, message):
        if message == "gate":
            self.gate.pass_through()
        elif callable(message):
            return message(self)
        self.log.append(message)
        return len(self.log)

    def observe(self):
        return tuple(self.log)


class Link:
    """A router that is a function call, except that answers and the layer's own messages become bytes on the way.

    While it is `cut`, it loses everything without a word.
    """

    cut = False

    def __init__(self, systems):
        self.systems = {system.node: system for system in systems}
        self.codec = MessageCodec(MESSAGES)
        self.watched = []
        for system in systems:
            system.router = self

    def send(self, to, message, *, control, reply_to=None, correlation=None):
        node, path = split_address(to)
        if isinstance(message, Message) or (reply_to is None and correlation is not None):
            if not isinstance(message, Message):
                raise TransportError(f"cannot send a '{type(message).__name__}'")
            message = self.codec.decode(self.codec.encode(message))
        if node in self.systems and not self.cut:
            self.systems[node].deliver(path, message, control=control, reply_to=reply_to, correlation=correlation)

    def watch(self, target):
        self.watched.append(f"watch {target}")

    def unwatch(self, target):
        self.watched.append(f"unwatch {target}")
