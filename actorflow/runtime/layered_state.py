"""Incremental snapshots of a subtask's keyed state: what changed is captured on its thread, and becomes a layer off it.

    capture (subtask's thread) ──► bytes ──► small: in the part        large: a file, and the next snapshots build upon it
    restore ◄── top, in the part ◄── layers, in order, read from files

Which layers a snapshot builds upon is decided by `layer_line`; what a layer is, `state.layers` says; what has changed, `state.changes` knows.
Without files (a JobManager that keeps checkpoints in its memory) every snapshot is whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from actorflow.errors import CheckpointError
from actorflow.plan.key_groups import group_range, key_group
from actorflow.runtime.layer_line import Below, LayerLine, Line
from actorflow.state.changes import ChangeLog, Piece
from actorflow.state.layers import Layers, encode_layer
from actorflow.storage.checkpoint_files import CheckpointFiles, read_state
from actorflow.wire.manifest import InlineState, StoredFile, SubtaskState
from actorflow.wire.stable_hash import stable_hash

if TYPE_CHECKING:
    from actorflow.operators.contract import Chain


ReadState = Callable[[StoredFile | InlineState], bytes]
"""Returns the bytes of a state, after a look whether they are those that were written."""


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


@dataclass(frozen=True, slots=True)
class StoredLayers:
    """Keyed state as a part refers to it.

    Attributes:
        files: by the names that the part has for them.
        layers: names of those that are layers, in order.
        top: the layer above them, if it is in the part.
        state_bytes: of the state as a whole.
        stored_bytes: of what was written for this snapshot.
    """

    files: Mapping[str, StoredFile]
    layers: tuple[str, ...]
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
        self._merging = False
        self._afresh = False

    def resume(self, part: SubtaskState) -> None:
        """Build upon the layers of the part that this very state was restored from, if they are all of it and the job's own files."""
        line = tuple(part.files[name] for name in part.layers)
        if line and not part.top and self._files is not None and all(map(self._files.owns, line)):
            self._line.resume(line)
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

    def capture_all(self, checkpoint: int) -> Captured:
        """Return everything, for a part that stands alone."""
        return Captured(checkpoint, Below(), self._pieces(checkpoint, whole=True))

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

    def store(self, captured: Captured) -> StoredLayers:
        """Turn what was captured into bytes, and secure them.

        Raises:
            CheckpointError: if a value cannot be pickled, or a file not be written.
        """
        below = captured.below
        data = encode_layer((name, payload) for name, piece in captured.pieces for payload in piece.payloads())
        layers = {f"layer-{number}": file for number, file in enumerate(below.layers)}
        kept = {f"kept-{number}": file for number, file in enumerate(below.kept)}
        size = sum(file.size_bytes for file in below.layers) + len(data)
        if self._files is None or len(data) <= self._inline_bytes_max:
            self._line.stored(captured.checkpoint, None)
            return StoredLayers({**layers, **kept}, tuple(layers), data, size, len(data))
        own = self._files.write_shared(data)
        self._line.stored(captured.checkpoint, own)
        layers[f"layer-{len(layers)}"] = own
        return StoredLayers({**layers, **kept}, tuple(layers), b"", size, len(data))

    def withdraw(self, captured: Captured, stored: StoredLayers) -> None:
        """Remove what was stored for a part that nobody will hear of. It would stay until the job ends, and the disk may be full."""
        for file in {*captured.below.layers, *captured.below.kept, *stored.files.values()}.difference(captured.below.line):
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
                merged = files.write_shared(encode_layer(merged_layers(sources, base=base).payloads()))
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


def merged_layers(sources: Iterable[StoredFile], *, base: bool) -> Layers:
    """Return what some neighbouring layers say as a whole.

    Args:
        sources: the files, in order.
        base: whether the first is a base.

    Raises:
        CheckpointError: if one is missing or damaged.
    """
    merged = Layers(base=base)
    for source in sources:
        merged.add(read_state(source))
    return merged


def restored_layers(
    parts: Sequence[SubtaskState], index: int, parallelism: int, max_parallelism: int, read: ReadState = read_state
) -> Layers:
    """Return the keyed state of one subtask.

    Args:
        parts: of all subtasks that its vertex had, in their order.
        index: of the subtask.
        parallelism: number of subtasks now.
        max_parallelism: number of key groups.
        read: returns the bytes of a file.

    Raises:
        CheckpointError: if a layer is missing or damaged.
    """
    mine = group_range(index, parallelism, max_parallelism)
    found: Layers | None = None
    for place, part in enumerate(parts):
        theirs = group_range(place, len(parts), max_parallelism)
        if max(mine.start, theirs.start) >= min(mine.stop, theirs.stop):
            continue
        inside = mine.start <= theirs.start and theirs.stop <= mine.stop
        layers = Layers(None if inside else _in_groups(mine, max_parallelism))
        for data in layers_of(part, read):
            layers.add(data)
        found = layers if found is None else found.joined(layers)
    return found or Layers()


def layers_of(part: SubtaskState, read: ReadState = read_state) -> Iterable[bytes]:
    """Give the layers of a part, in order."""
    for name in part.layers:
        if name not in part.files:
            raise CheckpointError(f"the part of subtask {part.index} has a layer '{name}' and no file of that name")
        yield read(part.files[name])
    if part.top:
        yield part.top


def _in_groups(groups: range, max_parallelism: int) -> Callable[[Any], bool]:
    return lambda key: key_group(stable_hash(key), max_parallelism) in groups
