"""The fast way to read what `state_exact` defines: a decoder and a function that are put together once for a type.

MessagePack checks the bytes against the type while it decodes them, so only what it does not know remains to be built: records, sets, dates.
Records have functions made for them in `state_generated`. Whatever is not common (an int beyond 64 bits, an instance of a subclass,
damage) makes one of the two raise, and `state_exact` has the last word. They never accept what that refuses, and never read bytes differently.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from types import GenericAlias
from typing import Any, Final, Union

import msgspec
from msgspec import Raw

from actorflow.wire import pickling
from actorflow.wire.state_exact import ExactForm, is_native, other_than_none, union_form
from actorflow.wire.state_generated import Function, Rare, record_reader, tuple_reader
from actorflow.wire.state_plain import ACCEPTED, NATIVE
from actorflow.wire.state_types import (
    Enumeration,
    ListOf,
    LiteralOf,
    MapOf,
    Node,
    Pickled,
    Plain,
    Reference,
    SequenceOf,
    SetOf,
    TupleOf,
    UnionOf,
)

_NIL: Final = b"\xc0"
_WRITTEN_AS: Final[dict[str, Any]] = {name: Union[ACCEPTED[name]] for name in NATIVE} | {  # noqa: UP007 - made at run time
    "date": int,
    "time": str,
    "datetime": str,
    "timedelta": tuple[int, int, int],
    "decimal": str,
    "uuid": bytes,
}
"""What MessagePack has to find where a plain value is to be read."""

_READ_BY: Final[dict[str, Function]] = {
    "date": dt.date.fromordinal,
    "time": dt.time.fromisoformat,
    "datetime": dt.datetime.fromisoformat,
    "timedelta": lambda tree: dt.timedelta(*tree),
    "decimal": decimal.Decimal,
    "uuid": lambda tree: uuid.UUID(bytes=tree),
}


def compile_reader(exact: ExactForm) -> tuple[Function, Function | None]:
    """Return the decoder from bytes to a tree, and the function from that to the value; None if the tree is the value already.

    Both raise for whatever they do not know.
    """
    written_as, lift = _Readers(exact).of(exact.types.schema.root)
    return msgspec.msgpack.Decoder(written_as).decode, lift


class _Readers:
    """Makes the readers of a type's nodes: what MessagePack has to decode, and the function that finishes it, if that is not the value."""

    def __init__(self, exact: ExactForm) -> None:
        self._types = exact.types
        self._decoders: dict[str, Function] = {}
        self._made: dict[str, tuple[Any, Function | None]] = {}
        self._open: set[str] = set()

    def of(self, node: Node) -> tuple[Any, Function | None]:
        """Return the reader of a node."""
        match node:
            case Plain(of):
                return _WRITTEN_AS[of], _READ_BY.get(of)
            case ListOf(item):
                written_as, lift = self.of(item)
                return GenericAlias(list, (written_as,)), _reader_of_items(list, lift)
            case SequenceOf(item):
                written_as, lift = self.of(item)
                return GenericAlias(tuple, (written_as, ...)), _reader_of_items(tuple, lift)
            case SetOf(item, frozen):
                written_as, lift = self.of(item)
                return GenericAlias(list, (written_as,)), _reader_of_set(frozenset if frozen else set, lift)
            case TupleOf(items):
                return self._tuple(items)
            case MapOf():
                return self._map(node)
            case UnionOf():
                return self._union(node)
            case LiteralOf(values):
                literals = [self._types.literals[written] for written in values]
                return int, _reader_of_position(literals)
            case Reference(name):
                return self._reference(name)
            case Pickled(of):
                return bytes, _reader_of_pickles(self._types.classes.get(of, object))

    def _tuple(self, items: tuple[Node, ...]) -> tuple[Any, Function | None]:
        parts = [self.of(item) for item in items]
        written_as = GenericAlias(tuple, tuple(written_as for written_as, _ in parts))
        if all(lift is None for _, lift in parts):
            return written_as, None
        return written_as, tuple_reader([lift for _, lift in parts])

    def _map(self, node: MapOf) -> tuple[Any, Function | None]:
        key_as, lift_key = self.of(node.key)
        value_as, lift = self.of(node.value)
        if not is_native(node.key):
            return GenericAlias(list, (GenericAlias(tuple, (key_as, value_as)),)), _reader_of_pairs(
                lift_key or _same, lift or _same
            )
        return GenericAlias(dict, (key_as, value_as)), _reader_of_values(lift)

    def _union(self, node: UnionOf) -> tuple[Any, Function | None]:
        match union_form(node):
            case "native":
                return _native([member.of for member in node.members if isinstance(member, Plain)])
            case "optional":
                return self._optional(other_than_none(node))
            case _:
                return GenericAlias(tuple, (int, Raw)), _reader_of_member([self._decoder(member) for member in node.members])

    def _optional(self, node: Node) -> tuple[Any, Function | None]:
        written_as, lift = self.of(node)
        if lift is None:
            return written_as | None, None
        if written_as is Raw:
            return Raw, lambda tree: None if bytes(tree) == _NIL else lift(tree)
        return written_as | None, lambda tree: None if tree is None else lift(tree)

    def _decoder(self, node: Node) -> Function:
        """Return the function from a node's bytes to its value."""
        written_as, lift = self.of(node)
        decode = msgspec.msgpack.Decoder(written_as).decode
        return decode if lift is None else lambda data: lift(decode(data))

    def _reference(self, name: str) -> tuple[Any, Function | None]:
        if name in self._made:
            return self._made[name]
        if name in self._open:  # within itself: a decoder of its own, since types of MessagePack cannot contain themselves
            return Raw, _later(self._decoders, name)
        cls: Any = self._types.classes[name]
        definition = self._types.schema.classes[name]
        if isinstance(definition, Enumeration):
            if definition.flag:
                return int, cls
            return str, {member: cls[member] for member in definition.members}.__getitem__
        self._open.add(name)
        parts = [self.of(field.type) for field in definition.fields]
        self._open.discard(name)
        written_as = GenericAlias(tuple, tuple(written_as for written_as, _ in parts))
        lift = record_reader(cls, [field.name for field in definition.fields], [lift for _, lift in parts])
        decode = msgspec.msgpack.Decoder(written_as).decode
        self._decoders[name] = lambda data: lift(decode(data))
        self._made[name] = written_as, lift
        return written_as, lift


