"""The commands that start and stop all nodes of a cluster."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actorflow.cli.arguments import AsJson, Verbose
from actorflow.cli.failure import FAILED, told
from actorflow.cli.tables import show_table
from actorflow.config import options
from actorflow.errors import ActorflowError, TransportError
from actorflow.ids import NodeId

if TYPE_CHECKING:
    from actorflow.cluster.launching import Launcher, NodePlan
    from actorflow.config import Config

File = Annotated[Path, typer.Argument(metavar="FILE", help="The cluster's configuration.")]
Node = Annotated[str | None, typer.Option(metavar="NAME", help="Only this node, such as taskmanager-2, on this host.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]

_LOOK_EVERY_S = 0.02

_STATUS_HEADS = ("name", "host", "state", "log")


@dataclass(frozen=True, slots=True)
class _Site:
    config: Config
    nodes: list[NodePlan]
    launcher: Launcher
    file: str

    @property
    def task_managers(self) -> int:
        """How many there are to be, on all hosts."""
        return sum(plan.name.startswith("taskmanager-") for plan in self.nodes)


def _site(file: Path, node: str | None) -> _Site:
    from actorflow.cluster.launching import Launcher, planned_nodes
    from actorflow.cluster.run_directory import log_directory, run_directory
    from actorflow.config import layered, load, overrides
    from actorflow.errors import ConfigError

    config = layered(load(file), overrides())
    path = str(file.absolute())
    nodes = planned_nodes(config, path)
    if node is not None:
        known = ", ".join(plan.name for plan in nodes)
        nodes = [plan for plan in nodes if plan.name == node]
        if not nodes:
            raise ConfigError(f"{file} describes no node '{node}'", hint=f"there are {known}")
    return _Site(config, nodes, Launcher(run_directory(config), log_directory(config)), path)


def _elsewhere(plan: NodePlan, node: str | None) -> bool:
    return not plan.here and node is None


class _Elsewhere:
    """The nodes of other hosts, which are told over ssh; one that cannot be told keeps nobody else from being told.

    Args:
        verb: what they are told to do.
        file: the cluster's configuration, which is at the same place there.
        dry_run: only show the commands.
    """

    def __init__(self, verb: str, file: str, *, dry_run: bool) -> None:
        self._verb = verb
        self._file = file
        self._dry_run = dry_run
        self._failed: list[str] = []

    def tell(self, plan: NodePlan) -> None:
        """Tell one."""
        command = plan.over_ssh(self._verb, self._file)
        print(shlex.join(command), flush=True, file=sys.stdout if self._dry_run else sys.stderr)
        if not self._dry_run and subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - host and file are the user's own
            self._failed.append(f"{plan.name} on {plan.host}")

    def check(self) -> None:
        """Say which could not be told.

        Raises:
            ActorflowError: if there are any.
        """
        if self._failed:
            raise ActorflowError(
                f"cannot {self._verb} {', '.join(self._failed)}", hint="does `ssh` log in there without a password?"
            )


def start(
    file: File,
    node: Node = None,
    wait: Annotated[str, typer.Option(help="How long to wait until every TaskManager has registered; 0s does not wait.")] = "30s",
    *,
    dry_run: DryRun = False,
    verbose: Verbose = False,
) -> None:
    """Start the nodes of a cluster, but those that run.

    Example: actorflow cluster start conf/cluster.yaml
    """
    with told(verbose=verbose):
        from actorflow.config import duration_s

        wait_s = duration_s(wait, "--wait")
        site = _site(file, node)
        others = _Elsewhere("start", site.file, dry_run=dry_run)
        for plan in site.nodes:
            if _elsewhere(plan, node):
                others.tell(plan)
            elif dry_run:
                print(shlex.join(["actorflow", *plan.command]))
            else:
                pid = site.launcher.start(plan)
                print(f"{plan.name} runs already" if pid is None else f"{plan.name} started, process {pid}", flush=True)
        others.check()
        if not dry_run and node is None and wait_s:
            _wait(site, wait_s)


def _wait(site: _Site, timeout_s: float) -> None:
    """Wait until as many TaskManagers have registered as were started; say which node has ended meanwhile."""
    from actorflow.cluster.client import Client

    here = [plan.name for plan in site.nodes if plan.here]
    wanted = site.task_managers
    deadline = time.monotonic() + timeout_s
    with Client(site.config) as client:
        while True:
            ended = next((name for name in here if site.launcher.pid(name) is None), None)
            if ended is not None:
                raise ActorflowError(
                    f"{ended} has ended: {_last_line(site.launcher.log_of(ended))}", hint=f"see {site.launcher.log_of(ended)}"
                )
            try:
                found = client.cluster()
                if len(found.task_managers) >= wanted:
                    print(f"{len(found.task_managers)} TaskManagers with {found.slots} slots have registered at {found.leader}")
                    return
                why = ""
            except TransportError as error:
                why = f": {error.message}"  # it has not begun to listen, or to lead
            if time.monotonic() > deadline:
                raise ActorflowError(
                    f"not all of {wanted} TaskManagers have registered in time{why}",
                    hint="see their logs: `actorflow cluster status`",
                )
            time.sleep(_LOOK_EVERY_S)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it has said nothing"


def stop(file: File, node: Node = None, *, dry_run: DryRun = False, verbose: Verbose = False) -> None:
    """Stop the nodes of a cluster, TaskManagers first: what runs on it ends.

    Example: actorflow cluster stop conf/cluster.yaml
    """
    with told(verbose=verbose):
        site = _site(file, node)
        others = _Elsewhere("stop", site.file, dry_run=dry_run)
        for plan in reversed(site.nodes):
            if _elsewhere(plan, node):
                others.tell(plan)
            elif site.launcher.pid(plan.name) is None:
                print(f"{plan.name} does not run")
            elif dry_run:
                print(f"{plan.name} would be stopped, process {site.launcher.pid(plan.name)}")
            else:
                killed = site.launcher.stop([plan.name])
                print(f"{plan.name} {'was killed: it did not end by itself' if killed else 'stopped'}", flush=True)
        if node is None:
            _end_started(site.config, dry_run=dry_run)
        others.check()


def _end_started(config: Config, *, dry_run: bool) -> None:
    """End the TaskManagers that a resource driver has started, and that its JobManager has not ended."""
    from actorflow.cluster.resource_drivers import open_driver

    driver = open_driver(config)
    for name in sorted(driver.task_managers()) if driver is not None else ():
        if driver is not None and not dry_run:
            driver.release_task_manager(NodeId(name))
        print(f"{name} {'would be stopped' if dry_run else 'stopped'}", flush=True)


def status(file: File, *, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show which nodes of a cluster run, who leads, and what slots there are. Ends with 1 unless all of its nodes are up.

    Example: actorflow cluster status conf/cluster.yaml
    """
    with told(verbose=verbose):
        site = _site(file, None)
        rows = [(plan.name, plan.host, _state(site.launcher, plan), str(site.launcher.log_of(plan.name))) for plan in site.nodes]
        rows += _started(site)
        leader = _leader(site.config)
        if as_json:
            nodes = [dict(zip(_STATUS_HEADS, row, strict=True)) for row in rows]
            print(json.dumps({"nodes": nodes, **leader}, indent=2))
        else:
            _show_status(rows, leader)
        if not _all_up(site, leader):
            raise typer.Exit(FAILED)


