"""The commands that run a node of a cluster in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actorflow.cli.arguments import Define, Verbose
from actorflow.cli.failure import told
from actorflow.config import Config

Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--config", metavar="FILE", help="A YAML file of options; may be repeated, the later before. Default: ACTORFLOW_CONFIG."
    ),
]


def _node_config(files: list[Path] | None, define: list[str] | None) -> Config:
    from actorflow.config import from_assignments, layered, load, overrides

    return layered(load(*(files or [])), overrides(), from_assignments(define or []))


def job_manager(files: Files = None, define: Define = None, *, verbose: Verbose = False) -> None:
    """Run a JobManager of a cluster until it is told to end.

    Example: actorflow jobmanager --config conf/cluster.yaml
    """
    with told(verbose=verbose):
        from actorflow.cluster.job_manager_process import run_job_manager

        run_job_manager(_node_config(files, define))


def task_manager(files: Files = None, define: Define = None, *, verbose: Verbose = False) -> None:
    """Run a TaskManager of a cluster until it is told to end.

    Example: actorflow taskmanager --config conf/cluster.yaml -D taskmanager.numberOfTaskSlots=4
    """
    with told(verbose=verbose):
        from actorflow.cluster.task_manager_process import run_task_manager

        run_task_manager(_node_config(files, define))


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("jobmanager")(job_manager)
    app.command("taskmanager")(task_manager)
