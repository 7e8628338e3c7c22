"""When an asynchronous call is tried again: a value, decided by whoever writes the pipeline.

A call is tried again when it raises what `retry_on` names, or returns what `retry_if` refuses, until `attempts_max` calls were made.
All attempts of a record share the operator's time-out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from actorflow.errors import PlanError

ExceptionPredicate = Callable[[BaseException], bool]
ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after which delays. Use `fixed` or `exponential` to make one.

    Attributes:
        attempts_max: calls for one record, the first included.
        delay_ms: before the second call.
        multiplier: each further delay is the one before, times this.
        delay_max_ms: no delay is longer.
        retry_on: exception types, or a predicate over the exception.
        retry_if: a predicate over the result that says: not good enough, call again. The last result is taken as it is.
    """

    attempts_max: int
    delay_ms: float
    multiplier: float = 1.0
    delay_max_ms: float = 60_000.0
    retry_on: ExceptionTypes | ExceptionPredicate = Exception
    retry_if: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        if self.attempts_max < 1 or self.delay_ms < 0 or self.multiplier < 1 or self.delay_max_ms < 0:
            raise PlanError(
                f"a retry policy cannot have attempts_max={self.attempts_max}, delay_ms={self.delay_ms}, "
                f"multiplier={self.multiplier}, delay_max_ms={self.delay_max_ms}",
                hint="at least 1 attempt, delays of 0 or more, a multiplier of 1 or more",
            )

    @classmethod
    def fixed(
        cls,
        *,
        attempts_max: int = 3,
        delay_ms: float = 100.0,
        retry_on: ExceptionTypes | ExceptionPredicate = Exception,
        retry_if: Callable[[Any], bool] | None = None,
    ) -> Self:
        """Return a policy that always waits the same time."""
        return cls(attempts_max, delay_ms, 1.0, delay_ms, retry_on, retry_if)

    @classmethod
    def exponential(
        cls,
        *,
        attempts_max: int = 5,
        delay_ms: float = 100.0,
        multiplier: float = 2.0,
        delay_max_ms: float = 10_000.0,
        retry_on: ExceptionTypes | ExceptionPredicate = Exception,
        retry_if: Callable[[Any], bool] | None = None,
    ) -> Self:
        """Return a policy whose delay grows with every attempt, up to a maximum."""
        return cls(attempts_max, delay_ms, multiplier, delay_max_ms, retry_on, retry_if)

    def delay_s(self, attempt: int) -> float:
        """Return the seconds to wait after failed call number `attempt` (from 1)."""
        return min(self.delay_ms * self.multiplier ** (attempt - 1), self.delay_max_ms) / 1000

    def wants_retry_after(self, error: BaseException) -> bool:
        """Return whether a call that raised `error` is worth another."""
        if isinstance(self.retry_on, type | tuple):
            return isinstance(error, self.retry_on)
        return self.retry_on(error)

    def wants_better_than(self, result: Any) -> bool:
        """Return whether a call that returned `result` is worth another."""
        return self.retry_if is not None and self.retry_if(result)
