"""What states an operator declares, as far as its spec says: states of the engine's own operators have no declaration."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actorflow.errors import ActorflowError
from actorflow.plan.graph import OperatorSpec
from actorflow.state.descriptors import StateDescriptor, declared_states
from actorflow.state.operator_state import OperatorStateDescriptor, declared_operator_states
from actorflow.state.schema import schema_of_state
from actorflow.wire.savepoint_manifest import SavedState


@dataclass(frozen=True, slots=True)
class Declared:
    """The states of one operator, by name.

    Attributes:
        keyed: those by key.
        of_operator: those of the operator as a whole.
    """

    keyed: Mapping[str, StateDescriptor]
    of_operator: Mapping[str, OperatorStateDescriptor]

    def lacks(self, state: SavedState) -> bool:
        """Return whether a state was declared, and is not any more."""
        return state.schema is not None and state.name not in self.keyed and state.name not in self.of_operator


def schemas_of(spec: OperatorSpec) -> dict[str, dict[str, Any]]:
    """Return what the operator of a spec declares of its states, by their names, as `StateSchema` writes itself down.

    A type that cannot be described is left out: what is of it is read as pickle has it.
    """
    declared = declared_of(spec)
    found: dict[str, dict[str, Any]] = {}
    states: dict[str, StateDescriptor | OperatorStateDescriptor] = {**declared.keyed, **declared.of_operator}
    for name, state in states.items():
        with contextlib.suppress(ActorflowError):
            found[name] = schema_of_state(state).to_data()
    return found


def declared_of(spec: OperatorSpec) -> Declared:
    """Return the states that the operator of a spec declares."""
    operator = getattr(spec, "operator", None)
    if operator is None:
        return Declared({}, {})
    return Declared(declared_states(type(operator)), declared_operator_states(type(operator)))
