"""What a declared type is made of, as data: the structure that state is written by, and that two versions of a job are compared by.

`describe` takes a type apart into a tree of nodes. Classes stand in a table beside the tree, by name, so a class that contains itself
is described once, and the tree is plain data that outlives the classes: written down with a snapshot, it still says how to read the
bytes when a class has changed or is gone.

    node          types
    Plain         None, bool, int, float, str, bytes, date, time, datetime, timedelta, Decimal, UUID
    ListOf …      list, set, frozenset, tuple of fixed or any length, dict
    LiteralOf     Literal
    UnionOf       unions; `X | None` is one with two members
    Reference     dataclass, NamedTuple, msgspec Struct (a `Record`) and Enum, Flag (an `Enumeration`)
    Pickled       everything else: Any, object, untyped containers, classes of the user's without declared fields
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, Union

import msgspec

from actorflow.errors import SerializationError
from actorflow.wire.state_classes import (
    CLASS_ALIAS,
    aliases_of,
    form_of,
    qualified_name,
    record_fields,
    resolved_hints,
)


class _Node(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """Base of the nodes: plain data, written as a dict with the node's kind."""


class Plain(_Node, frozen=True):
    """A value without parts. `of` is one of the keys of `PLAIN_TYPES`."""

    of: str


class Pickled(_Node, frozen=True):
    """Whatever pickle writes. `of` is the qualified name of a class that values are instances of; there is no structure to evolve."""

    of: str


class ListOf(_Node, frozen=True):
    """A list."""

    item: Node


class SetOf(_Node, frozen=True):
    """A set, or a frozenset."""

    item: Node
    frozen: bool = False


class SequenceOf(_Node, frozen=True):
    """A tuple of any length."""

    item: Node


class TupleOf(_Node, frozen=True):
    """A tuple with a type for each position."""

    items: tuple[Node, ...]


class MapOf(_Node, frozen=True):
    """A dict."""

    key: Node
    value: Node


class UnionOf(_Node, frozen=True):
    """One of several types, each different, in the order declared."""

    members: tuple[Node, ...]


class LiteralOf(_Node, frozen=True):
    """One of several values, each as its type's name and its `repr`, or its member's name."""

    values: tuple[tuple[str, str], ...]


class Reference(_Node, frozen=True):
    """A class in the table of definitions."""

    name: str


