"""What the actors of a cluster say of themselves, as values. They arrive as plain data, from this node as from any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actorflow.errors import ErrorInfo, PlanError
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId
from actorflow.plan.topology import Topology, VertexShape
from actorflow.protocol.checkpoints.checkpoint_events import CheckpointStatistics, CheckpointsView
from actorflow.protocol.checkpoints.checkpoint_messages import SubtaskTimes
from actorflow.protocol.jobs.deployment import SubtaskTotals
from actorflow.protocol.jobs.job_messages import OptionValue
from actorflow.protocol.jobs.rescaling import Phase, RescalingView
from actorflow.protocol.jobs.run_numbers import run_of_leader
from actorflow.protocol.jobs.stages import StageView
from actorflow.wire.plain_form import plain_form, typed

PREFIX = "/jobs/"
"""What the paths of jobs and operators start with."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a JobMaster says of its job.

    Attributes:
        job: its id.
        status: by value, such as `running`.
        attempt: number of the deployment.
        topology: what runs.
        workers: for each subtask that is deployed the worker that runs it.
        task_managers: for each of them the TaskManager of that worker.
        endpoints: where the nodes of the workers can be reached.
        states: for each subtask where its deployment stands, by value.
        options: what it was told, by name; no secrets.
        records_in: read by the sources in this attempt.
        records_out: written by the sinks in this attempt.
        error: why it fails or restarts, as plain data; None if it does not.
        checkpoints: how its checkpoints go.
        totals: what each subtask has done that has ended.
        rescaling: how wide it is to run, and how far that is.
        stages: of a batch job, in topological order; none if all of it begins at once.
    """

    job: JobId
    status: str
    attempt: int
    topology: Topology
    workers: Mapping[SubtaskId, Address]
    task_managers: Mapping[SubtaskId, Address]
    endpoints: Mapping[NodeId, tuple[str, ...]]
    states: Mapping[SubtaskId, str]
    options: Mapping[str, OptionValue]
    records_in: int
    records_out: int
    error: Mapping[str, Any] | None
    checkpoints: CheckpointsView
    totals: Mapping[SubtaskId, SubtaskTotals]
    rescaling: RescalingView
    stages: tuple[StageView, ...]

    @staticmethod
    def of(state: object) -> JobFacts:
        """Return the facts in `JobState`, or in its plain form."""
        plain = plain_form(state)
        return JobFacts(
            JobId(plain["job"]),
            plain["status"],
            plain["attempt"],
            typed(plain["topology"], Topology),
            {_subtask(name): Address(worker) for name, worker in plain["workers"].items()},
            {_subtask(name): Address(manager) for name, manager in plain["task_managers"].items()},
            {NodeId(node): tuple(endpoints) for node, endpoints in plain["endpoints"].items()},
            {_subtask(name): state for name, state in plain["subtasks"].items()},
            plain["options"],
            plain["records_in"],
            plain["records_out"],
            plain["error"],
            _checkpoints(plain["checkpoints"]),
            {_subtask(name): SubtaskTotals(**totals) for name, totals in plain["totals"].items()},
            typed(plain["rescaling"], RescalingView),
            typed(plain["stages"], tuple[StageView, ...]),
        )

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.topology.name

    @property
    def parallelism(self) -> int:
        """The highest number of subtasks of an operator."""
        return max((vertex.parallelism for vertex in self.topology.vertices), default=0)

    @property
    def rescaling_to(self) -> RescalingView | None:
        """Another parallelism that was asked for, and how far that is; None if it is to stay as it is."""
        return None if self.rescaling.phase == Phase.AS_IT_IS.value else self.rescaling

    def state(self, subtask: SubtaskId) -> str:
        """Return where a subtask stands, by value. One of a stage that was finished before this attempt is not deployed again."""
        over = any(stage.state == "finished" and subtask.vertex in stage.vertices for stage in self.stages)
        return self.states.get(subtask, "finished" if over else "created")

    @property
    def restarts(self) -> int:
        """Deployments after the first, by the leader that there is."""
        return max(0, run_of_leader(self.attempt) - 1)

    def path(self, subtask: SubtaskId) -> str:
        """Return the path that people know a subtask by: that of its first operator."""
        return f"{PREFIX}{self.name}/{self.topology.vertex(subtask.vertex).operators[0]}/{subtask.index}"

    def paths(self) -> list[str]:
        """Return the paths of all operators, in the order in which records pass them."""
        return [
            f"{PREFIX}{self.name}/{operator}/{index}"
            for vertex in self.topology.vertices
            for operator in vertex.operators
            for index in range(vertex.parallelism)
        ]

    def find(self, rest: str) -> tuple[VertexShape, str, int | None]:
        """Return vertex, operator and index of a path behind the job's name; no index for an operator as a whole.

        Raises:
            PlanError: if there is no such operator, or not so many subtasks of it.
        """
        vertex = self.topology.running(rest)
        if vertex is not None:
            return vertex, rest, None
        operator, _, number = rest.rpartition("/")
        vertex = self.topology.running(operator)
        if vertex is None or not number.isdecimal() or int(number) >= vertex.parallelism:
            known = ", ".join(f"{operator}/0..{v.parallelism - 1}" for v in self.topology.vertices for operator in v.operators)
            raise PlanError(f"job '{self.name}' has no operator at {rest}", hint=f"there are {known}")
        return vertex, operator, int(number)


def _checkpoints(plain: Mapping[str, Any]) -> CheckpointsView:
    return CheckpointsView(
        tuple(map(_completed, plain["completed"])),
        {int(number): tuple(typed(missing, SubtaskId) for missing in parts) for number, parts in plain["waiting_for"].items()},
        plain["triggered"],
        plain["failed"],
        typed(plain["error"], ErrorInfo) if plain["error"] is not None else None,
    )


def _completed(plain: Mapping[str, Any]) -> CheckpointStatistics:
    times = {_subtask(name): SubtaskTimes(**each) for name, each in plain["times"].items()}
    return CheckpointStatistics(plain["checkpoint"], plain["timestamp"], plain["location"], plain["duration_s"], times)


def _subtask(name: str) -> SubtaskId:
    vertex, _, index = name.rpartition("/")
    return SubtaskId(VertexId(vertex), int(index))
