"""A subtask's parts on their way to the files: on the pool, in their turn, at the worker's pace, and only as long as somebody needs them.

    snapshot ──► waits for its turn ──► stored ──► acknowledged          cannot be stored ──► declined; the subtask goes on
                      └── given up meanwhile, or the subtask is gone: stopped at the next piece, and what was written is removed

What a subtask leaves at its end goes the same way; it has ended once that is stored, and fails if it cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actorflow.errors import CheckpointError, describe
from actorflow.ids import SubtaskId
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAcknowledged, CheckpointDeclined, SubtaskTimes
from actorflow.runtime.checkpoints.layered_state import LayeredState, StoredLayers
from actorflow.runtime.checkpoints.taken_snapshots import TakenSnapshot, TakenState
from actorflow.storage.checkpoint_files import CheckpointFiles, files_of_part
from actorflow.storage.local_copies import LocalCopies
from actorflow.storage.uploads import Upload
from actorflow.wire.in_flight import InFlight, encode_in_flight
from actorflow.wire.manifest import InlineState, StoredFile, SubtaskState, encode_part

if TYPE_CHECKING:
    from actorflow.runtime.checkpoints.checkpoint_site import CheckpointSite
    from actorflow.runtime.subtasks.subtask import Subtask

_NO_LAYERS = StoredLayers({}, (), 0, b"", 0, 0)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part whose files are on disk, or on their way there with those of other subtasks.

    Attributes:
        encoded: what its acknowledgement says.
        state_bytes: the size of what it holds.
        stored_bytes: how much of that was written.
        layers: its keyed state.
        stored: what else was written for it.
    """

    encoded: bytes
    state_bytes: int
    stored_bytes: int
    layers: StoredLayers = _NO_LAYERS
    stored: Sequence[StoredFile | InlineState] = ()


