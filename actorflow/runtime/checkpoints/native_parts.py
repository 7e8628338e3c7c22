"""A subtask's part in a native savepoint: what a checkpoint would store of it, in files of the savepoint's own.

captured on the subtask's thread ──► what changed since the last checkpoint: written ──► part, as a checkpoint has it
                                     what that one refers to: linked or copied
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from actorflow.ids import SubtaskId
from actorflow.runtime.checkpoints.layered_state import Captured, StoredLayers, stored_layers
from actorflow.storage.files import Pace
from actorflow.storage.native_savepoint import NativeSavepoint
from actorflow.wire.manifest import StoredFile, SubtaskState, encode_part


@dataclass(frozen=True, slots=True)
class NativePart:
    """What a subtask holds.

    Attributes:
        subtask: whose it is.
        data: its state in bytes, without what is stored in layers.
        captured: what changed in keyed state that is stored in layers, and what that builds upon.
        positions: of a source: how far its open splits were read, pickled, by the split's number.
        read: of a source: the splits that were read to their end.
    """

    subtask: SubtaskId
    data: bytes
    captured: Captured
    positions: Mapping[int, bytes]
    read: tuple[int, ...]

    def written(self, home: str, inline_bytes_max: int, pace: Pace) -> tuple[bytes, int, int]:
        """Write it; return what the acknowledgement says, the size of what it holds, and how much of that was not stored before.

        Runs on the pool.

        Args:
            home: URI of the savepoint's directory.
            inline_bytes_max: state up to this size stands in the part.
            pace: waits until so many bytes may be written.

        Raises:
            CheckpointError: if a value cannot be pickled, or a file not be written; what was begun is removed.
        """
        files = NativeSavepoint(home, inline_bytes_max, pace)
        try:
            state = files.write_state(str(self.subtask), self.data)
            layers = self._layers(files, inline_bytes_max)
        except BaseException:
            files.withdraw()
            raise
        part = SubtaskState(
            self.subtask.index,
            state,
            dict(layers.files),
            positions=dict(self.positions),
            read=self.read,
            layers=layers.layers,
            base=layers.base,
            top=layers.top,
        )
        return encode_part(part), len(self.data) + layers.state_bytes, len(self.data) + layers.stored_bytes

    def _layers(self, files: NativeSavepoint, inline_bytes_max: int) -> StoredLayers:
        below = replace(self.captured.below, layers=tuple(map(files.take, self.captured.below.layers)))
        own: list[StoredFile] = []
        top = b""
        for layer in self.captured.layers(inline_bytes_max):
            if not own and len(layer) <= inline_bytes_max:
                top = layer
            else:
                own.append(files.write_layer(layer))
        return stored_layers(below, tuple(own), top)
