"""How wide one job runs that takes the slots there are, instead of waiting for all that it wants.

    waiting for slots ──enough for its least, not for this plan──► settling ──time-out──► narrower
                      └─not even those for too long──────────────► given up
    running           ──more than it has────────────────────────► settling, cooling down ──time-outs──► wider
    restarting        ──more than it had────────────────────────► wider

A run that waits settles after a time-out for what has come by then; at once if it was widened, and what it was widened for is gone again. What runs is
widened when slots are added, no sooner than a time-out after it was started. Fewer slots need no decision: whoever loses one fails, and waits.

What is asked for is for the stage in which it was asked: a run that has got its slots after all is not narrowed any more.

Late rule: an answer to an older request is dropped; so is a count that was asked for in another stage.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from actorflow.errors import Retry
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.jobs.job_messages import JobRescaled
from actorflow.protocol.machine import CancelTimer, Effect, Report, SetTimer, ensure
from actorflow.protocol.nodes.slot_messages import SlotsCounted

TIMER = "adaptive"
ASK_AGAIN_S = 1.0
"""How long what was refused is not asked for again, at least."""


@dataclass(frozen=True, slots=True)
class Elasticity:
    """What a job makes of the slots there are.

    Attributes:
        wanted: how many slots each of its slot groups would have if there were enough.
        least: how many each of them must have.
        widens: whether a run may be ended for a wider one: it goes on from a checkpoint, or may begin anew.
        wait_s: how long a run waits for the least; infinity for as long as it takes.
        settle_s: how long it waits for more, once there are enough to run at all.
        cooldown_s: how long a run goes on before it is widened.
        stabilize_s: how long slots that were added wait for the rest of those that are wanted.
    """

    wanted: tuple[int, ...]
    least: tuple[int, ...]
    widens: bool = True
    wait_s: float = 300.0
    settle_s: float = 10.0
    cooldown_s: float = 30.0
    stabilize_s: float = 60.0

    def slots(self, width: int) -> int:
        """Return how many slots it needs if no operator has more subtasks than this, or than it must have."""
        return sum(max(least, min(width, wanted)) for least, wanted in zip(self.least, self.wanted, strict=True))

    def width(self, slots: int) -> int:
        """Return with how many subtasks at most each operator runs on so many slots; 0 if they are too few."""
        return bisect_right(range(1, max(self.wanted, default=0) + 1), slots, key=self.slots)


def slots_of_groups(graph: ExecutionGraph) -> Mapping[str, int]:
    """Return how many slots each slot group of a job needs."""
    highest: dict[str, int] = {}
    for vertex in graph.vertices:
        highest[vertex.slot_group] = max(highest.get(vertex.slot_group, 0), vertex.parallelism)
    return highest


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
class Withdraw:
    """Reported when what was asked for is not wanted any more."""

    request: str


@dataclass(frozen=True, slots=True)
class CountAnew:
    """Reported when it must be known how many slots there are. `number` names the question."""

    number: int


@dataclass(frozen=True, slots=True)
class TooFewSlots:
    """Reported when the job has waited for too long. `slots` are there for it."""

    slots: int


class Stage(enum.Enum):
    """What the job does, as far as it matters here."""

    WAITING = "waiting for slots"
    RUNNING = "running"
    GOING_OVER = "going over to another plan"
    RESTARTING = "restarting"
    BETWEEN = "between"


_COUNTING = {Stage.WAITING, Stage.RUNNING, Stage.RESTARTING}


class Adaptive:
    """Decides how wide one job runs.

    Args:
        rules: what it makes of slots.
    """

    def __init__(self, rules: Elasticity) -> None:
        self._rules = rules
        self._stage = Stage.BETWEEN
        self._run = 0
        self._slots = 0
        """How many the plan needs that runs, or waits."""
        self._since = 0.0
        """When the stage was entered."""
        self._give_up_at = math.inf
        self._settle_s = 0.0
        self._questions = 0
        self._count: SlotsCounted | None = None
        self._better_since: float | None = None
        """Since when there have been slots for a better width than this."""
        self._not_before = 0.0
        self._due_at: float | None = None
        self._requests = 0
        self.request = ""
        """What was asked for and is not answered yet."""

    def is_in(self, stage: Stage, run: int, rules: Elasticity) -> bool:
        """Return whether this is what the job did before, and what it made of slots."""
        return (stage, run, rules) == (self._stage, self._run, self._rules)

    def enter(self, stage: Stage, run: int, rules: Elasticity, slots: int, now: float, *, pending: bool) -> list[Effect]:
        """Note what the job does now.

        Args:
            stage: that.
            run: in which run.
            rules: what it makes of slots.
            slots: how many the plan of the run needs.
            now: the time.
            pending: whether what was asked for can still be withdrawn.
        """
        if stage is Stage.WAITING and self._stage is not Stage.WAITING:
            self._give_up_at = now + rules.wait_s
            self._settle_s = 0.0 if self._stage is Stage.GOING_OVER else rules.settle_s
        if (stage, run) != (self._stage, self._run):
            self._since = now
        self._stage, self._run, self._rules, self._slots = stage, run, rules, slots
        self._count, self._better_since, self._not_before = None, None, now
        effects: list[Effect] = []
        if pending and stage is Stage.BETWEEN:
            effects.append(Report(Withdraw(self.request)))
        if not pending or stage is Stage.BETWEEN:
            self.request = ""
        self._questions += 1
        if stage in _COUNTING:
            effects.append(Report(CountAnew(self._questions)))
        return [*effects, *self._consider(now)]

    def counted(self, count: SlotsCounted, now: float) -> list[Effect]:
        """Take how many slots there are for the job."""
        if count.question != self._questions:
            return []
        self._count = count
        return self._consider(now)

    def answered(self, answer: JobRescaled, now: float) -> list[Effect]:
        """Take what has become of a request."""
        if answer.request != self.request:
            return []
        self.request = ""
        if answer.error is not None:
            self._not_before = now + max(self._settle_s if self._stage is Stage.WAITING else self._rules.cooldown_s, ASK_AGAIN_S)
            if answer.error.retry is Retry.NEVER:
                self._count = None  # it cannot have this width: there is nothing to do until their number is another one
        return self._consider(now)

    def time_out(self, now: float) -> list[Effect]:
        """Ask for the width that there are slots for: it has not got more for long enough. Or give up."""
        if self._due_at is None or now < self._due_at:
            return []
        self._due_at = None
        if self._better_due() <= now:
            return self._ask(self._possible())
        if now < self._give_up_at:
            return self._consider(now)
        there = 0 if self._count is None else self._count.there
        width = self._rules.width(there)
        if width and self._rules.slots(width) < self._slots:
            return self._ask(width)
        self._give_up_at = math.inf
        return [Report(TooFewSlots(there))]

    def _ask(self, width: int) -> list[Effect]:
        self._requests += 1
        self.request = f"{TIMER}:{self._run}:{self._requests}"
        return [Report(Resize(self.request, width))]

    def _consider(self, now: float) -> list[Effect]:
        """Set the timer to when something is to be done."""
        if not self._better():
            self._better_since = None
        elif self._better_since is None:
            self._better_since = now
        give_up_at = self._give_up_at if self._stage is Stage.WAITING else math.inf
        at = math.inf if self.request else min(self._better_due(), give_up_at)
        due = None if math.isinf(at) else max(at, now)
        if due == self._due_at:
            return []
        self._due_at = due
        return [CancelTimer(TIMER) if due is None else SetTimer(TIMER, due)]

    def _better(self) -> bool:
        possible = self._possible()
        match self._stage:
            case Stage.WAITING:
                return possible > 0 and self._rules.slots(possible) < self._slots
            case Stage.RUNNING:
                return self._rules.widens and self._rules.slots(possible) > self._slots
            case Stage.RESTARTING:
                return self._rules.slots(possible) > self._slots
            case Stage.GOING_OVER | Stage.BETWEEN:
                return False

    def _better_due(self) -> float:
        """Return when a better width is to be asked for; infinity if there is none."""
        if self._better_since is None:
            return math.inf
        match self._stage:
            case Stage.WAITING:
                return max(self._better_since + self._settle_s, self._not_before)
            case Stage.RUNNING:
                complete = self._possible() == max(self._rules.wanted)
                settled = self._better_since + (0.0 if complete else self._rules.stabilize_s)
                return max(settled, self._since + self._rules.cooldown_s, self._not_before)
            case _:
                return self._not_before

    def _possible(self) -> int:
        """Return how wide it could run: one that waits also on slots that may come, any other only on those that are there."""
        if self._count is None:
            return 0
        return self._rules.width(self._count.slots if self._stage is Stage.WAITING else self._count.there)

    def check(self) -> None:
        """State that a width is asked for where it is better, and not twice at a time."""
        ensure(self._better_since is None or self._better(), f"there is a better width, and it is {self._stage.value}")
        ensure(self._due_at is None or not self.request, "a width is due while another one is asked for")
        ensure(self._due_at is None or self._stage in _COUNTING, f"a width is due while the job is {self._stage.value}")
