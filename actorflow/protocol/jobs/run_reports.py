"""What a run reports to its job. What concerns a region that fails alone is in `failover`, what concerns output in `commit`."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.errors import ErrorInfo


@dataclass(frozen=True, slots=True)
class RunDeployed:
    """Every subtask has started."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every subtask has finished; nothing is visible yet."""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """Something went wrong."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class RunEnded:
    """After a cancel: nothing of the run is left."""