def _show_status(rows: Sequence[tuple[str, str, str, str]], leader: Mapping[str, object]) -> None:
    show_table(("node", *_STATUS_HEADS[1:]), rows)
    if leader["leader"] is None:
        print(f"no JobManager answers: {leader['error']}")
        return
    print(
        f"JobManager at {leader['leader']} leads in epoch {leader['epoch']}: {leader['slots_free']} of {leader['slots']} slots are free"
    )
    if leader["rest_url"] is not None:
        print(f"REST at {leader['rest_url']}")


def _all_up(site: _Site, leader: Mapping[str, object]) -> bool:
    """Return whether every node of this host runs, a JobManager leads, and all TaskManagers, also of other hosts, have registered."""
    here = all(site.launcher.pid(plan.name) is not None for plan in site.nodes if plan.here)
    registered = leader["task_managers"]
    assert isinstance(registered, int), "a number of them"
    return here and leader["leader"] is not None and registered >= site.task_managers


def _started(site: _Site) -> list[tuple[str, str, str, str]]:
    """Return the TaskManagers that driver `process` has started, as rows."""
    from actorflow.cluster.process_driver import ProcessDriver
    from actorflow.cluster.resource_drivers import open_driver

    driver = open_driver(site.config)
    found = sorted(driver.found().items()) if isinstance(driver, ProcessDriver) else []
    host = site.config[options.TASKMANAGER_HOST]
    return [(name, host, f"process {pid}", str(site.launcher.log_of(name))) for name, pid in found]


def _state(launcher: Launcher, plan: NodePlan) -> str:
    if not plan.here:
        return "on another host"
    pid = launcher.pid(plan.name)
    return "does not run" if pid is None else f"process {pid}"


def _leader(config: Config) -> dict[str, object]:
    from actorflow.cluster.client import Client

    try:
        with Client.reaching(config, 2.0) as client:
            found = client.cluster()
    except TransportError as error:
        nothing = {"epoch": None, "rest_url": None, "slots": 0, "slots_free": 0, "task_managers": 0}
        return {"leader": None, "error": error.message, **nothing}
    sums = {"slots": found.slots, "slots_free": found.slots_free, "task_managers": len(found.task_managers)}
    return {"leader": found.leader, "epoch": found.epoch, "rest_url": found.rest_url, **sums}


def register(app: typer.Typer) -> None:
    """Add the commands of this module, as a group."""
    group = typer.Typer(help="Start and stop the nodes of a cluster.", no_args_is_help=True)
    group.command("start")(start)
    group.command("stop")(stop)
    group.command("status")(status)
    app.add_typer(group, name="cluster")
