"""The snapshot of a subtask: everything that another one needs to go on from here, and how it is taken and given back.

    keyed states by key group · timers · operator states · records in flight · how far splits were read · output that waits to be committed

Taken on the subtask's thread between two batches; turned into bytes and stored off it. Keyed state that is stored in layers (see
`layered_state`) is not in it. After a change of parallelism a subtask takes the
key groups that are its own from all parts, its share of the operator states, and the prepared output of every so manieth earlier subtask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actorflow.errors import CheckpointError
from actorflow.operators.contract import Chain
from actorflow.operators.stage import Kept
from actorflow.plan.key_groups import group_range, key_group
from actorflow.runtime.checkpoints.restored_layers import Chunks
from actorflow.state.backend import KeyGroupState
from actorflow.wire import pickling
from actorflow.wire.stable_hash import stable_hash

if TYPE_CHECKING:
    from actorflow.runtime.subtasks.subtask import Subtask


@dataclass(frozen=True, slots=True)
class SubtaskSnapshot:
    """What a subtask holds.

    Attributes:
        keyed: by operator name and key group; without the operators whose states are stored in layers.
        watermarks: the event time that each of these operators had reached, in ms, by its name.
        kept: what else operators keep, by name.
        outputs: for each sink, by its position: what it has prepared and not committed, with the number of the checkpoint.
        max_parallelism: number of key groups that `keyed` is divided by.
    """

    keyed: Mapping[str, Mapping[int, KeyGroupState]]
    watermarks: Mapping[str, int]
    kept: Mapping[str, Kept]
    outputs: Sequence[Sequence[tuple[int, object]]]
    max_parallelism: int

    def encoded(self) -> bytes:
        """Return it as bytes. Runs the user's pickling code; off the subtask's thread.

        Raises:
            CheckpointError: if a value cannot be pickled.
        """
        try:
            return pickling.dumps(self)
        except Exception as error:
            raise CheckpointError(f"state cannot be pickled: {type(error).__name__}: {error}") from error


def take(subtask: Subtask, max_parallelism: int, layered: Collection[str] = ()) -> SubtaskSnapshot:
    """Take the snapshot of a subtask, between two batches.

    Args:
        subtask: whose.
        max_parallelism: number of key groups.
        layered: operators whose keyed states are stored in layers.
    """

    def group_of(key: Any) -> int:
        return key_group(stable_hash(key), max_parallelism)

    backends = subtask.chain.backends()
    keyed = {name: backend.snapshot(group_of) for name, backend in backends.items() if name not in layered}
    watermarks = {name: backend.watermark for name, backend in backends.items()}
    outputs = [sink.waiting for sink in subtask.sinks]
    return SubtaskSnapshot(keyed, watermarks, subtask.chain.snapshot(), outputs, max_parallelism)


def decoded(data: bytes, loads: Callable[[bytes], Any] = pickling.loads) -> SubtaskSnapshot:
    """Return a snapshot from its bytes.

    Args:
        data: what `encoded` has returned.
        loads: reads pickles.

    Raises:
        CheckpointError: if they are none that this program can read.
    """
    try:
        snapshot = loads(data)
    except Exception as error:
        raise CheckpointError(f"state cannot be read: {type(error).__name__}: {error}", hint=_CHANGED) from error
    if not isinstance(snapshot, SubtaskSnapshot):
        raise CheckpointError(f"state cannot be read: it is a {type(snapshot).__name__}", hint=_CHANGED)
    return snapshot


_CHANGED = "was the program changed since the checkpoint?"


def give_back(
    chain: Chain,
    parts: Sequence[SubtaskSnapshot],
    index: int,
    parallelism: int,
    max_parallelism: int,
    layers: Chunks = (),
) -> None:
    """Have a chain that is not open yet go on from the parts of an earlier run.

    Args:
        chain: of one subtask.
        parts: of all subtasks that its vertex had, in their order.
        index: of the subtask.
        parallelism: number of subtasks now.
        max_parallelism: number of key groups.
        layers: what was stored in layers of the subtask's own keys.

    Raises:
        CheckpointError: if the number of key groups has changed, or a layer is missing or damaged.
    """
    if any(part.max_parallelism != max_parallelism for part in parts):
        raise CheckpointError(
            f"the state has {parts[0].max_parallelism} key groups, the job has {max_parallelism}",
            hint="max_parallelism is fixed for the life of a job's state",
        )
    mine = group_range(index, parallelism, max_parallelism)
    for name, backend in chain.backends().items():
        groups = [part.keyed.get(name, {}) for part in parts]
        backend.restore(group[number] for group in groups for number in group if number in mine)
        reached = [part.watermarks[name] for part in parts if name in part.watermarks]
        if reached:  # of other key groups than before, what all of them had reached is known
            backend.watermark = reached[index] if len(reached) == parallelism else min(reached)
    backends = chain.backends()
    for name, chunk in layers:
        if name in backends:
            backends[name].absorb(chunk)
    names = dict.fromkeys(name for part in parts for name in part.kept)
    chain.restore({name: [part.kept[name] for part in parts if name in part.kept] for name in names})


def outputs_of(parts: Sequence[SubtaskSnapshot], index: int, parallelism: int) -> list[list[object]]:
    """Return, for each sink by its position, what this subtask has to commit of what earlier ones had prepared."""
    mine = [part for number, part in enumerate(parts) if number % parallelism == index]
    positions = max((len(part.outputs) for part in mine), default=0)
    return [_prepared(part.outputs[position] for part in mine if position < len(part.outputs)) for position in range(positions)]


def _prepared(outputs: Iterable[Sequence[tuple[int, object]]]) -> list[object]:
    return [committable for output in outputs for _, committable in output]
