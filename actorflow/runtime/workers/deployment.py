"""What one deployment of a job means to one worker: where and what to build, and the parts it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actorflow.actor import ActorContext, ActorSystem
from actorflow.config import Config, options
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId, split_address
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.jobs.job_messages import OpenDeployment, WrittenPartitions
from actorflow.protocol.jobs.quarantine import Quarantined
from actorflow.protocol.transfer.partitions import PartitionsAt
from actorflow.runtime.channels.input_gate import InputGate
from actorflow.runtime.channels.links import DataPlane
from actorflow.runtime.channels.partition_reading import FarPartitions, PartitionInput, PartitionNews
from actorflow.runtime.channels.partitions import Partitions
from actorflow.runtime.subtasks.context import AsyncHome
from actorflow.runtime.subtasks.source_feed import SourceFeed
from actorflow.runtime.subtasks.subtask import Subtask
from actorflow.runtime.subtasks.subtask_contract import BEGIN
from actorflow.storage.blob_files import BlobFiles

_RESULT_CHUNKS_UNDER_WAY_MAX = 8
"""Chunks of a `collect` sink that one subtask may have on their way to the client."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where subtasks are built.

    Attributes:
        system: the node's actors.
        plane: the node's transport; None when all subtasks are on this node.
        async_home: for asynchronous operators.
        watched: whether to report user code that does not return (not where it may stand in a debugger).
        message_bytes_max: the largest control message that can be sent.
        backup: where the job keeps copies of its state on this host; None if nowhere.
        cache: where the job keeps on this host copies of cached files, and what its stages write for each other; None if it has none.
        blobs: where the TaskManager keeps the blobs that it has fetched; None where nobody fetches any.
        served: by whom what stages write here is read to other hosts, if there are any.
    """

    system: ActorSystem
    plane: DataPlane | None
    async_home: AsyncHome
    watched: bool = True
    message_bytes_max: int = 1 << 30
    backup: Path | None = None
    cache: Path | None = None
    blobs: Path | None = None
    served: PartitionsAt = field(default_factory=PartitionsAt)

    def code_of(self, message: OpenDeployment) -> bytes:
        """Return the graph of a deployment, with user code: from the message, or the blob that it names.

        Raises:
            OSError: if that cannot be read.
        """
        if not message.code:
            return message.plan
        assert self.blobs is not None, "who names blobs leases slots where they are fetched"
        return BlobFiles(self.blobs).path(message.code).read_bytes()


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one deployment of a job says to one worker.

    Attributes:
        job: unique id of the job.
        attempt: number of the deployment; fences frames, and names files.
        job_master: to whom results and requests for splits go.
        graph: the execution graph, with user code.
        config: the job's effective options.
        mine: the subtasks to build here.
        workers: for each subtask of the job the worker that runs it.
        on_this_host: those of their nodes that no network lies between.
        restored: what a checkpoint holds of them: by vertex the parts of all subtasks that it had, in their order.
        quarantined: records that operators are to put aside.
        run: number of the run that it belongs to; fences messages.
    """

    job: JobId
    attempt: int
    job_master: Address
    graph: ExecutionGraph
    config: Config
    mine: tuple[SubtaskId, ...]
    workers: dict[SubtaskId, Address]
    on_this_host: frozenset[NodeId]
    restored: Mapping[VertexId, tuple[bytes, ...]] = field(default_factory=dict)
    quarantined: tuple[Quarantined, ...] = ()
    run: int = 0

    def node_of(self, subtask: SubtaskId) -> NodeId:
        """Return the node that runs a subtask."""
        return split_address(self.workers[subtask])[0]

    def partitions(self, site: Site, context: ActorContext) -> Partitions:
        """Return what its subtasks there write for later stages, and read of earlier ones; `context` is their worker's."""
        far = None if site.plane is None else FarPartitions(context, site.plane, self.job, self.attempt)
        return Partitions(self.graph, self.attempt, site.cache, site.served, far, self.config[options.FRAME_BYTES_MAX])

    def replaces(self, earlier: Sequence[int], plane: DataPlane | None) -> None:
        """Let go of the channels that its subtasks had in earlier deployments, and with them of the state that those held."""
        if plane is not None and earlier:
            mine = frozenset(self.mine)
            plane.unregister(earlier, [one.id for one in self.graph.channels if one.producer in mine or one.consumer in mine])


class ResultWindow:
    """Counts the chunks of a `collect` sink that are on their way, so that a slow client slows the job instead of filling memory."""

    __slots__ = ("_under_way", "send_on")

    def __init__(self, send_on: Callable[[bytes], None]) -> None:
        self.send_on = send_on
        self._under_way = 0

    @property
    def full(self) -> bool:
        """Whether the sink has to wait."""
        return self._under_way >= _RESULT_CHUNKS_UNDER_WAY_MAX

    def send(self, payload: bytes) -> None:
        """Send one chunk."""
        self._under_way += 1
        self.send_on(payload)

    def taken(self) -> None:
        """Note that one chunk has arrived."""
        self._under_way -= 1


@dataclass(slots=True)
class Part:
    """A subtask under construction, and later what its worker needs to reach it by."""

    id: SubtaskId
    vertex: Vertex
    actor: Subtask
    gate: InputGate | None = None
    source: SourceFeed | None = None
    results: ResultWindow | None = None
    reads: tuple[PartitionInput, ...] = ()
    writes: PartitionsAt | None = None
    """Where it writes what later stages read, if any do."""

    def begin(self, written: Sequence[WrittenPartitions]) -> None:
        """Have it start, and read what earlier stages have written for it."""
        places = {partitions.producer: partitions.at for partitions in written}
        for source in self.reads:
            source.read(places[source.producer])
        self.actor.ref.tell_control(BEGIN)

    def misses(self, news: PartitionNews) -> None:
        """Have it fail if that means that it cannot read what it still needs."""
        for source in self.reads:
            failing = source.failing(news)
            if failing is not None:
                self.actor.post(failing)
