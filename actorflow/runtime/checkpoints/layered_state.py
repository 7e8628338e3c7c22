"""Incremental snapshots of a subtask's keyed state: what changed is captured on its thread, and becomes a layer off it.

    capture (subtask's thread) ──► bytes ──► small: in the part        large: a file, and the next snapshots build upon it

Which layers a snapshot builds upon is decided by `layer_line`; what a layer is, `state.layers` says; what has changed, `state.changes` knows;
how it comes back, `restored_layers`. Without files (a JobManager that keeps checkpoints in its memory) every snapshot is whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from actorflow.runtime.checkpoints.layer_line import Below, LayerLine, Line
from actorflow.runtime.checkpoints.layer_merging import LayerMerger
from actorflow.state.changes import ChangeLog, Piece
from actorflow.state.layers import encode_layer, encode_layers
from actorflow.storage.checkpoint_files import CheckpointFiles
from actorflow.storage.uploads import Upload
from actorflow.wire.manifest import StoredFile, SubtaskState

if TYPE_CHECKING:
    from actorflow.operators.contract import Chain


LAYER_BYTES_MAX: Final = 32 << 20
"""Of a file: larger layers become several, each of which is written and read as a whole."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What changed, and what it builds upon.

    Attributes:
        checkpoint: its number.
        below: the layers under it.
        pieces: with the names of their operators.
    """

    checkpoint: int
    below: Below
    pieces: Sequence[tuple[str, Piece]]

    def layers(self, inline_bytes_max: int) -> Iterator[bytes]:
        """Give it as one layer, or as several if it is large; one that fits into a part is alone."""
        payloads = ((name, payload) for name, piece in self.pieces for payload in piece.payloads())
        return encode_layers(payloads, max(LAYER_BYTES_MAX, inline_bytes_max + 1))


@dataclass(frozen=True, slots=True)
class StoredLayers:
    """Keyed state as a part refers to it.

    Attributes:
        files: by the names that the part has for them.
        layers: names of those that are layers, in order.
        base: how many of them are the base.
        top: the layer above them, if it is in the part.
        state_bytes: of the state as a whole.
        stored_bytes: of what was written for this snapshot.
    """

    files: Mapping[str, StoredFile]
    layers: tuple[str, ...]
    base: int
    top: bytes
    state_bytes: int
    stored_bytes: int


class LayeredState:
    """The keyed states of one subtask that notes what changes.

    Args:
        chain: assembled, and not open.
        files: where layers go; None if they stay in the parts.
        inline_bytes_max: a layer up to this size stands in the part.
        periodic: whether checkpoints are taken at all; without them nothing is noted.
    """

    def __init__(self, chain: Chain, files: CheckpointFiles | None, inline_bytes_max: int, *, periodic: bool = True) -> None:
        logs = {name: backend.track() for name, backend in chain.backends().items()} if periodic else {}
        self._logs: dict[str, ChangeLog] = {name: log for name, log in logs.items() if log is not None}
        self._files = files
        self._inline_bytes_max = inline_bytes_max
        self._line = LayerLine(self._confirm, self._decline)
        self._merger = LayerMerger()
        self._merging = False
        self._afresh = False

    def resume(self, part: SubtaskState) -> None:
        """Build upon the layers of the part that this very state was restored from, if they are all of it and the job's own files."""
        line = tuple(part.files[name] for name in part.layers)
        if line and not part.top and self._files is not None and all(map(self._files.owns, line)):
            self._line.resume(line, part.base)
            for log in self._logs.values():
                log.resume()

    @property
    def operators(self) -> frozenset[str]:
        """The operators whose states are here."""
        return frozenset(self._logs)

    # --- the subtask's thread ----------------------------------------------------------------------------------------------------

    def capture(self, checkpoint: int) -> Captured:
        """Return what has changed since the snapshot that the line ends with.

        Raises:
            CheckpointError: if a value cannot be pickled.
        """
        self._afresh = all(log.compares_all for log in self._logs.values())
        below = self._line.begin(checkpoint, afresh=self._afresh)
        try:
            return Captured(checkpoint, below, self._pieces(checkpoint, whole=not below.layers))
        except BaseException:
            self._line.given_up(checkpoint)
            raise

    def capture_apart(self, checkpoint: int) -> Captured:
        """Return what has changed, for a savepoint that has files of its own: nothing is built upon it. See `given_back`.

        Raises:
            CheckpointError: see `capture`.
        """
        below = self._line.lend(checkpoint)
        try:
            return Captured(checkpoint, below, self._pieces(checkpoint, whole=not below.layers))
        except BaseException:
            self._line.given_back(checkpoint)
            raise
        finally:
            self._decline(checkpoint)

    def given_back(self, checkpoint: int) -> None:
        """Note that a savepoint that was captured apart has been stored, or not."""
        self._line.given_back(checkpoint)

    def _pieces(self, checkpoint: int, *, whole: bool) -> list[tuple[str, Piece]]:
        return [(name, piece) for name, log in self._logs.items() for piece in log.capture(checkpoint, whole=whole)]

    def completed(self, checkpoint: int) -> None:
        """Note that a checkpoint is complete."""
        self._line.completed(checkpoint)

    def given_up(self, checkpoint: int) -> None:
        """Note that a checkpoint will not be completed."""
        self._line.given_up(checkpoint)

    def _confirm(self, checkpoint: int) -> None:
        for log in self._logs.values():
            log.confirm(checkpoint)

    def _decline(self, checkpoint: int) -> None:
        for log in self._logs.values():
            log.decline(checkpoint)

    # --- the pool ----------------------------------------------------------------------------------------------------------------

    def store(self, captured: Captured, upload: Upload | None = None) -> StoredLayers:
        """Turn what was captured into bytes, and secure them, or have that done by an upload.

        Raises:
            CheckpointError: if a value cannot be pickled, or a file not be written.
        """
        if self._files is None:
            payloads = ((name, payload) for name, piece in captured.pieces for payload in piece.payloads())
            return self._in_part(captured, encode_layer(payloads))
        own: list[StoredFile] = []
        try:
            for data in captured.layers(self._inline_bytes_max):
                if not own and len(data) <= self._inline_bytes_max:
                    return self._in_part(captured, data)
                own.append(self._files.write_shared(data, upload))
        except BaseException:
            for file in own:
                self._files.withdraw(file)
            raise
        self._line.stored(captured.checkpoint, tuple(own))
        return stored_layers(captured.below, tuple(own), b"")

    def _in_part(self, captured: Captured, data: bytes) -> StoredLayers:
        self._line.stored(captured.checkpoint, ())
        return stored_layers(captured.below, (), data)

    def withdraw(self, captured: Captured, stored: StoredLayers) -> None:
        """Remove what was stored for a part that nobody will hear of. It would stay until the job ends, and the disk may be full."""
        below = captured.below
        for file in {*below.layers, *below.kept, *stored.files.values()}.difference(below.line, below.lent):
            assert self._files is not None, "what was stored is in files"
            self._files.withdraw(file)

    # --- merging -----------------------------------------------------------------------------------------------------------------

    def merge(
        self,
        submit: Callable[[Callable[[], None]], None],
        post: Callable[[Callable[[], None]], None],
        over: Callable[[], bool],
    ) -> None:
        """Merge layers on the pool, if it is worth while.

        Args:
            submit: runs a function on the pool.
            post: runs a function on the subtask's thread.
            over: whether the subtask is no more, so that nobody will refer to the result.
        """
        sources = self._line.due(afresh=self._afresh)
        files = self._files
        if not sources or self._merging or files is None:
            return
        self._merging = True
        base = self._line.is_base(sources)

        def work() -> None:
            merged: StoredFile | None = None
            # Whatever it is, a lack of memory for instance: the layers are as good as what they would have become, and it is tried again.
            with contextlib.suppress(Exception):
                merged = files.write_shared(self._merger.merged(sources, base=base))
            if merged is not None and over():
                files.withdraw(merged)
            else:
                post(lambda: self._merged(sources, merged, submit))

        submit(work)

    def _merged(self, sources: Line, file: StoredFile | None, submit: Callable[[Callable[[], None]], None]) -> None:
        self._merging = False
        if file is not None and not self._line.merged(sources, file):
            assert self._files is not None, "what was merged is in a file"
            submit(partial(self._files.withdraw, file))


def stored_layers(below: Below, own: Line, top: bytes) -> StoredLayers:
    """Return what a part says of a snapshot's own layer, and of those below it."""
    line = (*below.layers, *own)
    layers = {f"layer-{number}": file for number, file in enumerate(line)}
    kept = {f"kept-{number}": file for number, file in enumerate(below.beside)}
    stored = sum(file.size_bytes for file in own) + len(top)
    size = sum(file.size_bytes for file in line) + len(top)
    return StoredLayers({**layers, **kept}, tuple(layers), below.base or len(own), top, size, stored)