def _native(names: list[str]) -> tuple[Any, Function | None]:
    if not {"str", "bytes"} <= set(names):
        return Union[tuple(_WRITTEN_AS[name] for name in names)], None  # noqa: UP007 - made at run time
    accepted = {cls for name in names for cls in ACCEPTED[name]}

    def read_native(tree: Any) -> Any:
        if type(tree) not in accepted:
            raise Rare
        return tree

    return Any, read_native  # the two are one to msgspec, in unions


def _same(tree: Any) -> Any:
    return tree


def _later(made: dict[str, Function], name: str) -> Function:
    """Return a function that calls one which may not be made yet."""

    def read_later(tree: Any) -> Any:
        return made[name](tree)

    return read_later


def _reader_of_items(cls: type, lift: Function | None) -> Function | None:
    if lift is None:
        return None

    def read_items(tree: Any) -> Any:
        return cls(map(lift, tree))

    return read_items


def _reader_of_pickles(cls: type) -> Function:
    def read_instance(tree: bytes) -> Any:
        value = pickling.loads(tree)
        if not isinstance(value, cls):
            raise Rare
        return value

    return pickling.loads if cls is object else read_instance


def _reader_of_set(cls: type, lift: Function | None) -> Function:
    def read_set(tree: Any) -> Any:
        values = cls(tree if lift is None else map(lift, tree))
        if len(values) != len(tree):
            raise Rare
        return values

    return read_set


def _reader_of_values(lift: Function | None) -> Function | None:
    return None if lift is None else lambda tree: dict(zip(tree, map(lift, tree.values()), strict=True))


def _reader_of_pairs(lift_key: Function, lift: Function) -> Function:
    def read_pairs(tree: Any) -> Any:
        values = {lift_key(key): lift(part) for key, part in tree}
        if len(values) != len(tree):
            raise Rare
        return values

    return read_pairs


def _reader_of_position(values: list[Any]) -> Function:
    def read_position(tree: int) -> Any:
        if tree < 0:
            raise Rare
        return values[tree]

    return read_position


def _reader_of_member(decoders: list[Function]) -> Function:
    def read_member(tree: tuple[int, Raw]) -> Any:
        position, part = tree
        if position < 0:
            raise Rare
        return decoders[position](part)

    return read_member
