"""The ResourceManager's actor: which slots there are, and, with a driver, which TaskManagers are started and ended for them.

The shell of `protocol.nodes.registration.ResourceManagerMachine`, or of `protocol.nodes.elastic.ElasticResourceManager` if there is a driver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actorflow.actor import ActorRef, ActorSystem, MachineActor
from actorflow.config import Config, options
from actorflow.ids import ActorPath, NodeId, address, split_address, unique_suffix
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.machine import TimerFired, WorkDone, WorkFailed
from actorflow.protocol.nodes.client_messages import CheckTaskManagers, ClusterDescribed, DescribeCluster, TaskManagerSummary
from actorflow.protocol.nodes.elastic import ElasticResourceManager
from actorflow.protocol.nodes.fleet import Fleet
from actorflow.protocol.nodes.fleet_events import DriverFailed, OpenFleet, StartFailed
from actorflow.protocol.nodes.registration import ResourceManagerMachine
from actorflow.protocol.nodes.slot_messages import CountSlots, JobEnded, SlotsAwaited, SlotsOffered, SlotsReleased, SlotsRequested
from actorflow.protocol.nodes.slots import SlotPool, SlotPoolState, TaskManagerSlots
from actorflow.runtime.jobs.resource_driver import ResourceDriver, driver_work, fleet_rules, tell_of_failures
from actorflow.runtime.jobs.version_check import VersionPoll
from actorflow.transport.endpoint import Endpoint

log = logging.getLogger(__name__)

_EVENTS = (
    SlotsOffered,
    SlotsRequested,
    CountSlots,
    SlotsReleased,
    JobEnded,
    LinkBroken,
    NodeLost,
    TimerFired,
    WorkDone,
    WorkFailed,
    OpenFleet,
)
"""What its machine takes."""


@dataclass(frozen=True, slots=True)
class Driving:
    """What starts and ends TaskManagers.

    Attributes:
        driver: does it.
        prefix: of the names of those that it starts.
        slots_each: how many slots each of them has.
    """

    driver: ResourceDriver
    prefix: str
    slots_each: int


class ResourceManager(MachineActor):
    """The shell of its machine, which tells clients of it."""

    def on_receive(self, message: Any) -> None:
        """Hand the message to the machine, or answer a client."""
        if isinstance(message, DescribeCluster):
            self._describe()
        elif isinstance(message, CheckTaskManagers):
            self._check_versions(message.versions)
        elif isinstance(message, _EVENTS):
            super().on_receive(message)
        else:  # whoever can reach this node can send it any message
            log.warning("the ResourceManager dropped a message that is not for it: '%s'", type(message).__name__)

    def _describe(self) -> None:
        found = [
            TaskManagerSummary(
                each.address, len(each.leased), each.leased.count(None), self._reached(split_address(each.address)[0])
            )
            for each in self._task_managers()
        ]
        self.ctx.reply(ClusterDescribed(tuple(found)))

    def _task_managers(self) -> tuple[TaskManagerSlots, ...]:
        pool = self.observe()
        assert isinstance(pool, SlotPoolState), "it shows the pool"
        return pool.task_managers

    def _check_versions(self, versions: Mapping[str, str]) -> None:
        client = self.ctx.reply_to
        if client is not None:
            task_managers = [each.address for each in self._task_managers()]
            self.ctx.spawn(VersionPoll, task_managers, versions, client, name=f"versions-{unique_suffix()}")

    def _reached(self, node: NodeId) -> tuple[str, ...]:
        """Return where a node listens that this one is connected to."""
        router = self.ctx.system.router
        peers = router.observe().peers if isinstance(router, Endpoint) else ()
        return next((peer.endpoints for peer in peers if peer.node == node), ())


def spawn_resource_manager(
    system: ActorSystem,
    config: Config,
    path: ActorPath,
    *,
    epoch: int,
    awaited: Callable[[SlotsAwaited], None],
    driving: Driving | None = None,
) -> ActorRef:
    """Start a ResourceManager on a node.

    Args:
        system: the node's actors.
        config: the node's options.
        path: its own.
        epoch: of the leadership on whose behalf it acts.
        awaited: told of each request that has to wait for slots.
        driving: what starts TaskManagers, if anything does.

    Raises:
        ConfigError: if the options leave the driver no room.
    """
    life = f"{epoch}-{unique_suffix()}"
    pool = SlotPool(
        life=life,
        request_timeout_s=config[options.SLOT_REQUEST_TIMEOUT],
        fill="pack" if config[options.LOAD_BALANCE] == "none" else "spread",
        slots_max=config[options.SLOTS_MAX] if driving is not None else None,
    )
    machine = ResourceManagerMachine(address(system.node, path), pool, reconnect_s=config[options.RECONNECT_TIMEOUT])

    def tell(report: object) -> None:
        match report:
            case SlotsAwaited():
                log.info("%s", report.error)
                awaited(report)
            case StartFailed() | DriverFailed():
                tell_of_failures(report)
            case _:
                raise AssertionError(f"a ResourceManager does not report {report!r}")

    name = path[1:]
    if driving is None:
        return system.spawn(ResourceManager, machine, on_report=tell, name=name)
    rules = fleet_rules(config, prefix=f"{driving.prefix}-{life}", slots_each=driving.slots_each)
    elastic = ElasticResourceManager(machine, Fleet(rules))
    resource_manager = system.spawn(ResourceManager, elastic, work=driver_work(driving.driver), on_report=tell, name=name)
    resource_manager.tell_control(OpenFleet())
    return resource_manager
