"""The fast way to write what `state_exact` defines: a function that is put together once for a type.

It looks at the classes of parts, of all of a list in one call where they are plain, and hands the value to MessagePack nearly as it is. Classes
with fields have functions made for them in `state_generated`. What is not common (an int beyond 64 bits, an instance of a subclass, a
value of another type) makes it raise, whatever comes first, and `state_exact` has the last word. It never accepts what that refuses,
and never writes a value differently.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from operator import attrgetter
from typing import Any, Final

from actorflow.wire import pickling
from actorflow.wire.state_exact import ExactForm, is_native, other_than_none, union_form
from actorflow.wire.state_generated import Function, Rare, record_writer, tuple_writer
from actorflow.wire.state_plain import ACCEPTED, ORDERED, pack
from actorflow.wire.state_types import (
    PLAIN_TYPES,
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


def compile_writer(exact: ExactForm) -> Function:
    """Return a function from a value to its tree, with tuples for arrays. It raises for whatever it does not know."""
    return _Writers(exact).of(exact.types.schema.root)


class _Writers:
    """Makes the writers of a type's nodes."""

    def __init__(self, exact: ExactForm) -> None:
        self._exact = exact
        self._types = exact.types
        self._records: dict[str, Function] = {}

    def of(self, node: Node) -> Function:
        """Return the writer of a node."""
        accepted = _classes_written_as_they_are(node)
        if accepted is not None:
            return _writer_of_natives(accepted)
        match node:
            case Plain(of):
                return _PLAIN_WRITERS[of]
            case ListOf(item):
                return self._items(list, item)
            case SequenceOf(item):
                return self._items(tuple, item)
            case SetOf(item, frozen):
                return self._set(frozenset if frozen else set, item)
            case TupleOf(items):
                return tuple_writer([self._part(item) for item in items])
            case MapOf():
                return self._map(node)
            case UnionOf():
                return self._union(node)
            case LiteralOf(values):
                positions = {(type(self._types.literals[v]), self._types.literals[v]): i for i, v in enumerate(values)}
                return lambda value: positions[type(value), value]
            case Reference(name):
                return self._reference(name)
            case Pickled(of):
                return _writer_of_pickles(self._types.classes.get(of, object))

    def _part(self, node: Node) -> frozenset[type] | Function:
        return _classes_written_as_they_are(node) or self.of(node)

    def _items(self, cls: Any, item: Node) -> Function:
        accepted, write = _classes_written_as_they_are(item), self.of(item)

        def write_natives(value: Any) -> Any:
            assert accepted is not None
            if type(value) is not cls or not accepted.issuperset(map(type, value)):
                raise Rare
            return value

        def write_items(value: Any) -> Any:
            if type(value) is not cls:
                raise Rare
            return [write(part) for part in value]

        return write_items if accepted is None else write_natives

    def _set(self, cls: Any, item: Node) -> Function:
        accepted, write = _classes_written_as_they_are(item), self.of(item)

        def write_ordered(value: Any) -> Any:
            assert accepted is not None
            if type(value) is not cls or not accepted.issuperset(map(type, value)):
                raise Rare
            return sorted(value)

        def write_by_bytes(value: Any) -> Any:
            if type(value) is not cls:
                raise Rare
            return sorted((write(part) for part in value), key=pack)

        return write_ordered if item in ORDERED else write_by_bytes

    def _map(self, node: MapOf) -> Function:
        keys, values = _classes_written_as_they_are(node.key), _classes_written_as_they_are(node.value)
        write_key, write = self.of(node.key), self.of(node.value)

        def write_pairs(value: Any) -> Any:
            if type(value) is not dict:
                raise Rare
            return [(write_key(key), write(part)) for key, part in value.items()]

        def write_natives(value: Any) -> Any:
            assert keys is not None
            if type(value) is not dict or not keys.issuperset(map(type, value)):
                raise Rare
            if values is None:
                return {key: write(part) for key, part in value.items()}
            if not values.issuperset(map(type, value.values())):
                raise Rare
            return value

        return write_natives if is_native(node.key) else write_pairs

    def _union(self, node: UnionOf) -> Function:
        form = union_form(node)
        if form == "optional":
            write = self.of(other_than_none(node))
            return lambda value: None if value is None else write(value)
        by_class: dict[type, tuple[int, Function]] = {}
        classes = [_class_of(member, self._exact) for member in node.members]
        if not any(isinstance(member, LiteralOf) for member in node.members):
            by_class = {
                cls: (position, self.of(node.members[position]))
                for position, cls in enumerate(classes)
                if cls is not None and classes.count(cls) == 1
            }

        def write_member(value: Any) -> Any:
            position, write = by_class[type(value)]
            return position, write(value)

        return write_member

    def _reference(self, name: str) -> Function:
        if name in self._records:
            return _later(self._records, name)
        cls: Any = self._types.classes[name]
        definition = self._types.schema.classes[name]
        if isinstance(definition, Enumeration):
            return _writer_of_member(cls, attrgetter("_value_" if definition.flag else "_name_"))
        self._records[name] = _not_made_yet  # a class may contain itself
        parts = [self._part(field.type) for field in definition.fields]
        self._records[name] = record_writer(cls, [field.name for field in definition.fields], parts)
        return self._records[name]


