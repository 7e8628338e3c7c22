"""What a JobMaster is given: the job, and how long things may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from actorflow.ids import Address, JobId, OperatorId, VertexId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.regions import Region
from actorflow.plan.scale import Scale
from actorflow.plan.stages import Stage
from actorflow.plan.topology import Topology
from actorflow.protocol.blobs.blob import JobBlobs
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan, EarlierLife, Restored
from actorflow.protocol.event_time.alignment import Member
from actorflow.protocol.jobs.adaptive import Elasticity
from actorflow.protocol.jobs.deployment import FinishedStages
from actorflow.protocol.jobs.job_messages import OptionValue


@dataclass(frozen=True, slots=True)
class JobDescription:
    """A job as its JobMaster is given it.

    Attributes:
        job: unique id.
        graph: what to run.
        sources: vertices that read from a source, with their parallelism.
        partitioned: those of them whose splits are read at the same time.
        aligned: readers that must not run ahead of each other in event time.
        plan: the graph with user code, as bytes, for the workers; empty if it is in a blob.
        options: effective options by name, for the workers.
        client: is told of every change.
        checkpoints: how it takes checkpoints.
        quarantine_after: operators that put records aside, with the number of failures after which they do.
        restored: what its first run goes on from: another job's savepoint, or nothing.
        earlier: what it has done under leaders before this one.
        regions: what can be brought back by itself; none if all fail together.
        code: digest of the blob with the plan, if it is in one.
        blobs: what TaskManagers have to have before workers are of use.
        stages: what runs one after the other; none if all of it runs from the start.
        finished: those of them that have finished under leaders before this one.
        scale: how wide it runs, if that is not what it was submitted with.
        wanted: with how many subtasks each operator is to run if there are slots for all of them.
        elasticity: what it makes of the slots there are, if it does not wait for all that it wants.
        keeps_end: whether nothing is committed before that is written down for the next leader: no checkpoint holds the end of a run.
    """

    job: JobId
    graph: ExecutionGraph
    sources: Mapping[VertexId, int]
    plan: bytes
    options: Mapping[str, OptionValue]
    client: Address
    partitioned: frozenset[VertexId] = frozenset()
    aligned: tuple[Member, ...] = ()
    checkpoints: CheckpointPlan = field(default_factory=CheckpointPlan)
    quarantine_after: Mapping[str, int] = field(default_factory=dict)
    restored: Restored = field(default_factory=Restored)
    earlier: EarlierLife = field(default_factory=EarlierLife)
    regions: tuple[Region, ...] = ()
    code: str = ""
    blobs: JobBlobs | None = None
    stages: tuple[Stage, ...] = ()
    finished: FinishedStages = field(default_factory=FinishedStages)
    scale: Scale = field(default_factory=Scale)
    wanted: Mapping[OperatorId, int] = field(default_factory=dict)
    elasticity: Elasticity | None = None
    keeps_end: bool = False

    @property
    def leaves_to_next(self) -> bool:
        """Whether what a run leaves hidden is removed by the next one: it, or its leader, may have ended in a way that nobody has removed it."""
        return self.checkpoints.active or self.keeps_end

    def topology(self) -> Topology:
        """Return what runs, without its code."""
        return Topology.of(self.graph)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long things may take, in seconds.

    Attributes:
        deploy_s: a worker, to build its subtasks; then a subtask, to start.
        cancel_s: a subtask, to end, before its worker is killed.
        commit_s: a worker, to make its output visible, before it is killed.
        commit_again_s: a worker, to say that its output is visible, before it is asked again.
        lease_again_s: a TaskManager, to say that a worker is ready, before it is told again to start it.
    """

    deploy_s: float = 300.0
    cancel_s: float = 5.0
    commit_s: float = 300.0
    commit_again_s: float = 10.0
    lease_again_s: float = 5.0
