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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

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
