"""Starting and stopping a whole cluster from its configuration: processes on this host, and over ssh on others.

    start:  JobManagers in the order of `jobmanager.hosts` ─► TaskManagers in the order of `taskmanager.hosts` ─► their pid files
    stop:   TaskManagers, then JobManagers: SIGTERM, and SIGKILL for who has not ended in time

Every process is a session leader that outlives the command, with a pid file and a log of its own in the cluster's run directory. A pid file also
holds when its process began, so that a later process of the same number is never taken for it, and killed.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actorflow.cluster.job_manager_process import leader_places
from actorflow.cluster.process import end_process
from actorflow.cluster.resource_drivers import STANDALONE
from actorflow.config import Config, options
from actorflow.errors import ActorflowError
from actorflow.transport.addresses import parse

_STOP_S = 10.0
"""How long a process may take to end before it is killed."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A process of a cluster.

    Attributes:
        name: `jobmanager-1`, `taskmanager-2`.
        host: where it runs.
        command: the arguments of `actorflow` that run it in the foreground.
    """

    name: str
    host: str
    command: tuple[str, ...]

    @property
    def here(self) -> bool:
        """Whether it runs on this host."""
        return parse(f"tcp://{self.host}:0").local

    def over_ssh(self, verb: str, file: str) -> list[str]:
        """Return the command that has its host start or stop this node, of a configuration that is at the same place there."""
        return ["ssh", "-o", "BatchMode=yes", self.host, shlex.join(["actorflow", "cluster", verb, file, "--node", self.name])]


def planned_nodes(config: Config, file: str) -> list[NodePlan]:
    """Return the processes that a configuration describes, in the order of their start; none that a resource driver starts."""
    plans = []
    for number, place in enumerate(leader_places(config), 1):
        host, _, port = place.rpartition(":")
        address, of_port = f"{options.JOBMANAGER_ADDRESS.name}={host}", f"{options.JOBMANAGER_PORT.name}={port}"
        plans.append(NodePlan(f"jobmanager-{number}", host, ("jobmanager", "--config", file, "-D", address, "-D", of_port)))
    hosts = config[options.TASKMANAGER_HOSTS]
    if not hosts and config[options.RESOURCE_DRIVER] == STANDALONE:
        hosts = (config[options.TASKMANAGER_HOST],)
    for number, host in enumerate(hosts, 1):
        address = f"{options.TASKMANAGER_HOST.name}={host}"
        plans.append(NodePlan(f"taskmanager-{number}", host, ("taskmanager", "--config", file, "-D", address)))
    return plans


class Launcher:
    """Starts and stops nodes of this host.

    Args:
        directory: the cluster's run directory.
        logs: where their output goes.
    """

    def __init__(self, directory: Path, logs: Path) -> None:
        self._directory = directory
        self._logs = logs

    def start(self, plan: NodePlan) -> int | None:
        """Start a node and return its process id; None if it runs already.

        Raises:
            ActorflowError: if its log cannot be written.
        """
        if self.pid(plan.name) is not None:
            return None
        log = self._logs / f"{plan.name}.out"
        try:
            self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            output = log.open("ab")
        except OSError as error:
            raise ActorflowError(f"cannot write log '{log}' of {plan.name}: {error.strerror}") from None
        with output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [sys.executable, "-m", "actorflow.cli.main", *plan.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._file(plan.name).write_text(json.dumps({"pid": process.pid, "began": _began(process.pid)}))
        return process.pid

    def pid(self, name: str) -> int | None:
        """Return the process id of a node that runs."""
        try:
            noted = json.loads(self._file(name).read_text())
            pid, began = int(noted["pid"]), noted["began"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if began is not None and _began(pid) == began else None

    def stop(self, names: Sequence[str]) -> list[str]:
        """End nodes, and wait until they have; return the names of those that had to be killed."""
        running = {name: pid for name in names if (pid := self.pid(name)) is not None}
        killed = []
        for name, pid in running.items():
            if not end_process(pid, signal.SIGTERM, _STOP_S):
                killed.append(name)
                end_process(pid, signal.SIGKILL, _STOP_S)
        for name in names:
            self._file(name).unlink(missing_ok=True)
        return killed

    def log_of(self, name: str) -> Path:
        """Return where a node logs: to a file of its own, while it runs and has one, else with all that it prints."""
        pid = self.pid(name)
        return (_open_log(pid, self._logs) if pid is not None else None) or self._logs / f"{name}.out"

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.pid"


def _open_log(pid: int, directory: Path) -> Path | None:
    """Return the log of a directory that a process has open: nodes name their logs themselves."""
    place = directory.resolve()
    with suppress(OSError):  # it has ended meanwhile
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # it has been closed meanwhile
                path = descriptor.readlink()
                if path.suffix == ".log" and path.parent == place:
                    return path
    return None


def _began(pid: int) -> int | None:
    """Return when a process began, in ticks of the kernel's clock since the host's start; None if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])
