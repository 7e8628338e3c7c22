"""Simulation: the same seed is the same history, another seed another interleaving, and order between two actors always holds."""

import pytest

from actorflow.actor import Actor, ActorSystem, LightActor, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.errors import ActorflowError
from actorflow.ids import NodeId


class Sink(Actor):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def on_receive(self, message):
        self.log.append(message)


class Source(Actor):
    def __init__(self, name, sink):
        super().__init__()
        self.name, self.sink = name, sink

    def on_receive(self, number):
        self.sink.tell((self.name, number))


class LightSource(LightActor):
    __slots__ = ("name", "sink")

    def __init__(self, name, sink):
        self.name, self.sink = name, sink

    def on_receive(self, number):
        self.sink.tell((self.name, number))


def history(seed):
    system = ActorSystem(NodeId("s"), clock=ManualClock(), dispatcher=SimulatedDispatcher(seed))
    log = []
    sink = system.spawn(Sink, log, name="sink", dispatcher="pinned")
    sources = [system.spawn(cls, cls.__name__, sink, name=cls.__name__, dispatcher="default") for cls in (Source, LightSource)]
    for number in range(20):
        for source in sources:
            source.tell(number)
    system.dispatcher.run_until_idle()
    return log


def test_the_same_seed_gives_the_same_history():
    assert history(1) == history(1)


def test_seeds_interleave_differently_and_none_reorders_messages_of_one_sender():
    histories = [history(seed) for seed in range(20)]
    assert len({tuple(log) for log in histories}) == 20
    for log in histories:
        for name in ("Source", "LightSource"):
            assert [number for source, number in log if source == name] == list(range(20))


def test_run_until_moves_time_to_the_next_timer_only_when_idle(sim):
    fired = []

    class Timed(Actor):
        def on_start(self):
            self.ctx.set_timer("t", 10.0)

        def on_receive(self, message):
            fired.append(self.ctx.now())

    sim.spawn(Timed, name="a")
    sim.dispatcher.run_until_idle()
    assert (sim.clock.now(), fired) == (0.0, [])
    assert sim.dispatcher.run_until(lambda: bool(fired)) is True
    assert fired == [10.0]
    assert sim.dispatcher.run_until(lambda: False) is False


def test_a_simulated_system_has_no_loop_to_start(sim):
    with pytest.raises(ActorflowError, match="is simulated"):
        sim.start()


def test_a_simulated_system_shuts_down(sim):
    log = []
    sim.spawn(Sink, log, name="a")
    assert sim.shutdown() is True
    assert sim.tree() == ()
