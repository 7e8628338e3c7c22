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

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, assert_never

from actorflow.ids import SubtaskId
from actorflow.protocol.checkpoints.checkpoint_messages import (
    CheckpointAborted,
    CheckpointCompleted,
    TriggerCheckpoint,
)
from actorflow.protocol.machine import TimerFired
from actorflow.runtime.checkpoints.in_flight import StoredBatches, Unsent
from actorflow.runtime.checkpoints.input_barriers import InputBarriers, Recording
from actorflow.runtime.checkpoints.layered_state import LayeredState
from actorflow.runtime.checkpoints.native_parts import NativePart
from actorflow.runtime.checkpoints.output_barriers import OutputBarriers
from actorflow.runtime.checkpoints.part_uploads import PartUploads
from actorflow.runtime.checkpoints.snapshots import take
from actorflow.runtime.checkpoints.taken_snapshots import TakenSnapshot, TakenState
from actorflow.storage.local_copies import LocalCopies
from actorflow.wire import pickling
from actorflow.wire.batch import MAX_TIMESTAMP, Barrier, SavepointOrder, Watermark
from actorflow.wire.in_flight import InFlight
from actorflow.wire.manifest import StoredFile, SubtaskState

if TYPE_CHECKING:
    from actorflow.plan.execution import Vertex
    from actorflow.runtime.checkpoints.checkpoint_site import CheckpointSite
    from actorflow.runtime.checkpoints.earlier_parts import Splits
    from actorflow.runtime.subtasks.source_feed import SourceFeed
    from actorflow.runtime.subtasks.subtask import Subtask


BARRIER_TIMERS = ("alignment", "overtake")
"""The timers of barriers that wait: in the inputs (set by the alignment), and in the outputs."""


