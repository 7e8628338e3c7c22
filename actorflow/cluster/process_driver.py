"""The resource driver `process`: TaskManagers as processes of the leading JobManager's host.

They are session leaders that outlive the JobManager: the next one on this host takes them over, and without one they end by themselves
(`taskmanager.registration.timeout`). Nobody keeps a list that could be wrong: a TaskManager is found by its command line, which names the
cluster's run directory and its own id, for exactly as long as it lives.

    <run directory>/taskmanager.json     the JobManager's options, which its TaskManagers have, too
    <log directory>/<id>.out             what one has printed
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final

from actorflow.cluster.process import describe_exit, end_process
from actorflow.cluster.run_directory import log_directory, run_directory, task_manager_prefix
from actorflow.config import Config, options
from actorflow.errors import ActorflowError
from actorflow.ids import NodeId, unique_suffix

log = logging.getLogger(__name__)

STOP_S: Final = 10.0
"""How long a TaskManager may take to end before it is killed."""

OUTPUTS_MAX: Final = 50
"""How many outputs of TaskManagers are kept: the oldest go."""

_REGISTRATION: Final = "1min"
"""How long a TaskManager looks for a leader, if the options do not say."""


class ProcessDriver:
    """Starts, finds and ends the TaskManagers of a cluster on this host; a `ResourceDriver`.

    Args:
        config: the JobManager's options.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file = run_directory(config).absolute() / "taskmanager.json"
        self._logs = log_directory(config)
        self._children: dict[NodeId, subprocess.Popen[bytes]] = {}
        """Those that this process has started, and has not seen end."""
        self._lock = threading.Lock()

    def request_task_manager(self, name: NodeId) -> None:
        """Start a process.

        Raises:
            ActorflowError: if the system refuses.
        """
        settings = {options.REGISTRATION_TIMEOUT.name: _REGISTRATION, **self._config.plain()}
        try:
            _write_for_owner(self._file, json.dumps(settings))
            self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_old_outputs()
            with self._output(name).open("ab") as output:
                child = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                    [sys.executable, "-m", "actorflow.cli.main", *self._arguments(name)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise ActorflowError(f"cannot start a process for {name}: {error.strerror}") from None
        with self._lock:
            self._children[name] = child

    def release_task_manager(self, name: NodeId) -> None:
        """End a process: SIGTERM, and SIGKILL if it has not ended in time.

        Raises:
            ActorflowError: if it does not end.
        """
        pid = self.found().get(name)
        if pid is not None and not end_process(pid, signal.SIGTERM, STOP_S):
            log.warning("%s is killed: it did not end by itself", name)
            if not end_process(pid, signal.SIGKILL, STOP_S):
                raise ActorflowError(f"{name}, process {pid}, does not end")
        self._bury()

    def task_managers(self) -> Collection[str]:
        """Return the names of those that live."""
        self._bury()
        return self.found()

    def found(self) -> dict[NodeId, int]:
        """Return the process of each TaskManager that lives, whoever has started it."""
        with self._lock:  # one that is only just beginning has no command line yet
            living = {name: child.pid for name, child in self._children.items() if child.poll() is None}
        for entry in Path("/proc").iterdir():
            name = self._name_of(entry) if entry.name.isdecimal() else None
            if name is not None:
                living[name] = int(entry.name)
        return living

    # --- command lines ---------------------------------------------------------------------------------------------------------------

    def _arguments(self, name: str) -> list[str]:
        return ["taskmanager", "--config", str(self._file), "-D", f"{options.RESOURCE_ID.name}={name}"]

    def _name_of(self, process: Path) -> NodeId | None:
        """Return which TaskManager of this cluster a process is; None if it is none, or has ended."""
        try:
            if process.stat().st_uid != os.getuid():
                return None
            arguments = (process / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")[:-1]
        except OSError:
            return None
        last = arguments[-1] if arguments else ""
        name = NodeId(last.removeprefix(f"{options.RESOURCE_ID.name}="))
        return name if arguments[-len(self._arguments(name)) :] == self._arguments(name) else None

    # --- children --------------------------------------------------------------------------------------------------------------------

    def _bury(self) -> None:
        """Take note of those that have ended: who else started them does."""
        with self._lock:
            ended = {name: child for name, child in self._children.items() if child.poll() is not None}
            for name in ended:
                del self._children[name]
        for name, child in ended.items():
            code = child.returncode
            if code not in (0, -signal.SIGTERM):
                how = describe_exit(code, None) if code > 0 else describe_exit(None, -code)
                log.warning("%s %s; what it has said is in %s", name, how, self._output(name))

    def _output(self, name: str) -> Path:
        return self._logs / f"{name}.out"

    def _remove_old_outputs(self) -> None:
        outputs = sorted(self._logs.glob(f"{task_manager_prefix(self._config)}-*.out"), key=lambda path: path.stat().st_mtime)
        for path in outputs[: -OUTPUTS_MAX + 1]:
            path.unlink(missing_ok=True)


def _write_for_owner(path: Path, text: str) -> None:
    """Write a file that nobody else may read: it may hold secrets. Who reads it meanwhile sees the old one, or the new one."""
    new = path.with_name(f".{path.name}.{unique_suffix()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:
        output.write(text)
    new.replace(path)
