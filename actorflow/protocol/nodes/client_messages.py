"""What clients and the Dispatcher say to each other, beside `SubmitJob`, `CancelJob` and the news of a job.

A client lives on a node of its own, which comes and goes as it likes. So it asks again and again (`AttachClient`), and is answered by how the
job is; results come numbered, and are sent again until they are acknowledged.
"""

from __future__ import annotations

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId, NodeId, SubtaskId
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.wire.message import Message


class AttachClient(Message, frozen=True):
    """Tell `client` of this job from now on. Answered at once: by the job's status, or `JobUnknown`."""

    job: JobId
    client: Address


class JobUnknown(Message, frozen=True):
    """There is no such job, or it is over for so long that it is forgotten."""

    job: JobId


class ResultsSent(Message, frozen=True):
    """Records of a `collect` sink, pickled; `number` counts those of one subtask in one attempt, from 1."""

    job: JobId
    subtask: SubtaskId
    attempt: int
    number: int
    payload: bytes


class ResultsReceived(Message, frozen=True):
    """The client has all results of a subtask up to `number`."""

    job: JobId
    subtask: SubtaskId
    attempt: int
    number: int


class CheckVersions(Message, frozen=True):
    """Asked of the Dispatcher: can code that was pickled with these versions run here? Answered by `VersionsChecked`."""

    versions: dict[str, str]


class VersionsChecked(Message, frozen=True):
    """What is another version on the cluster, or missing, a text for each."""

    differences: tuple[str, ...]


class CheckTaskManagers(Message, frozen=True):
    """Asked of the ResourceManager: can every TaskManager run code that was pickled with these versions? Answered by `VersionsChecked`."""

    versions: dict[str, str]


class AskVersions(Message, frozen=True):
    """To a TaskManager's node: which of these versions does it not have? Answered by `VersionsTold`, to `asker`."""

    versions: dict[str, str]
    asker: Address


class VersionsTold(Message, frozen=True):
    """What is another version on a TaskManager's node, or missing, a text for each."""

    node: NodeId
    differences: tuple[str, ...]


class ListJobs(Message, frozen=True):
    """Asked of the Dispatcher; answered by `JobsListed`."""


class JobSummary(Message, frozen=True):
    """A job as lists show it.

    Attributes:
        job: unique id.
        name: the pipeline's name.
        status: where it is in its life.
        attempt: number of the deployment.
        records_in: records that its sources have read.
        records_out: records that its sinks have written.
        duration_s: since it was submitted, or until it ended.
        error: why it failed, restarts or waits.
        age_s: since it was submitted.
    """

    job: JobId
    name: str
    status: JobStatus
    attempt: int
    records_in: int
    records_out: int
    duration_s: float
    error: ErrorInfo | None = None
    age_s: float = 0.0


class JobsListed(Message, frozen=True):
    """The jobs of a cluster, oldest first."""

    jobs: tuple[JobSummary, ...]


class DescribeEndedJob(Message, frozen=True):
    """Asked of the Dispatcher: how did a job end? Answered by `EndedJobDescribed`. A job that is under way describes itself."""

    job: JobId


class EndedJobDescribed(Message, frozen=True):
    """How a job ended: what its `JobState` showed, as JSON; nothing if it is not over, or not known so well any more."""

    job: JobId
    record: bytes


class DescribeCluster(Message, frozen=True):
    """Asked of the ResourceManager; answered by `ClusterDescribed`."""


class TaskManagerSummary(Message, frozen=True):
    """A TaskManager as lists show it: its address, its slots, how many of them nobody holds, and where its node can be reached."""

    task_manager: Address
    slots: int
    free: int
    endpoints: tuple[str, ...] = ()


class ClusterDescribed(Message, frozen=True):
    """The TaskManagers that are registered."""

    task_managers: tuple[TaskManagerSummary, ...]


CLIENT_MESSAGES: tuple[type[Message], ...] = (
    AttachClient,
    JobUnknown,
    ResultsSent,
    ResultsReceived,
    CheckVersions,
    VersionsChecked,
    CheckTaskManagers,
    AskVersions,
    VersionsTold,
    ListJobs,
    JobsListed,
    DescribeEndedJob,
    EndedJobDescribed,
    DescribeCluster,
    ClusterDescribed,
)
"""The messages of this file that are sent as such."""
