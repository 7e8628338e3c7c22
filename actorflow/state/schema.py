"""What a state holds, as data: it stands with the state in a snapshot, and decides whether another version of the job can read it.

    StateSchema   kind of state, type of its values, of the entries of a map, and of the keys it is kept by
                  to_data() -> plain dicts for a manifest -> StateSchema.from_data()

    compatibility(old, new)   Same           the bytes are read as they are
                              Migratable     they are read through `migration_of`; `changes` says what differs
                              Incompatible   they cannot be read; `reasons` names the fields

What may change is in `actorflow.wire.state_evolution`. Keys never change, neither those of the stream nor those of a map's entries: where
a key lives, and under which bytes, follows from the key itself. Nor does the kind of a state, or whether it has a time to live.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, Final, Optional

from actorflow.errors import IncompatibleState, PlanError, SerializationError
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, StateDescriptor, ValueState
from actorflow.state.operator_state import BroadcastState, OperatorListState, OperatorStateDescriptor, UnionListState
from actorflow.wire.state_change import Change
from actorflow.wire.state_codec import StateCodec, codec_for
from actorflow.wire.state_describe import describe
from actorflow.wire.state_evolution import evolve
from actorflow.wire.state_migration import Migration, incompatible
from actorflow.wire.state_types import ListOf, MapOf, Pickled, Plain, TupleOf, TypeSchema, text_of

FORMAT: Final = 1
"""Version of the plain data."""

Declared = StateDescriptor | OperatorStateDescriptor

_KINDS: Final[dict[type[Declared], str]] = {
    ValueState: "value",
    ListState: "list",
    MapState: "map",
    ReducingState: "reducing",
    AggregatingState: "aggregating",
    OperatorListState: "operator list",
    UnionListState: "union list",
    BroadcastState: "broadcast",
}


_MANY: Final = ("list", "map", "operator list", "union list", "broadcast")
"""Kinds of which a key, or a subtask, holds more than one value."""

_OBJECT: Final = Pickled("builtins.object")


@dataclass(frozen=True, slots=True)
class StateSchema:
    """What a state holds.

    Attributes:
        value: type of the values: of a list's elements, of a map's values, of an aggregate's accumulator.
        kind: kind of the state: "value", "list", "map", "reducing", "aggregating", "operator list", "union list" or "broadcast".
        entry: type of the keys of a map's entries.
        key: type of the keys of the stream, if it is known.
        ttl: whether values live for a limited time, so that the time of their last use is kept with them.
    """

    value: TypeSchema
    kind: str = "value"
    entry: TypeSchema | None = None
    key: TypeSchema | None = None
    ttl: bool = False

    @property
    def evolvable(self) -> bool:
        """Whether the type of the values may change at all: not if they are pickled as a whole."""
        return not isinstance(self.value.root, Pickled)

    def pickled(self) -> tuple[str, ...]:
        """Return the types in here that are pickled, which cannot change."""
        return tuple(dict.fromkeys(text_of(node) for node in self.value.nodes() if isinstance(node, Pickled)))

    def held(self) -> TypeSchema:
        """Return the type of all that a key holds, as `held_type` does for a declared state."""
        if self.kind not in _MANY:
            return self.value
        item = TupleOf((self.value.root, Plain("int"))) if self.ttl else self.value.root
        classes = self.value.classes
        if self.entry is None:
            return TypeSchema(Pickled("builtins.list") if item == _OBJECT else ListOf(item), classes)
        key = self.entry.root
        root = Pickled("builtins.dict") if key == item == _OBJECT else MapOf(key, item)
        return TypeSchema(root, classes | self.entry.classes)

    def to_data(self) -> dict[str, Any]:
        """Return this as dicts, lists, text, numbers and bools, for JSON."""
        data: dict[str, Any] = {"format": FORMAT, "kind": self.kind, "value": self.value.to_data()}
        data |= {name: schema.to_data() for name, schema in self._keys()}
        return data | ({"ttl": True} if self.ttl else {})

    @classmethod
    def from_data(cls, data: Any) -> StateSchema:
        """Return what `to_data` was called on.

        Raises:
            SerializationError: if the data is not of its form.
            IncompatibleState: if a later version of actorflow wrote it.
        """
        if not isinstance(data, dict) or type(data.get("format")) is not int or "value" not in data:
            raise SerializationError("not the schema of a state")
        if data["format"] > FORMAT:
            raise IncompatibleState(
                f"the schema of a state has format {data['format']}, this version of actorflow knows {FORMAT}",
                hint="restore with the version that wrote it, or a later one",
            )
        keys = {name: TypeSchema.from_data(data[name]) for name in ("entry", "key") if name in data}
        kind, ttl = str(data.get("kind")), data.get("ttl", False)
        if kind not in _KINDS.values() or type(ttl) is not bool:
            raise SerializationError(f"not the schema of a state: its kind is '{kind}', its ttl {ttl!r}")
        return cls(TypeSchema.from_data(data["value"]), kind, ttl=ttl, **keys)

    def _keys(self) -> Iterator[tuple[str, TypeSchema]]:
        if self.entry is not None:
            yield "entry", self.entry
        if self.key is not None:
            yield "key", self.key


@dataclass(frozen=True, slots=True)
class Same:
    """What was written is read as it is."""


@dataclass(frozen=True, slots=True)
class Migratable:
    """What was written can be read as the new type.

    Attributes:
        changes: what differs.
    """

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Incompatible:
    """What was written cannot be read as the new type.

    Attributes:
        reasons: why, with the path of the field.
    """

    reasons: tuple[Change, ...]


def schema_of(of: Any) -> StateSchema:
    """Return the schema of values of a type.

    Raises:
        SerializationError: if it is not a type, or an annotation of a field cannot be resolved; the field is named.
    """
    return StateSchema(describe(of).schema)


def schema_of_state(descriptor: Declared, *, key: Any = None) -> StateSchema:
    """Return the schema of a declared state.

    Args:
        descriptor: the declaration.
        key: type of the stream's keys, if it is known.

    Raises:
        PlanError: if values of its type cannot be written, or its default is not of it; state and field are named.
    """
    name = f"state '{descriptor.name}'"
    try:
        schema = StateSchema(
            describe(value_type(descriptor)).schema,
            _kind(descriptor),
            describe(descriptor.key_type).schema if isinstance(descriptor, MapState | BroadcastState) else None,
            None if key is None else describe(key).schema,
            isinstance(descriptor, StateDescriptor) and descriptor.ttl is not None,
        )
    except SerializationError as error:
        raise PlanError(f"{name} cannot be kept: {error.message}", hint=error.hint) from error
    if isinstance(descriptor, ValueState):
        try:
            codec_of(descriptor).encode(descriptor.default)
        except SerializationError as error:
            raise PlanError(
                f"the default of {name} is not of its type: {error.message.partition(': ')[2]}",
                hint="declare the type that default and values have in common",
            ) from error
    return schema


def value_type(descriptor: Declared) -> Any:
    """Return the type of a state's values: of a list's elements, of a map's values. A value state without a default takes None as well.

    Raises:
        PlanError: if the state is of an unknown kind.
    """
    match descriptor:
        case ValueState():
            return Optional[descriptor.type] if descriptor.default is None else descriptor.type  # noqa: UP045 - made at run time
        case ListState() | ReducingState() | AggregatingState() | OperatorListState():
            return descriptor.type
        case MapState() | BroadcastState():
            return descriptor.value_type
        case _:
            raise PlanError(f"state '{descriptor.name}' is of unknown kind {type(descriptor).__name__}")


def held_type(descriptor: Declared) -> Any:
    """Return the type of all that a key holds: the value; a list of values, a dict, each value with the time of its last use if it expires.

    The time of a single value is not in it: it stands beside the value.

    Raises:
        PlanError: if the state is of an unknown kind.
    """
    item = value_type(descriptor)
    if isinstance(descriptor, ListState | MapState) and descriptor.ttl is not None:
        item = GenericAlias(tuple, (item, int))
    if isinstance(descriptor, MapState | BroadcastState):
        return GenericAlias(dict, (descriptor.key_type, item))
    return GenericAlias(list, (item,)) if isinstance(descriptor, ListState | OperatorListState) else item


def codec_of(descriptor: Declared) -> StateCodec[Any]:
    """Make the codec of a state's values.

    Raises:
        SerializationError: if values of its type cannot be written.
    """
    return codec_for(value_type(descriptor), f"state '{descriptor.name}'")


def compatibility(old: StateSchema, new: StateSchema) -> Same | Migratable | Incompatible:
    """Say whether what was written by one version of a state can be read by another.

    Args:
        old: the schema that stands with the bytes.
        new: the schema of the state that is to have them.
    """
    reasons = _fixed(old, new)
    found = evolve(old.value, new.value, lambda _cls, _field: lambda tree: tree)
    reasons += found.reasons
    if reasons:
        return Incompatible(tuple(reasons))
    return Migratable(tuple(found.changes)) if found.changes else Same()


def migration_of(old: StateSchema, descriptor: Declared) -> Migration[Any]:
    """Return what reads the values of a state as they were written by another version of it.

    Args:
        old: the schema that stands with the bytes.
        descriptor: the state that is to have them.

    Raises:
        IncompatibleState: if it cannot; state and fields are named.
        PlanError: see `schema_of_state`.
    """
    _check_fixed(old, descriptor)
    return Migration(old.value, codec_of(descriptor), f"state '{descriptor.name}'")


def held_migration_of(old: StateSchema, descriptor: Declared) -> Migration[Any]:
    """Return what reads all that a key holds, in one piece. See `migration_of` and `held_type`."""
    _check_fixed(old, descriptor)
    name = f"state '{descriptor.name}'"
    return Migration(old.held(), codec_for(held_type(descriptor), name), name)


def _check_fixed(old: StateSchema, descriptor: Declared) -> None:
    reasons = _fixed(old, schema_of_state(descriptor))
    if reasons:
        raise incompatible(f"state '{descriptor.name}'", reasons)


def _fixed(old: StateSchema, new: StateSchema) -> list[Change]:
    """Return what may not change and has."""
    reasons = []
    if old.kind != new.kind:
        reasons.append(Change("", f"was a {old.kind} state, is a {new.kind} state"))
    if old.ttl != new.ttl:
        had, has = ("a", "no") if old.ttl else ("no", "a")
        reasons.append(Change("", f"was kept with {had} time to live, is kept with {has} time to live"))
    for what, before, after in (("the entries' key", old.entry, new.entry), ("the key", old.key, new.key)):
        if before is not None and after is not None:
            found = evolve(before, after, lambda _cls, _field: lambda tree: tree)
            reasons += [
                Change(f"{what} {change.path}".rstrip(), f"{change.text}: keys cannot change")
                for change in (*found.reasons, *found.changes)
            ]
    return reasons


def _kind(descriptor: Declared) -> str:
    for cls in type(descriptor).__mro__:
        if cls in _KINDS:
            return _KINDS[cls]
    raise PlanError(f"state '{descriptor.name}' is of unknown kind {type(descriptor).__name__}")
