"""From what subtasks took for a checkpoint to what the server answers of it: pure functions, under Flink's names. See `answers`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actorflow.inspection.facts import JobFacts
from actorflow.plan.topology import VertexShape
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointStatistics
from actorflow.protocol.checkpoints.checkpoint_messages import SubtaskTimes
from actorflow.rest import checkpoint_shapes as shapes
from actorflow.rest.answers import checkpoint


def details(facts: JobFacts, completed: CheckpointStatistics) -> shapes.CheckpointDetails:
    """Return a checkpoint with the part of each vertex."""
    return {
        **checkpoint(completed),
        "tasks": {vertex.id: _task(completed, _times(completed, vertex)) for vertex in facts.topology.vertices},
    }


def of_vertex(completed: CheckpointStatistics, vertex: VertexShape) -> shapes.TaskCheckpointDetails:
    """Return the part of a vertex in a checkpoint, with those of its subtasks."""
    times = _times(completed, vertex)
    each = times.values()
    return {
        **_task(completed, times),
        "summary": {
            "checkpointed_size": _range(one.stored_bytes for one in each),
            "state_size": _range(one.state_bytes for one in each),
            "end_to_end_duration": _range(map(_duration_ms, each)),
            "checkpoint_duration": {"sync": _range(one.sync_ms for one in each), "async": _range(one.async_ms for one in each)},
            "alignment": {
                "persisted": _range(one.in_flight_bytes for one in each),
                "duration": _range(one.alignment_ms for one in each),
            },
            "start_delay": _range(one.start_delay_ms for one in each),
        },
        "subtasks": [_subtask(completed, index, one) for index, one in times.items()],
    }


def _times(completed: CheckpointStatistics, vertex: VertexShape) -> dict[int, SubtaskTimes]:
    """Return what each subtask of a vertex took that has taken part, by its index: there may have been more or fewer than there are now."""
    taken = {subtask.index: times for subtask, times in completed.times.items() if subtask.vertex == vertex.id}
    return dict(sorted(taken.items()))


def _task(completed: CheckpointStatistics, times: Mapping[int, SubtaskTimes]) -> shapes.TaskCheckpoint:
    longest_ms = round(max(map(_duration_ms, times.values()), default=0.0))
    return {
        "id": completed.checkpoint,
        "status": "COMPLETED",
        "latest_ack_timestamp": completed.timestamp + longest_ms,
        "checkpointed_size": sum(one.stored_bytes for one in times.values()),
        "state_size": sum(one.state_bytes for one in times.values()),
        "end_to_end_duration": longest_ms,
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": sum(one.in_flight_bytes for one in times.values()),
        "num_subtasks": len(times),
        "num_acknowledged_subtasks": len(times),
    }


def _subtask(completed: CheckpointStatistics, index: int, times: SubtaskTimes) -> shapes.SubtaskCheckpoint:
    duration_ms = _duration_ms(times)
    return {
        "index": index,
        "status": "completed",
        "ack_timestamp": completed.timestamp + round(duration_ms),
        "end_to_end_duration": duration_ms,
        "checkpointed_size": times.stored_bytes,
        "state_size": times.state_bytes,
        "checkpoint": {"sync": times.sync_ms, "async": times.async_ms},
        "alignment": {"buffered": 0, "processed": 0, "persisted": times.in_flight_bytes, "duration": times.alignment_ms},
        "start_delay": times.start_delay_ms,
        "unaligned_checkpoint": times.in_flight_bytes > 0,
        "aborted": False,
    }


def _duration_ms(times: SubtaskTimes) -> float:
    return times.start_delay_ms + times.alignment_ms + times.sync_ms + times.async_ms


def _range(values: Iterable[float]) -> shapes.Range:
    seen = list(values) or [0.0]
    return {"min": min(seen), "max": max(seen), "avg": sum(seen) / len(seen)}
