"""What a `Fleet` is told, has a driver do, and reports; and the rules that it keeps to."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import NodeId


@dataclass(frozen=True, slots=True)
class FleetRules:
    """What a fleet keeps to.

    Attributes:
        prefix: of the names of its TaskManagers, and of no others.
        slots_each: how many slots a TaskManager will have that has not registered.
        slots_max: how many slots there may be, those of TaskManagers that others have started included.
        slots_min: how many there always are.
        reserve: how many TaskManagers' slots are kept free while jobs run.
        idle_s: how long a TaskManager may be idle.
        registration_s: how long it may take from the request to its first offer of slots.
        pause_s: between a start that failed and the next one; doubled with each failure in a row.
        pause_max_s: the longest pause.
    """

    prefix: str
    slots_each: int
    slots_max: int
    slots_min: int = 0
    reserve: int = 0
    idle_s: float = 30.0
    registration_s: float = 300.0
    pause_s: float = 3.0
    pause_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class OpenFleet:
    """Begin: look for what there is. The first event."""


@dataclass(frozen=True, slots=True)
class RequestTaskManager:
    """Work: have a TaskManager started whose node has this name."""

    name: NodeId


@dataclass(frozen=True, slots=True)
class ReleaseTaskManager:
    """Work: have a TaskManager ended, if there is such a one."""

    name: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class FindTaskManagers:
    """Work: list the names of the TaskManagers that were started, by whomever, and have not ended."""

    number: int


@dataclass(frozen=True, slots=True)
class StartFailed:
    """Reported when a TaskManager has failed to come. The next one is asked for after `pause_s`."""

    name: NodeId
    error: ErrorInfo
    failures: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class DriverFailed:
    """Reported when the driver could not end a TaskManager, or not say which there are. It is asked again."""

    work: ReleaseTaskManager | FindTaskManagers
    error: ErrorInfo
