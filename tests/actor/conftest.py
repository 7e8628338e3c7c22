"""Systems for actor tests: real ones, and simulated ones on a clock of their own."""

import pytest
from actor_harness import DEADLINE_S, Link

from actorflow.actor import ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.ids import NodeId


@pytest.fixture
def system():
    """A system whose default dispatcher runs on a thread."""
    system = ActorSystem(NodeId("here"))
    system.start()
    yield system
    assert system.shutdown(timeout_s=5.0)


@pytest.fixture
def sim():
    """A simulated system; `sim.dispatcher` runs it."""
    return ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7))


@pytest.fixture
def pair():
    systems = [ActorSystem(NodeId(name), ask_timeout_s=DEADLINE_S) for name in ("left", "right")]
    link = Link(systems)
    for system in systems:
        system.start()
    yield (*systems, link)
    for system in systems:
        assert system.shutdown(timeout_s=DEADLINE_S)


@pytest.fixture
def sims():
    """Two simulated nodes on one clock, and a function that runs both until nothing happens."""
    clock = ManualClock()
    systems = [
        ActorSystem(NodeId(name), clock=clock, dispatcher=SimulatedDispatcher(seed)) for seed, name in enumerate(("left", "right"))
    ]
    link = Link(systems)

    def settle():
        while systems[0].dispatcher.step() or systems[1].dispatcher.step():
            pass

    return (*systems, link, settle)