class PartUploads:
    """Stores the parts of one subtask.

    Args:
        subtask: whose state it is.
        subtask_id: its name.
        site: where to store, and whom to tell.
        files: where state goes; None if it stays in the parts.
        copies: notes which files a part names; None if no copies are kept on this host.
        layers: its keyed state.

    Attributes:
        restored: how many bytes of the state that it goes on from were read from copies on this host, and how many from elsewhere.
    """

    def __init__(
        self,
        subtask: Subtask,
        subtask_id: SubtaskId,
        site: CheckpointSite,
        files: CheckpointFiles | None,
        copies: LocalCopies | None,
        layers: LayeredState,
    ) -> None:
        self.restored = (0, 0)
        self._subtask = subtask
        self._id = subtask_id
        self._site = site
        self._files = files
        self._copies = copies
        self._layers = layers
        self._storing: dict[int, TakenSnapshot] = {}
        self._leaving = False

    @property
    def busy(self) -> bool:
        """Whether anything is being stored: the subtask does not end before."""
        return bool(self._storing) or self._leaving

    def given_up(self, checkpoint: int) -> None:
        """Note that nobody needs the part of this checkpoint."""
        if checkpoint in self._storing:
            self._storing[checkpoint].given_up = True

    def decline(self, checkpoint: int, error: BaseException) -> None:
        """Say that this subtask has no part in a checkpoint. May be called from any thread."""
        self._site.tell(CheckpointDeclined(self._id, self._site.attempt, checkpoint, describe(error)))

    # --- snapshots ---------------------------------------------------------------------------------------------------------------

    def store(self, taken: TakenSnapshot, in_flight: InFlight) -> None:
        """Have a snapshot stored, and acknowledged; or declined, if it cannot be."""
        number = taken.barrier.checkpoint_id
        self._storing[number] = taken

        def needless() -> bool:
            return taken.given_up or self._subtask.over

        merging = self._site.merging if taken.state.saved is None else None
        burst = merging.join(number, needless) if merging is not None else None
        upload = Upload(self._site.pace, needless, burst)
        self._site.submit(lambda: self._store(taken, in_flight, upload))

    def _store(self, taken: TakenSnapshot, in_flight: InFlight, upload: Upload) -> None:
        """Secure the bytes, and say so once they are. Runs on the pool."""
        number = taken.barrier.checkpoint_id
        try:
            part = self._part(number, taken.state, upload, in_flight)
        except BaseException as error:
            upload.leave(None)
            self._not_stored(number, upload, error)
            return

        def secured(error: CheckpointError | None) -> None:
            if error is not None:
                self._withdraw(taken.state, part.layers, part.stored)
                self._not_stored(number, upload, error)
                return
            async_ms = (self._subtask.meter.now() - taken.at_s) * 1000
            waited = (taken.start_delay_ms, taken.alignment_ms, taken.sync_ms, async_ms)
            sizes = (part.state_bytes, part.stored_bytes, in_flight.payload_bytes)
            times = SubtaskTimes(*waited, *sizes, *self.restored)
            self._site.tell(CheckpointAcknowledged(self._id, self._site.attempt, number, part.encoded, times, taken.state.oldest))
            self._subtask.post(lambda: self._stored(number))

        upload.leave(secured)

    def _not_stored(self, number: int, upload: Upload, error: BaseException) -> None:
        if not upload.needless():
            self.decline(number, error)
        self._subtask.post(lambda: self._stored(number))

    def _stored(self, number: int) -> None:
        """Let a subtask end that has waited for this."""
        del self._storing[number]
        self._layers.given_back(number)
        self._subtask.wake()

    # --- the end -----------------------------------------------------------------------------------------------------------------

    def leave(self, checkpoint: int, taken: TakenState, told: Callable[[bytes], None]) -> None:
        """Store what the subtask leaves at its end, and tell what its part is; where it cannot be stored the subtask fails.

        Args:
            checkpoint: the number of the first that it is a part of.
            taken: what it leaves.
            told: called on the subtask's thread.
        """
        if self._files is None:
            told(self._last_part(checkpoint, taken))
            return
        self._leaving = True

        def work() -> None:
            try:
                part = self._last_part(checkpoint, taken)
            except BaseException as error:
                failure = error
                self._subtask.post(lambda: self._subtask.fail(describe(failure)))
            else:
                self._subtask.post(lambda: left(part))

        def left(part: bytes) -> None:
            self._leaving = False
            told(part)
            self._subtask.wake()

        self._site.submit(work)

    def _last_part(self, checkpoint: int, taken: TakenState) -> bytes:
        try:
            return self._part(checkpoint, taken, Upload(self._site.pace, lambda: self._subtask.over)).encoded
        except CheckpointError:
            if self._site.periodic:
                raise
            return b""  # too large to be kept for a savepoint that perhaps nobody takes

    # --- parts -------------------------------------------------------------------------------------------------------------------

    def _part(self, number: int, taken: TakenState, upload: Upload, in_flight: InFlight | None = None) -> _Part:
        """Write what a part names; return it.

        Raises:
            CheckpointError: if it cannot be stored, or nobody needs it any more; what was written is removed.
        """
        if taken.saved is not None:
            upload.pace(0)
            return _Part(*taken.saved(upload.pace))
        layers = _NO_LAYERS
        stored: list[StoredFile | InlineState] = []
        try:
            upload.pace(0)
            if taken.captured is not None:
                layers = self._layers.store(taken.captured, upload)
            stored.append(self._write(number, str(self._id), taken.data, upload))
            if in_flight:
                stored.append(self._write(number, f"{self._id}-in-flight", encode_in_flight(in_flight), upload))
            part = SubtaskState(
                self._id.index,
                stored[0],
                dict(layers.files),
                positions=taken.positions,
                read=taken.read,
                in_flight=stored[1] if in_flight else None,
                layers=layers.layers,
                base=layers.base,
                top=layers.top,
            )
            encoded = encode_part(part)
            self._site.check_size(self._id, encoded)
            if self._copies is not None:
                self._copies.stored(number, files_of_part(part))
        except BaseException:
            self._withdraw(taken, layers, stored)
            raise
        size = len(taken.data)
        return _Part(encoded, size + layers.state_bytes, size + layers.stored_bytes, layers, stored)

    def _write(self, number: int, name: str, data: bytes, upload: Upload) -> StoredFile | InlineState:
        files = self._files
        return InlineState(data) if files is None else files.write_state(number, name, data, upload)

    def _withdraw(self, taken: TakenState, layers: StoredLayers, stored: Sequence[StoredFile | InlineState]) -> None:
        """Remove what was written for a part that nobody will hear of."""
        if taken.captured is not None:
            self._layers.withdraw(taken.captured, layers)
        for file in stored:
            if isinstance(file, StoredFile):
                assert self._files is not None, "what was stored is in files"
                self._files.withdraw(file)
