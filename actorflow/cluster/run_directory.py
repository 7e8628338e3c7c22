"""The run directory of a cluster on this host: process ids, logs that nobody has directed elsewhere, and how the JobManager is reached.

    <env.pid.dir>/<cluster.id>/jobmanager-1.pid  taskmanager-1.pid …  log/  leader files

Only its owner may read or write it: who can write there can send clients to a JobManager of his own.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from actorflow.config import Config, options
from actorflow.errors import ConfigError


def run_directory(config: Config) -> Path:
    """Return the run directory of a cluster, which exists.

    Raises:
        ConfigError: if it cannot be made, or is not only this user's.
    """
    cluster = config[options.CLUSTER_ID]
    if not cluster or cluster.startswith(".") or "/" in cluster:
        raise ConfigError(f"'{options.CLUSTER_ID.name}' cannot be '{cluster}'", hint="it is the name of a directory, too")
    given = config[options.RUN_DIRECTORY]
    parent = Path(given) if given is not None else _usual()
    directory = parent / cluster
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in (directory,) if given is not None else (parent, directory):
            _check_own(place)
    except OSError as error:
        raise ConfigError(
            f"cannot make run directory '{directory}': {error.strerror}", hint=f"set '{options.RUN_DIRECTORY.name}'"
        ) from None
    return directory


def log_directory(config: Config) -> Path:
    """Return where the nodes of a cluster on this host leave what they print.

    Raises:
        ConfigError: see `run_directory`.
    """
    return Path(config[options.LOG_DIRECTORY] or run_directory(config) / "log")


def task_manager_prefix(config: Config) -> str:
    """Return what the ids of TaskManagers begin with that a driver of this cluster starts."""
    return f"{config[options.CLUSTER_ID]}-elastic"


def _usual() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"actorflow-{os.getuid()}"


def _check_own(directory: Path) -> None:
    status = directory.lstat()  # a link in a directory that others share may lead elsewhere after this look
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"run directory '{directory}' is a link, another user's, or can be written to by others",
            hint=f"remove it, or chmod 700 it, or set '{options.RUN_DIRECTORY.name}' to a directory of your own",
        )
