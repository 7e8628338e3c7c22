"""Restart strategies: whether a failed job runs again, and after how long.

A strategy is asked once for each failure and remembers what it needs. Chance is an argument: `random` in [0, 1) spreads the
restarts of many jobs. An error that no retry can help (`Retry.NEVER`) ends the job whatever the strategy is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from actorflow.errors import ErrorInfo, Retry
from actorflow.protocol.machine import ensure


@dataclass(frozen=True, slots=True)
class Restart:
    """Run again, `after_s` seconds from now."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed; `reason` says why it is not run again."""

    reason: str


RestartDecision = Restart | GiveUp


class RestartStrategy(Protocol):
    """Decides what follows a failure."""

    def decide(self, error: ErrorInfo, now: float, random: float) -> RestartDecision:
        """Return what to do about `error`, which happened at `now` (seconds, monotonic).

        Args:
            error: the failure.
            now: when it happened.
            random: a number in [0, 1), drawn by the caller.
        """
        ...

    def check(self) -> None:
        """State the invariants."""
        ...


def _hopeless(error: ErrorInfo) -> GiveUp | None:
    if error.retry is Retry.NEVER:
        return GiveUp(f"{error.kind} cannot succeed by trying again")
    return None


class ByOperator:
    """Failures of some operators have strategies of their own.

    Args:
        others: for all other failures.
        own: by the operator that has failed.
    """

    def __init__(self, others: RestartStrategy, own: Mapping[str, RestartStrategy]) -> None:
        self._others = others
        self._own = own

    def decide(self, error: ErrorInfo, now: float, random: float) -> RestartDecision:
        """Return what the strategy of the operator says."""
        return self._own.get(error.context.get("operator", ""), self._others).decide(error, now, random)

    def check(self) -> None:
        """State what all of them state."""
        for strategy in (self._others, *self._own.values()):
            strategy.check()


class NoRestart:
    """Every failure is final."""

    __slots__ = ()

    def decide(self, error: ErrorInfo, now: float, random: float) -> RestartDecision:  # noqa: ARG002 - the strategies' signature
        """Return `GiveUp`."""
        return _hopeless(error) or GiveUp("the restart strategy is 'none'")

    def check(self) -> None:
        """There is no state that could be wrong."""


class FixedDelay:
    """A number of restarts, each after the same time.

    Args:
        attempts_max: restarts in the life of the job.
        delay_s: pause before each.
    """

    def __init__(self, attempts_max: int = 1, delay_s: float = 1.0) -> None:
        self._attempts_max = attempts_max
        self._delay_s = delay_s
        self._attempts = 0

    def decide(self, error: ErrorInfo, now: float, random: float) -> RestartDecision:  # noqa: ARG002 - the strategies' signature
        """Return `Restart` until the attempts are used up."""
        if hopeless := _hopeless(error):
            return hopeless
        if self._attempts == self._attempts_max:
            return GiveUp(f"all {self._attempts_max} restarts of the fixed-delay strategy are used up")
        self._attempts += 1
        return Restart(self._delay_s)

    def check(self) -> None:
        """State that no more restarts were given than allowed."""
        ensure(0 <= self._attempts <= self._attempts_max, f"{self._attempts} restarts of {self._attempts_max}")


class FailureRate:
    """Restarts as long as failures are rare.

    Args:
        failures_max: failures allowed within an interval; one more gives up.
        interval_s: length of the interval, which slides.
        delay_s: pause before each restart.
    """

    def __init__(self, failures_max: int = 1, interval_s: float = 60.0, delay_s: float = 1.0) -> None:
        self._failures_max = failures_max
        self._interval_s = interval_s
        self._delay_s = delay_s
        self._failed_at: deque[float] = deque()

    def decide(self, error: ErrorInfo, now: float, random: float) -> RestartDecision:  # noqa: ARG002 - the strategies' signature
        """Return `Restart` unless the interval before `now` already holds `failures_max` failures."""
        if hopeless := _hopeless(error):
            return hopeless
        while self._failed_at and self._failed_at[0] <= now - self._interval_s:
            self._failed_at.popleft()
        if len(self._failed_at) == self._failures_max:
            return GiveUp(f"more than {self._failures_max} failures within {self._interval_s:g} s")
        self._failed_at.append(now)
        return Restart(self._delay_s)

    def check(self) -> None:
        """State that the interval holds no more failures than allowed, in order."""
        ensure(len(self._failed_at) <= self._failures_max, f"{len(self._failed_at)} failures, {self._failures_max} allowed")
        ensure(list(self._failed_at) == sorted(self._failed_at), "failures are out of order")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How the pauses of `ExponentialDelay` grow.

    Attributes:
        initial_s: first pause.
        max_s: longest pause, before jitter.
        multiplier: each pause is this many times the one before.
        jitter: share of the pause by which it is made longer or shorter at random.
        reset_after_s: a run of at least this length makes the next pause the first again.
        attempts_max: restarts between two such runs, or None for no limit.
    """

    initial_s: float = 1.0
    max_s: float = 60.0
    multiplier: float = 1.5
    jitter: float = 0.1
    reset_after_s: float = 3600.0
    attempts_max: int | None = None

    def __post_init__(self) -> None:
        assert 0 < self.initial_s <= self.max_s, "pauses grow from the initial to the longest"
        assert self.multiplier >= 1, "pauses do not shrink"
        assert 0 <= self.jitter <= 1, "jitter is a share of the pause"


class ExponentialDelay:
    """Restarts after pauses that grow while the job keeps failing, and start over when it has run well for long.

    Args:
        backoff: how the pauses grow.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._attempts = 0
        self._pause_s = self._backoff.initial_s
        self._restarted_at: float | None = None

    def decide(self, error: ErrorInfo, now: float, random: float) -> RestartDecision:
        """Return `Restart` after the next pause, jittered by `random`."""
        if hopeless := _hopeless(error):
            return hopeless
        backoff = self._backoff
        if self._restarted_at is not None and now - self._restarted_at >= backoff.reset_after_s:
            self._attempts = 0
            self._pause_s = backoff.initial_s
        if backoff.attempts_max is not None and self._attempts >= backoff.attempts_max:
            return GiveUp(f"all {backoff.attempts_max} restarts of the exponential-delay strategy are used up")
        after_s = self._pause_s * (1 + backoff.jitter * (2 * random - 1))
        self._attempts += 1
        self._pause_s = min(self._pause_s * backoff.multiplier, backoff.max_s)
        self._restarted_at = now + after_s
        return Restart(after_s)

    def check(self) -> None:
        """State that the next pause lies between the first and the longest."""
        ensure(self._backoff.initial_s <= self._pause_s <= self._backoff.max_s, f"pause of {self._pause_s} s")
        limit = self._backoff.attempts_max
        ensure(limit is None or self._attempts <= limit, f"{self._attempts} restarts of {limit}")
