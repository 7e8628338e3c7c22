"""A diagnosis with the names that people know, and as text."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.inspection.diagnosis import Blamed, Diagnosis
from actorflow.inspection.facts import JobFacts

_WAITS_SHOWN_MAX = 8


@dataclass(frozen=True, slots=True)
class Blame:
    """An actor that holds something up, by its path, and why."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path} {self.why}"


@dataclass(frozen=True, slots=True)
class SlowReport:
    """Who holds up a job. `str` of it is for people.

    Attributes:
        job: its name.
        status: where it is in its life.
        culprits: who holds up its data.
        waits: who waits for whom, and why.
        watermark: who holds back event time.
        checkpoint: number of the oldest checkpoint under way; 0 if there is none.
        barrier: who holds that up.
        error: why it fails or restarts.
    """

    job: str
    status: str
    culprits: tuple[Blame, ...] = ()
    waits: tuple[tuple[str, str, str], ...] = ()
    watermark: Blame | None = None
    checkpoint: int = 0
    barrier: tuple[Blame, ...] = ()
    error: str = ""

    @staticmethod
    def of(facts: JobFacts, diagnosis: Diagnosis | None) -> SlowReport:
        """Return the report on a job; without a diagnosis, if nothing of it runs."""
        error = str(facts.error["message"]) if facts.error is not None else ""
        if diagnosis is None:
            return SlowReport(facts.name, facts.status, error=error)

        def named(blamed: Blamed) -> Blame:
            return Blame(facts.path(blamed.subtask), blamed.why)

        return SlowReport(
            facts.name,
            facts.status,
            tuple(map(named, diagnosis.culprits)),
            tuple((facts.path(wait.waiter), facts.path(wait.awaited), wait.why) for wait in diagnosis.waits),
            named(diagnosis.watermark) if diagnosis.watermark is not None else None,
            diagnosis.barriers[0],
            tuple(map(named, diagnosis.barriers[1])),
            error,
        )

    def __str__(self) -> str:
        lines = [f"job '{self.job}' is {self.status}{f': {self.error}' if self.error else ''}"]
        lines += [f"  held up by: {culprit}" for culprit in self.culprits]
        lines += [f"  {waiter} waits for {awaited}: {why}" for waiter, awaited, why in self.waits[:_WAITS_SHOWN_MAX]]
        if len(self.waits) > _WAITS_SHOWN_MAX:
            lines.append(f"  and {len(self.waits) - _WAITS_SHOWN_MAX} more wait")
        if self.watermark is not None:
            lines.append(f"  event time is held back by: {self.watermark}")
        lines += [f"  checkpoint {self.checkpoint} is held up by: {blame}" for blame in self.barrier]
        return "\n".join(lines)

    __repr__ = __str__
