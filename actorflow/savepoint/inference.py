"""The type of values whose type nobody has declared: keys of a stream, windows, states of the engine's own.

A type is found only where reading gives back exactly what was written, in another process, too: values of one plain type, tuples, lists and
dicts of such, and instances of classes with declared fields that can be imported. Everything else is pickled.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from actorflow.errors import IncompatibleState, SerializationError
from actorflow.wire.state_classes import form_of, qualified_name
from actorflow.wire.state_describe import describe
from actorflow.wire.state_types import (
    PLAIN_TYPES,
    ListOf,
    MapOf,
    Node,
    Plain,
    Reference,
    SequenceOf,
    TupleOf,
    TypeSchema,
    TypeTree,
    UnionOf,
)

_PLAIN: Final = {cls: Plain(name) for name, cls in PLAIN_TYPES.items()}
_NONE: Final = Plain("none")
_POSITIONS_MAX: Final = 32
"""Tuples that are longer are taken for sequences, if they are of one type."""


def inferred(values: Sequence[Any]) -> TypeTree | None:
    """Return a type that all values are of, or None if they have to be pickled."""
    classes: dict[str, type] = {}
    root = _node(values, classes)
    if root is None:
        return None
    definitions: dict[str, Any] = {}
    live: dict[str, type] = {}
    for cls in classes.values():
        tree = describe(cls)
        definitions |= tree.schema.classes
        live |= tree.classes
        if any(not _importable(part) for part in tree.classes.values()) or tree.literals:
            return None
    return TypeTree(TypeSchema(root, definitions), live, {})


def _node(values: Sequence[Any], classes: dict[str, type]) -> Node | None:
    kinds = set(map(type, values))
    if type(None) in kinds and len(kinds) == 2:
        other = _node([value for value in values if value is not None], classes)
        return None if other is None else UnionOf((other, _NONE))
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is tuple:
        return _tuple(values, classes)
    if kind is list:
        items = [item for value in values for item in value]
        item = _node(items, classes)
        return None if item is None else ListOf(item)
    if kind is dict:
        return _map(values, classes)
    if form_of(kind) is None or not _importable(kind):
        return None
    classes[qualified_name(kind)] = kind
    return Reference(qualified_name(kind))


def _tuple(values: Sequence[tuple[Any, ...]], classes: dict[str, type]) -> Node | None:
    lengths = set(map(len, values))
    if len(lengths) == 1 and 0 < (length := lengths.pop()) <= _POSITIONS_MAX:
        parts = [_node([value[position] for value in values], classes) for position in range(length)]
        known = [part for part in parts if part is not None]
        return TupleOf(tuple(known)) if len(known) == length else None
    item = _node([item for value in values for item in value], classes)
    return None if item is None else SequenceOf(item)


def _map(values: Sequence[dict[Any, Any]], classes: dict[str, type]) -> Node | None:
    key = _node([key for value in values for key in value], classes)
    item = _node([item for value in values for item in value.values()], classes)
    return None if key is None or item is None else MapOf(key, item)


def _importable(cls: type) -> bool:
    return cls.__module__ != "__main__" and _found(qualified_name(cls)) is cls


def _found(name: str) -> object:
    """Return what a qualified name names; None if nothing can be imported by it."""
    module, parts = name.rpartition(".")[0], [name.rpartition(".")[2]]
    while module:
        try:
            found: object = importlib.import_module(module)
        except ImportError:
            module, _, part = module.rpartition(".")
            parts.insert(0, part)
            continue
        for part in parts:
            found = getattr(found, part, None)
        return found
    return None


def live_type(schema: TypeSchema, name: str) -> TypeTree:
    """Return a type that `inferred` has found earlier, with its classes as they are now.

    Args:
        schema: the type as it was.
        name: whose it is, for errors.

    Raises:
        IncompatibleState: if a class is gone, or has changed.
    """
    definitions: dict[str, Any] = {}
    live: dict[str, type] = {}
    for wanted in schema.classes:
        cls = _found(wanted)
        if not isinstance(cls, type):
            raise IncompatibleState(f"cannot restore {name}: there is no class '{wanted}' any more")
        try:
            tree = describe(cls)
        except SerializationError as error:
            raise IncompatibleState(f"cannot restore {name}: {error.message}", hint=error.hint) from error
        definitions |= tree.schema.classes
        live |= tree.classes
    for wanted, definition in schema.classes.items():
        if definitions.get(wanted) != definition:
            raise IncompatibleState(
                f"cannot restore {name}: the class '{wanted}' has changed",
                hint="the type of this state is not declared, so its values cannot be carried over: give the class its old fields",
            )
    return TypeTree(schema, live, {})
