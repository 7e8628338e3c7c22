"""Who an operator is: the id that its state is stored under, and the name that people see.

An operator with a `uid` has that as its id. Any other gets an id from the *shape* of the graph: its kind, the ids of what it reads, and
how many operators before it have the same kind and the same inputs. Names, functions, parallelism and partitioners do not count,
so changing them keeps the state. Neither do branches elsewhere: an id changes only if something upstream of the operator
changes, or a twin is put before it. A `uid` upstream makes all that follows it independent of what stands before it.

Ids are equal in every process and every run: they come from SHA-256, not from Python's `hash`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from actorflow.errors import PlanError
from actorflow.ids import OperatorId

NAME_LENGTH_MAX = 200
"""The longest name of a pipeline or operator, in characters: it becomes part of actor paths, metrics and file names."""

_DIGEST_CHARACTERS = 12
"""48 bits: among 10,000 operators two ids collide with a chance below one in five million."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What an operator's id depends on.

    Attributes:
        kind: its verb, such as `map`.
        inputs: for each input its producer's position among the shapes (an earlier one), side-output tag, and port.
        uid: the user's own identity for it, if given.
    """

    kind: str
    inputs: tuple[tuple[int, str | None, int], ...] = ()
    uid: str | None = None


def operator_ids(shapes: Sequence[Shape]) -> tuple[OperatorId, ...]:
    """Return the id of each operator, in order: its `uid`, else `<kind>-<12 hexadecimal digits>`.

    Args:
        shapes: the operators in the order in which they were added; inputs refer to earlier positions.
    """
    ids: list[OperatorId] = []
    twins: Counter[str] = Counter()
    for shape in shapes:
        if shape.uid is not None:
            ids.append(OperatorId(shape.uid))
            continue
        # Sorted, because a union is the same whichever of its streams is written first.
        inputs = sorted(((ids[position], tag, port) for position, tag, port in shape.inputs), key=repr)
        signature = repr((shape.kind, inputs))
        digest = hashlib.sha256(f"{twins[signature]}:{signature}".encode()).hexdigest()
        twins[signature] += 1
        ids.append(OperatorId(f"{shape.kind}-{digest[:_DIGEST_CHARACTERS]}"))
    return tuple(ids)


def operator_names(kinds: Sequence[str], given: Sequence[str | None]) -> tuple[str, ...]:
    """Return the name of each operator: the given one, else its kind, numbered (`map`, `map-2`) past the names already in use.

    A name given twice stays given twice: `actorflow.plan.checks` refuses it, with the other faults of a graph.

    Args:
        kinds: the verb of each operator, in order.
        given: the name the user gave to each, or None.
    """
    taken = {name for name in given if name is not None}
    names: list[str] = []
    for kind, name in zip(kinds, given, strict=True):
        chosen = name if name is not None else _first_free(kind, taken)
        taken.add(chosen)
        names.append(chosen)
    return tuple(names)


def check_name(what: str, name: object) -> str:
    """Return `name` if it can stand in an actor path.

    Args:
        what: whose name it is, for the error's text: `pipeline`, `uid of 'map'`.
        name: what the user gave.

    Raises:
        PlanError: if it is not a string, empty, too long, or contains a slash or characters that do not print.
    """
    if not isinstance(name, str):
        raise PlanError(f"{what} must be a string, not {type(name).__name__}: {name!r}")
    if not name or name != name.strip():
        raise PlanError(f"{what} must not be empty or begin or end with a space: {name!r}")
    if "/" in name or not name.isprintable():
        raise PlanError(f"{what} must not contain a slash or a control character: {name!r}", hint="it is a part of actor paths")
    if len(name) > NAME_LENGTH_MAX:
        raise PlanError(f"{what} must have at most {NAME_LENGTH_MAX} characters, not {len(name)}: '{name[:40]}…'")
    return name


def _first_free(kind: str, taken: set[str]) -> str:
    number = 1
    name = kind
    while name in taken:
        number += 1
        name = f"{kind}-{number}"
    return name