Node = Plain | Pickled | ListOf | SetOf | SequenceOf | TupleOf | MapOf | UnionOf | LiteralOf | Reference


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of a record.

    Attributes:
        name: its name.
        type: its type.
        has_default: whether a value written without it can be read.
        aliases: names it had before.
    """

    name: str
    type: Node
    has_default: bool = False
    aliases: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, tag_field="kind", tag="record", omit_defaults=True):
    """A class with declared fields. `form` is "dataclass", "named tuple" or "struct"."""

    form: str
    fields: tuple[Field, ...]
    aliases: tuple[str, ...] = ()


class Enumeration(msgspec.Struct, frozen=True, tag_field="kind", tag="enumeration", omit_defaults=True):
    """An Enum: its members' names; of a Flag, whose values are written as numbers, with their numbers.

    Attributes:
        members: names and, for a Flag, numbers.
        flag: whether values are combinations of members.
        aliases: names the class had before.
        member_aliases: for each renamed member the names it had before.
    """

    members: dict[str, int | None]
    flag: bool = False
    aliases: tuple[str, ...] = ()
    member_aliases: dict[str, tuple[str, ...]] = {}


Definition = Record | Enumeration


@dataclass(frozen=True, slots=True)
class TypeTree:
    """A type taken apart.

    Attributes:
        root: the type.
        definitions: the classes that `Reference` nodes name, as data.
        classes: the same, live; and the classes that `Pickled` nodes name.
        literals: the values that `LiteralOf` nodes name.
    """

    root: Node
    definitions: dict[str, Definition]
    classes: dict[str, type]
    literals: dict[tuple[str, str], Any]

    def name_of(self, node: Node) -> str:
        """Return how a type is called in errors."""
        match node:
            case Plain(of):
                return "None" if of == "none" else PLAIN_TYPES[of].__name__
            case Reference(name) | Pickled(name):
                return self.classes[name].__name__ if name in self.classes else name
            case LiteralOf(values):
                return f"Literal[{', '.join(text for _, text in values)}]"
            case UnionOf(members):
                return " | ".join(map(self.name_of, members))
            case MapOf():
                return "dict"
            case ListOf():
                return "list"
            case SetOf(_, frozen):
                return "frozenset" if frozen else "set"
            case _:
                return "tuple"


PLAIN_TYPES: Final[Mapping[str, type]] = types.MappingProxyType(
    {
        "none": type(None),
        "bool": bool,
        "int": int,
        "float": float,
        "str": str,
        "bytes": bytes,
        "date": dt.date,
        "time": dt.time,
        "datetime": dt.datetime,
        "timedelta": dt.timedelta,
        "decimal": decimal.Decimal,
        "uuid": uuid.UUID,
    }
)
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
    return TypeTree(root, describer.definitions, describer.classes, describer.literals)


class _Describer:
    """Collects the classes of a type on the way."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.classes: dict[str, type] = {}
        self.literals: dict[tuple[str, str], Any] = {}

    def node(self, of: Any, variables: Mapping[Any, Any], place: str) -> Node:
        """Return the node of a type; `variables` says what type variables stand for, `place` is a field's path, for errors."""
        plain = _PLAIN_NODES.get(of) if isinstance(of, collections.abc.Hashable) else None
        if plain is not None:
            return plain
        if isinstance(of, TypeVar):
            return self.node(variables.get(of, of.__bound__ or Any), variables, place)
        while isinstance(of, typing.NewType) or type(of).__name__ == "TypeAliasType":
            of = of.__supertype__ if isinstance(of, typing.NewType) else of.__value__
            return self.node(of, variables, place)
        origin, arguments = typing.get_origin(of), typing.get_args(of)
        if origin is not None:
            return self._generic(of, origin, arguments, variables, place)
        if of is Any or of is object:
            return _ANY
        if not isinstance(of, type):
            raise SerializationError(
                f"{place or 'the declared type'} is not a type: {of!r}",
                hint="declare a class, a generic such as list[int], or object",
            )
        return self._class(of, {}, place)

    def _generic(self, of: Any, origin: Any, arguments: tuple[Any, ...], variables: Mapping[Any, Any], place: str) -> Node:
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
        given = [variables.get(item, item) if isinstance(item, TypeVar) else item for item in arguments]
        return self._class(origin, dict(zip(getattr(origin, "__parameters__", ()), given, strict=False)), place, str(of))

    def _tuple(self, arguments: tuple[Any, ...], variables: Mapping[Any, Any], place: str) -> Node:
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

    def _class(self, cls: type, variables: Mapping[Any, Any], place: str, written: str = "") -> Node:
        form = form_of(cls)
        if form is None:
            return self._pickled(cls)
        name = qualified_name(cls)
        if variables:
            name += written[written.find("[") :]
        known = self.classes.setdefault(name, cls)
        if known is not cls:
            raise SerializationError(
                f"{place or 'the declared type'} has two classes named '{name}'", hint="state finds classes by name: rename one"
            )
        if name not in self.definitions:
            self.definitions[name] = Record(form, ())  # so that a class which contains itself is described once
            self.definitions[name] = (
                _enumeration(cls)
                if form == "enum"
                else Record(form, tuple(self._fields(cls, variables, place)), aliases_of(cls, CLASS_ALIAS))
            )
        return Reference(name)

    def _fields(self, cls: type, variables: Mapping[Any, Any], place: str) -> Iterator[Field]:
        hints = resolved_hints(cls, place)
        for name, default in record_fields(cls):
            path = f"{place}.{name}" if place else f"field '{name}'"
            yield Field(name, self.node(hints.get(name, Any), variables, path), default is not None, aliases_of(cls, name))

    def _pickled(self, cls: type) -> Pickled:
        name = qualified_name(cls)
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
