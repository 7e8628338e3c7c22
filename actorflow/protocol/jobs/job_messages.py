"""The messages by which a job comes to life, runs and ends: client, JobMaster, TaskManager, slot worker.

`attempt` numbers the deployments of one job and fences everything below: a message of an earlier attempt is dropped. `allocation` names
one use of one slot by one fresh worker process. User code and user values are opaque bytes here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId, SubtaskId, VertexId
from actorflow.plan.scale import Scale
from actorflow.protocol.blobs.blob import BlobRef, JobBlobs
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.jobs.deployment import FinishedStages
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.protocol.jobs.quarantine import Quarantined
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.protocol.transfer.partitions import PartitionsAt
from actorflow.wire.message import Message

OptionValue = str | int | float | bool | None
"""An option's value as it was set."""


class JobStatus(enum.Enum):
    """Where a job is in its life. The last three are final."""

    CREATED = "created"
    WAITING_FOR_SLOTS = "waiting-for-slots"
    DEPLOYING = "deploying"
    RUNNING = "running"
    COMMITTING = "committing"
    FAILING = "failing"
    RESTARTING = "restarting"
    RESCALING = "rescaling"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can follow."""
        return self in {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED}


# --- client ↔ JobManager ---------------------------------------------------------------------------------------------------


class SubmitJob(Message, frozen=True):
    """Run this job.

    Attributes:
        job: unique id.
        name: the pipeline's name.
        plan: the execution graph with user code, as `wire.user_code.dumps_code` made it; empty if it is in a blob.
        options: the effective configuration, by option name.
        client: is told of every change of status, and gets the results of `collect` sinks.
        restored: what its first run goes on from.
        code: the blob with the plan, if it is too large for messages.
        files: blobs with files that its operators read.
        kept_at: where a leader has stored its blobs for the next one: a URI, or nothing.
        scale: how wide it is to run, if it was rescaled.
        ended: what a leader has decided to commit, if it has: then the job is not run again.
        finished: which of its stages have finished, if a leader has kept that.
    """

    job: JobId
    name: str
    plan: bytes
    options: dict[str, OptionValue]
    client: Address
    restored: Restored = Restored()
    code: BlobRef | None = None
    files: tuple[BlobRef, ...] = ()
    kept_at: str = ""
    scale: Scale = Scale()
    ended: KeptEnd | None = None
    finished: FinishedStages = FinishedStages()

    @property
    def blobs(self) -> tuple[BlobRef, ...]:
        """All blobs that it needs."""
        return self.files if self.code is None else (*self.files, self.code)


class RescaleJob(Message, frozen=True):
    """Run the job as wide as this, from a checkpoint that is taken for it. Answered by `JobRescaled` when it runs so, or cannot.

    Attributes:
        job: which.
        request: names the request; repeated with the same name it is the same request.
        reply_to: gets the answer.
        scale: how wide.
        from_scratch: whether a job without checkpoints may begin anew.
    """

    job: JobId
    request: str
    reply_to: Address
    scale: Scale
    from_scratch: bool = False


class JobRescaled(Message, frozen=True):
    """The answer to a request for another parallelism.

    Attributes:
        request: its name.
        parallelism: the highest of an operator, now.
        paused_s: how long the job did not run.
        error: why it runs as before.
    """

    request: str
    parallelism: int
    paused_s: float = 0.0
    error: ErrorInfo | None = None


class CancelJob(Message, frozen=True):
    """End the job; its sinks commit nothing."""

    job: JobId


class JobStatusChanged(Message, frozen=True):
    """A job is in another status.

    Attributes:
        job: which.
        status: the new one.
        attempt: number of the deployment.
        error: why, if it failed or is restarting.
        records_in: records that its sources have read.
        records_out: records that its sinks have written.
    """

    job: JobId
    status: JobStatus
    attempt: int = 0
    error: ErrorInfo | None = None
    records_in: int = 0
    records_out: int = 0


class JobProgressed(Message, frozen=True):
    """How far a job is.

    Attributes:
        records_in: records that its sources have read in this attempt.
        records_out: records that its sinks have written in this attempt.
    """

    job: JobId
    attempt: int
    records_in: int
    records_out: int


class ResultChunk(Message, frozen=True):
    """Records of a `collect` sink on their way to the client, pickled. Passed on by the JobMaster; chunks of an earlier attempt are void."""

    job: JobId
    subtask: SubtaskId
    attempt: int
    payload: bytes


class ResultTaken(Message, frozen=True):
    """The client has taken one chunk of this subtask, which may send another. Passed on by the JobMaster, like the chunk."""

    subtask: SubtaskId
    attempt: int


# --- JobMaster ↔ TaskManager -----------------------------------------------------------------------------------------------------


class LeaseSlot(Message, frozen=True):
    """Start a fresh worker in a slot.

    Attributes:
        allocation: names this use of the slot.
        index: which slot of the TaskManager.
        job: for whom.
        job_master: is told when the worker is ready, and when it ends.
        blobs: what the TaskManager has to have before the worker is ready, if anything.
    """

    allocation: Allocation
    index: int
    job: JobId
    job_master: Address
    blobs: JobBlobs | None = None


class WorkerStarted(Message, frozen=True):
    """A slot worker tells its TaskManager that it is up.

    Attributes:
        allocation: its lease.
        worker: address of its worker actor.
        endpoints: where its node can be reached.
    """

    allocation: Allocation
    worker: Address
    endpoints: tuple[str, ...]


class SlotReady(Message, frozen=True):
    """The worker of an allocation can be used. Fields as in `WorkerStarted`."""

    allocation: Allocation
    worker: Address
    endpoints: tuple[str, ...]


class SlotEnded(Message, frozen=True):
    """The worker of an allocation is gone; `error` says how it ended."""

    allocation: Allocation
    error: ErrorInfo


class JobsKept(Message, frozen=True):
    """To the Dispatcher: a TaskManager keeps files of these jobs. Answered by a `JobReleased` for each that is not under way."""

    task_manager: Address
    jobs: tuple[JobId, ...]


@dataclass(frozen=True, slots=True)
class NodeLost:
    """To a JobMaster, from its own node: `node` cannot be reached any more."""

    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class LinkBroken:
    """From its own node: the connection to `node` broke, or frames to or from it were lost. It may be back in a moment."""

    node: NodeId


# --- JobMaster ↔ slot worker ---------------------------------------------------------------------------------------------------


class OpenDeployment(Message, frozen=True):
    """Build these subtasks, and be ready to be sent data for them.

    Attributes:
        job: unique id of the job.
        attempt: number of the run.
        number: of this deployment: that of the run, or a higher one if a part of it is brought back; fences frames, and names files.
        allocation: the worker's lease.
        job_master: to whom to report.
        plan: see `SubmitJob`.
        options: see `SubmitJob`.
        subtasks: what to build here.
        workers: for every subtask of the job the worker that runs it, in the order of `ExecutionGraph.subtasks()`.
        endpoints: where the nodes of those workers can be reached.
        restored: what a checkpoint holds of these subtasks: by vertex the parts of all subtasks that it had, in their order.
        quarantined: records that operators are to put aside.
        code: digest of the blob with the plan, if it is too large for messages: the TaskManager has it.
    """

    job: JobId
    attempt: int
    number: int
    allocation: Allocation
    job_master: Address
    plan: bytes
    options: dict[str, OptionValue]
    subtasks: tuple[SubtaskId, ...]
    workers: tuple[Address, ...]
    endpoints: dict[NodeId, tuple[str, ...]]
    restored: tuple[tuple[VertexId, tuple[bytes, ...]], ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    code: str = ""


class DeploymentOpened(Message, frozen=True):
    """All subtasks of this lease are built."""

    attempt: int
    allocation: Allocation


class WrittenPartitions(Message, frozen=True):
    """Where the partitions are that a subtask of an earlier stage has written."""

    producer: SubtaskId
    at: PartitionsAt


class DeploySubtask(Message, frozen=True):
    """Start to read and process: every subtask of the job is built. `reads` is what its blocking inputs read."""

    subtask: SubtaskId
    attempt: int
    reads: tuple[WrittenPartitions, ...] = ()


class CommitOutput(Message, frozen=True):
    """Make the output of all subtasks of this worker visible: the whole job has finished. `round` counts how often that was tried."""

    attempt: int
    round: int = 1


class OutputCommitted(Message, frozen=True):
    """The output of this lease's subtasks is visible, or could not be made so in this round."""

    attempt: int
    allocation: Allocation
    error: ErrorInfo | None = None
    round: int = 1


class WorkerFailed(Message, frozen=True):
    """A slot worker cannot go on, for a reason that is not one subtask's: a link that broke, a message that it could not handle."""

    attempt: int
    allocation: Allocation
    error: ErrorInfo


class ProgressReported(Message, frozen=True):
    """How far the subtasks of a worker are. Fields as in `JobProgressed`."""

    attempt: int
    allocation: Allocation
    records_in: int
    records_out: int


JOB_MESSAGES: tuple[type[Message], ...] = (
    SubmitJob,
    RescaleJob,
    JobRescaled,
    CancelJob,
    JobStatusChanged,
    JobProgressed,
    ResultChunk,
    ResultTaken,
    LeaseSlot,
    WorkerStarted,
    SlotReady,
    SlotEnded,
    JobsKept,
    OpenDeployment,
    DeploymentOpened,
    DeploySubtask,
    CommitOutput,
    OutputCommitted,
    WorkerFailed,
    ProgressReported,
)
"""The messages of this file."""
