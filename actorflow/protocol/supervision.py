"""Supervision: what a parent does when a child fails. One machine per parent, and it knows only children that have failed.

    child fails ──► decide(error) ──► RESUME    the same instance goes on with its next message
                                 ├──► RESTART   a fresh instance, after a back-off, unless the limit is reached
                                 ├──► STOP      it ends as `Failed(error)`
                                 └──► ESCALATE  the parent fails with the same error

With scope "one" the directive is for the child that failed, with scope "all" for it and its siblings, because they cannot work without
each other. Siblings are suspended during the back-off, restarted in the order they were spawned, and stopped in reverse.

Two failures at a time are one where they have one remedy. Each restart gives the child's next instance a number; a failure of an
instance that is to be replaced already is late news, and so is one of a child whose restart a sibling's back-off has promised.

Restarts are limited to `restarts_max` within any `window_s`. The back-off grows by `backoff_factor` for each failure in a row
and starts again after `quiet_s` without one. Randomness is an argument: `ChildFailed.luck`.

A `decide` that raises, or returns no directive, decides STOP; the error then tells both.

Late events: a timer or an ending that belongs to a child without a record (it was stopped, or never failed) is dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from actorflow.errors import ErrorInfo, Retry, describe
from actorflow.protocol.machine import CancelTimer, ChildEnded, Effect, Report, SetTimer, TimerFired, ensure


class Directive(enum.Enum):
    """The four answers to a failure (a closed set)."""

    RESUME = "resume"
    RESTART = "restart"
    STOP = "stop"
    ESCALATE = "escalate"


Decider = Callable[[ErrorInfo], Directive]


def resume(_error: ErrorInfo) -> Directive:
    """Decide RESUME, whatever the error."""
    return Directive.RESUME


def restart(_error: ErrorInfo) -> Directive:
    """Decide RESTART, whatever the error."""
    return Directive.RESTART


def stop(_error: ErrorInfo) -> Directive:
    """Decide STOP, whatever the error."""
    return Directive.STOP


def escalate(_error: ErrorInfo) -> Directive:
    """Decide ESCALATE, whatever the error."""
    return Directive.ESCALATE


def restart_if_retry_helps(error: ErrorInfo) -> Directive:
    """Decide RESTART for errors whose `retry` is BACKOFF, STOP for those that would only come again."""
    return Directive.RESTART if error.retry is Retry.BACKOFF else Directive.STOP


@dataclass(frozen=True, slots=True)
class Supervise:
    """How a parent treats a child that fails. The default restarts what a retry can help, ten times a minute at most.

    Attributes:
        decide: directive for an error; a plain function that reads its `domain` and `retry`.
        scope: "one" for the failed child alone, "all" for its siblings too.
        restarts_max: restarts within `window_s` before `beyond_limit` applies.
        window_s: length of that window, in seconds.
        beyond_limit: STOP or ESCALATE, once the limit is reached.
        backoff_min_s: wait before the first restart in a row; 0 restarts at once.
        backoff_max_s: longest wait before jitter.
        backoff_factor: growth of the wait from one failure to the next in a row.
        jitter: part of the wait that is random: 0.2 means 20 % up or down.
        quiet_s: time without failure after which the next one counts as the first again.
    """

    decide: Decider = restart_if_retry_helps
    scope: Literal["one", "all"] = "one"
    restarts_max: int = 10
    window_s: float = 60.0
    beyond_limit: Literal[Directive.STOP, Directive.ESCALATE] = Directive.STOP
    backoff_min_s: float = 0.0
    backoff_max_s: float = 30.0
    backoff_factor: float = 2.0
    jitter: float = 0.2
    quiet_s: float = 60.0

    def __post_init__(self) -> None:
        assert self.restarts_max >= 0, "restarts_max counts restarts"
        assert 0 <= self.backoff_min_s <= self.backoff_max_s, "backoff_min_s <= backoff_max_s, both not negative"
        assert self.backoff_factor >= 1, "a back-off does not shrink"
        assert 0 <= self.jitter < 1, "jitter is a fraction of the wait"


STOP_ALWAYS = Supervise(decide=stop)


# --- events ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """A child raised and is suspended until it is told what becomes of it.

    Attributes:
        name: the child.
        error: what it raised.
        policy: how it is supervised.
        siblings: all living children in the order they were spawned, the failed one included; read for scope "all" only.
        luck: a random number in [0, 1), for jitter.
        instance: which of its instances failed: the number of the `RestartChild` that made it, 0 for the first.
    """

    name: str
    error: ErrorInfo
    policy: Supervise
    siblings: tuple[str, ...]
    luck: float
    instance: int


# --- what is to be done, as the values of `Report` effects ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SuspendChild:
    """Let the child handle nothing until it is restarted."""

    name: str


@dataclass(frozen=True, slots=True)
class ResumeChild:
    """Let the child go on with its next message, its state untouched."""

    name: str


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Replace the child's instance by a fresh one with this number; path and mailbox stay."""

    name: str
    error: ErrorInfo
    instance: int


