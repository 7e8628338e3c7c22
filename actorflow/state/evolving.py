"""Declared state whose type has changed, as a checkpoint holds it: objects of the old type become objects of the new.

What changes are possible is decided by `wire.state_evolution`, as it is for state that stands in files as bytes of its type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actorflow.errors import SerializationError
from actorflow.state.schema import (
    Declared,
    Migratable,
    StateSchema,
    compatibility,
    held_migration_of,
    held_type,
    schema_of_state,
)
from actorflow.wire.pickling import importable
from actorflow.wire.state_describe import describe
from actorflow.wire.state_plain import Mismatch, pack, place_of
from actorflow.wire.written_values import WrittenForm

_FOLDED = ("reducing", "aggregating")


def evolves(old: StateSchema, descriptor: Declared) -> bool:
    """Return whether values have to be made anew: the type has changed, or its classes cannot be imported, and came with the values as they were."""
    if isinstance(compatibility(old, schema_of_state(descriptor)), Migratable):
        return True
    classes = describe(held_type(descriptor))
    return any(name in classes.schema.classes and not importable(cls) for name, cls in classes.classes.items())


class Evolving:
    """One declared state.

    Args:
        old: what was declared when it was stored.
        descriptor: what is declared now.

    Attributes:
        form: lowers what a key held.

    Raises:
        IncompatibleState: if the one cannot become the other; state and fields are named.
    """

    def __init__(self, old: StateSchema, descriptor: Declared) -> None:
        self._name = f"state '{descriptor.name}'"
        self._migration = held_migration_of(old, descriptor)
        self._folded = old.kind in _FOLDED
        self._timed = old.ttl and old.kind in {"value", *_FOLDED}
        self.form = WrittenForm(old.held(), describe(held_type(descriptor)))

    def held(self, values: Iterable[Any]) -> list[Any]:
        """Return what keys hold, as the type of now.

        Raises:
            SerializationError: if a value was not of its declared type, so that nobody knows what it becomes; the field is named.
        """
        values = list(values)
        items = [value[0] for value in values] if self._timed else values
        items = [item[0] for item in items] if self._folded else items
        new = self._migration.decode_many(map(self._lowered, items))
        if self._folded:
            new = [(item,) for item in new]
        return [(item, value[1]) for item, value in zip(new, values, strict=True)] if self._timed else new

    def _lowered(self, value: Any) -> bytes:
        try:
            return pack(self.form.lower(value))
        except Mismatch as error:
            raise SerializationError(f"cannot read {self._name}: {place_of(error.path) or 'it'} {error.text}") from error.__cause__
