"""The structure of a type as plain data: what state is written by, and what two versions of a job are compared by.

A tree of nodes. Classes with declared parts stand in a table beside it, by name, so a class that contains itself is there once, and
the tree outlives the classes: written down with a snapshot, it still says how to read the bytes when a class has changed or is gone.
`state_describe` makes it of a type.

    node                      types
    Plain                     None, bool, int, float, str, bytes, date, time, datetime, timedelta, Decimal, UUID
    ListOf, SetOf             list; set, frozenset
    SequenceOf, TupleOf       tuple of any length; of fixed length
    MapOf                     dict
    LiteralOf                 Literal
    UnionOf                   unions; `X | None` is one with two members
    Reference                 dataclass, NamedTuple, msgspec Struct (a `Record`) and Enum, Flag (an `Enumeration`)
    Pickled                   everything else: Any, object, untyped containers, classes of the user's without declared fields
"""

from __future__ import annotations

import datetime as dt
import decimal
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import xxhash

from actorflow.errors import SerializationError

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


class _Node(msgspec.Struct, frozen=True, tag_field="kind", tag=lambda name: name.lower().removesuffix("of"), omit_defaults=True):
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


class TypeSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """A type as plain data.

    Attributes:
        root: the type.
        classes: the definitions that `Reference` nodes name.
    """

    root: Node
    classes: dict[str, Definition] = {}

    def to_data(self) -> dict[str, Any]:
        """Return this as dicts, lists, text, numbers and bools, for JSON."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    @classmethod
    def from_data(cls, data: Any) -> TypeSchema:
        """Return what `to_data` was called on.

        Raises:
            SerializationError: if the data is not of its form.
        """
        try:
            schema = msgspec.convert(data, cls)
        except msgspec.ValidationError as error:
            raise SerializationError(f"not the schema of a type: {error}") from None
        for node in schema.nodes():
            if isinstance(node, Reference) and node.name not in schema.classes:
                raise SerializationError(f"the schema of a type lacks the class '{node.name}'")
            if isinstance(node, Plain) and node.of not in PLAIN_TYPES:
                raise SerializationError(f"the schema of a type has the plain type '{node.of}', which is unknown")
        return schema

    def nodes(self) -> Iterator[Node]:
        """Give all nodes, those of the classes too."""
        fields = (
            field.type for definition in self.classes.values() if isinstance(definition, Record) for field in definition.fields
        )
        waiting = [self.root, *fields]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += parts_of(node)

    def fingerprint(self) -> bytes:
        """Return 8 bytes that change whenever values are written differently, or mean something else."""
        classes = {name: _written_form(definition) for name, definition in self.classes.items()}
        return xxhash.xxh3_64_digest(msgspec.json.encode([self.root, classes]))


@dataclass(frozen=True, slots=True)
class TypeTree:
    """A type taken apart, with the classes it is made of.

    Attributes:
        schema: the type as data.
        classes: the classes that `Reference` and `Pickled` nodes name, live. A pickled one that cannot tell its instances is left out.
        literals: the values that `LiteralOf` nodes name.
    """

    schema: TypeSchema
    classes: dict[str, type]
    literals: dict[tuple[str, str], Any]


def parts_of(node: Node) -> tuple[Node, ...]:
    """Return the nodes that a node is made of."""
    match node:
        case ListOf(item) | SetOf(item) | SequenceOf(item):
            return (item,)
        case MapOf(key, value):
            return key, value
        case TupleOf(nodes) | UnionOf(nodes):
            return nodes
        case Plain() | Pickled() | LiteralOf() | Reference():
            return ()


def _written_form(definition: Definition) -> object:
    """Return what of a class shows in the bytes of its instances."""
    if isinstance(definition, Record):
        return [(field.name, field.type) for field in definition.fields]
    return definition.members


def text_of(node: Node, *, short: bool = True) -> str:
    """Return a type as a user would write it.

    Args:
        node: the type.
        short: name classes without their modules.
    """
    match node:
        case Plain(of):
            return "None" if of == "none" else PLAIN_TYPES[of].__name__
        case Reference(name) | Pickled(name):
            head, bracket, rest = name.partition("[")
            return f"{head.rpartition('.')[2]}{bracket}{rest}" if short else name
        case LiteralOf(values):
            return f"Literal[{', '.join(text for _, text in values)}]"
        case UnionOf(members):
            return " | ".join(text_of(member, short=short) for member in members)
        case MapOf(key, value):
            return f"dict[{_texts((key, value), short=short)}]"
        case ListOf(item):
            return f"list[{text_of(item, short=short)}]"
        case SetOf(item, frozen):
            return f"{'frozenset' if frozen else 'set'}[{text_of(item, short=short)}]"
        case SequenceOf(item):
            return f"tuple[{text_of(item, short=short)}, ...]"
        case TupleOf(items):
            return f"tuple[{_texts(items, short=short) or '()'}]"


def _texts(nodes: Iterable[Node], *, short: bool) -> str:
    return ", ".join(text_of(node, short=short) for node in nodes)
