"""A source that works by the clock: what the latency and the back-pressure benchmark share.

The source is an open loop: record number n is due at `start + n / rate`, whether or not the pipeline has taken the one before, and
carries its due time. A stall therefore counts against every record that was due meanwhile (no coordinated omission).

Times are CLOCK_MONOTONIC, in ns: the same clock in every process of a machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Pause, Reader, Source
from actorflow.wire.batch import ObjectBatch

NS = 1_000_000_000


@dataclass(frozen=True)
class Clockwork(Source):
    """Records `(number, due_ns)` at a steady rate.

    Attributes:
        rate: records per second of each reader; more than can be taken gives as many as are taken.
        seconds: how long each reader gives records.
    """

    rate: float
    seconds: float

    def splits(self, parallelism: int) -> Iterable[int]:
        """Give every reader one split."""
        return range(parallelism)

    def open(self, split: int, position: Any) -> Reader:  # noqa: ARG002 - every split is the same
        """Start the clock of one reader; it goes on counting where `position` stood."""
        return _Steady(self.rate, self.seconds, position or 0)


class _Steady:
    def __init__(self, rate: float, seconds: float, position: int) -> None:
        now = time.monotonic_ns()
        self.position = position
        self._period_ns = NS / rate
        self._origin_ns = now - position * self._period_ns
        self._end_ns = now + seconds * NS

    def read(self, records_max: int) -> ObjectBatch | Pause | EndOfSplit:
        now = time.monotonic_ns()
        if now >= self._end_ns:
            return END_OF_SPLIT
        origin, period, first = self._origin_ns, self._period_ns, self.position
        due = int((now - origin) / period) + 1
        if due <= first:
            return Pause((origin + first * period - now) / NS)
        self.position = min(due, first + records_max)
        return ObjectBatch([(number, origin + number * period) for number in range(first, self.position)])

    def close(self) -> None:
        pass
