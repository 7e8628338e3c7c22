"""What a subtask of another job has stored in a checkpoint, where types of state have changed since: read as the types of now.

    chunk of a layer, snapshot ── pickle, with old classes as they were ──► values ── of evolving states ──► values of the new types

Keys and records in flight are of the type of now; a class that is theirs as well and has changed is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from actorflow.errors import CheckpointError
from actorflow.operators.stage import Kept
from actorflow.plan.execution import Vertex
from actorflow.runtime.checkpoints.snapshots import SubtaskSnapshot, decoded
from actorflow.savepoint.declared import declared_of
from actorflow.state.backend import KeyGroupState
from actorflow.state.evolving import Evolving, evolves
from actorflow.state.layers import decode_parts
from actorflow.state.operator_state import OperatorSnapshot
from actorflow.state.schema import StateSchema
from actorflow.wire.manifest import Adopted
from actorflow.wire.state_classes import qualified_name
from actorflow.wire.state_types import Record
from actorflow.wire.written_values import WrittenClasses

_States = Mapping[str, Evolving | None]


def revival_of(adopted: Adopted | None, vertex: Vertex) -> Revival | None:
    """Return how to read what another job has stored; None if nothing of it has changed.

    Args:
        adopted: what is taken of it.
        vertex: what runs now.

    Raises:
        IncompatibleState: if a type cannot take what was written.
    """
    if adopted is None:
        return None
    specs = {operator.name: operator.spec for operator in vertex.operators}
    found: dict[str, dict[str, Evolving | None]] = {}
    left: list[StateSchema] = []
    for old, states in adopted.schemas.items():
        declared = declared_of(specs[adopted.names[old]])
        for state, data in states.items():
            schema = StateSchema.from_data(data)
            descriptor = declared.keyed.get(state) or declared.of_operator.get(state)
            if descriptor is None:  # to leave it behind was allowed by who started the job
                found.setdefault(old, {})[state] = None
                left.append(schema)
            elif evolves(schema, descriptor):
                found.setdefault(old, {})[state] = Evolving(schema, descriptor)
    return Revival(found, left) if found else None


class Revival:
    """Reads it.

    Args:
        states: by the names that their operators had: those that have changed, and None for those that are left behind.
        left: the schemas of these.
    """

    def __init__(self, states: Mapping[str, _States], left: list[StateSchema]) -> None:
        self._states = states
        self._evolving = [one for known in states.values() for one in known.values() if one is not None]
        changed = {name: record for one in self._evolving for name, record in one.form.changed().items()}
        self._wanted = frozenset(changed)
        for schema in left:
            changed = {name: kind for name, kind in schema.value.classes.items() if isinstance(kind, Record)} | changed
        self._classes = WrittenClasses(changed, {name: cls for one in self._evolving for name, cls in one.form.live.items()})

    def chunk(self, operator: str, data: memoryview) -> list[Any]:
        """Return the parts of a chunk of a layer. See `state.layers.decode_layer`.

        Raises:
            CheckpointError: if a class that has changed is also that of keys, or of state that is not declared.
            SerializationError: see `Evolving.held`.
        """
        *place, keys, values, gone, dropped = decode_parts(data, self._classes.loads)
        states = self._states.get(operator, {})
        evolving = states.get(place[0])
        if evolving is not None:
            values = evolving.held(values)
        elif place[0] in states:
            return [*place, [], [], [], False]
        self._check(operator)
        return [*place, keys, values, gone, dropped]

    def snapshot(self, data: bytes) -> SubtaskSnapshot:
        """Return a subtask's snapshot.

        Raises:
            CheckpointError: if it cannot be read by this program, or a class that has changed is also that of keys or records in flight.
            SerializationError: see `Evolving.held`.
        """
        known = decoded(data, self._classes.loads)
        keyed = {name: self._groups(name, groups) for name, groups in known.keyed.items()}
        kept = {name: self._kept(name, one) for name, one in known.kept.items()}
        self._check(", ".join(self._states))
        return replace(known, keyed=keyed, kept=kept)

    def _check(self, operator: str) -> None:
        """Refuse what holds instances of a class as it was elsewhere than in state that becomes what it is now."""
        lowered = set[int]().union(*(one.form.lowered for one in self._evolving))
        for one in self._evolving:
            one.form.lowered.clear()
        for made in self._classes.made:
            name = qualified_name(type(made))
            if name in self._wanted and id(made) not in lowered:
                raise CheckpointError(
                    f"cannot restore '{operator}': '{name}' has changed, and is also the class of keys, of records in flight, "
                    "or of state that is not declared",
                    hint="give these a class of their own, or change this one after a canonical savepoint",
                )

    def _groups(self, operator: str, groups: Mapping[int, KeyGroupState]) -> Mapping[int, KeyGroupState]:
        return {group: self._revived(operator, known, _values_of) for group, known in groups.items()}

    def _kept(self, operator: str, kept: Kept) -> Kept:
        lists, unions, maps = (
            self._revived(operator, known, _whole) for known in (kept.states.lists, kept.states.unions, kept.states.maps)
        )
        return replace(kept, states=OperatorSnapshot(lists, unions, maps))

    def _revived(self, operator: str, known: Mapping[str, Any], revive: Callable[[Evolving, Any], Any]) -> dict[str, Any]:
        """Return what states hold, without those that are left behind."""
        states = self._states.get(operator, {})
        found = {}
        for state, held in known.items():
            evolving = states.get(state)
            if evolving is not None:
                found[state] = revive(evolving, held)
            elif state not in states:
                found[state] = held
        return found


def _values_of(evolving: Evolving, held: Mapping[Any, Any]) -> dict[Any, Any]:
    return dict(zip(held, evolving.held(held.values()), strict=True))


def _whole(evolving: Evolving, held: Any) -> Any:
    return evolving.held([held])[0]
