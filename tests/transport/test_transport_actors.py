"""The contract of remote references: `tell`, `ask` and `watch` between two actor systems, over every protocol."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pykka
import pytest
from transport_nodes import DEADLINE_S, Event, Note, Text

from actorflow.actor.actor import Actor
from actorflow.actor.messages import MESSAGES
from actorflow.actor.system import ActorSystem
from actorflow.clock import SystemClock
from actorflow.errors import AskRefused, UserFunctionError
from actorflow.protocol.machine import ChildEnded, Failed, Killed, Lost, Stopped
from actorflow.transport.endpoint import Endpoint
from actorflow.transport.limits import TransportLimits
from actorflow.wire.message import MessageCodec


class Echo(Actor):
    def on_receive(self, message):
        if isinstance(message, Text) and message.text == "fail":
            raise ValueError("as asked")
        return message


class Collector(Actor):
    def __init__(self, seen, enough, count):
        super().__init__()
        self.seen, self.enough, self.count = seen, enough, count

    def on_receive(self, message):
        self.seen.append(message)
        if len(self.seen) == self.count:
            self.enough.set()


class Watcher(Actor):
    def __init__(self, target, endings, heard):
        super().__init__()
        self.target, self.endings, self.heard = target, endings, heard

    def on_start(self):
        self.ctx.watch(self.ctx.system.resolve(self.target))

    def on_receive(self, message):
        if isinstance(message, ChildEnded):
            self.endings.append(message.ending)
            self.heard.set()


class Asker(Actor):
    def __init__(self, target, outcome, done):
        super().__init__()
        self.target, self.outcome, self.done = target, outcome, done

    def on_receive(self, message):
        try:
            self.ctx.system.resolve(self.target).ask(message)
        except AskRefused as error:
            self.outcome.append(error)
        self.done.set()


def start(name, bind):
    endpoint = Endpoint(
        name,
        MessageCodec([Note, Text, *MESSAGES]),
        bind=[bind],
        clock=SystemClock(),
        limits=TransportLimits(heartbeat_interval_s=0.2, peer_timeout_s=2.0, reconnect_initial_s=0.01),
    )
    system = ActorSystem(name, io=endpoint.io)
    system.router = endpoint
    endpoint.attach(system)
    system.start()
    return system, endpoint


@pytest.fixture(params=["tcp-a", "tcp-b", "ipc-a", "ipc-b"])
def pair(request, nodes):
    """A system that knows the other one, over each protocol, with the lesser and with the greater id."""
    protocol, name = request.param.split("-")
    other = "b" if name == "a" else "a"
    made = [start(n, "tcp://127.0.0.1:0" if protocol == "tcp" else f"ipc://{nodes._folder}/{n}") for n in (name, other)]
    (here, endpoint), (there, far_endpoint) = made
    endpoint.learn(other, far_endpoint.endpoints)
    yield here, there
    for system, _endpoint in made:
        system.shutdown(timeout_s=5)


def test_told_messages_arrive_in_order_from_many_threads(pair):
    here, there = pair
    seen, enough = [], Event()
    there.spawn(Collector, seen, enough, 2000, name="inbox")
    ref = here.resolve(f"{there.node}/inbox")

    def tell(thread):
        for n in range(500):
            ref.tell(Note(thread * 1000 + n))

    threads = [threading.Thread(target=tell, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    enough.expect()
    for number in range(4):
        assert [number * 1000 + n for n in range(500)] == [note.n for note in seen if note.n // 1000 == number]


def test_an_answer_and_an_error_come_back(pair):
    here, there = pair
    there.spawn(Echo, name="echo")
    ref = here.resolve(f"{there.node}/echo")
    assert Text("hi") == ref.ask(Text("hi"), timeout=DEADLINE_S)
    with pytest.raises(UserFunctionError, match="as asked"):
        ref.ask(Text("fail"), timeout=DEADLINE_S)
    assert Note(3) == ref.ask(Note(3), block=False).get(timeout=DEADLINE_S)


def test_asking_nobody_is_an_error(pair):
    here, there = pair
    with pytest.raises(pykka.ActorDeadError):
        here.resolve(f"{there.node}/nobody").ask(Note(1), timeout=DEADLINE_S)


def test_an_actor_may_not_wait_for_another_node(pair):
    here, there = pair
    there.spawn(Echo, name="echo")
    outcome, done = [], Event()
    here.spawn(Asker, f"{there.node}/echo", outcome, done, name="asker").tell(Note(1))
    done.expect()
    assert [AskRefused] == [type(error) for error in outcome]


@pytest.mark.parametrize(("how", "ending"), [("stop", Stopped), ("fail", Failed), ("absent", Killed)])
def test_a_watcher_hears_once_how_the_other_ended(pair, how, ending):
    here, there = pair
    if how != "absent":
        ref = there.spawn(Echo, name="echo")
    endings, heard = [], Event()
    watcher = here.spawn(Watcher, f"{there.node}/echo", endings, heard, name="watcher")
    watcher.ask(Note(0), timeout=DEADLINE_S)
    if how != "absent":
        here.resolve(f"{there.node}/echo").ask(Note(1), timeout=DEADLINE_S)  # behind the watch
        ref.stop(block=False) if how == "stop" else ref.tell(Text("fail"))
    heard.expect()
    assert [ending] == [type(seen) for seen in endings]


def test_a_watcher_hears_that_the_node_is_gone(pair):
    here, there = pair
    endings, heard = [], Event()
    there.spawn(Echo, name="echo")
    watcher = here.spawn(Watcher, f"{there.node}/echo", endings, heard, name="watcher")
    watcher.ask(Note(0), timeout=DEADLINE_S)
    here.resolve(f"{there.node}/echo").ask(Note(1), timeout=DEADLINE_S)
    there.call_soon(there.router.close)
    heard.expect()
    assert [Lost(there.node)] == endings


FAR_NODE = """
import sys, threading
sys.path.insert(0, {folder!r})
from test_transport_actors import Echo, start
system, endpoint = start("far", {bind!r})
system.spawn(Echo, name="echo")
print(*endpoint.endpoints, flush=True)
threading.Event().wait(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["tcp", "ipc"])
def test_processes_ask_each_other_and_a_killed_one_is_lost(nodes, protocol):
    bind = {"tcp": "tcp://127.0.0.1:0", "ipc": f"ipc://{nodes._folder}/far"}[protocol]
    program = FAR_NODE.format(folder=str(Path(__file__).parent), bind=bind)
    here, endpoint = start("here", bind.replace("/far", "/here"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as far:
        endpoint.learn("far", far.stdout.readline().split())
        assert Text("hi") == here.resolve("far/echo").ask(Text("hi"), timeout=DEADLINE_S)
        endings, heard = [], Event()
        here.spawn(Watcher, "far/echo", endings, heard, name="watcher").ask(Note(0), timeout=DEADLINE_S)
        assert Note(1) == here.resolve("far/echo").ask(Note(1), timeout=DEADLINE_S)
        far.send_signal(signal.SIGKILL)
        heard.expect()
    assert [Lost("far")] == endings
    here.shutdown(timeout_s=5)
