"""What a JobMaster is given of a submitted job, planned for the scale that it has now."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from actorflow.clock import Clock
from actorflow.config import Config, options
from actorflow.connectors.contracts import SourceSpec
from actorflow.errors import PlanError
from actorflow.ids import Address, SubtaskId
from actorflow.operators.event_time.watermarks import TimestampSpec
from actorflow.operators.processing.supervise import Supervise
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.plan.scale import Scale, reactive, scaled
from actorflow.plan.stages import stages
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.checkpoints.going_on import fitted
from actorflow.protocol.event_time.alignment import Member
from actorflow.protocol.jobs.adaptive import Elasticity, slots_of_groups
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_messages import SubmitJob
from actorflow.runtime.blobs.server import BlobServer
from actorflow.runtime.jobs.job_checkpoint_work import can_go_on, checkpoint_plan
from actorflow.runtime.jobs.job_regions import regions_apart
from actorflow.wire.user_code import dumps_code


@dataclass(frozen=True, slots=True)
class JobPlanner:
    """Plans one job.

    Attributes:
        submission: the job.
        graph: what was submitted, with user code.
        config: its options.
        clock: the JobManager's.
        client: hears of the job.
        earlier: what it has done under leaders before this one.
        blobs: keeps what TaskManagers need of it, if anything does.
        durable: whether another leader may go on with it.
    """

    submission: SubmitJob
    graph: ExecutionGraph
    config: Config
    clock: Clock
    client: Address
    earlier: EarlierLife
    blobs: BlobServer | None = None
    durable: bool = False

    def plan(self, scale: Scale, like: ExecutionGraph | None = None) -> JobDescription:
        """Return the job at a scale.

        Args:
            scale: how wide it is to run.
            like: what runs now, if checkpoints of it may hold records in flight.

        Raises:
            PlanError: if an operator cannot run so.
            OSError: if its code cannot be kept as a blob.
        """
        graph = graph_at(self.graph, self.config, scale)
        if like is not None and self.config[options.CHECKPOINT_UNALIGNED]:
            _check_same_chains(like, graph)
        description = self._describe(graph, scale)
        if self.blobs is None:
            return description
        return self.blobs.shipped(description, self.submission.files, self.config[options.BLOB_OFFLOAD])

    def _describe(self, graph: ExecutionGraph, scale: Scale) -> JobDescription:
        submission, config = self.submission, self.config
        wanted = graph if scale.most is None else graph_at(self.graph, config, replace(scale, most=None))
        checkpoints = checkpoint_plan(config, self.clock, possible=can_go_on(graph))
        reading = {
            v.id: (v.parallelism, v.operators[0].spec.source) for v in graph.vertices if isinstance(v.operators[0].spec, SourceSpec)
        }
        return JobDescription(
            submission.job,
            graph,
            {vertex: parallelism for vertex, (parallelism, _) in reading.items()},
            dumps_code(_for_workers(graph)),
            submission.options,
            self.client,
            frozenset(vertex for vertex, (_, source) in reading.items() if source.partitioned),
            tuple(_aligned(graph)),
            checkpoints,
            {name: one.quarantine_after for name, one in supervised(graph).items() if one.quarantine_after is not None},
            fitted(submission.restored, self.graph, graph),
            self.earlier,
            regions_apart(graph, config, aligned=any(_aligned(graph))),
            stages=stages(graph),
            finished=submission.finished,
            scale=scale,
            wanted={operator.id: vertex.parallelism for vertex in wanted.vertices for operator in vertex.operators},
            elasticity=self._elasticity(scale, wanted, goes_on=checkpoints.active),
            keeps_end=self.durable and not checkpoints.active,
        )

    def _elasticity(self, scale: Scale, graph: ExecutionGraph, *, goes_on: bool) -> Elasticity | None:
        """Return what the job makes of the slots there are: its wants are those of the graph at the scale, with no regard to them."""
        config, takes_all = self.config, is_reactive(self.graph, self.config)
        if not takes_all and (config[options.SCHEDULER] != "adaptive" or self.graph.blocking):
            return None
        wanted, least = slots_of_groups(graph), slots_of_groups(graph_at(self.graph, config, replace(scale, most=1)))
        unset = {"wait_s": math.inf, "settle_s": 0.0, "stabilize_s": 0.0} if takes_all else {}
        patience = {
            "wait_s": config[options.SLOTS_WAIT_TIMEOUT],
            "settle_s": config[options.SLOTS_SETTLE_TIMEOUT],
            "stabilize_s": config[options.SLOTS_STABLE_TIMEOUT],
        }
        return Elasticity(
            tuple(wanted.values()),
            tuple(least[group] for group in wanted),
            goes_on or config[options.WIDEN_FROM_SCRATCH],
            cooldown_s=config[options.RESCALING_COOLDOWN],
            **(unset | {name: seconds for name, seconds in patience.items() if seconds is not None}),
        )


def graph_at(graph: ExecutionGraph, config: Config, scale: Scale) -> ExecutionGraph:
    """Return a submitted graph as it is planned for a scale.

    Raises:
        PlanError: if an operator cannot run so.
    """
    return scaled(graph, reactive(graph, scale) if is_reactive(graph, config) else scale)


def is_reactive(graph: ExecutionGraph, config: Config) -> bool:
    """Return whether a job takes all slots there are. One that runs in stages does not."""
    return config[options.SCHEDULER_MODE] == "reactive" and not graph.blocking


def supervised(graph: ExecutionGraph) -> dict[str, Supervise]:
    """Return what users have said about the failures of single operators, by their names."""
    operators = [operator for vertex in graph.vertices for operator in vertex.operators]
    given = {operator.name: getattr(operator.spec, "supervise", None) for operator in operators}
    return {name: supervise for name, supervise in given.items() if supervise is not None}


def _check_same_chains(now: ExecutionGraph, then: ExecutionGraph) -> None:
    """Refuse what would break chains apart, or join them, between which records in flight may stand in a checkpoint."""
    before = {vertex.id: vertex for vertex in now.vertices}
    for vertex in then.vertices:
        old = before.get(vertex.id)
        if old is None or [one.id for one in old.operators] != [one.id for one in vertex.operators]:
            raise PlanError(
                f"cannot rescale job '{then.name}': '{vertex.name}' would share its subtasks with other operators than now, and "
                "unaligned checkpoints hold records in flight between subtasks",
                hint="submit it with pipeline.operator-chaining.enabled: false, or go on from a savepoint with the other parallelism",
            )


def _aligned(graph: ExecutionGraph) -> Iterator[Member]:
    """Give the readers of the sources that are aligned with each other."""
    for vertex in graph.vertices:
        for operator in vertex.operators:
            alignment = operator.spec.watermarks.alignment if isinstance(operator.spec, TimestampSpec) else None
            if alignment is not None:
                yield from (
                    Member(SubtaskId(vertex.id, index), operator.name, alignment.group) for index in range(vertex.parallelism)
                )


def _for_workers(graph: ExecutionGraph) -> ExecutionGraph:
    """Return the graph with what only the JobMaster needs taken out of its sources (a collection's records go with the splits)."""
    return replace(graph, vertices=tuple(_slim(vertex) for vertex in graph.vertices), origin=None)


def _slim(vertex: Vertex) -> Vertex:
    first, *rest = vertex.operators
    if not isinstance(first.spec, SourceSpec):
        return vertex
    return replace(vertex, operators=(replace(first, spec=SourceSpec(first.spec.source.for_readers())), *rest))
