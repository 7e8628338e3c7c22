"""The shapes of what the server answers about the subtasks of a vertex: how long they have run, and where. Names are Flink's."""

from __future__ import annotations

from typing_extensions import TypedDict

from actorflow.rest.shapes import IoMetrics


class SubtaskTime(TypedDict):
    """How long a subtask has run, in ms, and since when, by the states of which that is known; -1 if it is not known."""

    subtask: int
    endpoint: str
    duration: int
    timestamps: dict[str, int]


class SubtaskTimes(TypedDict):
    """The times of a vertex."""

    id: str
    name: str
    now: int
    subtasks: list[SubtaskTime]


VertexTaskManager = TypedDict(
    "VertexTaskManager",
    {
        "endpoint": str,
        "taskmanager-id": str,
        "status": str,
        "start-time": int,
        "end-time": int,
        "duration": int,
        "metrics": IoMetrics,
        "status-counts": dict[str, int],
    },
)


class VertexTaskManagers(TypedDict):
    """A vertex by the TaskManagers that run it."""

    id: str
    name: str
    now: int
    taskmanagers: list[VertexTaskManager]
