"""The paths. Each is a plain function on a thread of the server's pool: it asks actors, and the Dispatcher goes on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from actorflow.config import Config, options
from actorflow.errors import ActorflowError, Domain, PlanError
from actorflow.ids import Address, JobId
from actorflow.inspection.actor_views import ActorView
from actorflow.inspection.cluster_view import ClusterView
from actorflow.inspection.facts import PREFIX
from actorflow.protocol.jobs.job_messages import CancelJob
from actorflow.protocol.nodes.client_messages import JobSummary
from actorflow.rest import answers, metrics, part_answers, shapes
from actorflow.rest import part_shapes as parts
from actorflow.rest.job_requests import JobRequests
from actorflow.rest.lookup import NAME, Lookup
from actorflow.rest.node_paths import add_node_paths
from actorflow.rest.part_paths import Aggregations, Get, Job, Vertex, add_part_paths
from actorflow.rest.scale_paths import add_scale_paths
from actorflow.web import CONTENT_SECURITY, WebFile
from actorflow.wire.batch import SavepointThen

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": shapes.Errors, "description": text}
    for status, text in {
        400: "the request is malformed",
        401: "the token is missing or wrong",
        403: "the request comes from elsewhere",
        404: "there is no such thing",
        409: "the job is not under way, or cannot do that now",
        405: "the path has no such method",
        413: "the body is too large",
        503: "an actor did not answer in time",
    }.items()
}

_STORY_MAX = 1_000
_STARTS_MAX = 10_000


def make_app(view: ClusterView, requests: JobRequests, config: Config, web: Mapping[str, WebFile]) -> FastAPI:
    """Return the application.

    Args:
        view: looks at the cluster.
        requests: asks jobs for savepoints, and to run with another parallelism.
        config: options of the JobManager.
        web: files of the web UI, by their paths.
    """
    app = FastAPI(
        title="actorflow",
        version=answers.RELEASE,
        description=(__doc__ or "").partition("\n")[0],
        responses=_REFUSALS,
        redoc_url=None,
    )
    app.add_exception_handler(ActorflowError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    for refusal in (HTTPException, 404, 405):
        app.add_exception_handler(refusal, _told)
    lookup = Lookup(view)
    paths = _Paths(view, lookup, requests, config)
    for path, endpoint, shape in (
        ("/overview", paths.overview, shapes.Overview),
        ("/config", paths.dashboard, shapes.Dashboard),
        ("/jobs", paths.jobs, shapes.Jobs),
        ("/jobs/overview", paths.jobs_overview, shapes.JobsOverview),
        ("/jobs/metrics", paths.jobs_metrics, list[parts.Spread]),
        ("/jobs/{job}", paths.job, shapes.Job),
        ("/jobs/{job}/vertices/{vertex}", paths.vertex, shapes.VertexDetails),
        ("/jobs/{job}/exceptions", paths.exceptions, shapes.JobExceptions),
        ("/jobs/{job}/checkpoints", paths.checkpoints, shapes.Checkpoints),
        ("/jobs/{job}/savepoints/{request}", paths.savepoint_status, shapes.SavepointStatus),
        ("/jobs/{job}/why-slow", paths.why_slow, shapes.SlowReport),
        ("/actors", paths.actors, shapes.Actors),
        ("/actors/{path:path}/story", paths.story, shapes.Story),
        ("/actors/{path:path}/stack", paths.stack, shapes.Stack),
        ("/actors/{path:path}", paths.actor, shapes.ActorDetails),
    ):
        app.add_api_route(path, endpoint, methods=["GET"], response_model=shape, response_model_exclude_unset=True)
    app.add_api_route("/jobs/{job}", paths.cancel, methods=["PATCH"], status_code=202, response_model=dict[str, str])
    app.add_api_route("/jobs/{job}/savepoints", paths.savepoint, methods=["POST"], status_code=202, response_model=shapes.Requested)
    app.add_api_route("/jobs/{job}/stop", paths.stop, methods=["POST"], status_code=202, response_model=shapes.Requested)
    add_part_paths(app, lookup)
    add_node_paths(app, lookup, config)
    add_scale_paths(app, lookup, requests)
    prometheus: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    for path, file in web.items():
        app.add_api_route(path, partial(_web_file, file), methods=["GET"], include_in_schema=False)
    app.add_api_route("/metrics", paths.metrics, methods=["GET"], response_class=Response, responses=prometheus)
    return app


@dataclass(frozen=True)
class _Paths:
    """The endpoints; docstrings are shown on the OpenAPI page."""

    view: ClusterView
    lookup: Lookup
    requests: JobRequests
    config: Config
    starts: dict[JobId, int] = field(default_factory=dict)
    """When each job was submitted, in ms since the Unix epoch."""

    # --- the cluster -------------------------------------------------------------------------------------------------------

    def overview(self) -> shapes.Overview:
        """The cluster in figures."""
        return answers.overview(self.view.jobs().values(), self.view.task_managers())

    def dashboard(self) -> shapes.Dashboard:
        """What a dashboard needs to know of the server."""
        offset = datetime.now(UTC).astimezone().utcoffset()
        return {
            "refresh-interval": 3000,
            "timezone-name": time.tzname[0],
            "timezone-offset": round(offset.total_seconds() * 1000) if offset is not None else 0,
            "flink-version": answers.VERSION,
            "features": {"web-submit": False, "web-cancel": True, "web-rescale": True, "web-history": False},
        }

    def metrics(self) -> Response:
        """All metrics, in Prometheus' text format."""
        return Response(metrics.exposition(self.view), media_type=metrics.CONTENT_TYPE)

    # --- jobs --------------------------------------------------------------------------------------------------------------

    def jobs(self) -> shapes.Jobs:
        """Ids and states of all jobs."""
        return {"jobs": [{"id": job, "status": answers.job_state(each.status)} for job, each in self.view.jobs().items()]}

    def jobs_overview(self) -> shapes.JobsOverview:
        """All jobs."""
        return {"jobs": [self._line(each) for each in self.view.jobs().values()]}

    def jobs_metrics(self, get: Get = None, agg: Aggregations = None) -> list[parts.Spread]:
        """Metrics of all jobs that are under way."""
        return part_answers.spreads(map(metrics.of_job, self.view.under_way()), get, agg)

    def job(self, job: Job) -> shapes.Job:
        """A job with its vertices."""
        summary = self.lookup.job(job)
        facts = self.lookup.known(summary)
        return answers.job_details(self._line(summary), _now_ms(), facts, self.lookup.views(facts) if facts is not None else {})

    def exceptions(self, job: Job) -> shapes.JobExceptions:
        """Why a job has failed, or was last deployed anew; also of one that is over."""
        summary = self.lookup.job(job)
        return answers.job_exceptions(summary, self._line(summary))

    def vertex(self, job: Job, vertex: Vertex) -> shapes.VertexDetails:
        """A vertex with its subtasks."""
        facts = self.lookup.facts(job)
        return answers.vertex_details(facts, self.lookup.vertex(facts, vertex).id, self.lookup.views(facts), _now_ms())

    def checkpoints(self, job: Job) -> shapes.Checkpoints:
        """How the checkpoints of a job go."""
        return answers.checkpoints(self.lookup.facts(job))

    def why_slow(self, job: Job) -> shapes.SlowReport:
        """Who holds up the job: its data, its event time, its checkpoints."""
        return answers.slow_report(self.view.why_slow(self.lookup.under_way(job).job))

    def cancel(
        self,
        job: Job,
        mode: Annotated[Literal["cancel"], Query(description="Flink's other modes are gone")] = "cancel",  # noqa: ARG002 - checked by its type
    ) -> dict[str, str]:
        """Cancel a job; its sinks commit nothing more."""
        self.view.system.resolve(self.view.dispatcher).tell_control(CancelJob(self.lookup.under_way(job).job))
        return {}

    def savepoint(self, job: Job, wanted: shapes.SavepointWanted) -> shapes.Requested:
        """Take a savepoint; with `cancel-job` the job ends with it."""
        then: SavepointThen = "stop" if wanted.get("cancel-job", False) else "go on"
        return self._request(job, wanted.get("target-directory"), then, wanted.get("formatType", "CANONICAL"))

    def stop(self, job: Job, wanted: shapes.StopWanted) -> shapes.Requested:
        """End a job with a savepoint; with `drain`, all windows and timers fire before."""
        then: SavepointThen = "drain" if wanted.get("drain", False) else "stop"
        return self._request(job, wanted.get("targetDirectory"), then, wanted.get("formatType", "CANONICAL"))

    def savepoint_status(self, job: Job, request: Annotated[str, Path(pattern=NAME)]) -> shapes.SavepointStatus:
        """What has become of a request for a savepoint."""
        try:
            taken = self.requests.savepoint_taken(JobId(job), request)
        except KeyError:
            raise HTTPException(404, f"job '{job}' has no request '{request}'") from None
        known = self.view.jobs().get(JobId(job))
        return answers.savepoint_status(taken, over=known is None or known.status.final)

    def _request(self, job: str, directory: str | None, then: SavepointThen, form: shapes.FormatType) -> shapes.Requested:
        summary = self.lookup.under_way(job)
        target = directory or self.config[options.SAVEPOINT_DIRECTORY]
        if not target or "\x00" in target:
            raise HTTPException(400, f"say where the savepoint goes (hint: or set '{options.SAVEPOINT_DIRECTORY.name}')")
        master = Address(f"{self.view.dispatcher}/{summary.job}")
        return {
            "request-id": self.requests.savepoint(summary.job, master, target, then, "native" if form == "NATIVE" else "canonical")
        }

    def _line(self, summary: JobSummary) -> shapes.JobLine:
        """Return a job with the time of its submission, which is known by how long ago that was: it is taken when the job is first seen."""
        start = self.starts.setdefault(summary.job, _now_ms() - round(summary.age_s * 1000))
        if len(self.starts) > _STARTS_MAX:
            self.starts.pop(next(iter(self.starts)), None)
        return answers.job_line(summary, start)

    # --- actors ------------------------------------------------------------------------------------------------------------

    def _actor(self, path: str) -> ActorView:
        """Return an actor by its path, which has lost its first slash on the way, or by its address on another node."""
        try:
            return self.view.actor(f"/{path.lstrip('/')}")
        except PlanError:
            if path.startswith(PREFIX[1:]):
                raise
            return self.view.actor(path)

    def actors(self) -> shapes.Actors:
        """Every actor of the cluster, parents before children."""
        return {"actors": [answers.actor_line(row) for row in self.view.tree()]}

    def actor(self, path: str) -> shapes.ActorDetails:
        """What an actor shows of itself."""
        found = self._actor(path)
        return {"path": found.path, "address": found.address, "observation": found.observe()}

    def story(self, path: str, n: Annotated[int, Query(ge=0, le=_STORY_MAX)] = 10) -> shapes.Story:
        """The last `n` events of an actor, oldest first, and what they caused."""
        found = self._actor(path)
        lines = found.story(n)
        return {"path": found.path, "story": [{"at": e.at_s, "event": e.event, "caused": list(e.caused)} for e in lines]}

    def stack(self, path: str) -> shapes.Stack:
        """Where the Python threads of an actor's worker stand, also while user code holds it."""
        found = self._actor(path)
        return {"path": found.path, "stack": found.stack()}


def _web_file(file: WebFile) -> Response:
    headers = {"content-security-policy": CONTENT_SECURITY, "x-content-type-options": "nosniff", "cache-control": "no-cache"}
    return Response(file.content, media_type=file.media_type, headers=headers)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ActorflowError), "the handler is registered for these"
    return JSONResponse({"errors": [str(error)]}, 404 if error.domain is Domain.USER else 503)


def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "the handler is registered for these"
    told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"errors": told}, 400)


def _told(_: Request, error: Exception) -> JSONResponse:
    status, detail = getattr(error, "status_code", 500), getattr(error, "detail", "")
    return JSONResponse({"errors": [str(detail)]}, status, headers=getattr(error, "headers", None))
