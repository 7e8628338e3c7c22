"""Generated records, at full speed or at a rate: for tests, demonstrations and load.

Records are a function of their index, so any position can be read again. Without a rate, a bounded generator is cut into contiguous
ranges that are handed out as readers become free. Otherwise there are as many shares, of every n-th index, as there are readers at first; they are read
all at the same time, however many readers there are later, so that together they keep the order roughly and the rate exactly: what is due and could not
be sent in time is sent as soon as it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from actorflow.clock import Clock, SystemClock
from actorflow.connectors.contracts import END_OF_SPLIT, EndOfSplit, Pause, ReaderContext, Source
from actorflow.errors import PlanError
from actorflow.wire.batch import ObjectBatch

_SPLITS_PER_READER = 4
_RECORDS_AT_ONCE = 1000
"""How many records the user's function makes in one call of `read`, at most."""


@dataclass(frozen=True, slots=True)
class GeneratorSplit:
    """The indices of one reader: `first`, `first + step`, … .

    Attributes:
        first: the first index.
        step: from one index to the next.
        count: how many, or None for no end.
        rate: records per second, or None for full speed.
    """

    first: int
    step: int
    count: int | None
    rate: float | None


@dataclass(frozen=True)
class GeneratorSource(Source):
    """Records from a function of their index.

    Attributes:
        fn: makes the record of an index; None for the index itself.
        count: number of records, or None for no end.
        rate: records per second over all readers, or None for full speed.
    """

    fn: Callable[[int], Any] | None
    count: int | None
    rate: float | None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 0:
            raise PlanError(f"cannot generate {self.count} records", hint="count= is at least 0, or None for no end")
        if self.rate is not None and not self.rate > 0:
            raise PlanError(f"cannot generate {self.rate} records a second", hint="rate= is above 0, or None for full speed")

    @property
    def bounded(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether there is a count."""
        return self.count is not None

    @property
    def partitioned(self) -> bool:  # type: ignore[override]  # as above
        """Whether it is cut into shares: one that has to wait for the end of another would be late, or never come."""
        return self.count is None or self.rate is not None

    def splits(self, parallelism: int) -> Iterable[GeneratorSplit]:
        """Return contiguous ranges, or one interleaved share for each reader if there is a rate or no end."""
        if self.count is None or self.rate is not None:
            rate = None if self.rate is None else self.rate / parallelism
            for first in range(parallelism):
                share = None if self.count is None else len(range(first, self.count, parallelism))
                yield GeneratorSplit(first, parallelism, share, rate)
            return
        size = max(1, -(-self.count // (parallelism * _SPLITS_PER_READER)))
        for first in range(0, self.count, size):
            yield GeneratorSplit(first, 1, min(size, self.count - first), None)

    def open(self, split: GeneratorSplit, position: Any) -> GeneratorReader:
        """Return a reader of a split's records; its clock starts now."""
        return GeneratorReader(split, position or 0, self.fn, SystemClock())

    def open_reader(self, split: GeneratorSplit, position: Any, ctx: ReaderContext) -> GeneratorReader:
        """Return a reader on the node's clock."""
        return GeneratorReader(split, position or 0, self.fn, ctx.clock)


class GeneratorReader:
    """Makes the records of one split. Its position is their number so far.

    Args:
        split: which indices, and how fast.
        made: number of records that another reader of the split has given.
        fn: makes the record of an index; None for the index itself.
        clock: says what is due.
    """

    def __init__(self, split: GeneratorSplit, made: int, fn: Callable[[int], Any] | None, clock: Clock) -> None:
        self._split = split
        self._made = made
        self._fn = fn
        self._clock = clock
        # The first record is due at once, the others 1/rate apart.
        self._origin_s = clock.now() - (made / split.rate if split.rate else 0.0)

    @property
    def position(self) -> object:
        """Number of records given."""
        return self._made

    def read(self, records_max: int) -> ObjectBatch | Pause | EndOfSplit:
        """Return the records that are due, or a pause until the next is."""
        split, made = self._split, self._made
        wanted = min(records_max, _RECORDS_AT_ONCE) if self._fn else records_max
        if split.count is not None:
            wanted = min(wanted, split.count - made)
        if wanted <= 0:
            return END_OF_SPLIT
        if split.rate is not None:
            elapsed_s = self._clock.now() - self._origin_s
            wanted = min(wanted, int(elapsed_s * split.rate) + 1 - made)
            if wanted <= 0:
                return Pause(max(made / split.rate - elapsed_s, 0.0))
        first = split.first + made * split.step
        indices = range(first, first + wanted * split.step, split.step)
        fn = self._fn
        records = list(indices) if fn is None else [fn(index) for index in indices]
        self._made = made + wanted
        return ObjectBatch(records)

    def close(self) -> None:
        """Nothing is held."""
