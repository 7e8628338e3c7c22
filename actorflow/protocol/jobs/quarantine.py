"""Which records are taken out of the way: those that have failed again and again where a user asked for that.

    record failed at an operator ─► counted ─► not often enough: the job restarts, and tries it again
                                       └────► often enough: the next run is told to put it aside

A record is known by its *suspect*, a digest that the operator makes of it. State is that of the last checkpoint after each failure, so what
a failed attempt has half done is undone; for the same reason it is not enough to put a record aside once: whoever restores a checkpoint of
before has to do it again. So the orders of all runs are given to each, and operators count in their own state how many they have carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId
from actorflow.protocol.machine import ensure


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An order to put records aside.

    Attributes:
        suspect: digest of the record.
        times: how many such records, since the job began.
        failures: how often each has failed.
        error: the last failure, with its traceback. Its context names operator and subtask.
    """

    suspect: str
    times: int
    failures: int
    error: ErrorInfo

    def concerns(self, operator: str, subtask: SubtaskId | None) -> bool:
        """Return whether the record failed in this operator and, if one is given, in this subtask of it."""
        context = self.error.context
        return context.get("operator") == operator and (subtask is None or context.get("subtask") == str(subtask))


class Quarantine:
    """Counts failures of single records.

    Args:
        limits: after how many failures a record is put aside, by operator.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._failures: dict[tuple[str, str], int] = {}
        self._orders: dict[tuple[str, str], Quarantined] = {}

    def failed(self, error: ErrorInfo) -> None:
        """Take in what has ended a run."""
        operator = error.context.get("operator", "")
        limit = self._limits.get(operator)
        if limit is None or not error.suspect:
            return
        record = (operator, error.suspect)
        failures = self._failures[record] = self._failures.get(record, 0) + 1
        if failures >= limit:
            del self._failures[record]
            before = self._orders.get(record)
            self._orders[record] = Quarantined(error.suspect, 1 + (before.times if before else 0), failures, error)

    @property
    def orders(self) -> tuple[Quarantined, ...]:
        """What a run is to put aside."""
        return tuple(self._orders.values())

    def check(self) -> None:
        """State that no record has failed more often than it may."""
        for (operator, suspect), failures in self._failures.items():
            ensure(
                failures < self._limits[operator], f"record {suspect} of '{operator}' failed {failures} times and is not put aside"
            )
