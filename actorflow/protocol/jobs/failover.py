"""Which part of a run fails with a subtask: its failover region, which is brought back while all others keep running.

    whole ──a subtask has failed──► ending ──all of the region have ended──► ended ──told to go on──► returning ──all have started──► whole
                                       └────────────── any other failure, and any of a worker: the whole run fails ──────────────┘

A region (see `plan.regions`) comes back in the workers that it had, from the last completed checkpoint, under a number of its own, which fences
its frames and names its files: numbers of runs and of regions that came back are one sequence. Who speaks for it to whom stays the same.
One comes back at a time, and only of a run that had started as a whole: what else fails meanwhile is the failure of the run.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId
from actorflow.plan.regions import Region
from actorflow.protocol.machine import ensure


@dataclass(frozen=True, slots=True)
class RegionFailed:
    """Reported by a run when a subtask has failed whose region can be brought back by itself."""

    subtask: SubtaskId
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class RegionEnded:
    """Reported by a run when nothing of the region that has failed is left."""


@dataclass(frozen=True, slots=True)
class RegionReturned:
    """Reported by a run when the region that had failed is processing again."""


class Phase(enum.Enum):
    """Where the region that has failed stands."""

    WHOLE = "whole"
    ENDING = "ending"
    ENDED = "ended"
    RETURNING = "returning"


class RegionFailover:
    """Follows the region of a run that has failed, if one has.

    Args:
        number: of the run.
        regions: of the job; with less than two nothing can be brought back by itself.
        subtasks: of the run.

    Attributes:
        region: the subtasks of the region that has failed; none if the run is whole.
        latest: the highest number that was given: of the run, or of a region that came back.
    """

    def __init__(self, number: int, regions: Sequence[Region], subtasks: Iterable[SubtaskId]) -> None:
        self.latest = number
        self.region: dict[SubtaskId, None] = {}
        self._phase = Phase.WHOLE
        self._left: dict[SubtaskId, None] = {}
        """Those of the region that have not ended."""
        self._regions = {
            subtask: region for subtask in subtasks for region in regions if subtask.vertex in region and len(regions) > 1
        }

    @property
    def busy(self) -> bool:
        """Whether a region has failed, and is not back."""
        return self._phase is not Phase.WHOLE

    @property
    def ended(self) -> bool:
        """Whether it waits to be told to go on."""
        return self._phase is Phase.ENDED

    def alone(self, subtask: SubtaskId) -> bool:
        """Return whether the failure of a subtask is one of its region alone."""
        return not self.busy and subtask in self._regions

    def failed(self, subtask: SubtaskId, alive: Iterable[SubtaskId]) -> None:
        """Begin with the region of a subtask that has failed.

        Args:
            subtask: which.
            alive: the subtasks of the run that have not ended.
        """
        assert self.alone(subtask), f"{subtask} fails, and its region cannot come back by itself"
        vertices = self._regions[subtask]
        self.region = {member: None for member in self._regions if member.vertex in vertices}
        self._left = {member: None for member in alive if member in self.region}
        self._phase = Phase.ENDING if self._left else Phase.ENDED

    def ends(self, subtask: SubtaskId) -> bool:
        """Note the end of a subtask; return whether it is one of a region that is being ended, so that it is no other failure."""
        if self._phase is not Phase.ENDING or subtask not in self.region:
            return False
        self._left.pop(subtask, None)
        if not self._left:
            self._phase = Phase.ENDED
        return True

    def come_back(self) -> int:
        """Begin to bring the region back; return its number."""
        assert self.ended, f"the region is {self._phase.value}"
        self._phase = Phase.RETURNING
        self.latest += 1
        return self.latest

    def returned(self) -> bool:
        """Note that all subtasks have started; return whether a region has come back by that."""
        if self._phase is not Phase.RETURNING:
            return False
        self.give_up()
        return True

    def give_up(self) -> None:
        """Forget the region: it is back, or fails with all others."""
        self._phase, self.region, self._left = Phase.WHOLE, {}, {}

    def check(self) -> None:
        """State that a region and a phase go together, and that only one that is being ended is waited for."""
        ensure(self.busy == bool(self.region), f"the run is {self._phase.value} with the region {list(self.region)}")
        ensure((self._phase is Phase.ENDING) == bool(self._left), f"the region is {self._phase.value}, left are {list(self._left)}")
