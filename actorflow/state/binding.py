"""From a declared state to the handle that operators use, the same for every backend.

A backend has plain handles only: a value, a map, a list for each key. Time to live and folding are put around them:

    ValueState       value                     ReducingState     folding(value)
    MapState         map                       AggregatingState  folding(value)
    ListState        list                      with a ttl        ttl(...) around the plain handle, within the folding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, assert_never

from actorflow.errors import PlanError
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, StateDescriptor, ValueState
from actorflow.state.folding import AggregatingValue, ReducingValue
from actorflow.state.handles import AggregatingHandle, ListHandle, MapHandle, ReducingHandle, ValueHandle
from actorflow.state.ttl import Ages, Ttl, TtlList, TtlMap, TtlValue

StateHandle = ValueHandle[Any] | MapHandle[Any, Any] | ListHandle[Any] | ReducingHandle[Any] | AggregatingHandle[Any, Any]

KeyedState = ValueState[Any] | MapState[Any, Any] | ListState[Any] | ReducingState[Any] | AggregatingState[Any, Any, Any]
"""Every kind of declared keyed state."""

_EXPIRED: Final = object()


class PlainHandles(Protocol):
    """What a backend makes: handles without time to live or folding. `descriptor` tells name and types."""

    def value(self, descriptor: KeyedState, default: Any) -> ValueHandle[Any]:
        """Return the handle of a value for each key."""
        ...

    def map(self, descriptor: KeyedState) -> MapHandle[Any, Any]:
        """Return the handle of a map for each key."""
        ...

    def list(self, descriptor: KeyedState) -> ListHandle[Any]:
        """Return the handle of a list for each key."""
        ...

    def ages(self, descriptor: KeyedState, ttl: Ttl) -> Ages:
        """Return the clock and rule of a state that expires."""
        ...


def bound(descriptor: StateDescriptor, plain: PlainHandles) -> StateHandle:
    """Return the handle of a declared state.

    Raises:
        PlanError: if it is of a kind that no backend knows.
    """
    if not isinstance(descriptor, ValueState | MapState | ListState | ReducingState | AggregatingState):
        raise PlanError(f"state '{descriptor.name}' is of unknown kind {type(descriptor).__name__}")
    match descriptor:
        case ValueState():
            return _value(descriptor, plain, descriptor.default)
        case ReducingState():
            return ReducingValue(_value(descriptor, plain, None), descriptor.reduce)
        case AggregatingState():
            return AggregatingValue(_value(descriptor, plain, None), descriptor.aggregate)
        case MapState():
            mapped = plain.map(descriptor)
            return mapped if descriptor.ttl is None else TtlMap(mapped, plain.ages(descriptor, descriptor.ttl))
        case ListState():
            listed = plain.list(descriptor)
            return listed if descriptor.ttl is None else TtlList(listed, plain.ages(descriptor, descriptor.ttl))
        case _:
            assert_never(descriptor)


def _value(descriptor: KeyedState, plain: PlainHandles, default: Any) -> ValueHandle[Any]:
    if descriptor.ttl is None:
        return plain.value(descriptor, default)
    return TtlValue(plain.value(descriptor, None), plain.ages(descriptor, descriptor.ttl), default)


def presented(
    stored: Mapping[str, Any], declared: Mapping[str, StateDescriptor], ages: Callable[[str], Ages | None]
) -> dict[str, object]:
    """Return the stored values of one key as people should see them: without times of use, what is hidden, and folded values as they are.

    Args:
        stored: what the plain handles hold, by state name.
        declared: the declarations by name; states of the engine's own have none.
        ages: returns the clock and rule of a state that expires, by its name; None for others.
    """
    shown: dict[str, object] = {}
    for name, held in stored.items():
        alive = held
        rule = ages(name)
        if rule is not None:
            alive = _alive(declared[name], held, rule)
            if alive is _EXPIRED:
                continue
        shown[name] = _plain(declared.get(name), alive)
    return shown


def _alive(descriptor: StateDescriptor, held: Any, ages: Ages) -> Any:
    """Return what is held without times of use, and without what handles do not show any more."""
    now = ages.clock()

    def hidden(last_use: int) -> bool:
        return not ages.shows_expired and ages.expired(last_use, now)

    match descriptor:
        case ListState():
            return [value for value, last_use in held if not hidden(last_use)] or _EXPIRED
        case MapState():
            return {entry: value for entry, (value, last_use) in held.items() if not hidden(last_use)} or _EXPIRED
        case _:
            return _EXPIRED if hidden(held[1]) else held[0]


def _plain(descriptor: StateDescriptor | None, held: Any) -> object:
    match descriptor:
        case ReducingState() | AggregatingState():
            (folded,) = held
            return descriptor.aggregate.result(folded) if isinstance(descriptor, AggregatingState) else folded
        case ValueState():
            return held
        case _:
            return held.copy() if isinstance(held, dict | list) else held
