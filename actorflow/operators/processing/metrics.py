"""Metrics of an operator of the user's: what `ctx.metrics` makes, and what is seen of it.

A metric belongs to one operator in one subtask and starts anew with each deployment; it is no state. It is written on the subtask's thread and
read there too, between two batches, when somebody looks: nothing is sent or locked when it changes. Names and statistics are those of Flink.
"""

from __future__ import annotations

import logging
import math
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from actorflow.errors import PlanError

QUANTILES: Final = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
"""Which quantiles are shown of a histogram; Flink's."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WINDOW = 1024

Number = int | float


class Counter:
    """A number that goes up and down by steps.

    Attributes:
        count: the number.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self, n: int = 1) -> None:
        """Add `n`."""
        self.count += n

    def dec(self, n: int = 1) -> None:
        """Take `n` away."""
        self.count -= n


class Gauge:
    """A value that is what it is at the moment.

    Args:
        read: returns it when somebody looks; without it, it is what was set last.
    """

    __slots__ = ("read",)

    def __init__(self, read: Callable[[], object] | None = None) -> None:
        self.read: Callable[[], object] = read if read is not None else lambda: None

    def set(self, value: object) -> None:
        """Show `value` from now on."""
        self.read = lambda: value


class Histogram:
    """How the last values are distributed: statistics over a sliding window of them.

    Args:
        window: how many values are remembered, eight bytes and more each.

    Attributes:
        count: values so far, those that are forgotten included.
    """

    __slots__ = ("_values", "count")

    def __init__(self, window: int = _WINDOW) -> None:
        self.count = 0
        self._values: deque[Number] = deque(maxlen=window)

    def update(self, value: Number) -> None:
        """Take a value in."""
        self.count += 1
        self._values.append(value)

    def statistics(self) -> dict[str, Number]:
        """Return `count`, and of the values in the window `min`, `max`, `mean`, `stddev` and quantiles: `p50`, `p75`, ... `p999`.

        A quantile q is the value at the place ⌈q·n⌉ of n in order (nearest rank).
        """
        ordered = sorted(self._values)
        if not ordered:
            return {"count": self.count}
        n = len(ordered)
        mean = math.fsum(ordered) / n
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in ordered) / n)
        quantiles = {quantile_name(q): ordered[max(0, math.ceil(q * n) - 1)] for q in QUANTILES}
        return {"count": self.count, "min": ordered[0], "max": ordered[-1], "mean": mean, "stddev": spread, **quantiles}


def quantile_name(quantile: float) -> str:
    """Return how a quantile is called: p50, p999."""
    return "p" + f"{quantile:.3f}"[2:].rstrip("0").ljust(2, "0")


Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Metrics:
    """The metrics of one operator in one subtask, by name. Asked for a name again, it returns the same metric.

    Args:
        operator: its name, for errors.
        log: is told of gauges that cannot be read.
    """

    __slots__ = ("_log", "_made", "_operator", "_silent")

    def __init__(self, operator: str, log: logging.Logger) -> None:
        self._operator = operator
        self._log = log
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._silent: set[str] = set()

    def counter(self, name: str) -> Counter:
        """Return the counter of this name.

        Raises:
            PlanError: if the name is not letters, digits and underscores, or belongs to a metric of another kind.
        """
        return self._metric(name, Counter, Counter)

    def gauge(self, name: str, read: Callable[[], object] | None = None) -> Gauge:
        """Return the gauge of this name, which shows what `read` returns, or what is `set`: a number, to be seen by Prometheus.

        Raises:
            PlanError: see `counter`.
        """
        gauge = self._metric(name, Gauge, Gauge)
        if read is not None:
            gauge.read = read
        return gauge

    def histogram(self, name: str, window: int = _WINDOW) -> Histogram:
        """Return the histogram of this name, over the last `window` values.

        Raises:
            PlanError: see `counter`; or if the window is empty.
        """
        if window < 1:
            raise PlanError(
                f"'{self._operator}' makes the histogram '{name}' over {window} values", hint="its window holds at least one"
            )
        return self._metric(name, Histogram, lambda: Histogram(window))

    def _metric(self, name: str, kind: type[Metric], make: Callable[[], Metric]) -> Metric:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PlanError(
                f"'{self._operator}' names a metric {name!r}",
                hint="letters, digits and underscores, as Prometheus wants it, such as 'late_records'",
            )
        metric = self._made.get(name)
        if metric is None:
            metric = self._made[name] = make()
        if not isinstance(metric, kind):
            raise PlanError(
                f"'{self._operator}' wants '{name}' as a {kind.__name__.lower()}, and has it as a {type(metric).__name__.lower()}",
                hint="metrics of one operator have different names",
            )
        return metric

    def values(self) -> dict[str, Any]:
        """Return what each metric shows now: a number, a gauge's own value, or the statistics of a histogram."""
        return {name: value for name, metric in self._made.items() for value in self._shown(name, metric)}

    def _shown(self, name: str, metric: Counter | Gauge | Histogram) -> tuple[Any, ...]:
        if isinstance(metric, Counter):
            return (metric.count,)
        if isinstance(metric, Histogram):
            return (metric.statistics(),)
        try:
            return (metric.read(),)
        except Exception:  # the user's code: a look at an operator must not end it
            if name not in self._silent:
                self._silent.add(name)
                self._log.warning("the gauge '%s' of '%s' cannot be read, and is not shown", name, self._operator, exc_info=True)
            return ()
