"""Merging layers, in a process of its own where they are large: a merge takes the interpreter away from the data for a second and more.

    pool of the worker                  merger: a fresh interpreter, with a low priority
      names of files ── its input ──►     reads them, merges
      one layer      ◄─ its output ──     ends with 0; or with 3, if it must not read them; or somehow

The worker writes what it is told, so nothing half done is left by a merger that is killed, and it dies with its worker: it stands in the
worker's process group, and has nobody to write to. Whatever becomes of it, the worker can merge by itself, and does so: also what is small, and
values of the user's own classes, which a merger does not load: no code of users runs in it.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from actorflow.errors import CheckpointError
from actorflow.state.layers import Layers, decode_parts, encode_layer
from actorflow.storage.checkpoint_files import read_state
from actorflow.wire import pickling
from actorflow.wire.manifest import StoredFile

APART_BYTES_MIN: Final = 1 << 20
"""What is smaller is merged in less time than it takes to start an interpreter."""

_NICENESS: Final = 10
_REFUSED: Final = 3

_LAUNCH: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from actorflow.runtime.checkpoints.layer_merging import serve; serve()"


class LayerMerger:
    """Merges the layers of one subtask. Used on the pool, by one thread at a time.

    Args:
        apart_bytes_min: so many are merged in another process.
    """

    def __init__(self, apart_bytes_min: int = APART_BYTES_MIN) -> None:
        self._apart_bytes_min = apart_bytes_min
        self._refused = False

    def merged(self, sources: Sequence[StoredFile], *, base: bool) -> bytes:
        """Return what some neighbouring layers say, as one layer.

        Args:
            sources: the files, in order.
            base: whether the first is a base.

        Raises:
            CheckpointError: if one is missing or damaged.
        """
        large = sum(source.size_bytes for source in sources) >= self._apart_bytes_min
        found = self._apart(sources, base=base) if large and not self._refused else None
        return encode_layer(merged_layers(sources, base=base).payloads()) if found is None else found

    def _apart(self, sources: Sequence[StoredFile], *, base: bool) -> bytes | None:
        """Have it done by a process; None if that could not."""
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [sys.executable or "", "-c", _LAUNCH, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the worker meets what it has met, and says so
            )
        except OSError:
            return None
        with process:
            data, _ = process.communicate(pickling.dumps((tuple(sources), base)))
        self._refused = process.returncode == _REFUSED
        return data if process.returncode == 0 else None


def merged_layers(sources: Iterable[StoredFile], *, base: bool, users: bool = True) -> Layers:
    """Return what some neighbouring layers say as a whole.

    Args:
        sources: the files, in order.
        base: whether the first is a base.
        users: whether values may be of classes that are the user's.

    Raises:
        CheckpointError: if one is missing or damaged, or has values that may not be read.
    """
    loads = pickling.loads if users else pickling.loads_without_user_code
    merged = Layers(base=base)
    for source in sources:
        merged.add(read_state(source), lambda _operator, data: decode_parts(data, loads))
    return merged


def serve() -> None:
    """Merge what the standard input names onto the standard output. The process does nothing else."""
    os.nice(_NICENESS)
    gc.disable()  # a million keys and values, and no cycle among them
    sources, base = pickling.loads(sys.stdin.buffer.read())
    try:
        data = encode_layer(merged_layers(sources, base=base, users=False).payloads())
    except CheckpointError as error:
        sys.exit(_REFUSED if isinstance(error.__cause__, pickling.UserCodeNeeded) else 1)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
