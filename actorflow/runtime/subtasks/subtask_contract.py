"""What a subtask works with and what it shows: its tokens and questions, its feed, its owner, its view.

Contracts only, so that the feeds, the slot worker and the data loop in `subtask` need not know each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actorflow.errors import ErrorInfo
from actorflow.runtime.subtasks.meter import SubtaskMetrics

if TYPE_CHECKING:
    from actorflow.runtime.subtasks.subtask import Subtask


class Turn:
    """The token in the data lane: there may be something to do."""

    __slots__ = ()


class Begin:
    """Start to read and process."""

    __slots__ = ()


TURN = Turn()
BEGIN = Begin()


@dataclass(frozen=True, slots=True)
class InputView:
    """What people see of an input channel.

    Attributes:
        channel: its id in the execution graph.
        queued: elements that wait in it.
        watermark: the last that came, in ms.
        status: how it stands towards the merged watermark; see `protocol.event_time.watermark.ChannelStatus`.
        blocked: whether nothing is taken from it, because its barrier has come and others have not.
        owes_barrier: number of the checkpoint whose barrier others have brought and it has not; 0 if there is none.
    """

    channel: int
    queued: int
    watermark: int
    status: str
    blocked: bool
    owes_barrier: int


@dataclass(frozen=True, slots=True)
class OutputView:
    """What people see of an output channel: its id, the sealed buffers that wait for credit, whether the subtask has to wait for it."""

    channel: int
    waiting: int
    exhausted: bool


class Feed(Protocol):
    """Where a subtask's batches come from."""

    @property
    def records_in(self) -> int:
        """Records that were taken."""
        ...

    @property
    def bytes_in(self) -> int:
        """Encoded bytes of those that came from other nodes."""
        ...

    def begin(self) -> None:
        """Start: grant the first credits, or ask for the first split."""
        ...

    def advance(self) -> bool:
        """Do one turn's work; return whether there is more to do right away."""
        ...

    @property
    def ended(self) -> bool:
        """Whether everything was taken."""
        ...

    @property
    def waits_for(self) -> str:
        """What has to come before there is more to do, for people."""
        ...

    def channels(self) -> tuple[InputView, ...]:
        """Return its input channels as values; a source has none."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class Owner(Protocol):
    """Whom a subtask tells of its life: the slot worker."""

    def subtask_started(self, subtask: Subtask) -> None:
        """Its operators have started; it is processing."""
        ...

    def subtask_finished(self, subtask: Subtask) -> None:
        """All input was processed, all output is on its way, sinks have prepared."""
        ...

    def subtask_failed(self, subtask: Subtask, error: ErrorInfo) -> None:
        """It cannot go on."""
        ...


@dataclass(frozen=True, slots=True)
class SubtaskView:
    """What people see of a subtask.

    Attributes:
        name: name of the vertex and index.
        activity: busy, idle or back-pressured.
        waits_for: what it cannot go on without, if it does not work.
        metrics: counters and shares of time.
        watermark: event time that was reached, in ms.
        queued_in: elements that wait in the input gate.
        queued_out: for each lane the sealed buffers that wait for credit.
        operators: facts by operator.
        inputs: its input channels.
        outputs: its output channels.
        own_time: whether it makes its watermarks itself.
        checkpoint: the last whose snapshot it has taken; 0 before the first.
    """

    name: str
    activity: str
    waits_for: str
    metrics: SubtaskMetrics
    watermark: int
    queued_in: int
    queued_out: tuple[int, ...]
    operators: Mapping[str, object]
    inputs: tuple[InputView, ...] = ()
    outputs: tuple[OutputView, ...] = ()
    own_time: bool = False
    checkpoint: int = 0
