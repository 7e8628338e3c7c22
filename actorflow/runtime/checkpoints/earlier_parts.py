"""What the subtasks of a run go on from: parts of a checkpoint of the job itself, of another job's checkpoint, or of a savepoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actorflow.plan.execution import Vertex
from actorflow.plan.key_groups import key_group
from actorflow.runtime.checkpoints.restored_layers import Chunks, ReadState, layers_of, restored_layers
from actorflow.runtime.checkpoints.revival import Revival, revival_of
from actorflow.runtime.checkpoints.snapshots import SubtaskSnapshot, decoded
from actorflow.state.layers import Chunk, Layers, read_chunk
from actorflow.storage.checkpoint_files import files_of_part, read_state
from actorflow.wire.in_flight import InFlight, decode_in_flight
from actorflow.wire.manifest import Adopted, InlineState, StoredFile, SubtaskState, decode_part, splits_of
from actorflow.wire.savepoint_manifest import SavedPart, SavedVertex, decode_vertex, saved_splits
from actorflow.wire.savepoint_manifest import decode_part as decode_saved_part
from actorflow.wire.stable_hash import stable_hash

Splits = tuple[dict[int, bytes], tuple[int, ...]]
"""How far a source had been read: pickled positions of its open splits, and the splits that had been read to their end."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the earlier subtasks of a vertex hold.

    Attributes:
        snapshots: in their order.
        layers: keyed state of the subtask that asks, as far as it is stored in layers; read when it is taken.
        in_flight: batches of its channels that a barrier had overtaken, of each earlier subtask.
        same: the part of a checkpoint that is all that the subtask goes on from, if there is one: its next snapshots may build upon it.
    """

    snapshots: list[SubtaskSnapshot]
    layers: Chunks = ()
    in_flight: Sequence[InFlight] = ()
    same: SubtaskState | None = None


def earlier_parts(restored: Sequence[bytes], vertex: Vertex, index: int, read: ReadState = read_state) -> Earlier:
    """Return what the earlier subtasks of a vertex hold.

    Args:
        restored: their parts of a checkpoint or savepoint of this job, or what was matched of another's savepoint.
        vertex: what runs now.
        index: of the subtask that goes on from them.
        read: returns the bytes of a state of a checkpoint.

    Raises:
        CheckpointError: if a part is missing or damaged.
        IncompatibleState: if a type that is declared now cannot take what was written.
    """
    matched = decode_vertex(restored[0])
    if matched is not None:
        from actorflow.runtime.checkpoints.saved_parts import snapshots_of  # brings Parquet, which few jobs need

        return Earlier(snapshots_of(matched, vertex, index))
    parts = [decode_part(part) for part in restored]
    saved = [decode_saved_part(part.state.data) if isinstance(part.state, InlineState) else None for part in parts]
    home = next((part.home for part in saved if part is not None), None)
    if home is not None:
        return Earlier(list(_of_own_savepoint(home, parts, saved, vertex, index)))
    revivals = _revivals(parts, vertex)
    snapshots = [
        _taken_of(decoded(data) if revival is None else revival.snapshot(data), part.adopted)
        for part, revival, data in zip(parts, revivals, (read(part.state) for part in parts), strict=True)
    ]
    in_flight = [decode_in_flight(read(part.in_flight)) if part.in_flight else InFlight() for part in parts]
    own = len(parts) == vertex.parallelism and all(part.adopted is None for part in parts) and not snapshots[index].keyed
    return Earlier(snapshots, _layers(parts, revivals, vertex, index, read), in_flight, parts[index] if own else None)


def _of_own_savepoint(
    home: str, parts: Sequence[SubtaskState], saved: Sequence[SavedPart | None], vertex: Vertex, index: int
) -> Iterator[SubtaskSnapshot]:
    """Give the parts of the savepoint that the job was to stop with; subtasks that had finished before have left theirs as a checkpoint has it."""
    from actorflow.runtime.checkpoints.saved_parts import operators_of, snapshots_of

    operators = operators_of(vertex, [part or SavedPart(home, {}, {}) for part in saved])
    snapshots = snapshots_of(SavedVertex(home, operators), vertex, index)
    for part, known, snapshot in zip(parts, saved, snapshots, strict=True):
        yield snapshot if known is not None else whole_snapshot(part, vertex)


def whole_snapshot(part: SubtaskState, vertex: Vertex) -> SubtaskSnapshot:
    """Return what a subtask of a vertex holds, with what of it is stored in layers.

    Raises:
        CheckpointError: if a file is missing or damaged.
    """
    snapshot = decoded(read_state(part.state))
    layers = Layers()
    for data in layers_of(part):
        layers.add(data)
    keyed = dict(snapshot.keyed)
    for operator in vertex.operators:
        states = layers.states(operator.name)
        if states:
            keyed[operator.name] = _by_group(states, vertex.max_parallelism)
    return replace(snapshot, keyed=keyed)


def _by_group(states: Mapping[str, Mapping[Any, Any]], max_parallelism: int) -> dict[int, dict[str, dict[Any, Any]]]:
    groups: dict[int, dict[str, dict[Any, Any]]] = {}
    for state, values in states.items():
        for key, value in values.items():
            groups.setdefault(key_group(stable_hash(key), max_parallelism), {}).setdefault(state, {})[key] = value
    return groups


def _revivals(parts: Sequence[SubtaskState], vertex: Vertex) -> list[Revival | None]:
    """Return for each part how it is read. Those of one vertex are read alike."""
    found: list[Revival | None] = []
    for before, part in zip([None, *parts], parts, strict=False):
        same = before is not None and before.adopted == part.adopted
        found.append(found[-1] if same else revival_of(part.adopted, vertex))
    return found


def _layers(
    parts: Sequence[SubtaskState], revivals: Sequence[Revival | None], vertex: Vertex, index: int, read: ReadState
) -> Iterator[tuple[str, Chunk]]:
    """Give the keyed state that parts have in layers, those of each vertex that they are of by themselves."""
    start = 0
    for stop in [*(at for at, part in enumerate(parts) if at and part.index == 0), len(parts)]:
        of_vertex = parts[start:stop]
        adopted = of_vertex[0].adopted
        revival = revivals[start]
        chunks = read_chunk if revival is None else revival.chunk
        for operator, chunk in restored_layers(of_vertex, index, vertex.parallelism, vertex.max_parallelism, read, chunks):
            name = operator if adopted is None else adopted.names.get(operator)
            if name is not None:
                yield name, chunk
        start = stop


def _taken_of(snapshot: SubtaskSnapshot, adopted: Adopted | None) -> SubtaskSnapshot:
    """Return what another job takes of a snapshot, by the names that it has."""
    if adopted is None:
        return snapshot
    names = adopted.names
    return replace(
        snapshot,
        keyed={names[name]: groups for name, groups in snapshot.keyed.items() if name in names},
        watermarks={names[name]: watermark for name, watermark in snapshot.watermarks.items() if name in names},
        kept={names[name]: kept for name, kept in snapshot.kept.items() if name in names},
        outputs=snapshot.outputs if adopted.outputs else [],
    )


def own_files(restored: Sequence[bytes], index: int) -> list[StoredFile]:
    """Return the files that one of the earlier subtasks has stored its part in; none of a savepoint."""
    if index >= len(restored) or decode_vertex(restored[0]) is not None:
        return []
    return files_of_part(decode_part(restored[index]))


def splits_before(restored: Sequence[bytes]) -> Splits:
    """Return how far the splits of a source had been read by what `earlier_parts` is given."""
    matched = decode_vertex(restored[0])
    if matched is None:
        return splits_of(map(decode_part, restored))
    return saved_splits(next(iter(matched.operators.values())))
