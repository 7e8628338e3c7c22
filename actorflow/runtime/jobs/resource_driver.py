"""The contract of a resource driver: what starts and ends TaskManagers for a ResourceManager, on this host, on Kubernetes, anywhere.

A driver decides nothing: `protocol.nodes.fleet` says who is to be started and ended. It is called on a thread of a pool, one call for each
TaskManager at a time, and may take as long as it needs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Protocol

from actorflow.config import Config, options
from actorflow.errors import ConfigError
from actorflow.ids import NodeId
from actorflow.protocol.nodes.fleet_events import (
    DriverFailed,
    FindTaskManagers,
    FleetRules,
    ReleaseTaskManager,
    RequestTaskManager,
    StartFailed,
)

log = logging.getLogger(__name__)


class ResourceDriver(Protocol):
    """Starts and ends TaskManagers. A class or function that takes the JobManager's `Config` makes one; see `actorflow.resourcemanager.driver`.

    A name is used for one TaskManager and never again. Every method may be called again for what was done before, or by the next leader
    for what this one has begun, and does what is left of it, or nothing. What cannot be done raises: it is logged, and tried again later.
    """

    def request_task_manager(self, name: NodeId) -> None:
        """Have a TaskManager started with the cluster's configuration, and `taskmanager.resource-id` set to `name`.

        It need not run when this returns; but from then on `task_managers` names it until it has ended.
        """
        ...

    def release_task_manager(self, name: NodeId) -> None:
        """End a TaskManager, in good order if it can be, and return when it has ended. There may be none of this name."""
        ...

    def task_managers(self) -> Collection[str]:
        """Return the names of all TaskManagers of this cluster that were requested, be it by an earlier leader, and have not ended."""
        ...


Work = RequestTaskManager | ReleaseTaskManager | FindTaskManagers


def driver_work(driver: ResourceDriver) -> Callable[[Work], object]:
    """Return what performs the work that a fleet asks for."""

    def do(work: Work) -> object:
        match work:
            case RequestTaskManager(name):
                log.info("%s is started, by '%s'", name, options.RESOURCE_DRIVER.name)
                driver.request_task_manager(name)
            case ReleaseTaskManager(name, reason):
                log.info("%s is ended: %s", name, reason)
                driver.release_task_manager(name)
            case FindTaskManagers():
                return tuple(NodeId(name) for name in sorted(driver.task_managers()))
        return None

    return do


def tell_of_failures(report: StartFailed | DriverFailed) -> None:
    """Log what the driver could not do."""
    match report:
        case StartFailed(name, error, failures, pause_s):
            log.warning("cannot start %s, the next one is tried in %g s (failure %d in a row): %s", name, pause_s, failures, error)
        case DriverFailed(ReleaseTaskManager(name), error):
            log.warning("cannot end %s, which is tried again: %s", name, error)
        case DriverFailed(error=error):
            log.warning("cannot find out which TaskManagers there are, which is tried again: %s", error)


def fleet_rules(config: Config, *, prefix: str, slots_each: int) -> FleetRules:
    """Return the rules that the options describe.

    Args:
        config: the JobManager's options.
        prefix: of the names of its TaskManagers.
        slots_each: how many slots a TaskManager of this configuration has.

    Raises:
        ConfigError: if the limit leaves no room for any.
    """
    slots_max = config[options.SLOTS_MAX]
    assert slots_max is not None, "the rules of the options see to it"
    if slots_max < slots_each:
        raise ConfigError(
            f"'{options.SLOTS_MAX.name}' is {slots_max}, and a TaskManager has {slots_each} slots: none could be started",
            hint=f"raise it, or lower '{options.SLOTS.name}'",
        )
    return FleetRules(
        prefix=prefix,
        slots_each=slots_each,
        slots_max=slots_max,
        slots_min=config[options.SLOTS_MIN],
        reserve=config[options.REDUNDANT_TASK_MANAGERS],
        idle_s=config[options.TASK_MANAGER_IDLE_TIMEOUT],
        registration_s=config[options.TASK_MANAGER_START_TIMEOUT],
        pause_s=config[options.START_RETRY_INTERVAL],
    )
