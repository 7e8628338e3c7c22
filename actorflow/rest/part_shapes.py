"""The shapes of what the server answers about parts: of a job's plan, its vertices, checkpoints and metrics, and of nodes. Names are Flink's."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class PlanInput(TypedDict):
    """What feeds a node of a plan: the other node, and how records are exchanged."""

    num: int
    id: str
    ship_strategy: str
    exchange: str


class PlanNode(TypedDict):
    """A vertex in a plan."""

    id: str
    parallelism: int
    operator: str
    operator_strategy: str
    description: str
    inputs: list[PlanInput]


class PlanGraph(TypedDict):
    """The nodes of a plan in topological order."""

    jid: str
    name: str
    type: str
    nodes: list[PlanNode]


class Plan(TypedDict):
    """What a job is made of."""

    plan: PlanGraph


Pressure = TypedDict(
    "Pressure",
    {
        "subtask": int,
        "attempt-number": int,
        "backpressure-level": str,
        "ratio": float,
        "idleRatio": float,
        "busyRatio": float,
    },
)
BackPressure = TypedDict(
    "BackPressure",
    {"status": str, "backpressure-level": str, "end-timestamp": int, "subtasks": list[Pressure]},
)


class Spread(TypedDict):
    """A metric by its name over several that have it, with what was asked for of them."""

    id: str
    min: NotRequired[float]
    max: NotRequired[float]
    avg: NotRequired[float]
    sum: NotRequired[float]


class Figure(TypedDict):
    """A metric by its name, with its value as text where it was asked for."""

    id: str
    value: NotRequired[str]


class SlotShown(TypedDict):
    """A slot that is leased."""

    index: int
    jobId: str


class TaskManagerDetails(TypedDict):
    """A TaskManager with the slots that jobs hold."""

    id: str
    path: str
    slotsNumber: int
    freeSlots: int
    allocatedSlots: list[SlotShown]


class ThreadInfo(TypedDict):
    """Where the threads of a process stand."""

    threadName: str
    stringifiedThreadInfo: str


class ThreadDump(TypedDict):
    """Where processes stand, that of the node first."""

    threadInfos: list[ThreadInfo]


class Runtime(TypedDict):
    """The interpreter of a process, where Flink has its JVM."""

    version: str
    arch: str
    options: list[str]


class Environment(TypedDict):
    """What a process runs on."""

    jvm: Runtime
    classpath: list[str]


class LogFile(TypedDict):
    """A file of a node, its bytes and when it was written last, in ms."""

    name: str
    size: int
    mtime: int


class Logs(TypedDict):
    """The files of a node."""

    logs: list[LogFile]


class WidthBounds(TypedDict):
    """Between how many and how many subtasks a vertex is to have."""

    lowerBound: int
    upperBound: int


class VertexRequirements(TypedDict):
    """How wide a vertex is to run."""

    parallelism: WidthBounds
