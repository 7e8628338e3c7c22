"""How paths find what they name: jobs, under way or over, their vertices, TaskManagers. What is not there is refused with 404, what is over with 409."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import HTTPException

from actorflow.ids import JobId, SubtaskId, split_address
from actorflow.inspection.cluster_view import ClusterView, TaskManagerFacts
from actorflow.inspection.facts import JobFacts
from actorflow.plan.topology import VertexShape
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointStatistics
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.nodes.client_messages import JobSummary
from actorflow.runtime.subtasks.subtask_contract import SubtaskView

NAME = r"^[^/\x00]+$"
"""What a part of a path is made of that is not several."""


@dataclass(frozen=True)
class Lookup:
    """Finds what paths name.

    Attributes:
        view: looks at the cluster.
    """

    view: ClusterView

    def job(self, job: str) -> JobSummary:
        """Return a job that is under way, or remembered."""
        known = self.view.jobs().get(JobId(job))
        if known is None:
            raise HTTPException(404, f"there is no job '{job}'")
        return known

    def under_way(self, job: str) -> JobSummary:
        """Return a job that is not over."""
        summary = self.job(job)
        if summary.status.final:
            raise HTTPException(409, f"job '{job}' is over: it is {summary.status.value}")
        return summary

    def facts(self, job: str) -> JobFacts:
        """Return a job as it is, or was when it ended."""
        facts = self.known(self.job(job))
        if facts is None:
            raise HTTPException(404, f"job '{job}' is over, and was run by an earlier leader: nobody knows its vertices any more")
        return facts

    def known(self, summary: JobSummary) -> JobFacts | None:
        """Return a job as it is, or was when it ended; None if that is not known any more."""
        return self.view.ended(summary.job) if summary.status.final else self.view.facts(summary.job)

    def views(self, facts: JobFacts) -> Mapping[SubtaskId, SubtaskView | None]:
        """Return what the subtasks of a job show; nothing, if it is over."""
        return {} if JobStatus(facts.status).final else self.view.views(facts)

    def vertex(self, facts: JobFacts, vertex: str) -> VertexShape:
        """Return a vertex of a job."""
        found = next((each for each in facts.topology.vertices if each.id == vertex), None)
        if found is None:
            raise HTTPException(404, f"job '{facts.name}' has no vertex '{vertex}'")
        return found

    def subtask(self, facts: JobFacts, vertex: str, index: int) -> SubtaskId:
        """Return a subtask of a job."""
        shape = self.vertex(facts, vertex)
        if index >= shape.parallelism:
            raise HTTPException(404, f"vertex '{shape.name}' has {shape.parallelism} subtasks, there is no subtask {index}")
        return SubtaskId(shape.id, index)

    def checkpoint(self, facts: JobFacts, number: int) -> CheckpointStatistics:
        """Return one of the last checkpoints of a job."""
        found = next((each for each in facts.checkpoints.completed if each.checkpoint == number), None)
        if found is None:
            raise HTTPException(404, f"checkpoint {number} is none of the last of job '{facts.name}'")
        return found

    def task_manager(self, named: str) -> TaskManagerFacts:
        """Return a TaskManager by its address, or by its node, which has no slash in it."""
        found = next((each for each in self.view.task_managers() if named in {each.address, split_address(each.address)[0]}), None)
        if found is None:
            raise HTTPException(404, f"there is no TaskManager '{named}'")
        return found
