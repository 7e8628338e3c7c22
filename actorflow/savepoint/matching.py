"""What of a snapshot belongs to which operator of a job: by `uid`, else by the id that follows from the shape of the graph.

Names, parallelism, chains and the order of operators may differ. State that no operator takes is refused, unless whoever starts the job allows
it to be left behind: what looks like a small change of a pipeline would else lose state without a word. All of this is found out before
the job is submitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from actorflow.errors import CheckpointError, PlanError
from actorflow.ids import OperatorId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.plan.graph import LogicalOperator, Role
from actorflow.plan.suggest import nearest
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.jobs.splits import ResetSplits
from actorflow.savepoint.declared import declared_of
from actorflow.savepoint.files import read_table
from actorflow.savepoint.layouts import KEYED_LAYOUTS
from actorflow.savepoint.opening import open_snapshot
from actorflow.state.schema import Incompatible, StateSchema, compatibility, schema_of_state
from actorflow.wire import pickling
from actorflow.wire.manifest import Adopted, Manifest, SubtaskState, VertexState, adopted, encode_part, splits_of
from actorflow.wire.savepoint_manifest import SavedOperator, SavedVertex, Savepoint, encode_vertex, saved_splits
from actorflow.wire.state_migration import incompatible

ClaimMode = Literal["no-claim", "claim"]
"""Whether a snapshot stays its owner's, or belongs to the job that goes on from it, which removes it when it is not needed any more."""


@dataclass(frozen=True, slots=True)
class _Old:
    """An operator of a snapshot, as far as comparing needs it. `stateful` is None where that cannot be known."""

    id: str
    name: str
    stateful: bool | None


def restored_from(
    path: str, graph: ExecutionGraph, *, allow_non_restored_state: bool = False, claim_mode: ClaimMode = "no-claim"
) -> Restored:
    """Return what a job's first run goes on from.

    Args:
        path: the directory of a savepoint or of a retained checkpoint.
        graph: what is to run.
        allow_non_restored_state: whether state that no operator takes may be left behind.
        claim_mode: see `ClaimMode`.

    Raises:
        CheckpointError: if there is no snapshot, it is damaged, or state would be left behind; both graphs are shown.
        IncompatibleState: if the type of a state has changed in a way that it cannot be read; the field is named.
        PlanError: if the job runs in batch mode.
    """
    if graph.batch:
        raise PlanError(
            f"job '{graph.name}' runs in batch mode, which starts from the beginning", hint="savepoints are for streaming mode"
        )
    home, snapshot = open_snapshot(path)
    if not allow_non_restored_state:
        _check_all_taken(home, _operators_of(snapshot), graph)
    claimed = home if claim_mode == "claim" else ""
    if isinstance(snapshot, Savepoint):
        return _of_savepoint(home, snapshot, graph, claimed, allow=allow_non_restored_state)
    return _of_checkpoint(snapshot, graph, claimed, allow=allow_non_restored_state)


def _operators_of(snapshot: Savepoint | Manifest) -> list[_Old]:
    if isinstance(snapshot, Savepoint):
        return [_Old(operator.id, operator.name, operator.stateful) for operator in snapshot.operators]
    return [_Old(*operator, None) for vertex in snapshot.vertices for operator in vertex.operators]


def _check_all_taken(home: str, old: list[_Old], graph: ExecutionGraph) -> None:
    new = {operator.id: operator for vertex in graph.vertices for operator in vertex.operators}
    lost = [operator for operator in old if operator.stateful is not False and operator.id not in new]
    if not lost:
        return
    known = {operator.id for operator in old}
    free = [operator.id for operator in new.values() if operator.id not in known]
    names = ", ".join(f"'{operator.name}' (id '{operator.id}')" for operator in lost)
    may = "" if all(operator.stateful for operator in lost) else " may"
    raise CheckpointError(
        f"cannot start job '{graph.name}' from '{home}': no operator takes the state that {names}{may} had there\n"
        + "\n".join(_difference(old, list(new.values()))),
        hint=f"for '{lost[0].id}': {nearest(lost[0].id, free) if free else 'the job has no new operators'}; "
        "give operators a uid to keep their state when the pipeline changes, or leave it behind with allow_non_restored_state",
    )


def _difference(old: list[_Old], new: list[LogicalOperator]) -> Iterator[str]:
    """Give both graphs as lines: what only the snapshot has, what only the job has, and what both have."""
    ids = {operator.id for operator in new}
    known = {operator.id for operator in old}
    for before in old:
        state = "" if before.stateful is False else "   with state" if before.stateful else "   maybe with state"
        yield f"  {' ' if before.id in ids else '-'} {before.id} '{before.name}'{state}"
    for operator in new:
        if operator.id not in known:
            yield f"  + {operator.id} '{operator.name}'"


# --- savepoints ----------------------------------------------------------------------------------------------------------------


