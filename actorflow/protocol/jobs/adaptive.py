"""How wide a job runs that takes the slots there are, instead of waiting for all that it wants.

    waiting for slots ──too few, but enough for one subtask each──► settling ──time-out──► narrower
    running           ──more than it has────────────────────────► settling ──time-out──► wider

Where there is room for every operator once, a run that waits settles for that after a time-out, and for all that has come by then. What runs is widened
when slots are added, no sooner than a time-out after it was started. Fewer slots need no decision: whoever loses one fails, and waits.

Late rule: an answer to an older request is dropped; a count is the latest one, whenever it comes.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from actorflow.errors import Retry
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.jobs.job_messages import JobRescaled
from actorflow.protocol.machine import CancelTimer, Effect, Report, SetTimer, ensure

TIMER = "adaptive"


@dataclass(frozen=True, slots=True)
class Elasticity:
    """What a job makes of the slots there are.

    Attributes:
        wanted: how many slots each of its slot groups would have if there were enough.
        settle_s: how long a run waits for more slots, if there are some.
        cooldown_s: how long a run goes on before it is widened.
        increase_min: by how many subtasks of the widest operator it must be.
    """

    wanted: tuple[int, ...]
    settle_s: float = 10.0
    cooldown_s: float = 30.0
    increase_min: int = 1

    def width(self, slots: int) -> int:
        """Return with how many subtasks at most each operator runs on so many slots; 0 if they are too few."""
        return bisect_right(
            range(1, width_of(self.wanted) + 1), slots, key=lambda most: sum(min(most, group) for group in self.wanted)
        )


def slots_of_groups(graph: ExecutionGraph) -> tuple[int, ...]:
    """Return how many slots each slot group of a job needs."""
    highest: dict[str, int] = {}
    for vertex in graph.vertices:
        highest[vertex.slot_group] = max(highest.get(vertex.slot_group, 0), vertex.parallelism)
    return tuple(highest.values())


def width_of(groups: Sequence[int]) -> int:
    """Return how many subtasks the widest operator has."""
    return max(groups, default=0)


@dataclass(frozen=True, slots=True)
class Resize:
    """Reported when the job is to have another width.

    Attributes:
        request: names the request.
        width: with how many subtasks at most each operator is to run.
    """

    request: str
    width: int


@dataclass(frozen=True, slots=True)
class CountAnew:
    """Reported when it must be known how many slots there are."""


class Stage(enum.Enum):
    """What the job does, as far as it matters here."""

    WAITING = "waiting for slots"
    RUNNING = "running"
    BETWEEN = "between"


class Adaptive:
    """Decides how wide one job runs."""

    def __init__(self) -> None:
        self._stage = Stage.BETWEEN
        self._run = 0
        self._rules: Elasticity | None = None
        self._width = 0
        self._since = 0.0
        """When the stage was entered, or a request was refused."""
        self._slots: int | None = None
        self._due_at: float | None = None
        self._requests = 0
        self._request = ""
        """What is not answered yet."""

    def is_in(self, stage: Stage, run: int) -> bool:
        """Return whether this is what the job did before."""
        return (stage, run) == (self._stage, self._run)

    def enter(self, stage: Stage, run: int, rules: Elasticity | None, width: int, now: float) -> list[Effect]:
        """Note what the job does: in which run, with which rules, and how wide."""
        self._stage, self._run, self._rules, self._width, self._since = stage, run, rules, width, now
        self._slots, self._request = None, ""
        count: list[Effect] = [] if stage is Stage.BETWEEN or rules is None else [Report(CountAnew())]
        return [*self._rest(), *count]

    def counted(self, slots: int, now: float) -> list[Effect]:
        """Take how many slots there are for the job."""
        self._slots = slots
        return self._consider(now)

    def answered(self, answer: JobRescaled, now: float) -> list[Effect]:
        """Take what has become of a request."""
        if answer.request != self._request:
            return []
        self._request, self._since = "", now
        if answer.error is not None and answer.error.retry is Retry.NEVER:
            self._slots = None  # it cannot have this width: there is nothing to do until their number is another one
        return self._consider(now)

    def time_out(self) -> list[Effect]:
        """Ask for the width that there are slots for: it has not got more for long enough."""
        if self._due_at is None:
            return []
        self._due_at = None
        self._requests += 1
        self._request = f"{TIMER}:{self._run}:{self._requests}"
        return [Report(Resize(self._request, self._possible()))]

    def _consider(self, now: float) -> list[Effect]:
        """Set the timer if another width is possible, and better than what is."""
        if self._request:
            return []
        if not self._better():
            return self._rest()
        if self._due_at is not None:
            return []
        assert self._rules is not None, "nothing is better without rules"
        if self._stage is Stage.WAITING:
            self._due_at = now + self._rules.settle_s
        else:
            self._due_at = max(now, self._since + self._rules.cooldown_s)
        return [SetTimer(TIMER, self._due_at)]

    def _better(self) -> bool:
        possible = self._possible()
        match self._stage:
            case Stage.WAITING:
                return 0 < possible < self._width
            case Stage.RUNNING:
                return self._rules is not None and possible >= self._width + self._rules.increase_min
            case Stage.BETWEEN:
                return False

    def _possible(self) -> int:
        return 0 if self._rules is None or self._slots is None else self._rules.width(self._slots)

    def _rest(self) -> list[Effect]:
        if self._due_at is None:
            return []
        self._due_at = None
        return [CancelTimer(TIMER)]

    def check(self) -> None:
        """State that a width is asked for where it is better, and not twice at a time."""
        ensure(self._due_at is None or self._better(), f"a width is due while the job is {self._stage.value}, and it is no better")
        ensure(self._due_at is None or not self._request, "a width is due while another one is asked for")
