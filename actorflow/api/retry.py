"""When `map_async` calls again, in the words of a pipeline: `af.Retry.exponential(attempts=5, delay="200ms")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.config.values import Duration, duration_ms
from actorflow.operators.asynchronous.retry import ExceptionPredicate, ExceptionTypes, RetryPolicy


class Retry:
    """Makes retry policies. All attempts of a record share the time-out of its operator."""

    @staticmethod
    def none() -> RetryPolicy:
        """Never call again."""
        return RetryPolicy(attempts_max=1, delay_ms=0)

    @staticmethod
    def fixed(
        *,
        attempts: int = 3,
        delay: Duration = "100ms",
        on: ExceptionTypes | ExceptionPredicate = Exception,
        when: Callable[[Any], bool] | None = None,
    ) -> RetryPolicy:
        """Always wait the same time.

        Args:
            attempts: calls for one record, the first included.
            delay: between two calls.
            on: which failures are worth another call: exception types, or a predicate over the exception.
            when: a predicate over the result: true means that it is not good enough and the call is repeated.
        """
        return RetryPolicy.fixed(
            attempts_max=attempts, delay_ms=duration_ms(delay, "delay of Retry.fixed"), retry_on=on, retry_if=when
        )

    @staticmethod
    def exponential(
        *,
        attempts: int = 5,
        delay: Duration = "100ms",
        multiplier: float = 2.0,
        max_delay: Duration = "10s",
        on: ExceptionTypes | ExceptionPredicate = Exception,
        when: Callable[[Any], bool] | None = None,
    ) -> RetryPolicy:
        """Wait longer with every attempt.

        Args:
            attempts: calls for one record, the first included.
            delay: before the second call.
            multiplier: each further delay is the one before, times this.
            max_delay: no delay is longer.
            on: which failures are worth another call: exception types, or a predicate over the exception.
            when: a predicate over the result: true means that it is not good enough and the call is repeated.
        """
        return RetryPolicy.exponential(
            attempts_max=attempts,
            delay_ms=duration_ms(delay, "delay of Retry.exponential"),
            multiplier=multiplier,
            delay_max_ms=duration_ms(max_delay, "max_delay of Retry.exponential"),
            retry_on=on,
            retry_if=when,
        )
