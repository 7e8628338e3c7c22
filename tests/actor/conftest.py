"""Systems for actor tests: real ones, and simulated ones on a clock of their own."""

import pytest

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
