"""The paths of how wide jobs run: Flink's resource requirements, by vertex. See `app`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException, Response

from actorflow.errors import Domain, ErrorInfo
from actorflow.ids import Address
from actorflow.inspection.facts import JobFacts
from actorflow.plan.scale import Scale
from actorflow.rest import part_shapes as parts
from actorflow.rest.lookup import Lookup
from actorflow.rest.part_paths import Job
from actorflow.rest.rescaling import RescaleRequests


def add_scale_paths(app: FastAPI, lookup: Lookup, rescaling: RescaleRequests) -> None:
    """Add the paths of this module to an application."""
    paths = _ScalePaths(lookup, rescaling)
    path, later = "/jobs/{job}/resource-requirements", {"description": "it goes over as soon as it can", "model": dict[str, str]}
    app.add_api_route(path, paths.requirements, methods=["GET"], response_model=dict[str, parts.VertexRequirements])
    app.add_api_route(path, paths.require, methods=["PUT"], response_model=dict[str, str], responses={202: later})


@dataclass(frozen=True)
class _ScalePaths:
    """The endpoints; docstrings are shown on the OpenAPI page."""

    lookup: Lookup
    rescaling: RescaleRequests

    def requirements(self, job: Job) -> dict[str, parts.VertexRequirements]:
        """How wide the vertices of a job run."""
        vertices = self.lookup.facts(job).topology.vertices
        return {vertex.id: {"parallelism": {"lowerBound": 1, "upperBound": vertex.parallelism}} for vertex in vertices}

    def require(self, job: Job, wanted: dict[str, parts.VertexRequirements], response: Response) -> dict[str, str]:
        """Have a job run with the upper bounds, all or nothing; vertices that are not named run on as wide as they are."""
        summary = self.lookup.under_way(job)
        view = self.lookup.view
        scale = _scale(view.facts(summary.job), wanted)
        master = Address(f"{view.dispatcher}/{summary.job}")
        answer = self.rescaling.ask(summary.job, master, scale, view.timeout_s)
        if answer is None:
            response.status_code = 202
        elif answer.error is not None:
            raise HTTPException(_status(answer.error), str(answer.error))
        return {}


def _scale(facts: JobFacts, wanted: Mapping[str, parts.VertexRequirements]) -> Scale:
    """Return the upper bounds by operator: a vertex may be another chain when it is as wide as that."""
    widths: dict[str, int] = {vertex.id: vertex.parallelism for vertex in facts.topology.vertices}
    for name, each in wanted.items():
        lower, upper = each["parallelism"]["lowerBound"], each["parallelism"]["upperBound"]
        if name not in widths:
            raise HTTPException(400, f"job '{facts.name}' has no vertex '{name}'")
        if not 1 <= lower <= upper:
            raise HTTPException(400, f"vertex '{name}' cannot have at least {lower} and at most {upper} subtasks")
        widths[name] = upper
    return Scale(operators={uid: widths[vertex.id] for vertex in facts.topology.vertices for uid in vertex.uids})


def _status(error: ErrorInfo) -> int:
    """Return what a refusal is: of the job as it is now, of a plan that cannot be, or of a storage that does not work."""
    if error.kind == "RescaleRefused":
        return 409
    return 400 if error.domain is Domain.USER else 503
