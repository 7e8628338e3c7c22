"""What became of a part of a type: findings for people, and the step that carries its values over. And of parts without parts.

`state_evolution` says what is allowed; here are the numbers, literals and enums of it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.msgpack import Ext

from actorflow.wire.state_plain import ACCEPTED, BIG_INT, expect
from actorflow.wire.state_types import PLAIN_TYPES, Enumeration, LiteralOf, Node, Plain, text_of

Step = Callable[[Any], Any]
"""From a tree of the old version, as `unpack_raw` gives it, to one of the new. It raises `Mismatch` for a tree that is damaged."""

_WIDER: Final = {("int", "float"), ("bool", "int"), ("bool", "float")}


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two versions of a type.

    Attributes:
        path: the part that differs, such as `places[].x`; empty for the value itself.
        text: how it differs.
    """

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path or 'the value'} {self.text}"


@dataclass(slots=True)
class Evolution:
    """What became of a type.

    Attributes:
        changes: what differs, and can be read.
        reasons: what differs, and cannot.
        step: how a tree is carried over; None if it stays as it is.
    """

    changes: list[Change] = field(default_factory=list)
    reasons: list[Change] = field(default_factory=list)
    step: Step | None = None

    def adopt(self, part: Evolution) -> Step | None:
        """Take over the findings about a part, and return its step."""
        self.changes += part.changes
        self.reasons += part.reasons
        return part.step


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a type a comparison is.

    Attributes:
        path: for people.
        keyed: whether values here must stay different: keys of dicts, members of sets.
        open: the pairs of classes that this is within.
    """

    path: str = ""
    keyed: bool = False
    open: frozenset[tuple[str, str, bool]] = frozenset()

    def inside(self, step: str, *, keyed: bool = False) -> Place:
        """Return the place of a part."""
        return Place((self.path + step).removeprefix("."), self.keyed or keyed, self.open)


def was(old: Node, new: Node) -> str:
    """Return how a type changed, in words."""
    return f"was {text_of(old)}, is {text_of(new)}"


def changed(place: Place, text: str) -> Evolution:
    """Return the finding that a part differs, and can be read."""
    return Evolution(changes=[Change(place.path, text)])


def refused(place: Place, text: str) -> Evolution:
    """Return the finding that a part differs, and cannot be read."""
    return Evolution(reasons=[Change(place.path, text)])


def evolve_enumeration(old: Enumeration, new: Enumeration, place: Place) -> Evolution:
    """Compare two versions of an Enum, whose members are written by name."""
    found = Evolution()
    names = {}
    for member in old.members:
        now = [name for name in new.members if name == member or member in new.member_aliases.get(name, ())]
        if not now:
            found.reasons.append(Change(place.path, f"has the member '{member}' no more"))
            continue
        names[member] = member if member in now else now[0]
    if place.keyed and len(set(names.values())) < len(names):
        found.reasons.append(Change(place.path, "has two members that are one now"))
    found.changes += [
        Change(place.path, f"has the member '{now}', was '{before}'") for before, now in names.items() if before != now
    ]
    found.changes += [Change(place.path, f"has the new member '{name}'") for name in new.members if name not in names.values()]
    if any(before != now for before, now in names.items()):

        def carry_name(tree: Any) -> Any:
            expect(type(tree) is Ext or (type(tree) is str and tree in names), tree, "name of a member", (place.path,))
            return names[tree] if type(tree) is str else tree

        found.step = carry_name
    return found


def evolve_flag(old: Enumeration, new: Enumeration, place: Place) -> Evolution:
    """Compare two versions of a Flag, whose values are written as numbers."""
    found = Evolution()
    numbers = {alias: number for name, number in new.members.items() for alias in (name, *new.member_aliases.get(name, ()))}
    for member, number in old.members.items():
        if member not in numbers:
            found.reasons.append(Change(place.path, f"has the member '{member}' no more"))
        elif numbers[member] != number:
            found.reasons.append(Change(place.path, f"has the member '{member}' as {numbers[member]}, was {number}"))
    if old.members != new.members and not found.reasons:
        found.changes.append(Change(place.path, f"has the members {', '.join(new.members)}, was {', '.join(old.members)}"))
    return found


def evolve_literal(old: LiteralOf, new: LiteralOf | Plain, place: Place) -> Evolution:
    """Compare a Literal, whose values are written by position, with what it became."""
    if isinstance(new, Plain):
        kinds = {cls.__name__ for cls in ACCEPTED[new.of]}
        if any(kind not in kinds for kind, _ in old.values):
            return refused(place, was(old, new))
        carried: list[Any] = [ast.literal_eval(text) for _, text in old.values]
    else:
        gone = [text for kind, text in old.values if (kind, text) not in new.values]
        if gone:
            return refused(place, f"takes {', '.join(gone)} no more")
        carried = [new.values.index(value) for value in old.values]
        if old == new:
            return Evolution()
    found = changed(place, was(old, new))
    if carried != list(range(len(old.values))):

        def carry_position(tree: Any) -> Any:
            expect(type(tree) is int and 0 <= tree < len(carried), tree, "position in a Literal", (place.path,))
            return carried[tree]

        found.step = carry_position
    return found


def evolve_plain(old: Plain, new: Plain, place: Place) -> Evolution:
    """Compare two types without parts."""
    if old == new:
        return Evolution()
    if (old.of, new.of) not in _WIDER:
        return refused(place, was(old, new))
    found = changed(place, was(old, new))
    accepted = (*ACCEPTED[old.of], Ext)
    wider: type = PLAIN_TYPES[new.of]

    def carry_number(tree: Any) -> Any:
        expect(type(tree) in accepted, tree, old.of, (place.path,))
        number = int.from_bytes(tree.data, "big", signed=True) if type(tree) is Ext and tree.code == BIG_INT else tree
        try:
            return wider(number) if wider(number) == number else tree
        except (OverflowError, TypeError):
            return tree  # no float is as large, or it is an instance of a subclass

    found.step = carry_number
    return found