def _of_savepoint(home: str, savepoint: Savepoint, graph: ExecutionGraph, claimed: str, *, allow: bool) -> Restored:
    saved = {operator.id: operator for operator in savepoint.operators}
    parts: dict[VertexId, tuple[bytes, ...]] = {}
    splits: dict[VertexId, ResetSplits] = {}
    listed: dict[VertexId, tuple[bytes, ...]] = {}
    for vertex in graph.vertices:
        mine = {operator.name: saved[operator.id] for operator in vertex.operators if operator.id in saved}
        for operator in vertex.operators:
            if operator.name in mine:
                _check_operator(mine[operator.name], operator, vertex, allow=allow)
        if mine:
            parts[vertex.id] = (encode_vertex(SavedVertex(home, mine)),)
        head = vertex.operators[0]
        if head.spec.role is Role.SOURCE and head.name in mine:
            positions, read = saved_splits(mine[head.name])
            splits[vertex.id] = ResetSplits(read, positions)
            for file in (file for state in mine[head.name].states if state.layout == "splits" for file in state.files):
                listed[vertex.id] = tuple(read_table(home, file).column("payload").to_pylist())
    return Restored(savepoint.checkpoint, parts, splits, listed, claimed=claimed)


def _check_operator(saved: SavedOperator, operator: LogicalOperator, vertex: Vertex, *, allow: bool) -> None:
    """Refuse what cannot be taken over, and what would be left behind within an operator."""
    keyed = any(state.layout in KEYED_LAYOUTS and state.files for state in saved.states)
    if saved.stateful and saved.kind not in {"", operator.spec.kind}:
        raise CheckpointError(
            f"cannot restore '{operator.name}': what has the id '{saved.id}' was '{saved.kind}' in the savepoint, and is "
            f"'{operator.spec.kind}' now",
            hint="give the new operator another uid",
        )
    if keyed and saved.max_parallelism != vertex.max_parallelism:
        raise CheckpointError(
            f"cannot restore '{operator.name}': its state has {saved.max_parallelism} key groups, "
            f"the job has {vertex.max_parallelism}",
            hint=f"set max_parallelism={saved.max_parallelism}: it is fixed for the life of a job's state",
        )
    declared = declared_of(operator.spec)
    kept = [state for state in saved.states if state.files or not declared.lacks(state)]
    _check_states({state.name: state.schema for state in kept if state.schema is not None}, operator, allow=allow)


def _check_states(schemas: Mapping[str, dict[str, Any]], operator: LogicalOperator, *, allow: bool) -> None:
    """Refuse state that cannot become what is declared now, or that is not declared any more, unless it is allowed to stay behind."""
    declared = declared_of(operator.spec)
    for name, schema in schemas.items():
        descriptor = declared.keyed.get(name) or declared.of_operator.get(name)
        if descriptor is not None:
            found = compatibility(StateSchema.from_data(schema), schema_of_state(descriptor))
            if isinstance(found, Incompatible):
                raise incompatible(f"state '{name}' of '{operator.name}'", found.reasons)
        elif not allow:
            names = [*declared.keyed, *declared.of_operator]
            raise CheckpointError(
                f"cannot restore '{operator.name}': it declares no state '{name}' any more",
                hint=f"{nearest(name, names)}; or leave it behind with allow_non_restored_state",
            )


# --- checkpoints ---------------------------------------------------------------------------------------------------------------


def _of_checkpoint(manifest: Manifest, graph: ExecutionGraph, claimed: str, *, allow: bool) -> Restored:
    chains = [tuple(operator for operator, _ in vertex.operators) for vertex in manifest.vertices]
    if any(part.in_flight for vertex in manifest.vertices for part in vertex.parts) and chains != [
        tuple(operator.id for operator in vertex.operators) for vertex in graph.vertices
    ]:
        raise CheckpointError(
            f"cannot start job '{graph.name}' from checkpoint {manifest.checkpoint} of '{manifest.name}': it holds records in flight "
            "between operators, and the pipeline has changed",
            hint="take a savepoint to change the pipeline: it holds none; or go on with the same pipeline first",
        )
    parts: dict[VertexId, tuple[bytes, ...]] = {}
    splits: dict[VertexId, ResetSplits] = {}
    listed: dict[VertexId, tuple[bytes, ...]] = {}
    listed_for: dict[VertexId, int] = {}
    schemas = {operator: found for vertex in manifest.vertices for operator, found in vertex.schemas.items()}
    for vertex in graph.vertices:
        now = {operator.id: operator.name for operator in vertex.operators}
        for operator in vertex.operators:
            _check_states(schemas.get(operator.id, {}), operator, allow=allow)
        found = list(_parts_for(now, manifest.vertices))
        if found:
            parts[vertex.id] = tuple(map(encode_part, found))
        if found and vertex.operators[0].spec.role is Role.SOURCE:
            for old in (one for one in manifest.vertices if one.operators[0][0] == vertex.operators[0].id):
                listed_for[vertex.id] = old.parallelism
                if old.id in manifest.splits:
                    listed[vertex.id] = tuple(pickling.loads(manifest.splits[old.id]))
            positions, read = splits_of(found)
            splits[vertex.id] = ResetSplits(read, positions)
    return Restored(manifest.checkpoint, parts, splits, listed, listed_for, claimed)


def _parts_for(now: Mapping[OperatorId, str], vertices: tuple[VertexState, ...]) -> Iterator[SubtaskState]:
    """Give the parts of the vertices that had one of these operators (names by id), each with what is to be taken of it."""
    for vertex in vertices:
        names = {name: now[OperatorId(operator)] for operator, name in vertex.operators if operator in now}
        if names:
            head, last = vertex.operators[0][0], vertex.operators[-1][0]
            schemas = {
                name: vertex.schemas[operator]
                for operator, name in vertex.operators
                if operator in vertex.schemas and operator in now
            }
            for part in vertex.parts:
                yield adopted(part, Adopted(names, outputs=last in now, schemas=schemas), read=head in now)
