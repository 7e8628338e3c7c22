"""The completed checkpoints of a job: which one a restart goes on from, and which are not needed any more.

    completed ──beyond those that are retained──► subsumed ──no subtask may build upon it any more──► to be discarded

A subtask builds its next part upon the last checkpoint that it knows to be complete, and refers to its files. It may hear of one when a later one is
complete, too, which does without some of these: the earlier one stays until nobody can refer to it any more. That is known from the parts of the last
one: a subtask that took its part of checkpoint 7 and had not heard of the end of 5 may build upon 5 yet, and upon what comes later, but not upon 4. What
a part is built upon, it names itself. In a new run all parts are later than those of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

from actorflow.protocol.checkpoints.checkpoint_events import CompletedCheckpoint
from actorflow.protocol.machine import ensure


class CompletedCheckpoints:
    """Those that are retained, and those that subtasks may yet build upon.

    Args:
        retained_max: how many are retained.
        restored: of an earlier life of the job, oldest first. They may be more than are retained: the next one replaces them.
    """

    def __init__(self, retained_max: int, restored: Sequence[CompletedCheckpoint] = ()) -> None:
        self._retained_max = retained_max
        self._bound = max(retained_max, len(restored))
        self._retained = list(restored)
        self._subsumed: list[CompletedCheckpoint] = []

    @property
    def all(self) -> tuple[CompletedCheckpoint, ...]:
        """What has not been given out to be discarded, oldest first."""
        return (*self._subsumed, *self._retained)

    @property
    def latest(self) -> CompletedCheckpoint | None:
        """What a restart goes on from."""
        return self._retained[-1] if self._retained else None

    def add(self, completed: CompletedCheckpoint, oldest: int) -> list[CompletedCheckpoint]:
        """Take one that is complete; return those that are to be discarded. A savepoint is not: it belongs to its owner.

        Args:
            completed: newer than all others.
            oldest: the oldest checkpoint that later ones may be built upon.
        """
        self._retained.append(completed)
        beyond, self._retained = self._retained[: -self._retained_max], self._retained[-self._retained_max :]
        subsumed = [*self._subsumed, *(one for one in beyond if not one.savepoint)]
        self._subsumed = [one for one in subsumed if one.checkpoint >= oldest]
        return [one for one in subsumed if one.checkpoint < oldest]

    def job_over(self) -> list[CompletedCheckpoint]:
        """Return those to be discarded when no run will follow: nothing is built upon what was subsumed."""
        gone, self._subsumed = self._subsumed, []
        return gone

    def check(self) -> None:
        """State that they are in order, and no more than are allowed."""
        numbers = [one.checkpoint for one in self.all]
        ensure(numbers == sorted(set(numbers)), f"completed checkpoints are doubled or out of order: {numbers}")
        retained = len(self._retained)
        ensure(retained <= self._bound, f"{retained} checkpoints are retained, {self._bound} allowed")
