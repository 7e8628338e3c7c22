"""The mind of a ResourceManager that starts and ends TaskManagers itself: a `ResourceManagerMachine`, and the `Fleet` that serves it.

    offers, requests, losses ──► ResourceManagerMachine ──what is lacking, what there is──► Fleet ──► work for the driver
                                          ▲                                                  │
                                          └── its slots are no more, whatever it offers ◄── lets one go

Late rule: an offer of a TaskManager that was let go is dropped; see also the two machines.
"""

from __future__ import annotations

from actorflow.errors import ErrorInfo
from actorflow.ids import split_address
from actorflow.protocol.jobs.job_messages import NodeLost
from actorflow.protocol.machine import Effect, Report, Start, TimerFired, WorkDone, WorkFailed, ensure
from actorflow.protocol.nodes import fleet
from actorflow.protocol.nodes.fleet import Fleet, FleetState
from actorflow.protocol.nodes.fleet_events import OpenFleet, ReleaseTaskManager, StartFailed
from actorflow.protocol.nodes.registration import ResourceManagerMachine
from actorflow.protocol.nodes.slot_messages import SlotsOffered
from actorflow.protocol.nodes.slots import SlotPoolState


class ElasticResourceManager:
    """Decides for one ResourceManager with a driver.

    Args:
        manager: keeps slots, and who has registered.
        members: keeps the TaskManagers that it has started.
    """

    def __init__(self, manager: ResourceManagerMachine, members: Fleet) -> None:
        self._manager = manager
        self._fleet = members

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event: for the fleet, or for the ResourceManager, after which the fleet looks at what has changed."""
        match event:
            case OpenFleet() | WorkDone() | WorkFailed() | TimerFired(name=fleet.TIMER):
                return self._follow(self._fleet.handle(event, now), now)
            case SlotsOffered(task_manager=task_manager) if self._fleet.lets_go(split_address(task_manager)[0]):
                return []
            case _:
                effects = self._manager.handle(event, now)
                return [*effects, *self._follow(self._fleet.handle(self._manager.demand(), now), now)]

    def _follow(self, effects: list[Effect], now: float) -> list[Effect]:
        """Take the slots out of the pool of those who are let go, and tell the jobs that wait why nobody comes."""
        followed: list[Effect] = []
        for effect in effects:
            match effect:
                case Start(ReleaseTaskManager(name, reason)):
                    followed += [*self._manager.handle(NodeLost(name, reason), now), effect]
                case Report(StartFailed(error=error)):
                    followed += [effect, *self._manager.still_awaited(_why(error))]
                case _:
                    followed.append(effect)
        return followed

    def observe(self) -> SlotPoolState:
        """Return the pool as a value."""
        return self._manager.observe()

    def fleet(self) -> FleetState:
        """Return the TaskManagers that were started as a value."""
        return self._fleet.observe()

    def check(self) -> None:
        """State what both machines state, and that nobody has slots who is to end."""
        self._manager.check()
        self._fleet.check()
        for each in self._manager.demand().task_managers:
            ensure(not self._fleet.lets_go(each.node), f"{each.node} was let go, and has slots")


def _why(error: ErrorInfo) -> str:
    return f"none is coming: {error.message}"
