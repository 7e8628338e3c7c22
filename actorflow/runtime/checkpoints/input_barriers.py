"""The barriers at a subtask's input gate: when its snapshot is taken, and which batches of its channels belong to it.

    barrier pushed ──announced──► alignment ──take snapshot──► recorded: what the queues hold before their barriers
                                      │                          │  and what is pushed until the last barrier has arrived
                                      └────in flight complete────┴──► the snapshot is whole, and can be stored

A barrier is announced by a message to the subtask, so that its snapshot is taken between two batches, and not while another subtask pushes. What is
recorded is encoded at once: records that are handed over by reference may be changed once they are processed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actorflow.config import Config, options
from actorflow.ids import ChannelId
from actorflow.protocol.checkpoints.barriers import (
    AlignmentGivenUp,
    AlignmentMode,
    AlignmentObservation,
    BarrierAlignment,
    BarrierAnnounced,
    BarrierArrived,
    BlockChannel,
    ChannelEnded,
    ChannelEnding,
    CheckpointGivenUp,
    InFlightComplete,
    TakeSnapshot,
    UnblockChannels,
)
from actorflow.protocol.machine import CancelTimer, Report, SetTimer, TimerFired
from actorflow.runtime.channels.input_gate import Arrival, InputGate
from actorflow.runtime.channels.links import ReceivedBatch
from actorflow.runtime.checkpoints.in_flight import StoredBatches
from actorflow.wire.batch import Barrier, Batch, ChannelEvent, ColumnBatch, EndOfInput, ObjectBatch

if TYPE_CHECKING:
    from actorflow.runtime.subtasks.subtask import Subtask


@dataclass(frozen=True, slots=True)
class AlignmentRules:
    """What the user configured.

    Attributes:
        mode: whether barriers are aligned at all.
        unaligned: whether they may overtake.
        timeout_s: how long they are aligned before they do; 0 is not at all.
    """

    mode: AlignmentMode = AlignmentMode.EXACTLY_ONCE
    unaligned: bool = False
    timeout_s: float = 0.0

    @property
    def patience_s(self) -> float | None:
        """How long an aligned barrier waits before it becomes an overtaking one; None: for ever."""
        return self.timeout_s if self.unaligned and self.timeout_s > 0 else None


def alignment_rules(config: Config) -> AlignmentRules:
    """Return how the options say that barriers are aligned."""
    mode = AlignmentMode(config[options.CHECKPOINT_MODE])
    unaligned = config[options.CHECKPOINT_UNALIGNED]
    assert not unaligned or mode is AlignmentMode.EXACTLY_ONCE, "`config.rules` refuses barriers that overtake nothing"
    return AlignmentRules(mode, unaligned, config[options.CHECKPOINT_ALIGNED_TIMEOUT])


class Recording(StoredBatches):
    """The batches of the input channels that belong to one snapshot, in the order in which they are to be processed.

    Args:
        checkpoint: its number.

    Attributes:
        open: channels whose barrier has not arrived.
        whole: whether nothing can be missing.
        waited_s: from the first barrier to the last.
    """

    def __init__(self, checkpoint: int) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.open: dict[int, None] = {}
        self.whole = False
        self.waited_s = 0.0
        self._then: Callable[[], None] | None = None

    def complete(self, waited_s: float) -> None:
        """Note that all barriers have arrived."""
        self.whole = True
        self.waited_s = waited_s
        if self._then is not None:
            self._then()

    def when_whole(self, then: Callable[[], None]) -> None:
        """Call back once nothing can be missing: at once, if that is so. Never, if the checkpoint is given up."""
        self._then = then
        if self.whole:
            then()


class Snapshotting(Protocol):
    """What takes snapshots: a subtask, or something that stands before it."""

    def event(self, event: ChannelEvent) -> None:
        """Take a barrier: all of its channels have delivered theirs, or it has overtaken what they hold."""
        ...


class InputBarriers:
    """Aligns the barriers of one gate.

    Args:
        gate: the channels.
        subtask: told to take its snapshot.
        now: a clock in seconds.

    Attributes:
        recording: of the snapshot that was taken last, if its barriers have overtaken anything.
        waited_s: how long the snapshot that was taken last had been waited for since the first barrier.
    """

    def __init__(self, gate: InputGate, subtask: Snapshotting, now: Callable[[], float]) -> None:
        self._gate = gate
        self._subtask = subtask
        self._now = now
        self._alignment = BarrierAlignment(ChannelId(index) for index in range(len(gate.channels)))
        self._host: Subtask | None = None
        self._edges: Sequence[int] = ()
        self._first: Callable[[], list[tuple[int, ReceivedBatch | Batch]]] = list
        self.recording: Recording | None = None
        self.waited_s = 0.0

    def obey(
        self,
        rules: AlignmentRules,
        host: Subtask,
        *,
        edges: Sequence[int],
        ordered: Sequence[ChannelId],
        first: Callable[[], list[tuple[int, ReceivedBatch | Batch]]],
    ) -> None:
        """Follow other rules than to align. Called once, before any barrier.

        Args:
            rules: what the user configured.
            host: the subtask: gets messages and timers.
            edges: for each channel the position of its edge.
            ordered: channels in which nothing is overtaken.
            first: gives what is to be processed before all that the channels hold: position of the edge, batch.
        """
        channels = (ChannelId(index) for index in range(len(self._gate.channels)))
        self._alignment = BarrierAlignment(channels, mode=rules.mode, timeout_s=rules.patience_s, ordered=ordered)
        self._host = host
        self._edges = edges
        self._first = first
        if rules.unaligned:
            self._gate.on_push = self._pushed

    # --- what happens at the gate ----------------------------------------------------------------------------------------------

    def arrived(self, index: int, barrier: Barrier) -> None:
        """Take a barrier that has come to the head of its channel."""
        self._handle(BarrierArrived(ChannelId(index), barrier))

    def ended(self, index: int) -> None:
        """Take the end of a channel."""
        self._handle(ChannelEnded(ChannelId(index)))

    def given_up(self, checkpoint: int) -> None:
        """Hear that a checkpoint was aborted: nothing waits for its barriers any more."""
        self._handle(CheckpointGivenUp(checkpoint))

    def overdue(self, timer: TimerFired) -> None:
        """Hear that barriers have been aligned for long enough."""
        self._handle(timer)

    def observe(self) -> AlignmentObservation:
        """Return which barriers have come, and which are waited for."""
        return self._alignment.observe()

    @property
    def waits_for(self) -> str:
        """What blocked channels wait for, for people; nothing, if none is blocked."""
        seen = self._alignment.observe()
        if not seen.blocked:
            return ""
        return f"the barrier of checkpoint {seen.checkpoint} in {len(seen.waiting_for)} of {len(self._gate.channels)} channels"

    def _pushed(self, index: int, element: Arrival) -> None:
        """See what arrives in a channel, before its turn. Runs inside the push of whoever sends."""
        recording = self.recording
        recorded = recording is not None and index in recording.open
        if isinstance(element, Barrier):
            if recording is not None and recorded and element.checkpoint_id == recording.checkpoint:
                del recording.open[index]
                self._gate.remove(index, element)
            self._tell(BarrierAnnounced(ChannelId(index), element))
        elif isinstance(element, EndOfInput):
            if recording is not None and recorded:
                del recording.open[index]
            self._tell(ChannelEnding(ChannelId(index)))
        elif recording is not None and recorded and isinstance(element, ReceivedBatch | ObjectBatch | ColumnBatch):
            recording.add(self._edges[index], element)

    def _tell(self, event: BarrierAnnounced | ChannelEnding) -> None:
        assert self._host is not None, "what overtakes has a host"
        self._host.post(lambda: self._handle(event))

    # --- what follows from it ----------------------------------------------------------------------------------------------------

    def _handle(
        self, event: BarrierArrived | BarrierAnnounced | ChannelEnding | ChannelEnded | CheckpointGivenUp | TimerFired
    ) -> None:
        for effect in self._alignment.handle(event, self._now()):
            match effect:
                case Report(BlockChannel(channel)):
                    self._gate.block(channel)
                case Report(UnblockChannels()):
                    self._gate.unblock()
                case Report(TakeSnapshot(barrier=barrier, in_flight=in_flight, waited_s=waited_s)):
                    self.waited_s = waited_s
                    self.recording = self._record(barrier.checkpoint_id, in_flight) if in_flight else None
                    self._subtask.event(barrier)
                case Report(InFlightComplete(waited_s=waited_s)):
                    self._complete(waited_s)
                case Report(AlignmentGivenUp()):
                    self.recording = None
                case SetTimer(name, at) if self._host is not None:
                    self._host.ctx.set_timer_at(name, at)
                case CancelTimer(name) if self._host is not None:
                    self._host.ctx.cancel_timer(name)
                case _:
                    pass  # there is no timer to cancel where none is ever set

    def _record(self, checkpoint: int, in_flight: Sequence[ChannelId]) -> Recording:
        """Record what the channels hold before their barriers, and go on with what arrives in those that have none yet."""
        recording = Recording(checkpoint)
        for edge, batch in self._first():
            recording.add(edge, batch)
        for index in in_flight:
            last = self._record_queue(recording, index)
            if last is None:
                recording.open[index] = None
            elif isinstance(last, Barrier):
                self._gate.remove(index, last)
        return recording

    def _record_queue(self, recording: Recording, index: int) -> Barrier | EndOfInput | None:
        """Record what a channel holds before its barrier, or its end; return that, if it is there."""
        for element in self._gate.channels[index].queue:
            if isinstance(element, EndOfInput) or (isinstance(element, Barrier) and element.checkpoint_id == recording.checkpoint):
                return element
            if isinstance(element, ReceivedBatch | ObjectBatch | ColumnBatch):
                recording.add(self._edges[index], element)
        return None

    def _complete(self, waited_s: float) -> None:
        recording, self.recording = self.recording, None
        if recording is not None:
            recording.complete(waited_s)
