"""A subtask's part in a savepoint: its snapshot as the open files of `actorflow.savepoint`, and back.

    snapshot ── rows, on the subtask's thread ──► files, on the pool ──► part: what each of its operators holds, and in which files
    operators of a savepoint, by the names they have now ──► for each subtask that they had a snapshot, of which this one takes its share

Key groups that are another subtask's are not even read. Values are brought to the types that are declared now on the way back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actorflow.errors import CheckpointError
from actorflow.operators.stage import Kept
from actorflow.plan.execution import Vertex
from actorflow.plan.graph import LogicalOperator
from actorflow.plan.key_groups import group_range
from actorflow.runtime.checkpoints.snapshots import SubtaskSnapshot
from actorflow.savepoint.declared import Declared, declared_of
from actorflow.savepoint.files import read_rows, remove_states, stored_files, write_rows
from actorflow.savepoint.layouts import (
    KEYED_LAYOUTS,
    Rows,
    broadcast_rows,
    columns_of,
    flight_rows,
    keyed_rows,
    keyed_state,
    list_rows,
    part_of,
)
from actorflow.state.operator_state import OperatorSnapshot
from actorflow.storage.files import Pace
from actorflow.wire import pickling
from actorflow.wire.manifest import InlineState, SubtaskState
from actorflow.wire.manifest import encode_part as encode_checkpoint_part
from actorflow.wire.savepoint_manifest import (
    SavedOperator,
    SavedPart,
    SavedPosition,
    SavedState,
    SavedSubtask,
    SavedVertex,
    encode_part,
)

_IN_FLIGHT = "in flight"
_TEXT_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class TakenPart:
    """What a subtask holds, as rows: nothing that is processed later shows in it.

    Attributes:
        index: of the subtask.
        subtasks: by operator name what it has besides its states.
        states: by operator name and state.
    """

    index: int
    subtasks: dict[str, SavedSubtask]
    states: list[tuple[str, str, Rows]]

    def written(self, home: str, ids: Mapping[str, str], pace: Pace | None = None) -> SavedPart:
        """Write its files; return what the manifest is made of. Runs on the pool.

        Args:
            home: URI of the savepoint's directory.
            ids: of the operators, by name.
            pace: waits until so many bytes may be written; None never waits.

        Raises:
            CheckpointError: if a file cannot be written; what was written before is removed.
        """
        states: dict[str, tuple[SavedState, ...]] = {}
        try:
            for operator, state, rows in self.states:
                files = (write_rows(home, ids[operator], state, self.index, rows, pace),) if rows.table.num_rows else ()
                states[operator] = (*states.get(operator, ()), SavedState(state, rows.layout, files, rows.schema, rows.ttl))
        except BaseException:
            remove_states(home, [state for written in states.values() for state in written])
            raise
        return SavedPart(home, self.subtasks, states)


def saved_part(
    taken: TakenPart, home: str, vertex: Vertex, positions: dict[int, bytes], read: tuple[int, ...], pace: Pace
) -> tuple[bytes, int, int]:
    """Write a subtask's part of a savepoint; return what its acknowledgement says, and how many bytes there are, all of them new.

    Runs on the pool.

    Raises:
        CheckpointError: if a file cannot be written, or `pace` says that nobody needs it any more; nothing of it is left then.
    """
    part = taken.written(home, {operator.name: operator.id for operator in vertex.operators}, pace)
    files = stored_files(home, [state for states in part.states.values() for state in states])
    state = SubtaskState(taken.index, InlineState(encode_part(part)), files, positions, read)
    size = sum(file.size_bytes for file in files.values())
    return encode_checkpoint_part(state), size, size


def taken_part(
    snapshot: SubtaskSnapshot, vertex: Vertex, index: int, positions: Mapping[int, bytes], read: Sequence[int]
) -> TakenPart:
    """Return a subtask's snapshot as rows.

    Args:
        snapshot: with all of its keyed state.
        vertex: what the subtask runs.
        index: of the subtask.
        positions: of a source: how far each open split was read, pickled.
        read: of a source: the splits that were read to their end.

    Raises:
        SerializationError: if a value is not of its declared type.
        CheckpointError: if one cannot be pickled.
    """
    states: list[tuple[str, str, Rows]] = []
    for operator in vertex.operators:
        states += [(operator.name, state, rows) for state, rows in _states_of(operator, snapshot)]
    saved = [
        SavedPosition(number, position, repr(pickling.loads(position))[:_TEXT_CHARACTERS_MAX])
        for number, position in positions.items()
    ]
    subtasks = {
        name: SavedSubtask(watermark=watermark, under_way=name in snapshot.kept and snapshot.kept[name].under_way)
        for name, watermark in snapshot.watermarks.items()
    }
    if saved or read:
        subtasks[vertex.operators[0].name] = SavedSubtask(positions=tuple(saved), read=tuple(read))
    outputs = [list(output) for output in snapshot.outputs if output]
    if outputs:
        subtasks[vertex.operators[-1].name] = SavedSubtask(outputs=pickling.dumps(outputs[0]))
    return TakenPart(index, subtasks, states)


def _states_of(operator: LogicalOperator, snapshot: SubtaskSnapshot) -> Iterator[tuple[str, Rows]]:
    declared = declared_of(operator.spec)
    by_state: dict[str, dict[int, Mapping[Any, Any]]] = {name: {} for name in declared.keyed}
    for group, states in snapshot.keyed.get(operator.name, {}).items():
        for state, values in states.items():
            by_state.setdefault(state, {})[group] = values
    for state, groups in by_state.items():
        yield state, keyed_rows(state, groups, declared.keyed.get(state), _called(state, operator.name))
    kept = snapshot.kept.get(operator.name)
    if kept is None:
        return
    of_operator = declared.of_operator
    for state, items in kept.states.lists.items():
        yield state, list_rows(items, "operator list", of_operator.get(state), _called(state, operator.name))
    for state, items in kept.states.unions.items():
        yield state, list_rows(items, "union list", of_operator.get(state), _called(state, operator.name))
    for state, entries in kept.states.maps.items():
        yield state, broadcast_rows(entries, of_operator.get(state), _called(state, operator.name))
    if kept.in_flight:
        yield _IN_FLIGHT, flight_rows(kept.in_flight, f"a record in flight in '{operator.name}'")


def _called(state: str, operator: str) -> str:
    return f"state '{state}' of '{operator}'"


# --- back ----------------------------------------------------------------------------------------------------------------------


def snapshots_of(saved: SavedVertex, vertex: Vertex, index: int) -> list[SubtaskSnapshot]:
    """Return what the subtasks that the operators of a vertex had hold, without key groups that are not of subtask `index`.

    Raises:
        CheckpointError: if a file is missing or damaged, or the number of key groups is another.
        IncompatibleState: if a type that is declared now cannot take what was written.
    """
    count = max(operator.parallelism for operator in saved.operators.values())
    parts = [_Part() for _ in range(count)]
    mine = group_range(index, vertex.parallelism, vertex.max_parallelism)
    for name, operator in saved.operators.items():
        if operator.max_parallelism != vertex.max_parallelism and any(state.layout in KEYED_LAYOUTS for state in operator.states):
            raise CheckpointError(
                f"the state of '{name}' has {operator.max_parallelism} key groups, the job has {vertex.max_parallelism}",
                hint="max_parallelism is fixed for the life of a job's state",
            )
        declared = declared_of(next(one.spec for one in vertex.operators if one.name == name))
        for state in operator.states:
            _take_state(parts, saved.home, name, state, declared, mine)
        for part, subtask in zip(parts, operator.subtasks, strict=False):
            part.take_subtask(name, subtask)
    return [part.snapshot(vertex.max_parallelism) for part in parts]


def _take_state(parts: Sequence[_Part], home: str, operator: str, state: SavedState, declared: Declared, mine: range) -> None:
    if state.layout == "splits" or declared.lacks(state):
        return  # splits are the JobMaster's; to leave state behind was allowed by who started the job
    name = _called(state.name, operator)
    for file in state.files:
        part = parts[file.subtask]
        if state.layout not in KEYED_LAYOUTS:
            part.take_kept(operator, state, read_rows(home, state, file), declared, name)
        elif file.groups is not None and file.groups[0] < mine.stop and mine.start <= file.groups[1]:
            rows = part_of(read_rows(home, state, file), mine)
            for group, values in keyed_state(rows, declared.keyed.get(state.name), name).items():
                part.keyed.setdefault(operator, {}).setdefault(group, {})[state.name] = values


@dataclass(slots=True)
class _Part:
    """The snapshot of one subtask, in the making."""

    keyed: dict[str, dict[int, dict[str, dict[Any, Any]]]] = field(default_factory=dict)
    watermarks: dict[str, int] = field(default_factory=dict)
    kept: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[Any]]] = field(default_factory=dict)
    outputs: list[list[tuple[int, object]]] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)

    def take_kept(self, operator: str, state: SavedState, rows: Rows, declared: Declared, name: str) -> None:
        """Take an operator state, or records in flight."""
        lists, unions, maps, flight = self._kept_of(operator)
        columns = columns_of(rows, declared.of_operator.get(state.name), name)
        match state.layout:
            case "operator list":
                lists[state.name] = columns["value"]
            case "union list":
                unions[state.name] = columns["value"]
            case "broadcast":
                maps[state.name] = dict(zip(columns["entry"], columns["value"], strict=True))
            case _:
                flight += zip(columns["record"], columns["timestamp"], strict=True)

    def take_subtask(self, operator: str, subtask: SavedSubtask) -> None:
        """Take what a subtask of an operator had besides its states."""
        if subtask.watermark is not None:
            self.watermarks[operator] = subtask.watermark
        if subtask.under_way:
            self._kept_of(operator)
            self.under_way.add(operator)
        if subtask.outputs:
            self.outputs.append(pickling.loads(subtask.outputs))

    def snapshot(self, max_parallelism: int) -> SubtaskSnapshot:
        """Return it whole."""
        kept = {
            operator: Kept(OperatorSnapshot(lists, unions, maps), flight, operator in self.under_way)
            for operator, (lists, unions, maps, flight) in self.kept.items()
        }
        return SubtaskSnapshot(self.keyed, self.watermarks, kept, self.outputs, max_parallelism)

    def _kept_of(self, operator: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[Any]]:
        return self.kept.setdefault(operator, ({}, {}, {}, []))


def operators_of(vertex: Vertex, parts: Sequence[SavedPart]) -> dict[str, SavedOperator]:
    """Return the operators of a vertex from the parts of its subtasks, by name."""
    return {operator.name: _operator(vertex, operator, parts) for operator in vertex.operators}


def _operator(vertex: Vertex, operator: LogicalOperator, parts: Sequence[SavedPart]) -> SavedOperator:
    name = operator.name
    states: dict[tuple[str, str], SavedState] = {}
    for part in parts:
        for state in part.states.get(name, ()):
            place = (state.name, state.layout)
            known = states.get(place)
            files = (*known.files, *state.files) if known is not None else state.files
            states[place] = SavedState(state.name, state.layout, files, state.schema, state.ttl)
    kept = {place: state for place, state in states.items() if state.files or state.schema is not None}
    subtasks = tuple(part.subtasks.get(name, SavedSubtask()) for part in parts)
    return SavedOperator(
        operator.id,
        name,
        operator.spec.kind,
        vertex.parallelism,
        vertex.max_parallelism,
        operator.uid,
        (),
        subtasks if any(subtask != SavedSubtask() for subtask in subtasks) else (),
        tuple(kept.values()),
    )
