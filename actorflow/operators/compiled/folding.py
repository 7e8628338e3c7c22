"""Aggregations as functions, for code that cannot stand in a generated loop: the general window operator, and merging of parts."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from actorflow.operators.specs import AggregateSpec, CountSpec, KeyedSpec, MaxSpec, MinSpec, ReduceSpec, Selector, SumSpec

_IMMUTABLE: Final = frozenset({bool, bytes, complex, float, int, str, type(None)})


@dataclass(frozen=True, slots=True)
class Fold:
    """How records become an accumulator.

    Attributes:
        first: the accumulator of one record.
        add: the accumulator with a record added; the one that is given may be changed.
        merge: the accumulator of two, in order; neither is changed.
        result: what an accumulator says, or None if it is the result itself.
        functions: the user's functions, by what they do, for reports.
    """

    first: Callable[[Any], Any]
    add: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any]
    result: Callable[[Any], Any] | None
    functions: dict[str, object]


def fold_of(spec: KeyedSpec) -> Fold:
    """Return an aggregation as functions."""
    match spec:
        case CountSpec():
            return Fold(lambda _: 1, lambda acc, _: acc + 1, operator.add, None, {})
        case SumSpec(_, selector):
            value = part_of(selector)
            return Fold(
                lambda record: 0 + value(record), lambda acc, record: acc + value(record), operator.add, None, {"add": value}
            )
        case MinSpec(_, selector) | MaxSpec(_, selector):
            value = part_of(selector)
            better: Callable[[Any, Any], Any] = min if isinstance(spec, MinSpec) else max
            return Fold(value, lambda acc, record: better(acc, value(record)), better, None, {"add": value})
        case ReduceSpec(_, fn):
            return Fold(lambda record: record, fn, lambda a, b: fn(own(a), b), None, {"add": fn, "merge": fn})
        case AggregateSpec(_, user):
            return Fold(
                lambda record: user.add(user.create(), record),
                user.add,
                lambda a, b: user.merge(own(a), b),
                user.result,
                {"add": user.add, "merge": user.merge, "result": user.result},
            )
        case _:
            raise AssertionError(f"unknown aggregation {spec!r}")


def part_of(selector: Selector | None) -> Callable[[Any], Any]:
    """Return the function that a selector stands for; None means the record itself."""
    if selector is None:
        return lambda record: record
    return itemgetter(selector) if isinstance(selector, str) else selector


def own(acc: Any) -> Any:
    """Return an accumulator that user code may change: the same if it cannot be changed, else a copy."""
    kind = type(acc)
    if kind in _IMMUTABLE or (kind is tuple and all(type(part) in _IMMUTABLE for part in acc)):
        return acc
    return copy.deepcopy(acc)