@dataclass(frozen=True, slots=True)
class EndChild:
    """End the child as `Failed(error)`."""

    name: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class FailParent:
    """The failure of child `name` is now the parent's own."""

    name: str
    error: ErrorInfo


Instruction = SuspendChild | ResumeChild | RestartChild | EndChild | FailParent


@dataclass(slots=True)
class _Record:
    """What is remembered of a child that has failed.

    Attributes:
        restarted_at: times of restarts granted, newest last; never more than the policy's limit.
        in_a_row: failures without a quiet time between them.
        failed_at: time of the last failure.
        waiting: who will be restarted when the back-off ends, in order; empty when none is under way.
        error: the last failure.
    """

    restarted_at: list[float] = field(default_factory=list)
    in_a_row: int = 0
    failed_at: float = 0.0
    waiting: tuple[str, ...] = ()
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """One line of `SupervisionState`."""

    name: str
    in_a_row: int
    restarts_in_window: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class SupervisionState:
    """Children that have failed and still live."""

    children: tuple[ChildRecord, ...]


class Supervision:
    """Decides what becomes of failed children. See the module docstring."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._limits: dict[str, int] = {}
        self._instances: dict[str, int] = {}

    def handle(self, event: object, now: float) -> Sequence[Effect]:
        """Take `ChildFailed`, `ChildEnded` or `TimerFired`; anything else is not for this machine."""
        match event:
            case ChildFailed():
                return self._failed(event, now)
            case TimerFired(name):
                return self._backoff_over(name.removeprefix(_TIMER))
            case ChildEnded(name):
                return self._ended(name)
        return ()

    def observe(self) -> SupervisionState:
        """Return the children that have failed, in the order of their first failure."""
        return SupervisionState(
            tuple(
                ChildRecord(name, record.in_a_row, len(record.restarted_at), bool(record.waiting))
                for name, record in self._records.items()
            )
        )

    def check(self) -> None:
        """State the invariants again."""
        for name, record in self._records.items():
            ensure(len(record.restarted_at) <= self._limits[name], f"'{name}' was restarted more often than its limit")
            ensure(record.restarted_at == sorted(record.restarted_at), f"restarts of '{name}' are in order of time")
            ensure(record.in_a_row >= 1, f"'{name}' has a record, so it has failed")
            ensure(not record.waiting or record.error is not None, f"'{name}' waits for a restart after an error")
        ensure(list(self._records) == list(self._limits), "every record has a limit")
        promised = [name for record in self._records.values() for name in record.waiting]
        ensure(len(promised) == len(set(promised)), f"two back-offs promise the same restart: {promised}")

    def _failed(self, failed: ChildFailed, now: float) -> list[Effect]:
        if failed.instance < self._instances.get(failed.name, 0) or self._is_promised(failed.name):
            return []
        record = self._records.setdefault(failed.name, _Record())
        self._limits[failed.name] = failed.policy.restarts_max
        if now - record.failed_at >= failed.policy.quiet_s:
            record.in_a_row = 0
        record.in_a_row += 1
        record.failed_at = now
        record.restarted_at = [at for at in record.restarted_at if now - at < failed.policy.window_s]
        directive, record.error = _decide(failed.policy, failed.error)
        if directive is Directive.RESTART and len(record.restarted_at) >= failed.policy.restarts_max:
            directive = failed.policy.beyond_limit
        affected = failed.siblings if failed.policy.scope == "all" else (failed.name,)
        match directive:
            case Directive.RESUME:
                return [Report(ResumeChild(failed.name))]
            case Directive.RESTART:
                return self._restart(failed, record, affected, now)
            case Directive.STOP:
                return [Report(EndChild(name, record.error)) for name in reversed(affected)]
            case Directive.ESCALATE:
                return [Report(FailParent(failed.name, record.error))]
        assert_never(directive)

    def _is_promised(self, name: str) -> bool:
        return any(name in record.waiting for record in self._records.values())

    def _restart(self, failed: ChildFailed, record: _Record, affected: tuple[str, ...], now: float) -> list[Effect]:
        # Oldest out first, so that a lowered limit holds from now on.
        record.restarted_at = [*record.restarted_at, now][-failed.policy.restarts_max :]
        taken_over = self._take_over(affected)
        wait_s = _backoff_s(failed.policy, record.in_a_row, failed.luck)
        if wait_s <= 0:
            return [*taken_over, *self._restart_all(affected, failed.error)]
        record.waiting = affected
        suspended: list[Effect] = [Report(SuspendChild(name)) for name in affected if name != failed.name]
        return [*taken_over, *suspended, SetTimer(_TIMER + failed.name, now + wait_s)]

    def _take_over(self, affected: tuple[str, ...]) -> list[Effect]:
        """Let children that wait for restarts of their own be restarted together with those that failed now."""
        over: list[Effect] = []
        for name, record in self._records.items():
            if record.waiting:
                record.waiting = tuple(each for each in record.waiting if each not in affected)
                if not record.waiting:
                    over.append(CancelTimer(_TIMER + name))
        return over

    def _restart_all(self, names: tuple[str, ...], error: ErrorInfo) -> list[Effect]:
        for name in names:
            self._instances[name] = self._instances.get(name, 0) + 1
        return [Report(RestartChild(name, error, self._instances[name])) for name in names]

    def _backoff_over(self, name: str) -> list[Effect]:
        record = self._records.get(name)
        if record is None or not record.waiting or record.error is None:
            return []
        waiting, record.waiting = record.waiting, ()
        return self._restart_all(waiting, record.error)

    def _ended(self, name: str) -> list[Effect]:
        """Forget a child. Siblings that waited with it are restarted now, for nobody else will wake them."""
        record = self._records.pop(name, None)
        self._limits.pop(name, None)
        self._instances.pop(name, None)
        for other in self._records.values():
            other.waiting = tuple(each for each in other.waiting if each != name)
        if record is None or not record.waiting or record.error is None:
            return []
        left = tuple(each for each in record.waiting if each != name)
        return [CancelTimer(_TIMER + name), *self._restart_all(left, record.error)]


_TIMER = "restart:"


def _decide(policy: Supervise, error: ErrorInfo) -> tuple[Directive, ErrorInfo]:
    """Ask the user's function. If it fails, nobody knows whether a restart would help: STOP, and tell both errors."""
    try:
        directive: object = policy.decide(error)
    except BaseException as raised:
        problem = f"raised {describe(raised)}"
    else:
        if isinstance(directive, Directive):
            return directive, error
        problem = f"returned a '{type(directive).__name__}', which is no directive"
    return Directive.STOP, replace(error, message=f"{error.message} (and `decide` of its supervision {problem})")


def _backoff_s(policy: Supervise, in_a_row: int, luck: float) -> float:
    """Return the wait before the next restart: exponential, capped, then jittered around that value.

    The exponent is capped so that a long row of failures cannot overflow a float.
    """
    grown = policy.backoff_min_s * policy.backoff_factor ** min(in_a_row - 1, 64)
    return min(policy.backoff_max_s, grown) * (1 + policy.jitter * (2 * luck - 1))