class SubtaskCheckpoints:
    """One subtask's part.

    Args:
        subtask: whose state is taken.
        subtask_id: its name.
        site: where to store, and whom to tell.
        vertex: what it runs.
        source: what it reads, if it is a source.
        kept: files of which it has copies on this host that are still needed: those that its state is restored from.
        before: what the first subtask of a source keeps for all: how far splits had been read when the run began, and which to their end.

    Attributes:
        passed: the highest checkpoint whose barrier it has passed on; 0 before the first.
        uploads: its parts on their way to the files; the subtask does not end before they are there.
        last_part: at the end, its part of every checkpoint later than the number beside it.
        inputs: the barriers of its input channels, if it has any.
        returned: what an earlier run had emitted and not sent.
    """

    def __init__(
        self,
        subtask: Subtask,
        subtask_id: SubtaskId,
        site: CheckpointSite,
        vertex: Vertex,
        source: SourceFeed | None,
        before: Splits,
        kept: Sequence[StoredFile] = (),
    ) -> None:
        self.passed = 0
        self.last_part = (b"", 0)
        self.inputs: InputBarriers | None = None
        self.returned: list[Unsent] = []
        self._subtask = subtask
        self._id = subtask_id
        self._site = site
        self._vertex = vertex
        self._stops_at = 0
        self._source = source
        self._before = before
        files = site.files
        self._copies: LocalCopies | None = None
        if files is not None and site.backup is not None:
            self._copies = LocalCopies(site.backup, f"{subtask_id}", kept)
            files = files.copying(self._copies)
        self._layers = LayeredState(subtask.chain, files, site.inline_bytes_max, periodic=site.periodic)
        self.uploads = PartUploads(subtask, subtask_id, site, files, self._copies, self._layers)
        self._ended = False
        self._outputs = OutputBarriers(subtask.exchanges, subtask.sinks)
        self._held_up: TakenSnapshot | None = None
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
                    self._trigger(Barrier(number, timestamp, unaligned, savepoint))
            case CheckpointCompleted(checkpoint=number):
                self._completed(number)
                if number == self._stops_at:
                    self._subtask.stop_here()
            case CheckpointAborted(checkpoint=number):
                self._given_up(number)  # what was stored is discarded by the JobMaster
            case _:
                assert_never(news)

    def _trigger(self, barrier: Barrier) -> None:
        """Put a barrier behind what the source has read; to drain it, behind the end of event time."""
        if barrier.savepoint is not None and barrier.savepoint.then == "drain":
            self._subtask.event(Watermark(MAX_TIMESTAMP))
        self._subtask.event(barrier)

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
        source = self._positions()
        try:
            state = self._state(number, source) if barrier.savepoint is None else self._saved(number, barrier.savepoint, source)
        except Exception as error:
            if barrier.savepoint is None:
                raise
            self.uploads.decline(number, error)  # a value that its declared type does not allow, say: the job can go on with it
            return
        at_s = now()
        sync_ms, recording = (at_s - began) * 1000, self._recording(number)
        taken = TakenSnapshot(barrier, state, start_delay_ms, waited_s * 1000, sync_ms, at_s, recording, overtaken)
        patience_s = self._site.alignment.patience_s
        if patience_s is not None and not barrier.unaligned and barrier.savepoint is None and self._outputs.holds(number):
            self._held_up = taken
            self._subtask.ctx.set_timer("overtake", patience_s)
        elif taken.recording is not None:
            taken.recording.when_whole(lambda: self._secure(taken))
        else:
            self._secure(taken)
        if barrier.savepoint is not None and barrier.savepoint.stops:
            self._stops_at = number
            self._subtask.hold()

    def resume(self, part: SubtaskState) -> None:
        """Build upon the part that the state was restored from."""
        self._layers.resume(part)

    def _state(self, number: int, source: Splits) -> TakenState:
        """Take the state."""
        data = take(self._subtask, self._vertex.max_parallelism, self._layers.operators).encoded()
        return TakenState(data, self._layers.capture(number), *source)

    def _saved(self, number: int, savepoint: SavepointOrder, source: Splits) -> TakenState:
        """Take the state for a savepoint, which is not built upon."""
        for sink in self._subtask.sinks:
            sink.in_checkpoints = True  # what it has prepared is not removed any more: the savepoint refers to it
        if savepoint.format == "native":
            data = take(self._subtask, self._vertex.max_parallelism, self._layers.operators).encoded()
            native = NativePart(self._id, data, self._layers.capture_apart(number), *source)
            return TakenState(
                b"", None, *source, lambda pace: native.written(savepoint.directory, self._site.inline_bytes_max, pace)
            )
        from actorflow.runtime.checkpoints.saved_parts import saved_part, taken_part  # brings Parquet, which few jobs need

        taken = taken_part(take(self._subtask, self._vertex.max_parallelism), self._vertex, self._id.index, *source)
        return TakenState(b"", None, *source, lambda pace: saved_part(taken, savepoint.directory, self._vertex, *source, pace))

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
        if number == self._stops_at:
            self._stops_at = 0
            self._subtask.go_on()
        self._layers.given_up(number)
        self.uploads.given_up(number)
        if not self._ended:  # what it leaves at its end is a part of later ones as well
            self._clean(lambda copies: copies.given_up(number))
        if self._subtask.over:
            return
        if self.inputs is not None:
            self.inputs.given_up(number)
        if self._held_up is not None and self._held_up.barrier.checkpoint_id == number:
            self._held_up = None
            self._subtask.ctx.cancel_timer("overtake")

    # --- storing -----------------------------------------------------------------------------------------------------------------

    def _secure(self, taken: TakenSnapshot) -> None:
        """Have a whole snapshot stored."""
        inputs: StoredBatches = taken.recording or StoredBatches()
        error = inputs.error or taken.outputs.error
        if error is not None:
            self.uploads.decline(taken.barrier.checkpoint_id, error)
            return
        if taken.recording is not None:
            taken.alignment_ms = taken.recording.waited_s * 1000
        self.uploads.store(taken, InFlight(tuple(inputs.batches), tuple(taken.outputs.batches)))

    def _positions(self) -> Splits:
        if self._source is None:
            return {}, ()
        positions, read = self._source.positions()
        positions_before, read_before = self._before
        now = {number: pickling.dumps(position) for number, position in positions.items()}
        return positions_before | now, read_before + read

    def _completed(self, number: int) -> None:
        """Commit what was prepared up to this checkpoint: it will be restored, if anything is."""
        for sink in self._subtask.sinks:
            if self._ended and number > self.passed:
                sink.commit()
            else:
                sink.commit_until(number)
        if not self._ended:
            self._layers.completed(number)
            self._clean(lambda copies: copies.completed(number))
            self._layers.merge(self._site.submit, self._subtask.post, lambda: self._ended or self._subtask.over)

    def _clean(self, action: Callable[[LocalCopies], None]) -> None:
        """Have copies removed, off the thread."""
        copies = self._copies
        if copies is not None:
            self._site.submit(lambda: action(copies))

    def leave(self) -> None:
        """Have stored what the subtask leaves at its end: its part of every checkpoint later than the last whose barrier it has passed.

        Nothing, where the whole job is about to end and no checkpoints are taken: all of a large state would be written for nobody.

        Raises:
            CheckpointError: if it cannot be taken.
        """
        self._ended = True
        if not self._site.possible or (not self._site.lasting and self._subtask.chain.backends()):
            self._leave(b"")
            return
        data = take(self._subtask, self._vertex.max_parallelism, self._layers.operators).encoded()
        number = self.passed + 1
        self.uploads.leave(number, TakenState(data, self._layers.capture(number), *self._positions()), self._leave)

    def _leave(self, part: bytes) -> None:
        self.last_part = (part, self.passed)
