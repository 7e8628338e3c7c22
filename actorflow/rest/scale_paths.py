"""The paths of how wide jobs run: Flink's resource requirements, by vertex. See `app`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastapi import FastAPI, HTTPException, Response

from actorflow.errors import Domain, ErrorInfo
from actorflow.ids import Address
from actorflow.inspection.facts import JobFacts
from actorflow.plan.scale import Scale
from actorflow.plan.topology import VertexShape
from actorflow.protocol.jobs.rescaling import RescalingView
from actorflow.rest import part_shapes as parts
from actorflow.rest.job_requests import JobRequests
from actorflow.rest.lookup import Lookup
from actorflow.rest.part_paths import Job


def add_scale_paths(app: FastAPI, lookup: Lookup, requests: JobRequests) -> None:
    """Add the paths of this module to an application."""
    paths = _ScalePaths(lookup, requests)
    path, later = "/jobs/{job}/resource-requirements", {"description": "it goes over as soon as it can", "model": dict[str, str]}
    app.add_api_route(path, paths.requirements, methods=["GET"], response_model=dict[str, parts.VertexRequirements])
    app.add_api_route(path, paths.require, methods=["PUT"], response_model=dict[str, str], responses={202: later})


@dataclass(frozen=True)
class _ScalePaths:
    """The endpoints; docstrings are shown on the OpenAPI page."""

    lookup: Lookup
    requests: JobRequests

    def requirements(self, job: Job) -> dict[str, parts.VertexRequirements]:
        """How wide the vertices of a job are to run. One that takes the slots there are may run narrower than its upper bound."""
        return _requirements(self.lookup.facts(job))

    def require(self, job: Job, wanted: dict[str, parts.VertexRequirements], response: Response) -> dict[str, str]:
        """Have a job run with the upper bounds, or, if it takes the slots there are, with what of them there is, and no less than the lower bounds.

        All or nothing; vertices that are not named keep their bounds.
        """
        summary = self.lookup.under_way(job)
        view = self.lookup.view
        scale = _scale(view.facts(summary.job), wanted)
        answer = self.requests.rescale(summary.job, Address(f"{view.dispatcher}/{summary.job}"), scale, view.timeout_s)
        if answer is None:
            response.status_code = 202
        elif answer.error is not None:
            raise HTTPException(_status(answer.error), str(answer.error))
        return {}


def _requirements(facts: JobFacts) -> dict[str, parts.VertexRequirements]:
    return {vertex.id: _bounds(vertex, facts.rescaling) for vertex in facts.topology.vertices}


def _bounds(vertex: VertexShape, rescaling: RescalingView) -> parts.VertexRequirements:
    scale = rescaling.scale
    upper = max([vertex.parallelism, *(rescaling.operators.get(uid, 1) for uid in vertex.uids)])
    lower = max([1, *(scale.operators_least.get(uid, scale.least) for uid in vertex.uids)])
    return {"parallelism": {"lowerBound": min(lower, upper), "upperBound": upper}}


def _scale(facts: JobFacts, wanted: Mapping[str, parts.VertexRequirements]) -> Scale:
    """Return the bounds by operator: a vertex may be another chain when it is as wide as that."""
    most, least = dict(facts.rescaling.scale.operators), dict(facts.rescaling.scale.operators_least)
    uids = {str(vertex.id): vertex.uids for vertex in facts.topology.vertices}
    for name, each in wanted.items():
        lower, upper = each["parallelism"]["lowerBound"], each["parallelism"]["upperBound"]
        if name not in uids:
            raise HTTPException(400, f"job '{facts.name}' has no vertex '{name}'")
        if not 1 <= lower <= upper:
            raise HTTPException(400, f"vertex '{name}' cannot have at least {lower} and at most {upper} subtasks")
        most |= dict.fromkeys(uids[name], upper)
        least |= dict.fromkeys(uids[name], lower)
    return replace(facts.rescaling.scale, operators=most, operators_least=least, most=None)


def _status(error: ErrorInfo) -> int:
    """Return what a refusal is: of the job as it is now, of a plan that cannot be, or of a storage that does not work."""
    if error.kind == "RescaleRefused":
        return 409
    return 400 if error.domain is Domain.USER else 503
