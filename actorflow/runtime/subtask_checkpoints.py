"""A subtask's part in checkpoints: it takes its snapshot at a barrier, has it stored, and commits what was prepared when the whole is complete.

    barrier ─► passed on ─► sinks prepare ─► snapshot; what changed in keyed state ─► stored on the pool ─► acknowledged
                                 └─────────────┴── cannot be ──► failed                     └── cannot be ──► declined; the subtask goes on
    completed ─► sinks commit what they had prepared up to it

What operators keep becomes bytes on the subtask's thread: it may be changed by the next batch. Of keyed state only what has changed is taken
there (see `layered_state`). A trigger that is not newer than the last
barrier is dropped, and so is everything after the end.

An unaligned barrier is passed on before what waits in the outputs, which is stored with the snapshot, as is what the inputs hold before their
barriers (see `input_barriers`). An aligned one that may become unaligned does so where it has waited too long: in the inputs, or in the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from actorflow.errors import describe
from actorflow.ids import ChannelId, SubtaskId
from actorflow.protocol.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    SubtaskTimes,
    TriggerCheckpoint,
)
from actorflow.protocol.machine import TimerFired
from actorflow.runtime.checkpoint_site import CheckpointSite
from actorflow.runtime.feeds import GateFeed
from actorflow.runtime.in_flight import KeyFailure, Returned, StoredBatches, edges_from, edges_into, overtakable
from actorflow.runtime.input_barriers import InputBarriers, Recording
from actorflow.runtime.layered_state import Captured, LayeredState, StoredLayers, restored_layers
from actorflow.runtime.output_barriers import OutputBarriers
from actorflow.runtime.snapshots import decoded, give_back, outputs_of, take
from actorflow.storage.checkpoint_files import read_state
from actorflow.wire import pickling
from actorflow.wire.batch import Barrier, Batch
from actorflow.wire.in_flight import InFlight, decode_in_flight, encode_in_flight
from actorflow.wire.manifest import InlineState, StoredFile, SubtaskState, decode_part, encode_part, splits_of

if TYPE_CHECKING:
    from actorflow.runtime.deployment import Part
    from actorflow.runtime.source_feed import SourceFeed
    from actorflow.runtime.subtask import Subtask


def join(site: CheckpointSite, part: Part, restored: Sequence[bytes], failure: KeyFailure) -> SubtaskCheckpoints:
    """Give a subtask its part in checkpoints, and have it go on from the one that the run begins with, if any.

    Args:
        site: where to store, and whom to tell.
        part: the subtask, assembled and not begun.
        restored: the parts of all subtasks that the vertex had, in their order; none at the beginning.
        failure: see `KeyFailure`.

    Raises:
        CheckpointError: if a part is missing or damaged, or does not fit.
    """
    subtask, vertex = part.actor, part.vertex
    for sink in subtask.sinks:
        sink.in_checkpoints = True
    for exchange, edge in zip(subtask.exchanges, edges_from(site.graph, vertex.id), strict=True):
        exchange.overtakable = overtakable(edge)
    described = [decode_part(data) for data in restored]
    before = splits_of(described) if part.source is not None and part.id.index == 0 else ({}, ())
    checkpoints = SubtaskCheckpoints(subtask, part.id, site, vertex.max_parallelism, part.source, before)
    feed = subtask.feed
    if isinstance(feed, GateFeed):
        checkpoints.inputs = feed.barriers
        _obey(site, part, feed)
    if restored:
        place = (part.id.index, vertex.parallelism, vertex.max_parallelism)
        parts = [decoded(read_state(one.state)) for one in described]
        give_back(subtask.chain, parts, *place, restored_layers(described, *place))
        for sink, committables in zip(subtask.sinks, outputs_of(parts, part.id.index, vertex.parallelism), strict=False):
            sink.recommit(committables)
        in_flight = [decode_in_flight(read_state(one.in_flight)) if one.in_flight else InFlight() for one in described]
        limit = site.payload_bytes_max
        returned = Returned(site.graph, vertex, part.id.index, in_flight, payload_bytes_max=limit, failure=failure)
        if isinstance(feed, GateFeed):
            feed.give_back(returned.inputs())
        checkpoints.returned = returned.outputs()
    return checkpoints


def _obey(site: CheckpointSite, part: Part, feed: GateFeed) -> None:
    """Tell the barriers at a gate what they may do in which channel."""
    graph = site.graph
    into = edges_into(graph, part.vertex.id)
    edges = [graph.edges[graph.channels[channel.id].edge] for channel in feed.gate.channels]
    feed.barriers.obey(
        site.alignment,
        part.actor,
        edges=[into.index(edge) for edge in edges],
        ordered=[ChannelId(index) for index, edge in enumerate(edges) if not overtakable(edge)],
        first=feed.still_returned,
    )


BARRIER_TIMERS = ("alignment", "overtake")
"""The timers of barriers that wait: in the inputs (set by the alignment), and in the outputs."""


@dataclass(frozen=True, slots=True)
class _State:
    """State that was taken: in bytes, and what has changed in keyed state that is stored in layers."""

    data: bytes
    captured: Captured | None


@dataclass(slots=True)
class _Taken:
    """A snapshot that was taken. It is stored once nothing of what is in flight can be missing."""

    barrier: Barrier
    state: _State
    positions: dict[int, bytes]
    read: tuple[int, ...]
    start_delay_ms: float
    alignment_ms: float
    sync_ms: float
    at_s: float
    """When it was taken."""
    recording: Recording | None
    outputs: StoredBatches


_NO_LAYERS = StoredLayers({}, (), b"", 0, 0)


class SubtaskCheckpoints:
    """One subtask's part.

    Args:
        subtask: whose state is taken.
        subtask_id: its name.
        site: where to store, and whom to tell.
        max_parallelism: number of key groups.
        source: what it reads, if it is a source.
        before: what the first subtask of a source keeps for all: how far splits had been read when the run began, and which to their end.

    Attributes:
        passed: the highest checkpoint whose barrier it has passed on; 0 before the first.
        storing: how many snapshots are being stored; the subtask does not end before they are.
        inputs: the barriers of its input channels, if it has any.
        returned: what an earlier run had emitted and not sent: position of the exchange, batch.
    """

    def __init__(
        self,
        subtask: Subtask,
        subtask_id: SubtaskId,
        site: CheckpointSite,
        max_parallelism: int,
        source: SourceFeed | None,
        before: tuple[dict[int, bytes], tuple[int, ...]],
    ) -> None:
        self.passed = 0
        self.storing = 0
        self.inputs: InputBarriers | None = None
        self.returned: list[tuple[int, Batch]] = []
        self._subtask = subtask
        self._id = subtask_id
        self._site = site
        self._max_parallelism = max_parallelism
        self._source = source
        self._before = before
        self._layers = LayeredState(subtask.chain, site.files, site.inline_bytes_max)
        self._ended = False
        self._outputs = OutputBarriers(subtask.exchanges, subtask.sinks)
        self._held_up: _Taken | None = None
        """The one whose barrier still waits in outputs, where it may overtake."""

    def begin(self) -> None:
        """Emit what an earlier run had emitted and not sent."""
        returned, self.returned = self.returned, []
        self._outputs.send_again(returned)

    def take(self, news: TriggerCheckpoint | CheckpointCompleted | CheckpointAborted) -> None:
        """Take what the JobMaster says."""
        match news:
            case TriggerCheckpoint(checkpoint=number, timestamp=timestamp, unaligned=unaligned, savepoint=savepoint):
                # Else its barrier is there already, or would come behind the end of input.
                if number > self.passed and not self._ended:
                    self.snapshot(Barrier(number, timestamp, unaligned, savepoint))
            case CheckpointCompleted(checkpoint=number):
                self._completed(number)
            case CheckpointAborted(checkpoint=number):
                self._given_up(number)  # what was stored is discarded by the JobMaster
            case _:
                assert_never(news)

    def snapshot(self, barrier: Barrier) -> None:
        """Pass a barrier on, and take the snapshot that belongs to it."""
        number = self.passed = barrier.checkpoint_id
        self._held_up = None
        now = self._subtask.meter.now
        began = now()
        waited_s = self.inputs.waited_s if self.inputs is not None else 0.0
        start_delay_ms = max(0.0, self._subtask.processing_time() - barrier.timestamp - waited_s * 1000)
        self._subtask.chain.complete()
        overtaken = self._outputs.pass_on(barrier)
        # What fails here fails the subtask, whatever number of checkpoints may fail: a sink that could not prepare may have lost its records.
        for sink in self._subtask.sinks:
            sink.prepare(number)
        state = self._state(number, savepoint=barrier.savepoint)
        positions, read = self._positions()
        at_s = now()
        sync_ms, recording = (at_s - began) * 1000, self._recording(number)
        taken = _Taken(barrier, state, positions, read, start_delay_ms, waited_s * 1000, sync_ms, at_s, recording, overtaken)
        patience_s = self._site.alignment.patience_s
        if patience_s is not None and not barrier.unaligned and not barrier.savepoint and self._outputs.holds(number):
            self._held_up = taken
            self._subtask.ctx.set_timer("overtake", patience_s)
        elif taken.recording is not None:
            taken.recording.when_whole(lambda: self._secure(taken))
        else:
            self._secure(taken)

    def _state(self, number: int, *, savepoint: bool) -> _State:
        """Take the state. A savepoint is not built upon, and builds upon nothing."""
        layered = () if savepoint else self._layers.operators
        data = take(self._subtask, self._max_parallelism, layered).encoded()
        return _State(data, None if savepoint else self._layers.capture(number))

    def _decline(self, number: int, error: BaseException) -> None:
        self._site.tell(CheckpointDeclined(self._id, self._site.attempt, number, describe(error)))

    # --- what is in flight -------------------------------------------------------------------------------------------------------

    def _recording(self, number: int) -> Recording | None:
        recording = self.inputs.recording if self.inputs is not None else None
        return recording if recording is not None and recording.checkpoint == number else None

    def sent(self) -> None:
        """See whether a barrier that waits in the outputs has been sent."""
        taken = self._held_up
        if taken is not None and not self._outputs.holds(taken.barrier.checkpoint_id):
            self._held_up = None
            self._subtask.ctx.cancel_timer("overtake")
            self._secure(taken)

    def overdue(self, timer: TimerFired) -> None:
        """Let a barrier overtake that has waited too long: in the inputs, or in the outputs."""
        if timer.name != "overtake":
            assert self.inputs is not None, "without inputs nothing is aligned"
            self.inputs.overdue(timer)
            return
        taken, self._held_up = self._held_up, None
        if taken is None:
            return
        number = taken.barrier.checkpoint_id
        barrier = Barrier(number, taken.barrier.timestamp, unaligned=True)
        self._outputs.overtake(barrier, taken.outputs)
        self._secure(taken)

    def _given_up(self, number: int) -> None:
        self._layers.given_up(number)
        if self._subtask.over:
            return
        if self.inputs is not None:
            self.inputs.given_up(number)
        if self._held_up is not None and self._held_up.barrier.checkpoint_id == number:
            self._held_up = None
            self._subtask.ctx.cancel_timer("overtake")

    # --- storing -----------------------------------------------------------------------------------------------------------------

    def _secure(self, taken: _Taken) -> None:
        """Have a whole snapshot stored."""
        inputs: StoredBatches = taken.recording or StoredBatches()
        error = inputs.error or taken.outputs.error
        if error is not None:
            self._decline(taken.barrier.checkpoint_id, error)
            return
        if taken.recording is not None:
            taken.alignment_ms = taken.recording.waited_s * 1000
        in_flight = InFlight(tuple(inputs.batches), tuple(taken.outputs.batches))
        self.storing += 1
        self._site.submit(lambda: self._store(taken, in_flight))

    def _positions(self) -> tuple[dict[int, bytes], tuple[int, ...]]:
        if self._source is None:
            return {}, ()
        positions, read = self._source.positions()
        positions_before, read_before = self._before
        now = {number: pickling.dumps(position) for number, position in positions.items()}
        return positions_before | now, read_before + read

    def _store(self, taken: _Taken, in_flight: InFlight) -> None:
        """Secure the bytes, and say so. Runs on the pool."""
        number = taken.barrier.checkpoint_id
        try:
            part, state_bytes, stored_bytes = self._part(number, taken.state, taken.positions, taken.read, in_flight)
        except BaseException as error:
            self._decline(number, error)
        else:
            async_ms = (self._subtask.meter.now() - taken.at_s) * 1000
            waited = (taken.start_delay_ms, taken.alignment_ms, taken.sync_ms, async_ms)
            times = SubtaskTimes(*waited, state_bytes, stored_bytes, in_flight.payload_bytes)
            self._site.tell(CheckpointAcknowledged(self._id, self._site.attempt, number, part, times))
        finally:
            self._subtask.post(self._stored)

    def _stored(self) -> None:
        """Let a subtask end that has waited for this."""
        self.storing -= 1
        self._subtask.wake()

    def _part(
        self, number: int, state: _State, positions: dict[int, bytes], read: tuple[int, ...], in_flight: InFlight | None = None
    ) -> tuple[bytes, int, int]:
        """Return the part, the size of what it holds, and how much of that was written."""
        data = state.data
        layers = _NO_LAYERS if state.captured is None else self._layers.store(state.captured)
        part = SubtaskState(
            self._id.index,
            self._write(number, str(self._id), data),
            dict(layers.files),
            positions=positions,
            read=read,
            in_flight=self._write(number, f"{self._id}-in-flight", encode_in_flight(in_flight)) if in_flight else None,
            layers=layers.layers,
            top=layers.top,
        )
        encoded = encode_part(part)
        self._site.check_size(self._id, encoded)
        return encoded, len(data) + layers.state_bytes, len(data) + layers.stored_bytes

    def _write(self, number: int, name: str, data: bytes) -> StoredFile | InlineState:
        files = self._site.files
        return InlineState(data) if files is None else files.write_state(number, name, data)

    def _completed(self, number: int) -> None:
        """Commit what was prepared up to this checkpoint: it will be restored, if anything is."""
        for sink in self._subtask.sinks:
            if self._ended and number > self.passed:
                sink.commit()
            else:
                sink.commit_until(number)
        if not self._ended:
            self._layers.completed(number)
            self._layers.merge(self._site.submit, self._subtask.post)

    def last_part(self) -> tuple[bytes, int]:
        """Return what the subtask leaves at its end: its part of every checkpoint later than the number beside it.

        Raises:
            CheckpointError: if it cannot be stored.
        """
        self._ended = True
        positions, read = self._positions()
        data = take(self._subtask, self._max_parallelism, self._layers.operators).encoded()
        state = _State(data, self._layers.capture_all(self.passed + 1))
        return self._part(self.passed + 1, state, positions, read)[0], self.passed
