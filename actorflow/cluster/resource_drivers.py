"""Opens the resource driver that the configuration names."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from typing import Final, cast

from actorflow.config import Config, options
from actorflow.errors import ConfigError
from actorflow.ids import NodeId
from actorflow.runtime.jobs.resource_driver import ResourceDriver

log = logging.getLogger(__name__)

GROUP: Final = "actorflow.resource_drivers"
"""Entry points of this group are drivers: `name = module:factory`."""

STANDALONE: Final = "standalone"


def open_driver(config: Config) -> ResourceDriver | None:
    """Return the driver of a JobManager; None if it starts no TaskManagers.

    Args:
        config: the JobManager's options, which the driver gets.

    Raises:
        ConfigError: if there is no such driver, or it cannot be made.
    """
    name = config[options.RESOURCE_DRIVER]
    if name == STANDALONE:
        return None
    if name == "process":
        from actorflow.cluster.process_driver import ProcessDriver

        return ProcessDriver(config)
    try:
        return _factory(name)(config)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"cannot make driver '{name}' of '{options.RESOURCE_DRIVER.name}': {type(error).__name__}: {error}",
            hint="it is `module:factory`, and the factory takes a Config",
        ) from error


def end_task_managers(driver: ResourceDriver) -> None:
    """End all TaskManagers of a cluster that nobody leads any more; those that cannot be ended are logged."""
    try:
        names = sorted(driver.task_managers())
        with ThreadPoolExecutor(max(1, len(names))) as threads:
            for _ in threads.map(lambda name: driver.release_task_manager(NodeId(name)), names):
                pass
    except Exception:
        log.exception("cannot end TaskManagers that '%s' has started", options.RESOURCE_DRIVER.name)


def _factory(name: str) -> Callable[[Config], ResourceDriver]:
    module, colon, attribute = name.partition(":")
    if colon:
        return cast("Callable[[Config], ResourceDriver]", getattr(importlib.import_module(module), attribute))
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join([STANDALONE, "process", *sorted(found)])
        raise ConfigError(
            f"'{options.RESOURCE_DRIVER.name}' names driver '{name}', which is not installed",
            hint=f"there are {known}, and `module:factory`",
        )
    return cast("Callable[[Config], ResourceDriver]", found[name].load())
