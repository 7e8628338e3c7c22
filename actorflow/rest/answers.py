"""From what actors say to what the server answers: pure functions, under Flink's names for jobs, states and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from actorflow.config import Config
from actorflow.config.options import ALL
from actorflow.ids import SubtaskId, VertexId
from actorflow.inspection.cluster_view import TaskManagerFacts
from actorflow.inspection.facts import JobFacts
from actorflow.inspection.report import Blame
from actorflow.inspection.report import SlowReport as Report
from actorflow.inspection.tree import ActorRow
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointStatistics
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointTaken
from actorflow.protocol.jobs.deployment import SubtaskTotals
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.jobs.rescaling import RescalingView
from actorflow.protocol.jobs.run_numbers import run_of_leader
from actorflow.protocol.nodes.client_messages import JobSummary
from actorflow.rest import part_answers, shapes
from actorflow.runtime.subtasks.subtask_contract import SubtaskView
from actorflow.runtime.subtasks.viewing import totals_in
from actorflow.wire.batch import MIN_TIMESTAMP

RELEASE = version("actorflow")
VERSION = f"actorflow {RELEASE}"

_JOB_STATES = {
    JobStatus.CREATED: "INITIALIZING",
    JobStatus.WAITING_FOR_SLOTS: "CREATED",
    JobStatus.DEPLOYING: "RUNNING",
    JobStatus.COMMITTING: "RUNNING",
    JobStatus.CANCELLED: "CANCELED",
}
"""Those whose name in Flink is another one."""

_SUBTASK_STATES = {"cancelling": "CANCELING", "cancelled": "CANCELED"}

_STAGE_STATES = {"waiting": "CREATED", "running": "RUNNING", "finished": "FINISHED"}

STATES = ("CREATED", "DEPLOYING", "RUNNING", "FINISHED", "CANCELING", "CANCELED", "FAILED")
"""Where a subtask can stand, the least advanced first."""


def job_state(status: JobStatus) -> str:
    """Return Flink's name for where a job is in its life."""
    return _JOB_STATES.get(status, status.name)


def overview(jobs: Iterable[JobSummary], managers: Sequence[TaskManagerFacts]) -> shapes.Overview:
    """Return the cluster in figures."""
    ended = Counter(job.status for job in jobs)
    return {
        "taskmanagers": len(managers),
        "slots-total": sum(manager.slots for manager in managers),
        "slots-available": sum(manager.free for manager in managers),
        "jobs-running": sum(number for status, number in ended.items() if not status.final),
        "jobs-finished": ended[JobStatus.FINISHED],
        "jobs-cancelled": ended[JobStatus.CANCELLED],
        "jobs-failed": ended[JobStatus.FAILED],
        "flink-version": VERSION,
    }


def job_line(job: JobSummary, start: int) -> shapes.JobLine:
    """Return a job as lists show it; `start` is when it was submitted."""
    duration = round(job.duration_s * 1000)
    return {
        "jid": job.job,
        "name": job.name,
        "state": job_state(job.status),
        "start-time": start,
        "end-time": start + duration if job.status.final else -1,
        "duration": duration,
        "attempt": run_of_leader(job.attempt),
        "read-records": job.records_in,
        "write-records": job.records_out,
        "error": str(job.error) if job.error is not None else None,
    }


def job_exceptions(job: JobSummary, line: shapes.JobLine) -> shapes.JobExceptions:
    """Return the last error of a job; when it happened is known of one that ended by it."""
    entries: list[shapes.JobException] = []
    if job.error is not None:
        entries.append(
            {
                "exceptionName": job.error.kind,
                "stacktrace": f"{job.error.traceback.rstrip()}\n{job.error}".lstrip(),
                "timestamp": line["end-time"] if job.status is JobStatus.FAILED else None,
                "taskName": job.error.context.get("subtask"),
            }
        )
    failures = max(0, run_of_leader(job.attempt) - 1) + (job.status is JobStatus.FAILED)
    return {"exceptionHistory": {"entries": entries, "truncated": failures > len(entries)}}


