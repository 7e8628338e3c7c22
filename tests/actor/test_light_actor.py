"""Light actors: everything but a mailbox, in great numbers."""

import threading

import pytest

from actorflow.actor import Actor, LightActor
from actorflow.errors import ActorflowError
from actorflow.protocol.machine import ChildEnded, Stopped, TimerFired

DEADLINE_S = 5.0


class Adder(LightActor):
    __slots__ = ("total",)

    def __init__(self, start=0):
        self.total = start

    def on_receive(self, message):
        if callable(message):
            return message(self)
        self.total += message
        return self.total

    def observe(self):
        return self.total


def test_thousands_live_and_each_answers(system):
    class Collector(Actor):
        def __init__(self):
            super().__init__()
            self.answers = {}
            self.complete = threading.Event()

        def on_receive(self, message):
            name, answer = message
            self.answers[name] = answer
            if len(self.answers) == 20_000:
                self.complete.set()

    class Answering(Adder):
        __slots__ = ()

        def on_receive(self, message):
            number, to = message
            to.tell((self.ctx.path, number + 1))

    collector = system.spawn(Collector, name="collector")
    refs = [system.spawn(Answering, name=str(number)) for number in range(20_000)]
    for number, ref in enumerate(refs):
        ref.tell((number, collector))
    actor = collector._cell.actor
    assert actor.complete.wait(30.0)
    assert actor.answers == {f"/{number}": number + 1 for number in range(20_000)}
    assert len(system.tree()) == 20_001


def test_ask_observe_and_stop_work_alike(system):
    ref = system.spawn(Adder, 10, name="a")
    assert ref.ask(5, timeout=DEADLINE_S) == 15
    assert ref.observe() == 15
    assert ref.stop(timeout=DEADLINE_S) is True
    assert ref.stop(timeout=DEADLINE_S) is False


def test_control_and_data_keep_the_order_they_were_sent_in(sim):
    log = []

    class Log(LightActor):
        __slots__ = ()

        def on_receive(self, message):
            log.append(message)

    ref = sim.spawn(Log, name="a")
    ref.tell(1)
    ref.tell_control(2)
    ref.tell(3)
    sim.dispatcher.run_until_idle()
    assert log == [1, 2, 3]


def test_light_actors_have_children_timers_and_watch(sim):
    log = []

    class Busy(Adder):
        __slots__ = ()

        def on_start(self):
            self.ctx.set_timer("t", 1.0)
            self.ctx.watch(self.ctx.spawn(Adder, name="child"))

        def on_stop(self):
            log.append("stop")

        def on_receive(self, message):
            log.append(message)

    ref = sim.spawn(Busy, name="a")
    sim.dispatcher.run_until_idle()
    sim.resolve("/a/child").stop()
    sim.dispatcher.run_for(2.0)
    ref.stop()
    assert log == [ChildEnded("child", Stopped()), TimerFired("t"), "stop"]


def test_a_light_actor_does_not_go_to_the_pool(system):
    with pytest.raises(ActorflowError, match="cannot spawn Adder on the pool"):
        system.spawn(Adder, name="a", dispatcher="pool")


def test_a_light_actor_may_be_pinned_and_leaves_its_thread_when_it_ends(system):
    ref = system.spawn(Adder, name="a", dispatcher="pinned")
    assert ref.ask(lambda _self: threading.current_thread().name, timeout=DEADLINE_S) == "actorflow-here/a"
    assert ref.stop(timeout=DEADLINE_S) is True
