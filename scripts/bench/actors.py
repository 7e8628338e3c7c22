"""How fast are local actors, and how small? Beside pykka's ThreadingActor, interleaved in the same run.

- ping-pong: two actors send one message back and forth; messages a second.
- tell: one thread tells one actor, which is told to be busy meanwhile; sends a second.
- light actors: bytes a live idle light actor takes (reference, tree entry and name included), and whether each answers.
"""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pykka
from harness import Benchmark, Target

from actorflow.actor import Actor, ActorSystem, LightActor
from actorflow.ids import NodeId

PYKKA = "pykka ThreadingActor"


def player(base):
    """Return a class of actors that pass a counter on until it is zero."""

    class Player(base):
        def __init__(self, done):
            super().__init__()
            self.done = done
            self.peer = None

        def on_receive(self, message):
            if message.__class__ is not int:
                self.peer = message
            elif message:
                self.peer.tell(message - 1)
            else:
                self.done.set()

    return Player


def sink(base):
    """Return a class of actors that wait at a gate once, and swallow the rest."""

    class Sink(base):
        def on_receive(self, message):
            if message.__class__ is not int:
                message.wait()

    return Sink


class Ours:
    """Actors on the dispatcher."""

    def __init__(self):
        self.system = ActorSystem(NodeId("bench"))
        self.system.start()
        self.player, self.sink = player(Actor), sink(Actor)

    def spawn(self, cls, *args):
        """Make an actor."""
        return self.system.spawn(cls, *args, name=f"{cls.__name__}-{time.perf_counter_ns()}")

    def close(self):
        """Stop everything."""
        self.system.shutdown()


class Pykka:
    """A thread an actor."""

    def __init__(self):
        self.player, self.sink = player(pykka.ThreadingActor), sink(pykka.ThreadingActor)

    def spawn(self, cls, *args):
        """Make an actor."""
        return cls.start(*args)

    def close(self):
        """Stop everything."""
        pykka.ActorRegistry.stop_all()


def ping_pong(runtime, messages):
    """Return messages a second between two actors."""
    done = threading.Event()
    left, right = runtime.spawn(runtime.player, done), runtime.spawn(runtime.player, done)
    left.ask(right)
    right.ask(left)
    started = time.perf_counter()
    left.tell(messages)
    done.wait()
    rate = messages / (time.perf_counter() - started)
    left.stop()
    right.stop()
    return rate


def tell(runtime, messages):
    """Return sends a second to one actor that is held at a gate."""
    gate = threading.Event()
    ref = runtime.spawn(runtime.sink)
    ref.tell(gate)
    send = ref.tell
    started = time.perf_counter()
    for number in range(messages):
        send(number)
    rate = messages / (time.perf_counter() - started)
    gate.set()
    ref.stop()
    return rate


class Echo(LightActor):
    """The smallest light actor that answers."""

    __slots__ = ()

    def on_receive(self, message):
        """Answer by leaving a mark."""
        number, answers = message
        answers[number] = self
        return number


def resident_bytes():
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def light(count):
    """Return bytes a light actor takes, and how many of `count` answered."""
    system = ActorSystem(NodeId("light"), inbox_messages_max=2 * count)
    answers = [None] * count
    refs = [None] * count
    gc.collect()
    gc.freeze()
    gc.disable()
    before = resident_bytes()
    for number in range(count):
        refs[number] = system.spawn(Echo, name=f"e{number}")
        if number % 1000 == 0:  # let them begin, as a running system would: what waits to begin is not idle
            system.run_until(lambda: not system.dispatcher.ready)
    system.run_until(lambda: not system.dispatcher.ready)
    gc.collect()
    size = (resident_bytes() - before) / count
    started = time.perf_counter()
    for number, ref in enumerate(refs):
        ref.tell((number, answers))
    system.run_until(lambda: not system.dispatcher.ready)
    seconds = time.perf_counter() - started
    gc.enable()
    return size, sum(answer is not None for answer in answers), count / seconds


def main() -> None:
    bench = Benchmark("actors", __doc__)
    messages, live = bench.size(500_000, quick=25_000), bench.size(500_000, quick=10_000)
    size, answered, light_rate = light(live)  # first, while the heap is small and its growth is all ours
    bench.figures(f"{live:,} light actors, idle", "bytes", {"each": size}, targets=[Target("each", at_most=400)])
    bench.figures(
        f"{live:,} light actors, told once", "actors", {"answered": answered}, targets=[Target("answered", at_least=live)]
    )
    bench.figures("a message to each of them", "msg/s", {"actorflow": light_rate})
    ours, peer = Ours(), Pykka()
    bench.compare(
        "ping-pong of two actors",
        "msg/s",
        {"actorflow": lambda: ping_pong(ours, messages), PYKKA: lambda: ping_pong(peer, messages // 25)},
        floor=PYKKA,
        targets=[Target("actorflow", at_least=1.5e6), Target("actorflow", times=30, versus=PYKKA)],
    )
    bench.compare(
        "one thread tells one actor",
        "msg/s",
        {"actorflow": lambda: tell(ours, messages), PYKKA: lambda: tell(peer, messages // 25)},
        floor=PYKKA,
        targets=[Target("actorflow", at_least=2e6)],
    )
    ours.close()
    peer.close()
    bench.finish()


if __name__ == "__main__":
    main()
