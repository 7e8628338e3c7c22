"""A source that follows a script: records and watermarks, idleness, time that passes, a failure, an end.

    clicks = (
        TestSource()
        .at("00:00:01", {"page": "home"})
        .at("00:00:59", {"page": "cart"})
        .watermark("00:01:00")
        .advance("1h")                      # of processing time
        .at("00:02:00", {"page": "leave"})
    )

A script is a value: every method returns a longer one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from actorflow.clock import Clock, ManualClock
from actorflow.config.values import Duration, duration_s
from actorflow.connectors.contracts import END_OF_SPLIT, Pause, ReaderContext, Reading, Source
from actorflow.errors import PlanError, Retry, SourceError
from actorflow.testing.moments import Moment, moment_ms
from actorflow.wire.batch import Active, Idle, ObjectBatch, Watermark


class ReaderAborted(SourceError):  # noqa: N818 - the event is the name
    """A script said `abort`: like a connection that broke, it may be tried again."""

    retry = Retry.BACKOFF


@dataclass(frozen=True, slots=True)
class Records:
    """Records, with a timestamp each or without."""

    values: tuple[Any, ...]
    timestamps: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Processing time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Processing time reaches a point, if it has not yet."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Abort:
    """The reader fails in attempts up to this one."""

    text: str
    attempts: int


@dataclass(frozen=True, slots=True)
class StayOpen:
    """Nothing comes any more, and no end."""


_GATHERING_S = 1e-6
"""What a reader waits at first. Virtual time passes when nobody has anything to do: by then all partitions have been handed out, and subtasks that
got none have ended, so that what follows does not depend on who was first."""

_ROUNDING_S = 1e-7
"""Less than any time that is waited for, and more than sums of seconds err by."""

Step = Records | Watermark | Idle | Active | Wait | WaitUntil | Abort | StayOpen


@dataclass(frozen=True, slots=True)
class Script:
    """What one reader does: a split.

    Attributes:
        steps: in order.
        batch: most records in a batch; None gives all that are there at once.
    """

    steps: tuple[Step, ...]
    batch: int | None = None

    def ends_after_s(self, start_ms: int) -> float:
        """Return how long it takes when it starts at `start_ms`, in seconds of processing time."""
        elapsed_s = 0.0
        for step in self.steps:
            if isinstance(step, Wait):
                elapsed_s += step.seconds
            elif isinstance(step, WaitUntil):
                elapsed_s = max(elapsed_s, (step.at_ms - start_ms) / 1000)
        return elapsed_s


@dataclass(frozen=True)
class TestSource(Source):
    """Follows a script. See the module's text.

    Attributes:
        origin: the start of time, for times that are given as `"00:01:30"` or `"10s"`. `run_test` starts there.
        batch: most records in a batch, to see that batches make no difference; by default all that are there at once.
        scripts: one for each partition.
    """

    __test__: ClassVar[bool] = False  # pytest takes classes of this name for tests

    partitioned: ClassVar[bool] = True

    origin: Moment = 0
    batch: int | None = None
    scripts: tuple[Script, ...] = field(default=(Script(()),), repr=False)

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise PlanError(f"batches of a test source cannot have {self.batch} records", hint="batch= is at least 1")

    @classmethod
    def partitions(cls, *parts: TestSource) -> TestSource:
        """Return a source whose partitions are these sources'. All are read at the same time: each subtask reads its share of them.

        Raises:
            PlanError: if there is none.
        """
        if not parts:
            raise PlanError("a test source needs at least one partition", hint="write TestSource.partitions(a, b)")
        return cls(parts[0].origin, scripts=tuple(script for part in parts for script in part.scripts))

    # --- the script --------------------------------------------------------------------------------------------------------------

    def records(self, *records: Any) -> Self:
        """Give records without timestamps."""
        return self._then(Records(records, None)) if records else self

    def at(self, time: Moment, *records: Any) -> Self:
        """Give records with this event time."""
        moment = moment_ms(time, self.origin_ms)
        return self._then(Records(records, (moment,) * len(records))) if records else self

    def stamped(self, pairs: Iterable[tuple[Any, Moment]]) -> Self:
        """Give many `(record, event time)`."""
        given = tuple(pairs)
        origin = self.origin_ms
        times = tuple([moment_ms(time, origin) for _, time in given])
        return self._then(Records(tuple([record for record, _ in given]), times)) if given else self

    def watermark(self, time: Moment) -> Self:
        """Say that no record at or before this event time follows. One that does not rise is dropped."""
        return self._then(Watermark(moment_ms(time, self.origin_ms)))

    def idle(self) -> Self:
        """Hold back no watermark until the next record, or `active`."""
        return self._then(Idle())

    def active(self) -> Self:
        """Count for the watermark again."""
        return self._then(Active())

    def advance(self, duration: Duration) -> Self:
        """Let processing time pass, for the whole pipeline: what comes before is processed before, and timers on the way fire."""
        return self._then(Wait(duration_s(duration, "advance of a test source")))

    pause = advance

    def until(self, time: Moment) -> Self:
        """Let processing time pass until this point, if it is not over: to say what comes when, across several sources."""
        return self._then(WaitUntil(moment_ms(time, self.origin_ms)))

    def abort(self, text: str = "aborted by the test", *, attempts: int = 1) -> Self:
        """Fail the reader: in the first attempt of the job, or in so many."""
        return self._then(Abort(text, attempts))

    def stay_open(self) -> Self:
        """Never end: nothing comes any more, as from a quiet topic. `run_test` then needs `run_for`."""
        return self._then(StayOpen())

    def _then(self, step: Step) -> Self:
        if len(self.scripts) > 1:
            raise PlanError(
                "a test source of several partitions cannot go on", hint="complete each before TestSource.partitions(a, b)"
            )
        script = self.scripts[0]
        if script.steps and isinstance(script.steps[-1], StayOpen):
            raise PlanError("nothing follows in a test source after stay_open()")
        return replace(self, scripts=(Script((*script.steps, step), self.batch),))

    @property
    def origin_ms(self) -> int:
        """The start of time, in milliseconds since the epoch."""
        return moment_ms(self.origin)

    # --- as a source -------------------------------------------------------------------------------------------------------------

    @property
    def bounded(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether every partition ends."""
        return not any(isinstance(step, StayOpen) for script in self.scripts for step in script.steps)

    @property
    def timed(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether its records have timestamps."""
        return any(isinstance(step, Records) and step.timestamps is not None for script in self.scripts for step in script.steps)

    def ends_after_s(self, start_ms: int) -> float:
        """Return how long the longest partition takes when it starts at `start_ms`, in seconds of processing time."""
        return max(script.ends_after_s(start_ms) for script in self.scripts)

    def for_readers(self) -> TestSource:
        """Return the source without its scripts: they travel with the splits."""
        return TestSource()

    def splits(self, parallelism: int) -> Sequence[Script]:  # noqa: ARG002 - the partitions are what they are
        """Return the scripts."""
        return self.scripts

    def open(self, split: Script, position: Any) -> TestReader:
        """Return a reader for which no time passes."""
        return TestReader(split, position, ManualClock(), 1)

    def open_reader(self, split: Script, position: Any, ctx: ReaderContext) -> TestReader:
        """Return a reader of a partition."""
        return TestReader(split, position, ctx.clock, ctx.attempt)


class TestReader:
    """Follows a script. Its position is the index of a step, how many of its records were given, and how many seconds were waited.

    Args:
        script: what to do.
        position: of another reader of it, or None.
        clock: what it waits by.
        attempt: of the job.
    """

    __test__: ClassVar[bool] = False

    def __init__(self, script: Script, position: tuple[int, int, float] | None, clock: Clock, attempt: int) -> None:
        self._steps = script.steps
        self._batch = script.batch
        self._clock = clock
        self._now = clock.now
        self._attempt = attempt
        self._step, self._given, self._waited_s = position or (0, 0, 0.0)
        self._gathered = position is not None
        self._until_s: float | None = None
        """When the wait in hand is over."""

    @property
    def position(self) -> object:
        """Where it is in the script."""
        waited_s = self._waited_s
        if self._until_s is not None:
            step = self._steps[self._step]
            assert isinstance(step, Wait), "what has an end is a wait"
            waited_s = step.seconds - max(0.0, self._until_s - self._now())
        return self._step, self._given, waited_s

    def read(self, records_max: int) -> Reading:
        """Take the next steps of the script."""
        if not self._gathered:
            self._gathered = True
            return Pause(_GATHERING_S)
        while self._step < len(self._steps):
            match self._steps[self._step]:
                case Records() as records:
                    return self._batch_of(records.timestamps is not None, min(records_max, self._batch or records_max))
                case Wait(seconds):
                    left_s = self._left_s(seconds)
                    if left_s > _ROUNDING_S:
                        return Pause(left_s)
                    self._until_s, self._waited_s = None, 0.0
                case WaitUntil(at_ms):
                    left_ms = at_ms - self._clock.wall_ms()
                    if left_ms > 0:
                        return Pause(left_ms / 1000)
                case Abort(text, attempts):
                    if self._attempt <= attempts:
                        raise ReaderAborted(text)
                case StayOpen():
                    return Pause(math.inf)
                case event:
                    self._step += 1
                    return event
            self._step += 1
        return END_OF_SPLIT

    def _left_s(self, seconds: float) -> float:
        if self._until_s is None:
            self._until_s = self._now() + seconds - self._waited_s
        return self._until_s - self._now()

    def _batch_of(self, timed: bool, size: int) -> ObjectBatch:  # noqa: FBT001 - which of two kinds
        """Return the next records, as long as they all have timestamps, or none has."""
        values: list[Any] = []
        timestamps: list[int] = []
        while self._step < len(self._steps) and len(values) < size:
            step = self._steps[self._step]
            if not isinstance(step, Records) or (step.timestamps is not None) != timed:
                break
            stop = min(len(step.values), self._given + size - len(values))
            values += step.values[self._given : stop]
            timestamps += (step.timestamps or ())[self._given : stop]
            self._given = stop
            if stop == len(step.values):
                self._step, self._given = self._step + 1, 0
        return ObjectBatch(values, timestamps if timed else None)

    def close(self) -> None:
        """Nothing is held."""
