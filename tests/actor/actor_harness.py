"""What the tests of this folder share: an actor that records, and a gate that holds it in the middle of a message."""

import threading

from actorflow.actor import Actor

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
