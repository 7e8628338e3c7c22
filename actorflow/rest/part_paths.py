"""The paths of parts: of a job's plan, vertices, subtasks, checkpoints and metrics. See `app`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query

from actorflow.config import options
from actorflow.rest import answers, checkpoint_answers, job_answers, metrics, part_answers, shapes, vertex_answers
from actorflow.rest import checkpoint_shapes as checkpoints
from actorflow.rest import job_shapes as jobs
from actorflow.rest import part_shapes as parts
from actorflow.rest import vertex_shapes as vertices
from actorflow.rest.lookup import NAME, Lookup

Job = Annotated[str, Path(description="id of the job", pattern=NAME)]
Vertex = Annotated[str, Path(description="id of the vertex", pattern=NAME)]
Index = Annotated[int, Path(description="index of the subtask", ge=0, le=1_000_000)]
Checkpoint = Annotated[int, Path(description="number of the checkpoint", ge=0, le=1 << 62)]
Aggregations = Annotated[str | None, Query(description="of `min`, `max`, `avg`, `sum`, with commas between them; without it, all")]
Get = Annotated[str | None, Query(description="names of metrics with commas between them; without it, all names are answered")]


def add_part_paths(app: FastAPI, lookup: Lookup) -> None:
    """Add the paths of this module to an application."""
    paths = _PartPaths(lookup)
    routes: tuple[tuple[str, Any, Any], ...] = (
        ("/jobs/{job}/plan", paths.plan, parts.Plan),
        ("/jobs/{job}/status", paths.status, jobs.JobStatusShown),
        ("/jobs/{job}/config", paths.config, jobs.JobConfig),
        ("/jobs/{job}/accumulators", paths.accumulators, jobs.JobAccumulators),
        ("/jobs/{job}/checkpoints/config", paths.checkpoint_config, jobs.CheckpointConfig),
        ("/jobs/{job}/metrics", paths.job_metrics, list[parts.Figure]),
        ("/jobs/{job}/checkpoints/details/{checkpoint}", paths.checkpoint, checkpoints.CheckpointDetails),
        (
            "/jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}",
            paths.vertex_checkpoint,
            checkpoints.TaskCheckpointDetails,
        ),
        ("/jobs/{job}/vertices/{vertex}/backpressure", paths.back_pressure, parts.BackPressure),
        ("/jobs/{job}/vertices/{vertex}/watermarks", paths.watermarks, list[parts.Figure]),
        ("/jobs/{job}/vertices/{vertex}/subtasktimes", paths.subtask_times, vertices.SubtaskTimes),
        ("/jobs/{job}/vertices/{vertex}/taskmanagers", paths.task_managers, vertices.VertexTaskManagers),
        ("/jobs/{job}/vertices/{vertex}/metrics", paths.vertex_metrics, list[parts.Figure]),
        ("/jobs/{job}/vertices/{vertex}/subtasks/metrics", paths.subtasks_metrics, list[parts.Spread]),
        ("/jobs/{job}/vertices/{vertex}/subtasks/{subtask}", paths.subtask, shapes.Subtask),
        ("/jobs/{job}/vertices/{vertex}/subtasks/{subtask}/metrics", paths.subtask_metrics, list[parts.Figure]),
    )
    for path, endpoint, shape in routes:
        app.add_api_route(path, endpoint, methods=["GET"], response_model=shape, response_model_exclude_unset=True)


@dataclass(frozen=True)
class _PartPaths:
    """The endpoints; docstrings are shown on the OpenAPI page."""

    lookup: Lookup

    def plan(self, job: Job) -> parts.Plan:
        """What a job is made of."""
        return part_answers.plan(self.lookup.facts(job))

    def job_metrics(self, job: Job, get: Get = None) -> list[parts.Figure]:
        """Metrics of a job by their names."""
        return part_answers.figures(metrics.of_job(self.lookup.facts(job)), get)

    def status(self, job: Job) -> jobs.JobStatusShown:
        """Where a job is in its life."""
        return {"status": answers.job_state(self.lookup.job(job).status)}

    def config(self, job: Job) -> jobs.JobConfig:
        """What a job was told; secrets are not among it."""
        return job_answers.job_config(self.lookup.facts(job))

    def accumulators(self, job: Job) -> jobs.JobAccumulators:
        """There are none: what operators count are metrics."""
        self.lookup.job(job)
        return job_answers.no_accumulators()

    def checkpoint_config(self, job: Job) -> jobs.CheckpointConfig:
        """How a job takes checkpoints."""
        told = job_answers.checkpoint_config(self.lookup.facts(job))
        if told is None:
            raise HTTPException(404, f"job '{job}' takes no checkpoints by itself (hint: '{options.CHECKPOINT_INTERVAL.name}')")
        return told

    def checkpoint(self, job: Job, checkpoint: Checkpoint) -> checkpoints.CheckpointDetails:
        """One of the last checkpoints, with the part of each vertex."""
        facts = self.lookup.facts(job)
        return checkpoint_answers.details(facts, self.lookup.checkpoint(facts, checkpoint))

    def vertex_checkpoint(self, job: Job, checkpoint: Checkpoint, vertex: Vertex) -> checkpoints.TaskCheckpointDetails:
        """What each subtask of a vertex took for one of the last checkpoints."""
        facts = self.lookup.facts(job)
        return checkpoint_answers.of_vertex(self.lookup.checkpoint(facts, checkpoint), self.lookup.vertex(facts, vertex))

    def back_pressure(self, job: Job, vertex: Vertex) -> parts.BackPressure:
        """How much the subtasks of a vertex are held up by their outputs."""
        facts = self.lookup.facts(job)
        return part_answers.back_pressure(
            facts, self.lookup.vertex(facts, vertex), self.lookup.views(facts), time.time_ns() // 1_000_000
        )

    def watermarks(self, job: Job, vertex: Vertex) -> list[parts.Figure]:
        """The event time that the subtasks of a vertex have reached."""
        facts = self.lookup.facts(job)
        return part_answers.watermarks(self.lookup.vertex(facts, vertex), self.lookup.views(facts))

    def subtask_times(self, job: Job, vertex: Vertex) -> vertices.SubtaskTimes:
        """How long the subtasks of a vertex have run."""
        facts = self.lookup.facts(job)
        shape, views = self.lookup.vertex(facts, vertex), self.lookup.views(facts)
        return vertex_answers.subtask_times(facts, shape, views, time.time_ns() // 1_000_000)

    def task_managers(self, job: Job, vertex: Vertex) -> vertices.VertexTaskManagers:
        """A vertex by the TaskManagers that run it."""
        facts = self.lookup.facts(job)
        shape, views = self.lookup.vertex(facts, vertex), self.lookup.views(facts)
        return vertex_answers.task_managers(facts, shape, views, time.time_ns() // 1_000_000)

    def vertex_metrics(self, job: Job, vertex: Vertex, get: Get = None) -> list[parts.Figure]:
        """Metrics of the subtasks of a vertex, each name behind the index of its subtask, as in `0.numRecordsIn`."""
        facts = self.lookup.facts(job)
        shape, views = self.lookup.vertex(facts, vertex), self.lookup.views(facts)
        seen = {
            f"{subtask.index}.{name}": value
            for subtask, view in views.items()
            if subtask.vertex == shape.id and view is not None
            for name, value in metrics.of_task(view).items()
        }
        return part_answers.figures(seen, get)

    def subtasks_metrics(self, job: Job, vertex: Vertex, get: Get = None, agg: Aggregations = None) -> list[parts.Spread]:
        """Metrics of a vertex over all its subtasks."""
        facts = self.lookup.facts(job)
        shape, views = self.lookup.vertex(facts, vertex), self.lookup.views(facts)
        seen = (metrics.of_task(view) for subtask, view in views.items() if subtask.vertex == shape.id and view is not None)
        return part_answers.spreads(seen, get, agg)

    def subtask(self, job: Job, vertex: Vertex, subtask: Index) -> shapes.Subtask:
        """A subtask."""
        facts = self.lookup.facts(job)
        found = self.lookup.subtask(facts, vertex, subtask)
        return answers.subtask_details(facts, found, self.lookup.views(facts))

    def subtask_metrics(self, job: Job, vertex: Vertex, subtask: Index, get: Get = None) -> list[parts.Figure]:
        """Metrics of a subtask by their names."""
        facts = self.lookup.facts(job)
        view = self.lookup.views(facts).get(self.lookup.subtask(facts, vertex, subtask))
        return part_answers.figures(metrics.of_task(view) if view is not None else {}, get)