def _classes_written_as_they_are(node: Node) -> frozenset[type] | None:
    """Return the exact classes of a node's values if those are written as themselves, else None."""
    members = node.members if isinstance(node, UnionOf) else (node,)
    if not all(is_native(member) for member in members):
        return None
    return frozenset(cls for member in members if isinstance(member, Plain) for cls in ACCEPTED[member.of])


def _class_of(node: Node, exact: ExactForm) -> type | None:
    """Return the class that tells the values of a union's member from those of the others, if there is one."""
    match node:
        case Plain(of):
            return PLAIN_TYPES[of]
        case Reference(name):
            return exact.types.classes[name]
        case ListOf():
            return list
        case MapOf():
            return dict
        case SetOf(_, frozen):
            return frozenset if frozen else set
        case TupleOf() | SequenceOf():
            return tuple
        case LiteralOf() | Pickled() | UnionOf():
            return None


def _not_made_yet(value: Any) -> Any:
    raise AssertionError(value)


def _later(made: dict[str, Function], name: str) -> Function:
    """Return a function that calls one which may not be made yet."""

    def write_later(value: Any) -> Any:
        return made[name](value)

    return write_later


def _writer_of_natives(accepted: frozenset[type]) -> Function:
    def write(value: Any) -> Any:
        if type(value) not in accepted:
            raise Rare
        return value

    return write


def _writer_of_member(cls: type, written: Function) -> Function:
    def write_member(value: Any) -> Any:
        if type(value) is not cls:
            raise Rare
        return written(value)

    return write_member


def _writer_of_pickles(cls: type) -> Function:
    def write_instance(value: Any) -> bytes:
        if not isinstance(value, cls):
            raise Rare
        return pickling.dumps(value)

    return pickling.dumps if cls is object else write_instance


def _writer_of_clocks(cls: type[dt.time | dt.datetime]) -> Function:
    def write_clock(value: Any) -> str:
        if type(value) is not cls or value.fold or (value.tzinfo is not None and value.tzinfo is not dt.UTC):
            raise Rare
        return value.isoformat()

    return write_clock


_PLAIN_WRITERS: Final[dict[str, Function]] = {
    "date": _writer_of_member(dt.date, dt.date.toordinal),
    "time": _writer_of_clocks(dt.time),
    "datetime": _writer_of_clocks(dt.datetime),
    "timedelta": _writer_of_member(dt.timedelta, attrgetter("days", "seconds", "microseconds")),
    "decimal": _writer_of_member(decimal.Decimal, str),
    "uuid": _writer_of_member(uuid.UUID, attrgetter("bytes")),
}
