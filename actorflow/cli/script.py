"""Running a user's script with options for its pipelines.

The options reach `af.run` through the environment variable that every actorflow process reads (`ACTORFLOW_OPTIONS`), so that the
script needs no change and the process needs no global configuration.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from actorflow.config import from_assignments, from_environment, layered
from actorflow.config.load import ENVIRONMENT_VARIABLE


def options_for_script(parallelism: int | None, assignments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the value of `ACTORFLOW_OPTIONS` for a script: what the environment has, overridden by the command line.

    Args:
        parallelism: the `-p` of the command line, or None.
        assignments: its `-D name=value` texts.
        environment: the environment that the command was called with.

    Raises:
        ConfigError: if an option is unknown or its value malformed; the error names the place.
    """
    wanted = [*assignments, *([f"parallelism.default={parallelism}"] if parallelism is not None else [])]
    return json.dumps(layered(from_environment(environment), from_assignments(wanted)).plain())


def run_script(script: str, arguments: Sequence[str], options: str) -> None:
    """Run a Python script in this process as `python script arguments…` would.

    Args:
        script: its path.
        arguments: its own command line.
        options: the value of `ACTORFLOW_OPTIONS` while it runs.
    """
    os.environ[ENVIRONMENT_VARIABLE] = options
    sys.argv[:] = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")
