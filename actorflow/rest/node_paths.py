"""The paths of nodes: TaskManagers, where their workers stand, and the JobManager's own metrics and log. See `app`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path
from fastapi.responses import PlainTextResponse

from actorflow.config import Config, options
from actorflow.rest import answers, metrics, part_answers, shapes
from actorflow.rest import part_shapes as parts
from actorflow.rest.lookup import NAME, Lookup
from actorflow.rest.part_paths import Get

LOG_BYTES_MAX = 1 << 20
"""How much of a log is shown: its end."""

Manager = Annotated[str, Path(description="id of the TaskManager, as `/taskmanagers` has it")]


def add_node_paths(app: FastAPI, lookup: Lookup, config: Config) -> None:
    """Add the paths of this module to an application."""
    paths = _NodePaths(lookup, config)
    routes: tuple[tuple[str, Any, Any], ...] = (
        ("/taskmanagers", paths.task_managers, shapes.TaskManagers),
        ("/taskmanagers/{manager:path}/thread-dump", paths.thread_dump, parts.ThreadDump),
        ("/taskmanagers/{manager:path}", paths.task_manager, parts.TaskManagerDetails),
        ("/jobmanager/config", paths.settings, list[shapes.Setting]),
        ("/jobmanager/metrics", paths.metrics, list[parts.Figure]),
        ("/jobmanager/logs", paths.logs, parts.Logs),
    )
    for path, endpoint, shape in routes:
        app.add_api_route(path, endpoint, methods=["GET"], response_model=shape, response_model_exclude_unset=True)
    app.add_api_route("/jobmanager/logs/{name}", paths.log, methods=["GET"], response_class=PlainTextResponse)


@dataclass(frozen=True)
class _NodePaths:
    """The endpoints; docstrings are shown on the OpenAPI page."""

    lookup: Lookup
    config: Config

    def task_managers(self) -> shapes.TaskManagers:
        """The TaskManagers and their slots."""
        found = self.lookup.view.task_managers()
        return {
            "taskmanagers": [
                {"id": each.address, "path": each.address, "slotsNumber": each.slots, "freeSlots": each.free} for each in found
            ]
        }

    def task_manager(self, manager: Manager) -> parts.TaskManagerDetails:
        """A TaskManager with the slots that jobs hold."""
        found = self.lookup.task_manager(manager)
        leases = self.lookup.view.shown(found.address)["leases"].values()
        return {
            "id": found.address,
            "path": found.address,
            "slotsNumber": found.slots,
            "freeSlots": found.free,
            "allocatedSlots": [{"index": index, "jobId": job} for index, job, _ in leases],
        }

    def thread_dump(self, manager: Manager) -> parts.ThreadDump:
        """Where the threads of a TaskManager's workers stand, also while user code holds them; inline workers have none of their own."""
        stacks = self.lookup.view.stacks(self.lookup.task_manager(manager).address)
        return {"threadInfos": [{"threadName": path, "stringifiedThreadInfo": text} for path, text in stacks.items()]}

    def settings(self) -> list[shapes.Setting]:
        """The options that are set, and where; secrets are hidden."""
        return answers.settings(self.config)

    def metrics(self, get: Get = None) -> list[parts.Figure]:
        """Metrics of the cluster by their names."""
        return part_answers.figures(metrics.of_cluster(self.lookup.view), get)

    def logs(self) -> parts.Logs:
        """The files of this host's logs, if the options say where they go."""
        found = [(path, path.stat()) for path in self._files()]
        return {
            "logs": [{"name": path.name, "size": facts.st_size, "mtime": facts.st_mtime_ns // 1_000_000} for path, facts in found]
        }

    def log(self, name: Annotated[str, Path(pattern=NAME)]) -> str:
        """The end of a file of the log."""
        path = next((each for each in self._files() if each.name == name), None)
        if path is None:
            raise HTTPException(404, f"there is no log '{name}' (hint: '{options.LOG_DIRECTORY.name}' says where logs go)")
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES_MAX))
            return file.read(LOG_BYTES_MAX).decode("utf-8", "replace")

    def _files(self) -> list[FilePath]:
        directory = self.config[options.LOG_DIRECTORY]
        found = FilePath(directory).glob("*.log*") if directory is not None else ()
        return sorted(path for path in found if path.is_file() and not path.is_symlink())
