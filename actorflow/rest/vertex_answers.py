"""From what actors say to what the server answers about the subtasks of a vertex: pure functions, under Flink's names. See `answers`.

A subtask knows how long it has run, by what it has spent its time on. When it was deployed and when it has ended nobody keeps: where Flink
tells that, nothing is told, or -1.
"""

from __future__ import annotations

from collections.abc import Mapping

from actorflow.ids import Address, SubtaskId, split_address
from actorflow.inspection.facts import JobFacts
from actorflow.plan.topology import VertexShape
from actorflow.rest import answers
from actorflow.rest import vertex_shapes as shapes
from actorflow.runtime.subtasks.subtask_contract import SubtaskView

Views = Mapping[SubtaskId, SubtaskView | None]

_UNKNOWN = -1
_UNASSIGNED = Address("(unassigned)")
"""Flink's name for where subtasks are that are not deployed."""


def subtask_times(facts: JobFacts, vertex: VertexShape, views: Views, now_ms: int) -> shapes.SubtaskTimes:
    """Return how long the subtasks of a vertex have run."""
    return {
        "id": vertex.id,
        "name": vertex.name,
        "now": now_ms,
        "subtasks": [_time(facts, subtask, views, now_ms) for subtask in _subtasks(vertex)],
    }


def _time(facts: JobFacts, subtask: SubtaskId, views: Views, now_ms: int) -> shapes.SubtaskTime:
    duration_ms = _duration_ms(facts, subtask, views)
    runs = views.get(subtask) is not None
    return {
        "subtask": subtask.index,
        "endpoint": split_address(_manager(facts, subtask))[0],
        "duration": duration_ms,
        "timestamps": {"RUNNING": now_ms - duration_ms} if runs else {},
    }


def task_managers(facts: JobFacts, vertex: VertexShape, views: Views, now_ms: int) -> shapes.VertexTaskManagers:
    """Return a vertex by the TaskManagers that run it, with the sums of its subtasks there."""
    parts: dict[Address, list[SubtaskId]] = {}
    for subtask in _subtasks(vertex):
        parts.setdefault(_manager(facts, subtask), []).append(subtask)
    return {
        "id": vertex.id,
        "name": vertex.name,
        "now": now_ms,
        "taskmanagers": [_part(facts, manager, subtasks, views, now_ms) for manager, subtasks in parts.items()],
    }


def _part(facts: JobFacts, manager: Address, subtasks: list[SubtaskId], views: Views, now_ms: int) -> shapes.VertexTaskManager:
    states = [answers.subtask_state(facts, subtask) for subtask in subtasks]
    begun = [now_ms - _duration_ms(facts, subtask, views) for subtask in subtasks if views.get(subtask) is not None]
    return {
        "endpoint": split_address(manager)[0],
        "taskmanager-id": manager,
        "status": answers.vertex_state(states),
        "start-time": min(begun, default=_UNKNOWN),
        "end-time": _UNKNOWN,
        "duration": max(_duration_ms(facts, subtask, views) for subtask in subtasks),
        "metrics": answers.summed([answers.io_metrics(facts, subtask, views) for subtask in subtasks]),
        "status-counts": answers.counted(states),
    }


def _subtasks(vertex: VertexShape) -> list[SubtaskId]:
    return [SubtaskId(vertex.id, index) for index in range(vertex.parallelism)]


def _manager(facts: JobFacts, subtask: SubtaskId) -> Address:
    return facts.task_managers.get(subtask, _UNASSIGNED)


def _duration_ms(facts: JobFacts, subtask: SubtaskId, views: Views) -> int:
    if views.get(subtask) is None and subtask not in facts.totals:
        return _UNKNOWN
    spent = answers.io_metrics(facts, subtask, views)
    return spent["accumulated-busy-time"] + spent["accumulated-idle-time"] + spent["accumulated-backpressured-time"]
