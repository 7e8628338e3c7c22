"""What begins the life of a job, and what a JobMaster reports of it."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import JobId
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.jobs.job_state import JobState


@dataclass(frozen=True, slots=True)
class Begin:
    """Run the job. The first event."""


@dataclass(frozen=True, slots=True)
class JobOver:
    """Reported once, when the job has reached a final status; `state` is the job as it ended, before it gave back its slots."""

    job: JobId
    status: JobStatus
    state: JobState


@dataclass(frozen=True, slots=True)
class RegionRestarting:
    """Reported when a failover region has failed alone, and is brought back after a pause."""

    job: JobId
    error: ErrorInfo
    after_s: float
