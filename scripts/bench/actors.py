#!/usr/bin/env python
"""How fast are local actors, and how small? Beside pykka's ThreadingActor, interleaved in the same run.

    python scripts/bench/actors.py [--rounds 3] [--light 500000] [--json FILE]

- ping-pong: two actors send one message back and forth; messages a second.
- tell: one thread tells one actor, which is told to be busy meanwhile; sends a second.
- light actors: bytes a live idle light actor takes (reference, tree entry and name included), and whether each answers.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import statistics
import sys
import threading
import time
from pathlib import Path

import pykka

from actorflow.actor import Actor, ActorSystem, LightActor
from actorflow.ids import NodeId

BARS = {"ping-pong": 1.5e6, "ping-pong ratio": 30.0, "tell": 2.0e6, "light bytes": 400.0}


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


def main():
    """Run, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--light", type=int, default=500_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    size, answered, light_rate = light(options.light)  # first, while the heap is small and its growth is all ours
    ours, peer = Ours(), Pykka()
    rates: dict[str, list[float]] = {"ping-pong": [], "ping-pong pykka": [], "tell": [], "tell pykka": []}
    for _round in range(options.rounds):
        rates["ping-pong"].append(ping_pong(ours, options.messages))
        rates["ping-pong pykka"].append(ping_pong(peer, options.messages // 25))
        rates["tell"].append(tell(ours, options.messages))
        rates["tell pykka"].append(tell(peer, options.messages // 25))
    ours.close()
    peer.close()

    result = {name: statistics.median(values) for name, values in rates.items()}
    result["ping-pong ratio"] = statistics.median(
        [a / b for a, b in zip(rates["ping-pong"], rates["ping-pong pykka"], strict=True)]
    )
    result |= {"light bytes": size, "light count": options.light, "light answered": answered, "light messages": light_rate}
    report(result, options.rounds)
    if options.json:
        options.json.write_text(json.dumps({"bench": "actors", "bars": BARS, "result": result, "rounds": rates}, indent=2) + "\n")
    met = (
        all(result[name] >= bar for name, bar in BARS.items() if name != "light bytes")
        and size <= BARS["light bytes"]
        and answered == options.light
    )
    return 0 if met else 1


def report(result, rounds):
    """Print the table."""
    print(f"python {sys.version.split()[0]}, pykka {importlib.metadata.version('pykka')}, median of {rounds} rounds\n")
    print(f"{'':32}{'actorflow':>14}{'pykka':>14}{'ratio':>8}{'bar':>14}")
    for name in ("ping-pong", "tell"):
        mine, theirs = result[name], result[f"{name} pykka"]
        print(f"{name + ', messages/s':32}{mine:>14,.0f}{theirs:>14,.0f}{mine / theirs:>8.1f}{BARS[name]:>14,.0f}")
    print(f"{'light actor, bytes':32}{result['light bytes']:>14,.0f}{'':22}{BARS['light bytes']:>14,.0f}")
    print(f"{'light actors that answered':32}{result['light answered']:>14,}{'':22}{result['light count']:>14,}")
    print(f"{'light messages/s':32}{result['light messages']:>14,.0f}")


if __name__ == "__main__":
    sys.exit(main())
