"""Running a user's script with options for its pipelines.

The options reach `af.run` through an environment variable of their own (`ACTORFLOW_OVERRIDES`), so that the script needs no change and the
process needs no global configuration. They go before what the script itself sets.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from actorflow.cluster.logs import logging_is_set, start_logging
from actorflow.config import from_assignments, load, merged, options, overrides
from actorflow.config.load import FILES_VARIABLE, OVERRIDES_VARIABLE
from actorflow.errors import ConfigError
from actorflow.storage.files import as_uri


def options_for_script(parallelism: int | None, assignments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the value of `ACTORFLOW_OVERRIDES` for a script: what an outer command has set, overridden by this command line.

    Args:
        parallelism: the `-p` of the command line, or None.
        assignments: its `-D name=value` texts.
        environment: the environment that the command was called with.

    Raises:
        ConfigError: if an option is unknown or its value malformed; the error names the place.
    """
    wanted = [*assignments, *([f"parallelism.default={parallelism}"] if parallelism is not None else [])]
    return json.dumps(merged(overrides(environment), from_assignments(wanted)).plain())


def use_files(paths: Sequence[Path]) -> None:
    """Have the configuration files of a command line in force in this process, in place of those that the environment names.

    Raises:
        ConfigError: if a path has a colon in it, which would part it.
    """
    for path in paths:
        if os.pathsep in str(path):
            raise ConfigError(f"--config {path}: a path with '{os.pathsep}' cannot be handed on", hint="rename it, or link to it")
    if paths:
        os.environ[FILES_VARIABLE] = os.pathsep.join(str(path.absolute()) for path in paths)


def set_up_logging(settings: str) -> None:
    """Set up the logging of this process if an option says anything of it: else what the script does about it is in force.

    Args:
        settings: the value of `ACTORFLOW_OVERRIDES` for the script.

    Raises:
        ConfigError: if an option in the environment or the files is wrong, or the log files cannot be written.
    """
    config = merged(load(), overrides({OVERRIDES_VARIABLE: settings}))
    if logging_is_set(config):
        start_logging(config, f"run-{os.getpid()}")


def savepoint_assignments(path: str | None, claim_mode: str | None, *, allow_non_restored_state: bool) -> list[str]:
    """Return as `-D` texts what a command line says about the savepoint that a script's pipeline goes on from."""
    said = [f"{options.RECOVERY_PATH.name}={as_uri(path)}"] if path is not None else []
    if claim_mode is not None:
        said.append(f"{options.RECOVERY_CLAIM_MODE.name}={claim_mode}")
    if allow_non_restored_state:
        said.append(f"{options.RECOVERY_IGNORE_UNCLAIMED.name}=true")
    return said


def target_assignments(*, on_cluster: bool, detach: bool) -> list[str]:
    """Return as `-D` texts where the pipelines of a script run, and whether it waits for their end.

    Raises:
        ConfigError: if it is not to wait, and there is no cluster on which they would go on.
    """
    if detach and not on_cluster:
        raise ConfigError("--detach is for jobs on a cluster", hint="add --cluster FILE")
    target = [f"{options.EXECUTION_TARGET.name}=cluster"] if on_cluster else []
    return [*target, f"{options.EXECUTION_ATTACHED.name}=false"] if detach else target


def run_script(script: str, arguments: Sequence[str], settings: str) -> None:
    """Run a Python script in this process as `python script arguments…` would.

    Args:
        script: its path.
        arguments: its own command line.
        settings: the value of `ACTORFLOW_OVERRIDES` while it runs.
    """
    os.environ[OVERRIDES_VARIABLE] = settings
    sys.argv[:] = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")
