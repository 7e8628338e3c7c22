"""When the next checkpoint begins: interval, pause, backlog, and how many may be on their way. Pure arithmetic on times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from actorflow.protocol.machine import ensure


@dataclass(frozen=True, slots=True)
class CheckpointRules:
    """What the user configured.

    Attributes:
        interval_s: between the beginnings of two checkpoints; None takes none by itself.
        min_pause_s: between the end of one and the beginning of the next.
        timeout_s: how long one may take.
        concurrent_max: how many may be on their way; with a pause, or barriers that are not aligned, there is only one.
        tolerable_failures: so many may fail one after the other; one more fails the job.
        backlog_interval_s: the interval while sources work off a backlog; None is the usual one, 0 takes none meanwhile.
        retained_max: how many completed ones are kept.
        unaligned: whether barriers may overtake batches.
        aligned_first: whether they are aligned until that has taken too long.
        at_least_once: whether no channel waits for the barriers of others.
    """

    interval_s: float | None = None
    min_pause_s: float = 0.0
    timeout_s: float = 600.0
    concurrent_max: int = 1
    tolerable_failures: int = 0
    backlog_interval_s: float | None = None
    retained_max: int = 1
    unaligned: bool = False
    aligned_first: bool = False
    at_least_once: bool = False

    def __post_init__(self) -> None:
        assert self.interval_s is None or self.interval_s > 0, "checkpoints need time"
        assert self.timeout_s > 0, "a checkpoint needs time"
        assert self.concurrent_max >= 1, "at least one checkpoint can be on its way"
        assert self.retained_max >= 1, "at least one checkpoint is kept"

    @property
    def limit(self) -> int:
        """How many periodic checkpoints may really be on their way."""
        return 1 if self.min_pause_s > 0 or self.mixing else self.concurrent_max

    @property
    def mixing(self) -> bool:
        """Whether a subtask may meet a barrier before all of those of an earlier checkpoint, which it then gives up."""
        return self.unaligned or self.at_least_once


class CheckpointSchedule:
    """Says when the next periodic checkpoint is due.

    Args:
        rules: what the user configured.
    """

    def __init__(self, rules: CheckpointRules) -> None:
        self._rules = rules
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self.backlog = False
        """Whether sources work off a backlog."""

    def start(self, now: float) -> None:
        """Note that the job runs: the first checkpoint is due one interval later."""
        self._began_at, self._ended_at = now, None

    def began(self, now: float) -> None:
        """Note that a periodic checkpoint has begun."""
        self._began_at = now

    def ended(self, now: float) -> None:
        """Note that a checkpoint has ended, in whatever way."""
        self._ended_at = now

    @property
    def interval_s(self) -> float | None:
        """The interval that holds now; None if no checkpoint is to be taken."""
        if self.backlog and self._rules.backlog_interval_s is not None:
            return self._rules.backlog_interval_s or None
        return self._rules.interval_s

    def due(self, under_way: int) -> float | None:
        """Return when the next may begin, or None: never, or not before one of those under way has ended."""
        interval = self.interval_s
        if interval is None or self._began_at is None or under_way >= self._rules.limit:
            return None
        due = self._began_at + interval
        return due if self._ended_at is None else max(due, self._ended_at + self._rules.min_pause_s)

    def check(self) -> None:
        """State that nothing ends before the job runs."""
        ensure(self._ended_at is None or self._began_at is not None, "a checkpoint ended before any began")
