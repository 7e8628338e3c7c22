"""Types as Arrow columns: which Arrow type a node becomes, and how trees of `wire.state_exact` become its values and back.

    node                            Arrow
    bool, int, float, str, bytes    bool, int64, float64, string, binary
    date, timedelta                 date32, duration in µs
    time, datetime, Decimal         string: ISO 8601, the decimal's text
    UUID                            binary
    None                            null
    list, set, tuple[X, ...]        list
    tuple[X, Y]                     struct with fields `0`, `1`
    dict                            map
    X | None                        X, with nulls
    record, enum, flag, literal     struct by field names; string; int64; string
    anything else in them           binary: MessagePack of the tree, or the pickle

A value that would not come back as it was (an int beyond 64 bits, an int where a float is declared) raises `NotTyped`: the column is packed then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actorflow.wire.state_exact import other_than_none, union_form
from actorflow.wire.state_plain import pack, unpack_raw
from actorflow.wire.state_types import (
    Definition,
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
    UnionOf,
)

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_INT64: Final = range(-(2**63), 2**63)
_EXACT: Final[Mapping[str, type]] = {"bool": bool, "int": int, "float": float, "str": str, "bytes": bytes}
_DAYS_MAX: Final = 2**63 // 86_400_000_000 - 1


class NotTyped(Exception):  # noqa: N818 - it leads to another form
    """A tree that the Arrow type cannot hold as it is."""


@dataclass(frozen=True, slots=True)
class Form:
    """A type as a column.

    Attributes:
        type: the Arrow type.
        put: from a tree to what pyarrow makes a value of.
        get: from what pyarrow gives for a value to the tree.
        plain: whether values are their own trees, and Arrow's own: `put` and `get` need not be called where the types are right.
    """

    type: pa.DataType
    put: Callable[[Any], Any]
    get: Callable[[Any], Any]
    plain: type | None = None


def form_of(schema: TypeSchema) -> Form:
    """Return the column that a type becomes."""
    return _Forms(schema.classes).form(schema.root, ())


class _Forms:
    """Builds forms; a class that contains itself is packed where it does."""

    def __init__(self, classes: Mapping[str, Definition]) -> None:
        self._classes = classes

    def form(self, node: Node, within: tuple[str, ...]) -> Form:
        """Return the form of a node inside these classes."""
        import pyarrow as pa

        match node:
            case Plain(of):
                return _plain(of)
            case Pickled():
                return Form(pa.binary(), _checked(bytes), _same)
            case ListOf(item) | SetOf(item) | SequenceOf(item):
                return _items(self.form(item, within))
            case TupleOf(items) if items:
                return _struct({str(position): self.form(item, within) for position, item in enumerate(items)})
            case MapOf(key, value):
                return _map(self.form(key, within), self.form(value, within), natural=isinstance(key, Plain) and key.of in _EXACT)
            case UnionOf() if len(node.members) == 2 and Plain("none") in node.members and union_form(node) != "tagged":
                return _optional(self.form(other_than_none(node), within))
            case LiteralOf(values) if len({text for _, text in values}) == len(values):
                return _named([text for _, text in values])
            case Reference(name) if name not in within:
                return self._class(self._classes[name], (*within, name))
            case _:
                return _packed()

    def _class(self, definition: Definition, within: tuple[str, ...]) -> Form:
        import pyarrow as pa

        if isinstance(definition, Record):
            fields = {field.name: self.form(field.type, within) for field in definition.fields}
            return _struct(fields) if fields else _packed()
        if definition.flag:
            return _plain("int")
        return Form(pa.string(), _checked(str), _same)


def _same(value: Any) -> Any:
    return value


def _checked(kind: type) -> Callable[[Any], Any]:
    """Return what lets through values of this very type."""

    def check(tree: Any) -> Any:
        if type(tree) is not kind or (kind is int and tree not in _INT64):
            raise NotTyped
        return tree

    return check


def _plain(of: str) -> Form:
    import pyarrow as pa

    match of:
        case "bool" | "int" | "float" | "str" | "bytes":
            arrow = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bytes": pa.binary()}[of]
            return Form(arrow, _checked(_EXACT[of]), _same, _EXACT[of])
        case "date":
            return Form(pa.date32(), lambda tree: _checked(int)(tree) - _EPOCH, lambda value: value.toordinal())
        case "timedelta":
            return Form(pa.duration("us"), _microseconds, lambda value: [value.days, value.seconds, value.microseconds])
        case "time" | "datetime" | "decimal":
            return Form(pa.string(), _checked(str), _same)
        case "uuid":
            return Form(pa.binary(), _checked(bytes), _same)
        case "none":
            return Form(pa.null(), _same, _same)
        case _:
            return _packed()


def _microseconds(tree: Any) -> dt.timedelta:
    days, seconds, microseconds = tree
    if abs(days) >= _DAYS_MAX:
        raise NotTyped
    return dt.timedelta(days, seconds, microseconds)


def _items(item: Form) -> Form:
    import pyarrow as pa

    def put(tree: Any) -> Any:
        return [item.put(part) for part in _checked(list)(tree)]

    return Form(pa.list_(item.type), put, lambda value: [item.get(part) for part in value])


def _struct(fields: Mapping[str, Form]) -> Form:
    import pyarrow as pa

    names = list(fields)
    forms = list(fields.values())

    def put(tree: Any) -> Any:
        if type(tree) is not list or len(tree) != len(names):  # an instance of a subclass, say
            raise NotTyped
        return {name: form.put(part) for name, form, part in zip(names, forms, tree, strict=True)}

    def get(value: Any) -> Any:
        return [form.get(value[name]) for name, form in fields.items()]

    return Form(pa.struct([(name, form.type) for name, form in fields.items()]), put, get)


def _map(key: Form, value: Form, *, natural: bool) -> Form:
    """Return the form of a dict, whose tree is a dict where its keys are their own trees, else a list of pairs."""
    import pyarrow as pa

    def put(tree: Any) -> Any:
        if natural:
            tree = list(_checked(dict)(tree).items())
        return [(key.put(entry), value.put(part)) for entry, part in tree]

    def get(pairs: Any) -> Any:
        back = [[key.get(entry), value.get(part)] for entry, part in pairs]
        return dict(map(tuple, back)) if natural else back

    return Form(pa.map_(key.type, value.type), put, get)


def _optional(form: Form) -> Form:
    return Form(
        form.type,
        lambda tree: None if tree is None else form.put(tree),
        lambda value: None if value is None else form.get(value),
    )


def _named(texts: list[str]) -> Form:
    import pyarrow as pa

    return Form(pa.string(), lambda tree: texts[tree], texts.index)


def _packed() -> Form:
    import pyarrow as pa

    return Form(pa.binary(), pack, unpack_raw)
