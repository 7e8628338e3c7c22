"""From a declared state to the handle that operators use, the same for every backend.

A backend has plain handles only: a value, a map, a list for each key. Time to live and folding are put around them:

    ValueState       value                     ReducingState     folding(value)
    MapState         map                       AggregatingState  folding(value)
    ListState        list                      with a ttl        ttl(...) around the plain handle, within the folding
"""

from __future__ import annotations

from typing import Any, Protocol, assert_never

from actorflow.errors import PlanError
from actorflow.state.descriptors import AggregatingState, ListState, MapState, ReducingState, StateDescriptor, ValueState
from actorflow.state.folding import AggregatingValue, ReducingValue
from actorflow.state.handles import AggregatingHandle, ListHandle, MapHandle, ReducingHandle, ValueHandle
from actorflow.state.ttl import Ages, Ttl, TtlList, TtlMap, TtlValue

StateHandle = ValueHandle[Any] | MapHandle[Any, Any] | ListHandle[Any] | ReducingHandle[Any] | AggregatingHandle[Any, Any]

KeyedState = ValueState[Any] | MapState[Any, Any] | ListState[Any] | ReducingState[Any] | AggregatingState[Any, Any, Any]
"""Every kind of declared keyed state."""


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


def presented(descriptor: StateDescriptor | None, stored: Any) -> object:
    """Return a stored value of one key as people should see it: without times of use, folded values as they are.

    Args:
        descriptor: of its state; None for one of the engine's own.
        stored: what the plain handle holds.
    """
    aged = descriptor is not None and descriptor.ttl is not None
    match descriptor:
        case ListState():
            return [value for value, _ in stored] if aged else list(stored)
        case MapState():
            return {entry: value for entry, (value, _) in stored.items()} if aged else dict(stored)
        case ReducingState() | AggregatingState():
            (folded,) = stored[0] if aged else stored
            return descriptor.aggregate.result(folded) if isinstance(descriptor, AggregatingState) else folded
        case ValueState():
            return stored[0] if aged else stored
        case _:
            return stored.copy() if isinstance(stored, dict | list) else stored
