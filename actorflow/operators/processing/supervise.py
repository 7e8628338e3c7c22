"""What follows the failures of one operator: when the job runs again, and whether a record that fails again and again is put aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from actorflow.errors import PlanError
from actorflow.operators.processing.actor import Tagged


@dataclass(frozen=True)
class Supervise:
    """What follows when an operator fails.

    Attributes:
        restart: when the job runs again: as its own strategy says (`job`), or after pauses that grow with each failure of this operator,
            as the options of `restart-strategy.exponential-delay` say (`exponential`).
        quarantine_after: so many failures of one record, and it is put aside: the job goes on without it. None: never.
        dead_letters: side output that gets an `actorflow.DeadLetter` for each record that was put aside: a tag, or its name.

    Raises:
        PlanError: if the values make no sense, or records would vanish without a trace.
    """

    restart: Literal["job", "exponential"] = "job"
    quarantine_after: int | None = None
    dead_letters: Tagged | str | None = None

    def __post_init__(self) -> None:
        if self.restart not in {"job", "exponential"}:
            raise PlanError(f"restart of Supervise must be 'job' or 'exponential', not {self.restart!r}")
        limit = self.quarantine_after
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise PlanError(f"quarantine_after of Supervise must be a number of failures from 1, or None, not {limit!r}")
        if (limit is None) != (self.dead_letters is None):
            raise PlanError(
                "Supervise needs quarantine_after and dead_letters together",
                hint="write Supervise(quarantine_after=3, dead_letters=af.Tag('dead')), and read .side_output(...)",
            )

    @property
    def tag(self) -> str:
        """Name of the side output for dead letters."""
        return str(self.dead_letters if isinstance(self.dead_letters, str) else getattr(self.dead_letters, "name", ""))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was put aside.

    Attributes:
        record: the record.
        timestamp: its event time in ms, or None.
        operator: where it failed.
        failures: how often.
        error: what was raised the last time, as `ValueError: text`.
        traceback: the user's part of the traceback.
    """

    record: Any
    timestamp: int | None
    operator: str
    failures: int
    error: str
    traceback: str
