"""Values of a described type as trees that MessagePack can hold, and back: exact, checked at every step, and in no hurry.

This is the definition of how state is written. `state_compiled` does the same for what is common, faster; whatever it is not sure of
comes here, where rare values are written and errors get their place.

    node                      written as
    Plain                     as `state_plain` says
    list, tuple               an array
    set, frozenset            an array in rising order: of the values where they are of one plain type, else of their bytes
    dict                      a map if its keys are of one plain type, else an array of pairs
    Literal                   the position of the value
    X | None                  nil or X
    union of plain types      the value
    other unions              [position of the member, value]
    Record                    an array, fields in the order of the schema
    Enum, Flag                the member's name; the number
    Pickled                   bytes

The type declares what is written, so nothing says of itself what it is. One exception: an instance of a subclass of a declared class is
extension 3: the subclass' name, the fingerprint of its schema, and its fields. Reading finds the name among the subclasses that exist
and never imports; it refuses what another version of the subclass wrote, since the schema of the declared type does not know it. A
class without declared fields has no such form. A declared `float` takes an int and a declared `int` takes a bool, as type checkers
let them, and give the same back.

Instances of dataclasses and named tuples are built without calling `__init__` or `__post_init__`, as pickle does; structs through
their constructor, as msgspec does. Only declared fields are written.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.msgpack import Ext

from actorflow.wire import pickling
from actorflow.wire.state_classes import qualified_name, record_of, subclasses_of
from actorflow.wire.state_describe import describe, literal_value
from actorflow.wire.state_plain import (
    ACCEPTED,
    INSTANCE,
    NATIVE,
    ORDERED,
    Instance,
    Mismatch,
    Path,
    expect,
    lift_plain,
    lower_plain,
    mismatch,
    pack,
)
from actorflow.wire.state_types import (
    PLAIN_TYPES,
    Enumeration,
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
    TypeTree,
    UnionOf,
    text_of,
)

_NONE: Final = Plain("none")


def union_form(union: UnionOf) -> str:
    """Return how a union is written: "native", "optional" or "tagged"."""
    if all(isinstance(member, Plain) and member.of in NATIVE for member in union.members):
        return "native"
    return "optional" if len(union.members) == 2 and _NONE in union.members else "tagged"


def other_than_none(union: UnionOf) -> Node:
    """Return what an optional type is when it is not None."""
    return next(member for member in union.members if member != _NONE)


def is_native(node: Node) -> bool:
    """Return whether the values of a type are written as themselves, and so can be keys of a map."""
    return isinstance(node, Plain) and node.of in NATIVE


class ExactForm:
    """Lowers values of one type to trees, and lifts them back.

    Args:
        types: the type.
    """

    def __init__(self, types: TypeTree) -> None:
        self.types = types
        self._fingerprint = types.schema.fingerprint()
        self._subclasses: dict[type, ExactForm | None] = {}

    def lower(self, value: Any) -> Any:
        """Return the tree of a value.

        Raises:
            Mismatch: if it is not of the type.
        """
        return self._lower(self.types.schema.root, value, ())

    def lower_part(self, node: Node, value: Any) -> Any:
        """Return the tree of a value of a part of the type. See `lower`."""
        return self._lower(node, value, ())

    def lift(self, tree: Any) -> Any:
        """Return the value of a tree.

        Raises:
            Mismatch: if it is not a tree of the type.
        """
        return self._lift(self.types.schema.root, tree, ())

    # --- writing ---------------------------------------------------------------------------------------------------------

    def _lower(self, node: Node, value: Any, path: Path) -> Any:
        match node:
            case Plain(of):
                if type(value) in ACCEPTED[of]:
                    return lower_plain(of, value, path)
                return self._lower_instance(value, PLAIN_TYPES[of], path)
            case Reference(name):
                return self._lower_reference(name, value, path)
            case Pickled(of):
                return self._pickle(of, value, path)
            case UnionOf():
                return self._lower_union(node, value, path)
            case LiteralOf(values):
                written = _written(value)
                expect(written in values, value, text_of(node), path)
                return values.index(written)
            case TupleOf(items):
                expect(type(value) is tuple and len(value) == len(items), value, f"tuple of {len(items)}", path)
                return [self._lower(item, part, (*path, f"[{i}]")) for i, (item, part) in enumerate(zip(items, value, strict=True))]
            case MapOf():
                return self._lower_map(node, value, path)
            case SetOf(item, frozen):
                expect(type(value) is (frozenset if frozen else set), value, "frozenset" if frozen else "set", path)
                if item in ORDERED:
                    return self._lower_items(item, _in_order(value), path)
                return sorted(self._lower_items(item, value, path), key=pack)
            case ListOf(item):
                expect(type(value) is list, value, "list", path)
                return self._lower_items(item, value, path)
            case SequenceOf(item):
                expect(type(value) is tuple, value, "tuple", path)
                return self._lower_items(item, value, path)

    def _lower_items(self, item: Node, values: Iterable[Any], path: Path) -> list[Any]:
        return [self._lower(item, value, (*path, f"[{i}]")) for i, value in enumerate(values)]

    def _lower_map(self, node: MapOf, value: Any, path: Path) -> Any:
        expect(type(value) is dict, value, "dict", path)
        pairs = [
            (self._lower(node.key, key, (*path, (key,), " (the key)")), self._lower(node.value, part, (*path, (key,))))
            for key, part in value.items()
        ]
        return dict(pairs) if is_native(node.key) and not any(type(key) is Ext for key, _ in pairs) else pairs

    def _lower_union(self, node: UnionOf, value: Any, path: Path) -> Any:
        position, tree = self._member_of(node, value, path)
        return [position, tree] if union_form(node) == "tagged" else tree

    def _member_of(self, node: UnionOf, value: Any, path: Path) -> tuple[int, Any]:
        """Return position and tree of the member that takes a value: those of its very class first, then in order."""
        blame: Mismatch | None = None
        members = sorted(enumerate(node.members), key=lambda member: not self._is_class_of(member[1], value))
        for position, member in members:
            try:
                return position, self._lower(member, value, path)
            except Mismatch as refusal:
                if len(refusal.path) > len(path if blame is None else blame.path):
                    blame = refusal
        raise blame or mismatch(value, " | ".join(map(text_of, node.members)), path)

    def _is_class_of(self, node: Node, value: Any) -> bool:
        match node:
            case Plain(of):
                return type(value) is PLAIN_TYPES[of]
            case Reference(name):
                return type(value) is self.types.classes[name]
            case Pickled():
                return False
            case LiteralOf(values):
                return _written(value) in values
            case _:
                return True

    def _lower_reference(self, name: str, value: Any, path: Path) -> Any:
        cls: Any = self.types.classes[name]
        definition = self.types.schema.classes[name]
        if type(value) is not cls:
            return self._lower_instance(value, cls, path)
        if isinstance(definition, Record):
            return [
                self._lower(field.type, part_of(value, field.name, path), (*path, f".{field.name}")) for field in definition.fields
            ]
        if definition.flag:
            return lower_plain("int", value.value, path)
        return value._name_

    def _lower_instance(self, value: Any, cls: type, path: Path) -> Any:
        form = self._form_of(type(value)) if isinstance(value, cls) else None
        if form is None:
            raise mismatch(value, cls.__name__, path)
        tree = form._lower(form.types.schema.root, value, path)
        return Ext(INSTANCE, pack([qualified_name(type(value)), form._fingerprint, tree]))

    def _form_of(self, cls: type) -> ExactForm | None:
        """Return the form of a subclass of a declared class, or None if it has no declared fields or members."""
        if cls not in self._subclasses:
            types = describe(cls)
            self._subclasses[cls] = None if isinstance(types.schema.root, Pickled) else ExactForm(types)
        return self._subclasses[cls]

    def _pickle(self, of: str, value: Any, path: Path) -> bytes:
        if not isinstance(value, self.types.classes.get(of, object)):
            raise mismatch(value, text_of(Pickled(of)), path)
        try:
            return pickling.dumps(value)
        except Exception as error:
            raise Mismatch(path, f"cannot be pickled: {type(error).__name__}: {error}") from error

    # --- reading ---------------------------------------------------------------------------------------------------------

    def _lift(self, node: Node, tree: Any, path: Path) -> Any:
        match node:
            case Plain(of):
                if type(tree) is Instance:
                    return self._lift_instance(tree, PLAIN_TYPES[of], path)
                return lift_plain(of, tree, path)
            case Reference(name):
                return self._lift_reference(name, tree, path)
            case Pickled(of):
                return self._unpickle(of, tree, path)
            case UnionOf():
                return self._lift_union(node, tree, path)
            case LiteralOf(values):
                expect(type(tree) is int and 0 <= tree < len(values), tree, "position in a Literal", path)
                return self.types.literals[values[tree]]
            case TupleOf(items):
                expect(type(tree) in {list, tuple} and len(tree) == len(items), tree, f"array of {len(items)}", path)
                return tuple(
                    self._lift(item, part, (*path, f"[{i}]")) for i, (item, part) in enumerate(zip(items, tree, strict=True))
                )
            case MapOf():
                return self._lift_map(node, tree, path)
            case SetOf(item, frozen):
                lifted = self._lift_items(item, tree, path)
                values = _hashed(frozenset if frozen else set, lifted, path)
                expect(len(values) == len(lifted), tree, "array of different values", path)
                return values
            case ListOf(item):
                return self._lift_items(item, tree, path)
            case SequenceOf(item):
                return tuple(self._lift_items(item, tree, path))

    def _lift_items(self, item: Node, tree: Any, path: Path) -> list[Any]:
        expect(type(tree) in {list, tuple}, tree, "array", path)
        return [self._lift(item, part, (*path, f"[{i}]")) for i, part in enumerate(tree)]

    def _lift_map(self, node: MapOf, tree: Any, path: Path) -> Any:
        pairs: list[Any] = list(tree.items()) if type(tree) is dict and is_native(node.key) else tree
        expect(type(pairs) is list and all(type(p) in {list, tuple} and len(p) == 2 for p in pairs), tree, "map", path)
        lifted = [
            (self._lift(node.key, key, (*path, (key,), " (the key)")), self._lift(node.value, part, (*path, (key,))))
            for key, part in pairs
        ]
        values = _hashed(dict, lifted, path)
        expect(len(values) == len(lifted), tree, "map of different keys", path)
        return values

    def _lift_union(self, node: UnionOf, tree: Any, path: Path) -> Any:
        match union_form(node):
            case "native":
                return self._lift_native(node, tree, path)
            case "optional":
                return None if tree is None else self._lift(other_than_none(node), tree, path)
            case _:
                expect(type(tree) in {list, tuple} and len(tree) == 2, tree, "member of a union", path)
                position, part = tree
                expect(type(position) is int and 0 <= position < len(node.members), position, "position in a union", path)
                return self._lift(node.members[position], part, path)

    def _lift_native(self, node: UnionOf, tree: Any, path: Path) -> Any:
        for member in node.members:
            assert isinstance(member, Plain)
            if type(tree) is Instance or type(tree) in ACCEPTED[member.of]:
                try:
                    return self._lift(member, tree, path)
                except Mismatch:
                    continue
        raise mismatch(tree, " | ".join(map(text_of, node.members)), path)

    def _lift_reference(self, name: str, tree: Any, path: Path) -> Any:
        cls: Any = self.types.classes[name]
        definition = self.types.schema.classes[name]
        if type(tree) is Instance:
            return self._lift_instance(tree, cls, path)
        if isinstance(definition, Record):
            fields = definition.fields
            expect(type(tree) in {list, tuple} and len(tree) == len(fields), tree, f"array of {len(fields)} fields", path)
            return _built(
                cls,
                {
                    field.name: self._lift(field.type, part, (*path, f".{field.name}"))
                    for field, part in zip(fields, tree, strict=True)
                },
                path,
            )
        return _lift_member(cls, definition, tree, path)

    def _lift_instance(self, tree: Instance, base: type, path: Path) -> Any:
        named = [cls for cls in subclasses_of(base) if qualified_name(cls) == tree.name]
        form = self._form_of(named[-1]) if named else None  # the last: a decorator may have made another class of the first
        if form is None:
            raise Mismatch(path, f"is an instance of '{tree.name}', which is not a known subclass of '{base.__qualname__}'")
        if tree.fingerprint != form._fingerprint:
            raise Mismatch(path, f"is an instance of '{tree.name}', which was another class when it was written")
        return form._lift(form.types.schema.root, tree.tree, path)

    def _unpickle(self, of: str, tree: Any, path: Path) -> Any:
        expect(type(tree) is bytes, tree, "pickle", path)
        try:
            value = pickling.loads(tree)
        except Exception as error:
            raise Mismatch(path, f"cannot be unpickled: {type(error).__name__}: {error}") from error
        expect(isinstance(value, self.types.classes.get(of, object)), value, text_of(Pickled(of)), path)
        return value


def _built(cls: type, values: dict[str, Any], path: Path) -> Any:
    try:
        return record_of(cls, values)
    except Exception as error:
        raise Mismatch(path, f"cannot be built: {type(error).__name__}: {error}") from error


def _lift_member(cls: Any, definition: Enumeration, tree: Any, path: Path) -> Any:
    if definition.flag:
        expect(type(tree) is int, tree, "number of a Flag", path)
        try:
            return cls(tree)
        except ValueError as error:
            raise Mismatch(path, f"is damaged: {error}") from None
    if type(tree) is not str or tree not in definition.members:
        raise Mismatch(path, f"is damaged: {tree!r} is no member of '{cls.__qualname__}'")
    return cls[tree]


def part_of(value: Any, name: str, path: Path) -> Any:
    """Return the field of a record.

    Raises:
        Mismatch: if it is not set.
    """
    try:
        return getattr(value, name)
    except AttributeError:
        raise Mismatch((*path, f".{name}"), "is not set") from None


def _in_order(values: Iterable[Any]) -> list[Any]:
    try:
        return sorted(values)
    except Exception:  # whatever their comparison raises
        return list(values)  # one of them is not of the type, which is found next


def _hashed(make: Callable[[list[Any]], Any], items: list[Any], path: Path) -> Any:
    try:
        return make(items)
    except TypeError as error:
        raise Mismatch(path, f"is damaged: {error}") from None


def _written(value: Any) -> tuple[str, str] | None:
    if value is None or type(value) in {bool, int, str, bytes} or isinstance(value, enum.Enum):
        return literal_value(value)
    return None
