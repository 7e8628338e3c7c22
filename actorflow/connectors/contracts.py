"""What a source and a sink must be able to do, and how they stand in a graph.

A *source* is cut into splits (files, byte ranges, row groups). The JobMaster lists the splits and hands them out one at a time to
the subtasks that ask, so a slow reader gets fewer. A *reader* reads one split and knows its position, from which another reader
can go on.

A *sink* opens one writer for each subtask. A `TwoPhaseSink`'s writer makes what it has written a *committable*, invisible to readers
until the job commits it.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from actorflow.clock import Clock
from actorflow.ids import SubtaskId
from actorflow.plan.graph import DataPath, OperatorSpec, Role
from actorflow.wire.batch import Active, Batch, Idle, Watermark


@dataclass(frozen=True, slots=True)
class Pause:
    """A reader has nothing now.

    Attributes:
        seconds: when to ask again, at the latest.
        fd: a file descriptor whose readiness to read means: ask again at once. None if there is none.
    """

    seconds: float
    fd: int | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Whether a reader works off records that have gathered up: checkpoints may come more seldom then, as no result is awaited at once.

    Attributes:
        under_way: whether those that follow belong to a backlog. It is over with `Backlog(under_way=False)`, or with the split.
    """

    under_way: bool


class EndOfSplit:
    """A reader has given everything of its split. Use the instance `END_OF_SPLIT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "END_OF_SPLIT"


END_OF_SPLIT = EndOfSplit()

Reading = Batch | Watermark | Idle | Active | Backlog | Pause | EndOfSplit
"""What a reader may return."""


class Reader(Protocol):
    """Reads one split. Used from one thread."""

    @property
    def position(self) -> object:
        """The place after the last batch, small and picklable: `Source.open(split, position)` goes on from there."""
        ...

    def read(self, records_max: int) -> Reading:
        """Return the next batch (not empty, about `records_max` records, fewer if that is what is there), or why there is none.

        Batches may carry timestamps. A source that knows of event time itself (a log with watermarks in it) also returns, between batches:
        `Watermark`, which holds for its split (one that does not rise is dropped); `Idle`, by which the split holds back no watermark until
        its next batch or `Active`. One that knows that it lags far behind returns `Backlog`. It is asked again at once after these.

        Must return within a few milliseconds: data that is slow to come is a `Pause`.

        Raises:
            SourceError: if the split cannot be read on: file, place and reason in its text.
        """
        ...

    def close(self) -> None:
        """Free what it holds. Called once."""
        ...


@dataclass(frozen=True, slots=True)
class ReaderContext:
    """What a reader may know of where it runs.

    Attributes:
        clock: the node's. A reader that reads the time reads it here: in a test it is virtual.
        subtask: vertex and index of the reading subtask.
        parallelism: number of reading subtasks.
        attempt: 1 for the first deployment, one more after each restart.
        frames: whether the operators behind it compute with polars: batches of columns may then be polars frames (`FrameBatch`).
    """

    clock: Clock
    subtask: SubtaskId
    parallelism: int
    attempt: int
    frames: bool = False


class Source(abc.ABC):
    """Where records come from. Immutable and picklable; it opens nothing before `splits` or `open`."""

    bounded: ClassVar[bool] = True
    """Whether it ends by itself. An instance may override it."""

    gives: ClassVar[DataPath] = DataPath.OBJECTS
    """Form of its batches. An instance may override it."""

    replayable: ClassVar[bool] = True
    """Whether a position can be read again after a failure (a socket cannot)."""

    parallelism_max: ClassVar[int | None] = None
    """The most readers it can use (a socket has one connection), or None."""

    partitioned: ClassVar[bool] = False
    """Whether its splits are the partitions of a log, say: read at the same time, by each reader its share, because one does not follow another.
    Splits that are not are read one after the other, so one that never ends keeps its reader from the others. An instance may override it."""

    timed: ClassVar[bool] = False
    """Whether its batches carry event times. An instance may override it."""

    @abc.abstractmethod
    def splits(self, parallelism: int) -> Iterable[Any]:
        """Return the splits, small picklable values. Runs on the JobMaster, may take long, may be a generator.

        Args:
            parallelism: number of readers; a hint for how finely to cut.

        Raises:
            SourceError: if the input does not exist or cannot be listed.
        """

    @abc.abstractmethod
    def open(self, split: Any, position: object | None) -> Reader:
        """Return a reader of `split`, at its start (`position` None) or where another reader's `position` stood.

        Raises:
            SourceError: if the split cannot be opened.
        """

    def open_reader(self, split: Any, position: object | None, ctx: ReaderContext) -> Reader:  # noqa: ARG002 - for those that need it
        """Return a reader as `open` does, which this calls. A source whose readers look at the clock or the attempt overrides it."""
        return self.open(split, position)

    def for_readers(self) -> Source:
        """Return what the subtasks get: all that `open` needs. A source that holds its data leaves it out here, once `splits` has run."""
        return self


class WriterContext(Protocol):
    """What a writer may know and use.

    Attributes:
        clock: the node's; in a test it is virtual.
        job_name: the pipeline's name.
        job_id: unique to this run of the pipeline.
        subtask: vertex and index of the writing subtask.
        parallelism: number of writing subtasks.
        attempt: 1 for the first deployment, one more after each restart.
    """

    clock: Clock
    job_name: str
    job_id: str
    subtask: SubtaskId
    parallelism: int
    attempt: int

    def send_result(self, payload: bytes) -> None:
        """Send bytes to the client that waits for this job (how `collect` works). Order is kept for each subtask."""
        ...


class Writer(Protocol):
    """Writes what one subtask gets. Used from one thread."""

    def write(self, batch: Batch) -> None:
        """Write a batch (object or column batch, as the sink's spec takes).

        Raises:
            SinkError: if it cannot be written.
        """
        ...

    def flush(self) -> None:
        """Make what was written leave this process's own buffers. Called when the stream pauses and at its end."""
        ...

    def close(self) -> None:
        """Free what it holds, and drop what was not prepared. Called once, also after a failure."""
        ...


@runtime_checkable
class EventTimeWriter(Writer, Protocol):
    """A writer that wants to know how far event time is."""

    def event(self, event: Watermark | Idle | Active) -> None:
        """Hear of event time, between the batches before and after it."""
        ...


class TwoPhaseWriter(Writer, Protocol):
    """A writer whose output becomes visible only when the job commits it."""

    def prepare(self) -> object | None:
        """Finish and secure what was written since the last call; return a small picklable committable, or None if nothing was."""
        ...


class Sink(abc.ABC):
    """Where records go. Immutable and picklable; it opens nothing before `open`."""

    takes: ClassVar[DataPath] = DataPath.OBJECTS

    sends_results: ClassVar[bool] = False
    """Whether its writers send results to the client. A job with such a sink restarts from its beginning: results of a failed run are void."""

    @abc.abstractmethod
    def open(self, ctx: WriterContext) -> Writer:
        """Return the writer of one subtask.

        Raises:
            SinkError: if the target cannot be written to.
        """


class TwoPhaseSink(Sink):
    """A sink with atomic output. `commit` and `abort` are idempotent: they may be called again after a failure, from another process."""

    @abc.abstractmethod
    def open(self, ctx: WriterContext) -> TwoPhaseWriter:
        """Return the writer of one subtask. See `Sink.open`."""

    @abc.abstractmethod
    def commit(self, committables: Sequence[Any]) -> None:
        """Make what the committables stand for visible to readers."""

    @abc.abstractmethod
    def abort(self, committables: Sequence[Any]) -> None:
        """Remove what the committables stand for."""

    def clean_up(self, job_id: str, attempt: int) -> None:
        """Remove what writers of this attempt of a job had begun, if they were killed over it.

        All of them have ended, and nothing that they prepared will be committed any more. What other jobs write must stay.
        """


@dataclass(frozen=True)
class SourceSpec(OperatorSpec):
    """A source as a node of the graph."""

    source: Source

    kind: ClassVar[str] = "source"
    role: ClassVar[Role] = Role.SOURCE

    @property
    def gives(self) -> DataPath:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """The form of the source's batches."""
        return self.source.gives

    @property
    def parallelism_max(self) -> int | None:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """The most readers that the source can use."""
        return self.source.parallelism_max

    @property
    def timed(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether the source's batches carry event times."""
        return self.source.timed

    @property
    def bounded(self) -> bool:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """Whether the source ends by itself."""
        return self.source.bounded

    def functions(self) -> Mapping[str, object]:
        """The source itself is user-made, as far as pickling goes."""
        return {"source": self.source}


@dataclass(frozen=True)
class SinkSpec(OperatorSpec):
    """A sink as a node of the graph."""

    sink: Sink

    kind: ClassVar[str] = "sink"
    role: ClassVar[Role] = Role.SINK

    @property
    def takes(self) -> DataPath:  # type: ignore[override]  # an instance's answer, where the base has a class constant
        """The form of batches that the sink writes."""
        return self.sink.takes

    def functions(self) -> Mapping[str, object]:
        """The sink itself is user-made, as far as pickling goes."""
        return {"sink": self.sink}
