"""Keyed state comes back from its layers: chunk by chunk, so that it may be larger than memory.

    part of a subtask:  layer, in a file ──► layer, in a file ──► top, in the part        each later one wins
                                 └── chunks of some keys of a table, of one operator ──► its backend

With another parallelism a subtask takes its own keys out of what it reads, and the parts of several subtasks one after the other: their keys
are different ones, but their tables are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from actorflow.errors import CheckpointError
from actorflow.plan.key_groups import group_range, key_group
from actorflow.state.layers import Chunk, Place, ReadChunk, decode_layer, read_chunk
from actorflow.state.timers import TIMERS_STATE
from actorflow.storage.checkpoint_files import read_state
from actorflow.wire.manifest import InlineState, StoredFile, SubtaskState
from actorflow.wire.stable_hash import stable_hash

ReadState = Callable[[StoredFile | InlineState], bytes]
"""Returns the bytes of a state, after a look whether they are those that were written."""

Chunks = Iterable[tuple[str, Chunk]]
"""Chunks in their order, each with the name of its operator."""


def restored_layers(
    parts: Sequence[SubtaskState],
    index: int,
    parallelism: int,
    max_parallelism: int,
    read: ReadState = read_state,
    chunk: ReadChunk = read_chunk,
) -> Iterator[tuple[str, Chunk]]:
    """Give the keyed state of one subtask, to be taken in this order.

    Args:
        parts: of all subtasks that its vertex had, in their order.
        index: of the subtask.
        parallelism: number of subtasks now.
        max_parallelism: number of key groups.
        read: returns the bytes of a file.
        chunk: returns the parts of a chunk of an operator.

    Raises:
        CheckpointError: if a layer is missing or damaged.
    """
    mine = group_range(index, parallelism, max_parallelism)
    alone = True
    for place, part in enumerate(parts):
        theirs = group_range(place, len(parts), max_parallelism)
        if max(mine.start, theirs.start) >= min(mine.stop, theirs.stop):
            continue
        inside = mine.start <= theirs.start and theirs.stop <= mine.stop
        for operator, found in _chunks_of(part, read, chunk, alone=alone):
            yield operator, found if inside else _within(found, mine, max_parallelism)
        alone = False


def layers_of(part: SubtaskState, read: ReadState = read_state) -> Iterator[bytes]:
    """Give the layers of a part, in order."""
    for name in part.layers:
        if name not in part.files:
            raise CheckpointError(f"the part of subtask {part.index} has a layer '{name}' and no file of that name")
        yield read(part.files[name])
    if part.top:
        yield part.top


def _chunks_of(part: SubtaskState, read: ReadState, read_one: ReadChunk, *, alone: bool) -> Iterator[tuple[str, Chunk]]:
    """Give what the layers of a part say; if it is not alone, without voiding whole tables, which have keys of other parts, too."""
    for number, layer in enumerate(layers_of(part, read)):
        for operator, chunk in decode_layer(layer, read_one):
            if chunk.dropped and not alone:
                yield from ((operator, void) for void in _voided(part, read, read_one, number, operator, chunk.place))
                yield operator, chunk._replace(dropped=False)
            else:
                yield operator, chunk


def _voided(part: SubtaskState, read: ReadState, read_one: ReadChunk, layers: int, operator: str, place: Place) -> Iterator[Chunk]:
    """Give all keys of a table that the first layers of a part have, as keys that are gone. They are read again for it, which is rare."""
    for _, layer in zip(range(layers), layers_of(part, read), strict=False):
        for owner, chunk in decode_layer(layer, read_one):
            if owner == operator and chunk.place == place:
                yield Chunk(place, [], [], chunk.keys)


def _within(chunk: Chunk, groups: range, max_parallelism: int) -> Chunk:
    """Return what a chunk says of keys in some key groups."""
    of_timers = chunk.place.name.startswith(TIMERS_STATE)

    def wanted(key: Any) -> bool:
        return key_group(stable_hash(key[1] if of_timers else key), max_parallelism) in groups

    found = [(key, value) for key, value in zip(chunk.keys, chunk.values, strict=True) if wanted(key)]
    gone = list(filter(wanted, chunk.gone))
    return Chunk(chunk.place, [key for key, _ in found], [value for _, value in found], gone, chunk.dropped)
