"""Takes a declared type apart: from a class or a generic alias to the tree of `state_types`."""

from __future__ import annotations

import collections.abc
import contextlib
import enum
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, Union

from actorflow.errors import SerializationError
from actorflow.wire.state_classes import (
    CLASS_ALIAS,
    aliases_of,
    form_of,
    qualified_name,
    record_fields,
    resolved_hints,
)
from actorflow.wire.state_types import (
    PLAIN_TYPES,
    Definition,
    Enumeration,
    Field,
    ListOf,
    LiteralOf,
    MapOf,
    Node,
    Pickled,
    Plain,
    Record,
    Reference,
    SequenceOf,
    SetOf,
    TupleOf,
    TypeSchema,
    TypeTree,
    UnionOf,
    text_of,
)

Variables = Mapping[Any, tuple[Any, Any]]
"""What type variables stand for: a type, and what the variables in that stand for in turn."""

_PLAIN_NODES: Final[Mapping[object, Plain]] = {cls: Plain(name) for name, cls in PLAIN_TYPES.items()} | {None: Plain("none")}
_ANY: Final = Pickled("builtins.object")


def describe(of: Any) -> TypeTree:
    """Take a type apart.

    Args:
        of: a class, a generic alias such as `dict[str, int]`, a union, or `Any`.

    Raises:
        SerializationError: if it is not a type, or an annotation of a field cannot be resolved; the field is named.
    """
    describer = _Describer()
    root = describer.node(of, {}, "")
    return TypeTree(TypeSchema(root, describer.definitions), describer.classes, describer.literals)


