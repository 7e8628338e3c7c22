"""Two versions of a type: whether what the old one wrote can be read as the new one, and how its trees become trees of the new one.

    allowed                                                 refused
    a field added that has a default                        … that has none
    a field removed                                         … from what keys or members of sets are made of: two could become one
    a field, member or class renamed, with an alias         … without
    fields, members and types of a union in another order   positions of a tuple
    wider: bool -> int -> float, X -> X | Y,                narrower, or another type
      Literal["a"] -> Literal["a", "b"] or str,
      tuple[X, Y] -> tuple[Z, ...]
    pickled -> object                                       everything else about what is pickled

All of it at any depth: in lists, in values of dicts, in fields of fields. An int that becomes a float stays an int if no float equals it, so
nothing is rounded. A field of the old version goes to the field that has its name, or to one with an alias for it if that one's own
name is new; the alias goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.msgpack import Ext

from actorflow.wire.state_change import (
    Change,
    Evolution,
    Place,
    Step,
    changed,
    evolve_enumeration,
    evolve_flag,
    evolve_literal,
    evolve_plain,
    refused,
    was,
)
from actorflow.wire.state_exact import is_native, union_form
from actorflow.wire.state_plain import ACCEPTED, BIG_INT, SURROGATES, Mismatch, expect
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
    UnionOf,
    text_of,
)

Defaults = Callable[[str, Field], Step]
"""Makes the default of a field, of a class given by name, as a step that ignores its argument."""

_NONE: Final = Plain("none")
_NATURAL: Final = (type(None), bool, int, float, str, bytes)
"""Types of keys that stand in a map as they are."""

_OBJECT: Final = Pickled("builtins.object")


def evolve(old: TypeSchema, new: TypeSchema, defaults: Defaults) -> Evolution:
    """Compare two versions of a type.

    Args:
        old: what bytes were written by.
        new: what they are to be read as.
        defaults: makes the defaults of fields that are new.
    """
    found = _Comparison(old.classes, new.classes, defaults).of(old.root, new.root, Place())
    return Evolution(list(dict.fromkeys(found.changes)), list(dict.fromkeys(found.reasons)), found.step)


class _Comparison:
    def __init__(self, old: dict[str, Definition], new: dict[str, Definition], defaults: Defaults) -> None:
        self._old = old
        self._new = new
        self._defaults = defaults
        self._steps: dict[tuple[str, str, bool], Step | None] = {}

    def of(self, old: Node, new: Node, place: Place) -> Evolution:
        """Compare two nodes."""
        match old, new:
            case Pickled(), Pickled() if old == new:
                return Evolution()
            case Pickled(), Pickled() if new == _OBJECT:
                return changed(place, f"takes any object, not only {text_of(old)}")
            case (Pickled(), _) | (_, Pickled()):
                return refused(place, f"{was(old, new)}: what is pickled cannot change its type")
            case (UnionOf(), _) | (_, UnionOf()):
                return self._union(old, new, place)
            case Plain(), Plain():
                return evolve_plain(old, new, place)
            case LiteralOf(), LiteralOf() | Plain():
                return evolve_literal(old, new, place)
            case (ListOf(before), ListOf(after)) | (SequenceOf(before), SequenceOf(after)):
                return self._items(before, after, place.inside("[]"))
            case SetOf(before, frozen), SetOf(after, still_frozen) if frozen == still_frozen:
                return self._items(before, after, place.inside("[]", keyed=True))
            case TupleOf(parts), TupleOf(new_parts) if len(parts) == len(new_parts):
                return self._tuple(parts, new_parts, place)
            case TupleOf(parts), SequenceOf(item):
                return self._tuple(parts, (item,) * len(parts), place, note=was(old, new))
            case MapOf(), MapOf():
                return self._map(old, new, place)
            case Reference(name), Reference(new_name):
                return self._reference(name, new_name, place)
            case _:
                return refused(place, was(old, new))

    # --- containers ------------------------------------------------------------------------------------------------------

    def _items(self, old: Node, new: Node, place: Place) -> Evolution:
        found = self.of(old, new, place)
        step = found.step
        if step is not None:

            def carry_items(tree: Any) -> Any:
                expect(type(tree) in {list, tuple}, tree, "array", (place.path,))
                return [step(part) for part in tree]

            found.step = carry_items
        return found

    def _tuple(self, old: Sequence[Node], new: Sequence[Node], place: Place, note: str = "") -> Evolution:
        found = Evolution([Change(place.path, note)] if note else [])
        steps = [found.adopt(self.of(*pair, place.inside(f"[{i}]"))) for i, pair in enumerate(zip(old, new, strict=True))]
        if any(steps):
            found.step = _carry_parts(place, len(old), list(enumerate(steps)))
        return found

    def _map(self, old: MapOf, new: MapOf, place: Place) -> Evolution:
        found = Evolution()
        key_step = found.adopt(self.of(old.key, new.key, place.inside("[key]", keyed=True)))
        step = found.adopt(self.of(old.value, new.value, place.inside("[value]")))
        native = is_native(new.key)
        if key_step is None and step is None and is_native(old.key) == native:
            return found

        def carry_map(tree: Any) -> Any:
            pairs = list(tree.items()) if type(tree) is dict else tree
            expect(type(pairs) is list and all(type(p) in {list, tuple} and len(p) == 2 for p in pairs), tree, "map", (place.path,))
            carried = [(_carried(key_step, key), _carried(step, part)) for key, part in pairs]
            natural = native and all(type(key) in _NATURAL for key, _ in carried)
            return dict(carried) if natural else carried

        found.step = carry_map
        return found

    # --- unions ----------------------------------------------------------------------------------------------------------

    def _union(self, old: Node, new: Node, place: Place) -> Evolution:
        members, new_members = _members(old), _members(new)
        found, ways = Evolution(), []
        for member in members:
            position, best = self._best_member(member, new_members, place)
            ways.append((position, found.adopt(best)))
        taken = {position for position, _ in ways}
        added = [text_of(member) for position, member in enumerate(new_members) if position not in taken]
        if found.reasons:
            return found
        if added:
            found.changes.append(Change(place.path, f"takes {' and '.join(added)} as well"))
        same_order = [position for position, _ in ways] == list(range(len(ways)))
        if not same_order and not added:
            found.changes.append(Change(place.path, was(old, new)))
        tagged, still_tagged = _form(old) == "tagged", _form(new) == "tagged"
        if not any(step for _, step in ways) and tagged == still_tagged and (same_order or not tagged):
            return found
        take_apart, put_together = _opener(old, place), _closer(new)

        def carry_member(tree: Any) -> Any:
            position, part = take_apart(tree)
            position, step = ways[position]
            return put_together(position, _carried(step, part))

        found.step = carry_member
        return found

    def _best_member(self, member: Node, new_members: Sequence[Node], place: Place) -> tuple[int, Evolution]:
        """Return the member of a new union that a member of the old becomes: itself, or the first that can take it."""
        tried = [(position, self.of(member, new, place)) for position, new in enumerate(new_members)]
        fitting = [(position, found) for position, found in tried if not found.reasons]
        unchanged = [(position, found) for position, found in fitting if not found.changes]
        for choice in (unchanged, fitting):
            if choice:
                return choice[0]
        if len(tried) > 1:
            deeper = [found for _, found in tried if all(len(reason.path) > len(place.path) for reason in found.reasons)]
            text = f"takes no {text_of(member)} any more, only {' | '.join(map(text_of, new_members))}"
            return 0, deeper[0] if deeper else refused(place, text)
        return tried[0]

    # --- classes ---------------------------------------------------------------------------------------------------------

    def _reference(self, name: str, new_name: str, place: Place) -> Evolution:
        old, new = self._old[name], self._new[new_name]
        before, after = name.partition("[")[0], new_name.partition("[")[0]
        if before != after and before not in new.aliases:
            return refused(place, f"was of the class '{before}', is of '{after}', which has no alias for it")
        pair = (name, new_name, place.keyed)
        if pair in place.open:
            return Evolution(step=lambda tree: _carried(self._steps[pair], tree))
        within = Place(place.path, place.keyed, place.open | {pair})
        match old, new:
            case Record(), Record():
                found = self._record(old, new, new_name, within)
            case Enumeration(), Enumeration() if old.flag == new.flag:
                found = evolve_flag(old, new, place) if old.flag else evolve_enumeration(old, new, place)
            case _:
                found = refused(place, f"was {_kind(old)}, is {_kind(new)}")
        if before != after:
            found.changes.insert(0, Change(place.path, f"was of the class '{before}', is of '{after}'"))
        if not found.changes:
            found.step = None  # there may have been steps back into this pair
        self._steps[pair] = found.step
        return found

    def _record(self, old: Record, new: Record, name: str, place: Place) -> Evolution:
        found = Evolution()
        positions = {before.name: i for i, before in enumerate(old.fields)}
        sources = _sources(old.fields, new.fields)
        ways: list[tuple[int, Step | None]] = []
        for after in new.fields:
            source = sources.get(after.name)
            inside = place.inside(f".{after.name}")
            if source is not None:
                before = old.fields[positions[source]]
                if source != after.name:
                    found.changes.append(Change(inside.path, f"was called '{source}'"))
                ways.append((positions[source], found.adopt(self.of(before.type, after.type, inside))))
            elif after.has_default:
                found.changes.append(Change(inside.path, "is new, with a default"))
                try:
                    ways.append((-1, self._defaults(name, after)))
                except Mismatch as error:
                    found.reasons.append(Change(inside.path, f"is new, and its default {error.text}"))
            else:
                found.reasons.append(Change(inside.path, "is new and has no default"))
        for gone in [before.name for before in old.fields if before.name not in sources.values()]:
            removed = Change(place.inside(f".{gone}").path, "is removed")
            (found.reasons if place.keyed else found.changes).append(removed)
        if not found.changes and [position for position, _ in ways] != list(range(len(old.fields))):
            found.changes.append(Change(place.path, "has its fields in another order"))
        found.step = _carry_parts(place, len(old.fields), ways)
        return found


def _sources(old: Sequence[Field], new: Sequence[Field]) -> dict[str, str]:
    """Return for each new field that has a value in the old version the name it has there."""
    names = [before.name for before in old]
    renamed = {
        after.name: next(alias for alias in after.aliases if alias in names)
        for after in new
        if after.name not in names and not set(after.aliases).isdisjoint(names)
    }
    kept = {after.name: after.name for after in new if after.name in names and after.name not in renamed.values()}
    return renamed | kept


def _carry_parts(place: Place, size: int, ways: Sequence[tuple[int, Step | None]]) -> Step:
    """Return the step that makes an array of parts of another; position -1 stands for a part that is new."""

    def carry_parts(tree: Any) -> Any:
        if type(tree) is Ext:
            return tree  # an instance of a subclass: what has become of that is found out when it is read
        expect(type(tree) in {list, tuple} and len(tree) == size, tree, f"array of {size}", (place.path,))
        return [_carried(step, tree[position] if position >= 0 else None) for position, step in ways]

    return carry_parts


def _carried(step: Step | None, tree: Any) -> Any:
    return tree if step is None else step(tree)


def _members(node: Node) -> tuple[Node, ...]:
    return node.members if isinstance(node, UnionOf) else (node,)


def _form(node: Node) -> str:
    return union_form(node) if isinstance(node, UnionOf) else "single"


def _opener(node: Node, place: Place) -> Callable[[Any], tuple[int, Any]]:
    """Return the function from a tree of a type to the position of the union's member it is of, and that one's tree."""
    members = _members(node)

    def open_native(tree: Any) -> tuple[int, Any]:
        cls = {BIG_INT: int, SURROGATES: str}.get(tree.code) if type(tree) is Ext else type(tree)
        for position, member in enumerate(members):
            if isinstance(member, Plain) and cls is PLAIN_TYPES[member.of]:
                return position, tree
        for position, member in enumerate(members):
            if isinstance(member, Plain) and cls in ACCEPTED[member.of]:
                return position, tree
        raise Mismatch((place.path,), f"is of no type that is known to be in {text_of(node)}")

    def open_optional(tree: Any) -> tuple[int, Any]:
        return (members.index(_NONE) if tree is None else 1 - members.index(_NONE)), tree

    def open_tagged(tree: Any) -> tuple[int, Any]:
        expect(type(tree) in {list, tuple} and len(tree) == 2, tree, "member of a union", (place.path,))
        position, part = tree
        expect(type(position) is int and 0 <= position < len(members), position, "position in a union", (place.path,))
        return position, part

    return {"single": lambda tree: (0, tree), "native": open_native, "optional": open_optional, "tagged": open_tagged}[_form(node)]


def _closer(node: Node) -> Callable[[int, Any], Any]:
    """Return the function from the position of a union's member and that one's tree to the tree of the union."""
    return (lambda position, part: [position, part]) if _form(node) == "tagged" else (lambda _position, part: part)


def _kind(definition: Definition) -> str:
    return f"a {definition.form}" if isinstance(definition, Record) else "a Flag" if definition.flag else "an Enum"
