"""Opens the coordination that the configuration asks for."""

from __future__ import annotations

from pathlib import Path

from actorflow.config import Config, options
from actorflow.coordination.contract import Coordination
from actorflow.coordination.single import open_single


def open_coordination(config: Config, run_directory: Path | None = None, *, quiet_s: float = 0.0) -> Coordination:
    """Return election, retrieval and stores of a cluster, as `high-availability.type` says; `close` it at the end.

    Args:
        config: the node's options.
        run_directory: where the cluster's nodes on this host keep small files. A lone JobManager whose port is 0 is found through it.
        quiet_s: how long no server may answer before that is worth a warning: for who waits that long, and then says so in its own words.

    Raises:
        ConfigError: if the options do not say how the leader is found.
    """
    if config[options.HA_TYPE] == "zookeeper":
        from actorflow.coordination.zookeeper import open_zookeeper

        return open_zookeeper(config, quiet_s)
    return open_single(config, run_directory)