class _Describer:
    """Collects the classes of a type on the way."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.classes: dict[str, type] = {}
        self.literals: dict[tuple[str, str], Any] = {}

    def node(self, of: Any, variables: Variables, place: str) -> Node:
        """Return the node of a type; `variables` says what type variables stand for, `place` is a field's path and a dot, for errors."""
        plain = _PLAIN_NODES.get(of) if isinstance(of, collections.abc.Hashable) else None
        if plain is not None:
            return plain
        if isinstance(of, TypeVar):
            meant, outer = variables.get(of, (of.__bound__ or Any, {}))
            return self.node(meant, outer, place)
        if isinstance(of, typing.NewType):
            return self.node(of.__supertype__, variables, place)
        if type(of).__name__ == "TypeAliasType":  # `type X = ...`, from Python 3.12 on
            return self.node(of.__value__, variables, place)
        origin, arguments = typing.get_origin(of), typing.get_args(of)
        if origin is not None:
            return self._generic(of, origin, arguments, variables, place)
        if of is Any or of is object:
            return _ANY
        if not isinstance(of, type):
            raise SerializationError(
                f"{_subject(place)} is not a type: {of!r}",
                hint="declare a class, a generic such as list[int], or object",
            )
        return self._class(of, {}, place)

    def _generic(self, of: Any, origin: Any, arguments: tuple[Any, ...], variables: Variables, place: str) -> Node:
        if origin in {Annotated, Final, ClassVar}:
            return self.node(arguments[0], variables, place)
        if origin is Literal:
            self.literals |= {literal_value(value): value for value in arguments}
            return LiteralOf(tuple(literal_value(value) for value in arguments))
        if origin in {Union, types.UnionType}:
            return self._union([self.node(member, variables, place) for member in arguments])
        if origin is tuple and of is not typing.Tuple:  # noqa: UP006 - this one says nothing of its parts
            return self._tuple(arguments, variables, place)
        if origin in {list, set, frozenset, dict, tuple}:
            items = [self.node(item, variables, place) for item in arguments]
            if all(item == _ANY for item in items):
                return self._pickled(origin)
            match origin:
                case _ if origin is list:
                    return ListOf(items[0])
                case _ if origin is dict:
                    return MapOf(items[0], items[1])
                case _:
                    return SetOf(items[0], origin is frozenset)
        if not isinstance(origin, type):
            return _ANY
        parameters = getattr(origin, "__parameters__", ())
        return self._class(origin, {name: (item, variables) for name, item in zip(parameters, arguments, strict=False)}, place)

    def _tuple(self, arguments: tuple[Any, ...], variables: Variables, place: str) -> Node:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            item = self.node(arguments[0], variables, place)
            return self._pickled(tuple) if item == _ANY else SequenceOf(item)
        return TupleOf(tuple(self.node(item, variables, place) for item in arguments))

    @staticmethod
    def _union(members: list[Node]) -> Node:
        flat: list[Node] = []
        for member in members:
            flat += member.members if isinstance(member, UnionOf) else [member]
        distinct = tuple(dict.fromkeys(flat))
        if _ANY in distinct:
            return _ANY
        return distinct[0] if len(distinct) == 1 else UnionOf(distinct)

    def _class(self, cls: type, variables: Variables, place: str) -> Node:
        form = form_of(cls)
        if form is None:
            return self._pickled(cls)
        name = qualified_name(cls)
        if variables:
            name += f"[{', '.join(text_of(self.node(variable, variables, place), short=False) for variable in variables)}]"
        known = self.classes.setdefault(name, cls)
        if known is not cls:
            raise SerializationError(
                f"{_subject(place)} has two classes named '{name}'", hint="state finds classes by name: rename one"
            )
        if name not in self.definitions:
            self.definitions[name] = Record(form, ())  # so that a class which contains itself is described once
            self.definitions[name] = (
                _enumeration(cls)
                if form == "enum"
                else Record(form, tuple(self._fields(cls, variables, place)), aliases_of(cls, CLASS_ALIAS))
            )
        return Reference(name)

    def _fields(self, cls: type, variables: Variables, place: str) -> Iterator[Field]:
        defaults = dict(record_fields(cls))
        hints = {
            name: (annotation, meanings)
            for base, meanings in reversed(list(_bases(cls, variables)))
            for name, annotation in resolved_hints(base, cls, defaults, place).items()
        }
        for name, default in defaults.items():
            annotation, meanings = hints.get(name, (Any, {}))
            yield Field(name, self.node(annotation, meanings, f"{place}{name}."), default is not None, aliases_of(cls, name))

    def _pickled(self, cls: type) -> Pickled:
        name = qualified_name(cls)
        with contextlib.suppress(Exception):  # a protocol, say, cannot tell what its instances are
            isinstance(None, cls)
            self.classes[name] = cls
        return Pickled(name)


def literal_value(value: Any) -> tuple[str, str]:
    """Return a value of a `Literal` as data."""
    if isinstance(value, enum.Enum):
        return qualified_name(type(value)), value.name
    return type(value).__name__, repr(value)


def _enumeration(cls: type[enum.Enum]) -> Enumeration:
    flag = issubclass(cls, enum.Flag)
    members = {name: member.value if flag else None for name, member in cls.__members__.items() if member.name == name}
    renamed = {name: old for name in members if (old := aliases_of(cls, name))}
    return Enumeration(members, flag, aliases_of(cls, CLASS_ALIAS), renamed)


def _subject(place: str) -> str:
    return f"field '{place[:-1]}'" if place else "the declared type"


def _bases(cls: type, variables: Variables) -> Iterator[tuple[type, Variables]]:
    """Give a class and its bases, in the order of resolution, each with what its type variables stand for."""
    meanings: dict[type, Variables] = {cls: variables}
    for base in cls.__mro__:
        own = meanings.setdefault(base, {})
        yield base, own
        for generic in getattr(base, "__orig_bases__", ()) if "__orig_bases__" in vars(base) else ():
            origin = typing.get_origin(generic)
            parameters = getattr(origin, "__parameters__", ())
            if isinstance(origin, type):
                meanings.setdefault(
                    origin, {name: (item, own) for name, item in zip(parameters, typing.get_args(generic), strict=False)}
                )