def job_details(
    line: shapes.JobLine, now_ms: int, facts: JobFacts | None, views: Mapping[SubtaskId, SubtaskView | None]
) -> shapes.Job:
    """Return a job with its vertices; without them, if nobody knows them any more."""
    vertices = [vertex(facts, shape.id, views) for shape in facts.topology.vertices] if facts is not None else []
    edges: list[shapes.Edge] = [
        {"source": edge.source, "target": edge.target, "ship_strategy": edge.partitioning.upper()}
        for edge in (facts.topology.edges if facts is not None else ())
    ]
    return {
        "jid": line["jid"],
        "name": line["name"],
        "job-type": "BATCH" if facts is not None and facts.topology.batch else "STREAMING",
        "state": line["state"],
        "start-time": line["start-time"],
        "end-time": line["end-time"],
        "duration": line["duration"],
        "now": now_ms,
        "attempt": line["attempt"],
        "error": line["error"],
        "vertices": vertices,
        "status-counts": counted(each["status"] for each in vertices),
        "edges": edges,
        "plan": part_answers.plan(facts)["plan"] if facts is not None else None,
        "parallelism": facts.parallelism if facts is not None else -1,
        "rescaling": _rescaling(facts.rescaling_to) if facts is not None else None,
        "stages": [
            {"vertices": list(stage.vertices), "status": _STAGE_STATES[stage.state]}
            for stage in (facts.stages if facts is not None else ())
        ],
    }


def _rescaling(wanted: RescalingView | None) -> shapes.Rescaling | None:
    return {"parallelism": wanted.wanted, "phase": wanted.phase} if wanted is not None else None


def vertex(facts: JobFacts, vertex_id: VertexId, views: Mapping[SubtaskId, SubtaskView | None]) -> shapes.Vertex:
    """Return a vertex with the sums of its subtasks."""
    shape = facts.topology.vertex(vertex_id)
    states = [subtask_state(facts, SubtaskId(vertex_id, index)) for index in range(shape.parallelism)]
    seen = [io_metrics(facts, SubtaskId(vertex_id, index), views) for index in range(shape.parallelism)]
    return {
        "id": shape.id,
        "name": shape.name,
        "parallelism": shape.parallelism,
        "maxParallelism": shape.max_parallelism,
        "status": vertex_state(states),
        "tasks": counted(states),
        "metrics": summed(seen),
    }


def summed(several: Sequence[shapes.IoMetrics]) -> shapes.IoMetrics:
    """Return what passes through several subtasks together."""
    return {name: sum(each[name] for each in several) for name in several[0]}  # type: ignore[return-value, literal-required]  # their own names


def vertex_state(states: Sequence[str]) -> str:
    """Return where a vertex stands whose subtasks stand there: what has failed or was cancelled decides, else who is behind."""
    decisive = next((state for state in ("FAILED", "CANCELING") if state in states), None)
    if decisive is None and "CANCELED" in states and not {"CREATED", "DEPLOYING", "RUNNING"}.intersection(states):
        decisive = "CANCELED"
    return decisive or min(states, key=STATES.index)


def subtask_state(facts: JobFacts, subtask: SubtaskId) -> str:
    """Return Flink's name for where a subtask stands."""
    state = facts.state(subtask)
    return _SUBTASK_STATES.get(state, state.upper())


def vertex_details(
    facts: JobFacts, vertex_id: VertexId, views: Mapping[SubtaskId, SubtaskView | None], now_ms: int
) -> shapes.VertexDetails:
    """Return a vertex with its subtasks."""
    shape = facts.topology.vertex(vertex_id)
    return {
        "id": shape.id,
        "name": shape.name,
        "parallelism": shape.parallelism,
        "maxParallelism": shape.max_parallelism,
        "now": now_ms,
        "subtasks": [subtask_details(facts, SubtaskId(vertex_id, index), views) for index in range(shape.parallelism)],
    }


def subtask_details(facts: JobFacts, subtask: SubtaskId, views: Mapping[SubtaskId, SubtaskView | None]) -> shapes.Subtask:
    """Return a subtask: where it runs, what passes through it, what it spends its time on."""
    view = views.get(subtask)
    worker = facts.workers.get(subtask, "")
    return {
        "subtask": subtask.index,
        "status": subtask_state(facts, subtask),
        "attempt": run_of_leader(facts.attempt),
        "endpoint": worker.partition("/")[0],
        "taskmanager-id": worker,
        "metrics": io_metrics(facts, subtask, views),
        "watermark": None if view is None or view.watermark == MIN_TIMESTAMP else view.watermark,
        "busy-ratio": None if view is None else view.metrics.busy_ms_per_second / 1000,
        "idle-ratio": None if view is None else view.metrics.idle_ms_per_second / 1000,
        "backpressure-ratio": None if view is None else view.metrics.back_pressured_ms_per_second / 1000,
        "waits-for": None if view is None else view.waits_for,
    }


