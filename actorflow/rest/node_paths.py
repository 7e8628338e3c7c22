"""The paths of nodes: of the JobManager and of TaskManagers their metrics, their files, where their threads and workers stand. See `app`."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path
from fastapi.responses import PlainTextResponse

from actorflow.config import Config
from actorflow.ids import Address, split_address
from actorflow.inspection.node_view import NodeView, facts_of_nodes
from actorflow.rest import answers, metrics, part_answers, shapes
from actorflow.rest import part_shapes as parts
from actorflow.rest.lookup import NAME, Lookup
from actorflow.rest.part_paths import Aggregations, Get

Manager = Annotated[str, Path(description="id of the TaskManager, as `/taskmanagers` has it")]
File = Annotated[str, Path(description="name of the file, as the list of logs has it", pattern=NAME)]

_ANY_MANAGER = "/taskmanagers/{manager:path}"


def add_node_paths(app: FastAPI, lookup: Lookup, config: Config) -> None:
    """Add the paths of this module to an application."""
    leader, managers = _JobManagerPaths(lookup, config), _TaskManagerPaths(lookup)
    routes: tuple[tuple[str, Any, Any], ...] = (
        ("/taskmanagers", managers.task_managers, shapes.TaskManagers),
        ("/taskmanagers/metrics", managers.all_metrics, list[parts.Spread]),
        (f"{_ANY_MANAGER}/metrics", managers.metrics, list[parts.Figure]),
        (f"{_ANY_MANAGER}/thread-dump", managers.thread_dump, parts.ThreadDump),
        (f"{_ANY_MANAGER}/logs", managers.logs, parts.Logs),
        ("/jobmanager/config", leader.settings, list[shapes.Setting]),
        ("/jobmanager/environment", leader.environment, parts.Environment),
        ("/jobmanager/metrics", leader.metrics, list[parts.Figure]),
        ("/jobmanager/thread-dump", leader.thread_dump, parts.ThreadDump),
        ("/jobmanager/logs", leader.logs, parts.Logs),
    )
    texts: tuple[tuple[str, Any], ...] = (
        (f"{_ANY_MANAGER}/logs/{{name}}", managers.file),
        (f"{_ANY_MANAGER}/log", managers.log),
        (f"{_ANY_MANAGER}/stdout", managers.stdout),
        ("/jobmanager/logs/{name}", leader.file),
        ("/jobmanager/log", leader.log),
        ("/jobmanager/stdout", leader.stdout),
    )
    for path, endpoint, shape in routes:
        app.add_api_route(path, endpoint, methods=["GET"], response_model=shape, response_model_exclude_unset=True)
    for path, endpoint in texts:
        app.add_api_route(path, endpoint, methods=["GET"], response_class=PlainTextResponse)
    app.add_api_route(
        _ANY_MANAGER, managers.task_manager, methods=["GET"], response_model=parts.TaskManagerDetails
    )  # takes what is left


@dataclass(frozen=True)
class _JobManagerPaths:
    """The endpoints of the JobManager that leads; docstrings are shown on the OpenAPI page."""

    lookup: Lookup
    config: Config

    @property
    def _node(self) -> NodeView:
        return self.lookup.view.node(self.lookup.view.dispatcher)

    def settings(self) -> list[shapes.Setting]:
        """The options that are set, and where; secrets are hidden."""
        return answers.settings(self.config)

    def environment(self) -> parts.Environment:
        """What the JobManager runs on: Python stands where Flink has its JVM."""
        version = f"{platform.python_implementation()} {platform.python_version()}"
        return {
            "jvm": {"version": version, "arch": platform.machine(), "options": list(sys.warnoptions)},
            "classpath": list(sys.path),
        }

    def metrics(self, get: Get = None) -> list[parts.Figure]:
        """Metrics of the cluster, and of the JobManager's process and connections, by their names."""
        return part_answers.figures({**metrics.of_cluster(self.lookup.view), **self._node.facts().figures}, get)

    def thread_dump(self) -> parts.ThreadDump:
        """Where the threads of the JobManager's process stand."""
        return part_answers.thread_dump({self._node.node: self._node.stacks()})

    def logs(self) -> parts.Logs:
        """The files of the JobManager, and the logs of its host, if the options say where they go."""
        return part_answers.logs(self._node.facts())

    def log(self) -> str:
        """The end of the JobManager's log."""
        return _end_of(self._node, self._node.facts().log)

    def stdout(self) -> str:
        """The end of what the JobManager has printed."""
        return _end_of(self._node, self._node.facts().stdout)

    def file(self, name: File) -> str:
        """The end of a file of the JobManager's host."""
        return _end_of(self._node, name)


@dataclass(frozen=True)
class _TaskManagerPaths:
    """The endpoints of TaskManagers, each of which is asked itself; docstrings are shown on the OpenAPI page."""

    lookup: Lookup

    def _node(self, manager: str) -> NodeView:
        return self.lookup.view.node(self.lookup.task_manager(manager).address)

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

    def all_metrics(self, get: Get = None, agg: Aggregations = None) -> list[parts.Spread]:
        """Metrics of the processes and connections of all TaskManagers."""
        nodes = dict.fromkeys(split_address(each.address)[0] for each in self.lookup.view.task_managers())
        told = facts_of_nodes(self.lookup.view, list(nodes))
        return part_answers.spreads((facts.figures for facts in told.values()), get, agg)

    def metrics(self, manager: Manager, get: Get = None) -> list[parts.Figure]:
        """Metrics of a TaskManager's process and connections by their names."""
        return part_answers.figures(self._node(manager).facts().figures, get)

    def thread_dump(self, manager: Manager) -> parts.ThreadDump:
        """Where the threads of a TaskManager's process stand, and those of its workers, also while user code holds them."""
        found: Address = self.lookup.task_manager(manager).address
        node = self.lookup.view.node(found)
        return part_answers.thread_dump({node.node: node.stacks(), **self.lookup.view.stacks(found)})

    def logs(self, manager: Manager) -> parts.Logs:
        """The files of a TaskManager, and the logs of its host, with those of its workers, if the options say where they go."""
        return part_answers.logs(self._node(manager).facts())

    def log(self, manager: Manager) -> str:
        """The end of a TaskManager's log."""
        node = self._node(manager)
        return _end_of(node, node.facts().log)

    def stdout(self, manager: Manager) -> str:
        """The end of what a TaskManager and its workers have printed."""
        node = self._node(manager)
        return _end_of(node, node.facts().stdout)

    def file(self, manager: Manager, name: File) -> str:
        """The end of a file of a TaskManager's host."""
        return _end_of(self._node(manager), name)


def _end_of(node: NodeView, name: str) -> str:
    text = node.end_of(name) if name else None
    if text is None:
        what = f"no file '{name}'" if name else "no such file: it goes to a terminal or a pipe"
        raise HTTPException(404, f"node '{node.node}' has {what} (hint: /logs has the names of those that it has)")
    return text
