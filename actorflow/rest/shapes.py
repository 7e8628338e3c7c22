"""The shapes of what the server answers, under Flink's names. FastAPI checks answers against them and describes them in the OpenAPI page.

Times are ms since the Unix epoch, durations ms; -1 stands for a time that has not come, as in Flink.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from actorflow.rest.part_shapes import PlanGraph


class Errors(TypedDict):
    """Why a request was refused."""

    errors: list[str]


Overview = TypedDict(
    "Overview",
    {
        "taskmanagers": int,
        "slots-total": int,
        "slots-available": int,
        "jobs-running": int,
        "jobs-finished": int,
        "jobs-cancelled": int,
        "jobs-failed": int,
        "flink-version": str,
    },
)


class JobId(TypedDict):
    """A job by its id."""

    id: str
    status: str


class Jobs(TypedDict):
    """All jobs."""

    jobs: list[JobId]


JobLine = TypedDict(
    "JobLine",
    {
        "jid": str,
        "name": str,
        "state": str,
        "start-time": int,
        "end-time": int,
        "duration": int,
        "attempt": int,
        "read-records": int,
        "write-records": int,
        "error": str | None,
    },
)


class JobsOverview(TypedDict):
    """All jobs, with what lists show of them."""

    jobs: list[JobLine]


IoMetrics = TypedDict(
    "IoMetrics",
    {
        "read-bytes": int,
        "write-bytes": int,
        "read-records": int,
        "write-records": int,
        "accumulated-busy-time": int,
        "accumulated-idle-time": int,
        "accumulated-backpressured-time": int,
    },
)


class Vertex(TypedDict):
    """A vertex, with the sums of its subtasks."""

    id: str
    name: str
    parallelism: int
    maxParallelism: int
    status: str
    tasks: dict[str, int]
    metrics: IoMetrics


class Edge(TypedDict):
    """An exchange between two vertices."""

    source: str
    target: str
    ship_strategy: str


class Rescaling(TypedDict):
    """The parallelism that a job is to have, the highest of a vertex, and how far that is."""

    parallelism: int
    phase: str


class Stage(TypedDict):
    """Vertices of a batch job that run at the same time."""

    vertices: list[str]
    status: str


Job = TypedDict(
    "Job",
    {
        "jid": str,
        "name": str,
        "job-type": str,
        "state": str,
        "start-time": int,
        "end-time": int,
        "duration": int,
        "now": int,
        "attempt": int,
        "error": str | None,
        "vertices": list[Vertex],
        "status-counts": dict[str, int],
        "edges": list[Edge],
        "plan": PlanGraph | None,
        "parallelism": int,
        "rescaling": Rescaling | None,
        "stages": list[Stage],
    },
)


class JobException(TypedDict):
    """An error of a job: what was raised, the user's part of the traceback, and where."""

    exceptionName: str
    stacktrace: str
    timestamp: int | None
    taskName: str | None


class ExceptionHistory(TypedDict):
    """The last errors of a job, and whether there were more."""

    entries: list[JobException]
    truncated: bool


class JobExceptions(TypedDict):
    """Why a job has failed, or was last deployed anew."""

    exceptionHistory: ExceptionHistory


Subtask = TypedDict(
    "Subtask",
    {
        "subtask": int,
        "status": str,
        "attempt": int,
        "endpoint": str,
        "taskmanager-id": str,
        "metrics": IoMetrics,
        "watermark": int | None,
        "busy-ratio": float | None,
        "idle-ratio": float | None,
        "backpressure-ratio": float | None,
        "waits-for": str | None,
    },
)


class VertexDetails(TypedDict):
    """A vertex with its subtasks."""

    id: str
    name: str
    parallelism: int
    maxParallelism: int
    now: int
    subtasks: list[Subtask]


class CheckpointCounts(TypedDict):
    """How many checkpoints there were."""

    total: int
    in_progress: int
    completed: int
    failed: int


class Checkpoint(TypedDict):
    """A completed checkpoint; sizes in bytes."""

    id: int
    status: str
    trigger_timestamp: int
    latest_ack_timestamp: int
    end_to_end_duration: int
    external_path: str | None
    state_size: int
    checkpointed_size: int
    persisted_data: int
    alignment: int
    num_subtasks: int
    num_acknowledged_subtasks: int


class LatestCheckpoint(TypedDict):
    """The latest checkpoint of each kind."""

    completed: Checkpoint | None


class Checkpoints(TypedDict):
    """How checkpoints go; the history begins with the latest."""

    counts: CheckpointCounts
    latest: LatestCheckpoint
    history: list[Checkpoint]
    error: str | None


FormatType = Literal["CANONICAL", "NATIVE"]
SavepointWanted = TypedDict(
    "SavepointWanted",
    {"target-directory": NotRequired[str | None], "cancel-job": NotRequired[bool], "formatType": NotRequired[FormatType]},
)


class StopWanted(TypedDict):
    """How a job is to be stopped."""

    targetDirectory: NotRequired[str | None]
    drain: NotRequired[bool]
    formatType: NotRequired[FormatType]


Requested = TypedDict("Requested", {"request-id": str})
FailureCause = TypedDict("FailureCause", {"class": str, "stack-trace": str})
Operation = TypedDict("Operation", {"location": NotRequired[str], "failure-cause": NotRequired[FailureCause]})


class RequestStatus(TypedDict):
    """Whether a request is through."""

    id: str


class SavepointStatus(TypedDict):
    """What has become of a request for a savepoint."""

    status: RequestStatus
    operation: Operation | None


class TaskManager(TypedDict):
    """A TaskManager and its slots."""

    id: str
    path: str
    slotsNumber: int
    freeSlots: int


class TaskManagers(TypedDict):
    """All TaskManagers."""

    taskmanagers: list[TaskManager]


class Setting(TypedDict):
    """An option that is set, and where; secrets are hidden."""

    key: str
    value: str
    origin: str


Features = TypedDict("Features", {"web-submit": bool, "web-cancel": bool, "web-rescale": bool, "web-history": bool})
Dashboard = TypedDict(
    "Dashboard",
    {"refresh-interval": int, "timezone-name": str, "timezone-offset": int, "flink-version": str, "features": Features},
)

ActorLine = TypedDict(
    "ActorLine",
    {
        "path": str,
        "kind": str,
        "state": str,
        "inbox": int,
        "handled": int,
        "restarts": int,
        "address": str,
        "busy-ratio": float | None,
        "backpressure-ratio": float | None,
        "records-in-per-second": float | None,
        "records-out-per-second": float | None,
    },
)


class Actors(TypedDict):
    """Every actor of a cluster."""

    actors: list[ActorLine]


class ActorDetails(TypedDict):
    """What an actor shows of itself."""

    path: str
    address: str
    observation: Any


class StoryEntry(TypedDict):
    """An event of an actor, and what it caused; `at` is on the clock of its node, in seconds."""

    at: float
    event: str
    caused: list[str]


class Story(TypedDict):
    """The last events of an actor."""

    path: str
    story: list[StoryEntry]


class Stack(TypedDict):
    """Where the threads of a worker stand."""

    path: str
    stack: str


class Blame(TypedDict):
    """An actor that holds something up."""

    path: str
    why: str


class SlowReport(TypedDict):
    """Who holds up a job."""

    state: str
    culprits: list[Blame]
    watermark: Blame | None
    checkpoint: int
    barrier: list[Blame]
    text: str