def io_metrics(facts: JobFacts, subtask: SubtaskId, views: Mapping[SubtaskId, SubtaskView | None]) -> shapes.IoMetrics:
    """Return what passes through a subtask, or has until its end; nothing, if it does not answer."""
    view, done = views.get(subtask), facts.totals.get(subtask, SubtaskTotals())
    if view is not None:
        done = totals_in(view.metrics)
    return {
        "read-bytes": done.bytes_in,
        "write-bytes": done.bytes_out,
        "read-records": done.records_in,
        "write-records": done.records_out,
        "accumulated-busy-time": done.busy_ms,
        "accumulated-idle-time": done.idle_ms,
        "accumulated-backpressured-time": done.back_pressured_ms,
    }


def checkpoints(facts: JobFacts) -> shapes.Checkpoints:
    """Return how the checkpoints of a job go; the history begins with the latest."""
    seen = facts.checkpoints
    history = [checkpoint(each) for each in reversed(seen.completed)]
    under_way = len(seen.waiting_for)
    return {
        "counts": {
            "total": seen.triggered,
            "in_progress": under_way,
            "completed": seen.triggered - seen.failed - under_way,
            "failed": seen.failed,
        },
        "latest": {"completed": history[0] if history else None},
        "history": history,
        "error": seen.error.message if seen.error is not None else None,
    }


def checkpoint(completed: CheckpointStatistics) -> shapes.Checkpoint:
    """Return a completed checkpoint with the sums of its subtasks."""
    times = completed.times.values()
    duration_ms = round(completed.duration_s * 1000)
    return {
        "id": completed.checkpoint,
        "status": "COMPLETED",
        "trigger_timestamp": completed.timestamp,
        "latest_ack_timestamp": completed.timestamp + duration_ms,
        "end_to_end_duration": duration_ms,
        "external_path": completed.location or None,
        "state_size": sum(each.state_bytes for each in times),
        "checkpointed_size": sum(each.stored_bytes for each in times),
        "persisted_data": sum(each.in_flight_bytes for each in times),
        "alignment": round(max((each.alignment_ms for each in times), default=0.0)),
        "num_subtasks": len(times),
        "num_acknowledged_subtasks": len(times),
    }


def savepoint_status(taken: CheckpointTaken | None, *, over: bool) -> shapes.SavepointStatus:
    """Return what has become of a request. A job that is over answers no more."""
    if taken is not None and taken.location is not None:
        return {"status": {"id": "COMPLETED"}, "operation": {"location": taken.location}}
    if taken is None and not over:
        return {"status": {"id": "IN_PROGRESS"}, "operation": None}
    error = taken.error if taken is not None else None
    kind, why = (error.kind, error.message) if error is not None else ("CheckpointError", "the job is over, and took no savepoint")
    return {"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"class": kind, "stack-trace": why}}}


def settings(config: Config) -> list[shapes.Setting]:
    """Return the options that are set, secrets hidden."""
    return [
        {"key": option.name, "value": option.shown(config[option]), "origin": config.origin(option)}
        for option in ALL
        if option.name in config.settings
    ]


def actor_line(row: ActorRow) -> shapes.ActorLine:
    """Return an actor as the tree shows it."""
    metrics = row.view.metrics if row.view is not None else None
    return {
        "path": row.path,
        "kind": row.kind,
        "state": row.state,
        "inbox": row.inbox,
        "handled": row.handled,
        "restarts": row.restarts,
        "address": row.address,
        "busy-ratio": metrics.busy_ms_per_second / 1000 if metrics is not None else None,
        "backpressure-ratio": metrics.back_pressured_ms_per_second / 1000 if metrics is not None else None,
        "records-in-per-second": metrics.records_in_per_second if metrics is not None else None,
        "records-out-per-second": metrics.records_out_per_second if metrics is not None else None,
    }


def slow_report(report: Report) -> shapes.SlowReport:
    """Return who holds up a job."""
    return {
        "state": report.status,
        "culprits": [_blame(each) for each in report.culprits],
        "watermark": _blame(report.watermark) if report.watermark is not None else None,
        "checkpoint": report.checkpoint,
        "barrier": [_blame(each) for each in report.barrier],
        "text": str(report),
    }


def _blame(blame: Blame) -> shapes.Blame:
    return {"path": blame.path, "why": blame.why}


def counted(states: Iterable[str]) -> dict[str, int]:
    """Return how many stand where."""
    counted = Counter(states)
    return {state: counted[state] for state in STATES}
