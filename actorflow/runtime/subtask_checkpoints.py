"""A subtask's part in checkpoints: it takes its snapshot at a barrier, has it stored, and commits what was prepared when the whole is complete.

    barrier ─► passed on ─► sinks prepare ─► snapshot; what changed in keyed state ─► stored on the pool ─► acknowledged
                                 └─────────────┴── cannot be ──► failed                     └── cannot be ──► declined; the subtask goes on
    completed ─► sinks commit what they had prepared up to it

What operators keep becomes bytes on the subtask's thread: it may be changed by the next batch. Of keyed state only what has changed is taken
there (see `layered_state`). A trigger that is not newer than the last
barrier is dropped, and so is everything after the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from actorflow.config import options
from actorflow.errors import describe
from actorflow.ids import SubtaskId
from actorflow.plan.execution import Vertex
from actorflow.protocol.checkpoint_messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    SubtaskTimes,
    TriggerCheckpoint,
)
from actorflow.runtime.job_checkpoint_work import can_go_on, checkpoint_files
from actorflow.runtime.layered_state import Captured, LayeredState, StoredLayers, restored_layers
from actorflow.runtime.snapshots import decoded, give_back, outputs_of, take
from actorflow.storage.checkpoint_files import CheckpointFiles, read_state
from actorflow.wire import pickling
from actorflow.wire.batch import Barrier
from actorflow.wire.manifest import InlineState, SubtaskState, decode_part, encode_part, splits_of
from actorflow.wire.message import Message

if TYPE_CHECKING:
    from actorflow.runtime.deployment import Deployment
    from actorflow.runtime.source_feed import SourceFeed
    from actorflow.runtime.subtask import Subtask


@dataclass(frozen=True, slots=True)
class CheckpointSite:
    """Where a worker's subtasks store their parts, and whom they tell.

    Attributes:
        files: writes state; None keeps it in the acknowledgement, for a JobManager that keeps checkpoints in its memory.
        submit: runs a function on the node's pool.
        tell: sends a message to the JobMaster; may be called from any thread.
        attempt: number of the deployment.
        inline_bytes_max: what is not larger stands in a part instead of a file.
    """

    files: CheckpointFiles | None
    submit: Callable[[Callable[[], None]], None]
    tell: Callable[[Message], None]
    attempt: int
    inline_bytes_max: int


def checkpoint_site(
    deployment: Deployment, submit: Callable[[Callable[[], None]], None], tell: Callable[[Message], None]
) -> CheckpointSite | None:
    """Return where the subtasks of a deployment store their parts, or None if the job takes no checkpoints. Arguments: see `CheckpointSite`."""
    config = deployment.config
    if config[options.CHECKPOINT_INTERVAL] is None or not can_go_on(deployment.graph):
        return None
    files, inline = checkpoint_files(config, deployment.job), config[options.CHECKPOINT_INLINE]
    return CheckpointSite(files, submit, tell, deployment.attempt, inline)


def join(
    site: CheckpointSite,
    subtask: Subtask,
    subtask_id: SubtaskId,
    vertex: Vertex,
    source: SourceFeed | None,
    restored: Sequence[bytes],
) -> SubtaskCheckpoints:
    """Give a subtask its part in checkpoints, and have it go on from the one that the run begins with, if any.

    Args:
        site: where to store, and whom to tell.
        subtask: assembled, and not begun.
        subtask_id: its name.
        vertex: what it runs.
        source: what it reads, if it is a source.
        restored: the parts of all subtasks that the vertex had, in their order; none at the beginning.

    Raises:
        CheckpointError: if a part is missing or damaged, or does not fit.
    """
    for sink in subtask.sinks:
        sink.in_checkpoints = True
    positions: dict[int, bytes] = {}
    read: tuple[int, ...] = ()
    if restored:
        place = (subtask_id.index, vertex.parallelism, vertex.max_parallelism)
        stored = list(map(decode_part, restored))
        if source is not None and subtask_id.index == 0:
            positions, read = splits_of(stored)
        parts = [decoded(read_state(part.state)) for part in stored]
        give_back(subtask.chain, parts, *place, restored_layers(stored, *place))
        for sink, committables in zip(subtask.sinks, outputs_of(parts, subtask_id.index, vertex.parallelism), strict=False):
            sink.recommit(committables)
    return SubtaskCheckpoints(subtask, subtask_id, site, vertex.max_parallelism, source, (positions, read))


@dataclass(frozen=True, slots=True)
class _State:
    """State that was taken: in bytes, and what has changed in keyed state that is stored in layers."""

    data: bytes
    captured: Captured | None


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
        self._subtask = subtask
        self._id = subtask_id
        self._site = site
        self._max_parallelism = max_parallelism
        self._source = source
        self._before = before
        self._layers = LayeredState(subtask.chain, site.files, site.inline_bytes_max)
        self._ended = False

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
                self._layers.given_up(number)  # what was stored is discarded by the JobMaster
            case _:
                assert_never(news)

    def snapshot(self, barrier: Barrier) -> None:
        """Pass a barrier on, and take the snapshot that belongs to it."""
        number = self.passed = barrier.checkpoint_id
        now = self._subtask.meter.now
        began = now()
        self._subtask.chain.complete()
        self._subtask.broadcast(barrier)
        # What fails here fails the subtask, whatever number of checkpoints may fail: a sink that could not prepare may have lost its records.
        for sink in self._subtask.sinks:
            sink.prepare(number)
        state = self._state(number, savepoint=barrier.savepoint)
        positions, read = self._positions()
        sync_ms = (now() - began) * 1000
        self.storing += 1
        self._site.submit(lambda: self._store(number, state, positions, read, sync_ms))

    def _state(self, number: int, *, savepoint: bool) -> _State:
        """Take the state. A savepoint is not built upon, and builds upon nothing."""
        layered = () if savepoint else self._layers.operators
        data = take(self._subtask, self._max_parallelism, layered).encoded()
        return _State(data, None if savepoint else self._layers.capture(number))

    def _positions(self) -> tuple[dict[int, bytes], tuple[int, ...]]:
        if self._source is None:
            return {}, ()
        positions, read = self._source.positions()
        positions_before, read_before = self._before
        now = {number: pickling.dumps(position) for number, position in positions.items()}
        return positions_before | now, read_before + read

    def _store(self, number: int, state: _State, positions: dict[int, bytes], read: tuple[int, ...], sync_ms: float) -> None:
        """Secure the state, and say so. Runs on the pool."""
        try:
            part, state_bytes, stored_bytes = self._part(number, state, positions, read)
        except BaseException as error:
            self._site.tell(CheckpointDeclined(self._id, self._site.attempt, number, describe(error)))
        else:
            times = SubtaskTimes(sync_ms=sync_ms, state_bytes=state_bytes, stored_bytes=stored_bytes)
            self._site.tell(CheckpointAcknowledged(self._id, self._site.attempt, number, part, times))
        finally:
            self._subtask.post(self._stored)

    def _stored(self) -> None:
        """Let a subtask end that has waited for this."""
        self.storing -= 1
        self._subtask.wake()

    def _part(self, number: int, state: _State, positions: dict[int, bytes], read: tuple[int, ...]) -> tuple[bytes, int, int]:
        """Return the part, the size of what it holds, and how much of that was written."""
        files, data = self._site.files, state.data
        layers = _NO_LAYERS if state.captured is None else self._layers.store(state.captured)
        held = InlineState(data) if files is None else files.write_state(number, str(self._id), data)
        part = SubtaskState(
            self._id.index, held, dict(layers.files), positions=positions, read=read, layers=layers.layers, top=layers.top
        )
        return encode_part(part), len(data) + layers.state_bytes, len(data) + layers.stored_bytes

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
