"""Declared state: which keyed states an operator class has, known before the job runs.

    class Dedup(OperatorActor):
        seen = ValueState(bool, default=False)

On the class the name is the declaration; on an instance that runs it is the handle that `state.handles` describes. The instance's
own dict then shadows the declaration, so that access costs one attribute lookup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from actorflow.config.values import Duration
from actorflow.errors import PlanError
from actorflow.state.handles import AggregatingHandle, ListHandle, MapHandle, ReducingHandle, ValueHandle
from actorflow.state.ttl import Ttl

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
K = TypeVar("K")
V = TypeVar("V")


class StateDescriptor:
    """Base of the declarations.

    Attributes:
        name: the attribute's name; it identifies the state in checkpoints.
        ttl: how long its values live, or None for ever.
    """

    name: str = ""
    ttl: Ttl | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def _unbound(self) -> PlanError:
        return PlanError(
            f"state '{self.name}' is used by an operator that is not running",
            hint="use state in on_start and on_record of an operator after key_by, not in __init__",
        )


class ValueState(StateDescriptor, Generic[T]):
    """One value for each key.

    Args:
        of: type of the value.
        default: what `get` returns for a key without a value. It is shared by all keys, so it must be immutable.
        ttl: how long a value lives after its last use: a `Ttl`, or a duration; None for ever.

    Raises:
        PlanError: if the default is a list, dict, set or another unhashable value.
    """

    @overload
    def __init__(self: ValueState[T | None], of: type[T], *, ttl: Ttl | Duration | None = None) -> None: ...

    @overload
    def __init__(self, of: type[T], *, default: T, ttl: Ttl | Duration | None = None) -> None: ...

    def __init__(self, of: type[Any], *, default: Any = None, ttl: Ttl | Duration | None = None) -> None:
        if type(default).__hash__ is None:
            raise PlanError(
                f"a {type(default).__name__} cannot be the default of a ValueState: all keys would share and change it",
                hint="use MapState or ListState, or None as default",
            )
        self.type = of
        self.default = default
        self.ttl = Ttl.of(ttl)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> ValueHandle[T]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | ValueHandle[T]:
        if instance is None:
            return self
        raise self._unbound()


class MapState(StateDescriptor, Generic[K, V]):
    """A mapping for each key.

    Args:
        key_of: type of the entries' keys.
        value_of: type of the entries' values.
        ttl: how long an entry lives after its last use; see `ValueState`.
    """

    def __init__(self, key_of: type[K], value_of: type[V], *, ttl: Ttl | Duration | None = None) -> None:
        self.key_type = key_of
        self.value_type = value_of
        self.ttl = Ttl.of(ttl)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> MapHandle[K, V]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | MapHandle[K, V]:
        if instance is None:
            return self
        raise self._unbound()


class ListState(StateDescriptor, Generic[T]):
    """A list for each key.

    Args:
        of: type of the values.
        ttl: how long an element lives after its last use; see `ValueState`.
    """

    def __init__(self, of: type[T], *, ttl: Ttl | Duration | None = None) -> None:
        self.type = of
        self.ttl = Ttl.of(ttl)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> ListHandle[T]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | ListHandle[T]:
        if instance is None:
            return self
        raise self._unbound()


class ReducingState(StateDescriptor, Generic[T]):
    """One value for each key: all that was added, combined.

    Args:
        of: type of the values.
        reduce: `reduce(reduced so far, value)`.
        ttl: how long the value lives after its last use; see `ValueState`.
    """

    def __init__(self, of: type[T], reduce: Callable[[T, T], T], *, ttl: Ttl | Duration | None = None) -> None:
        if not callable(reduce):
            raise PlanError(f"a ReducingState needs a function of two values, not {reduce!r}")
        self.type = of
        self.reduce = reduce
        self.ttl = Ttl.of(ttl)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> ReducingHandle[T]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | ReducingHandle[T]:
        if instance is None:
            return self
        raise self._unbound()


class Accumulation(Protocol[In_contra, A, Out_co]):
    """How values become one result: an `actorflow.Aggregate`."""

    def create(self) -> A:
        """Return the accumulator that has seen nothing."""
        ...

    def add(self, acc: A, value: In_contra) -> A:
        """Return the accumulator with a value added."""
        ...

    def result(self, acc: A) -> Out_co:
        """Return what the accumulator says."""
        ...


class AggregatingState(StateDescriptor, Generic[T, A, R]):
    """One accumulator for each key, which values are added to.

    Args:
        aggregate: an `actorflow.Aggregate`.
        of: type of the accumulator; `object` for any that can be pickled.
        ttl: how long the accumulator lives after its last use; see `ValueState`.
    """

    def __init__(self, aggregate: Accumulation[T, A, R], of: type[Any] = object, *, ttl: Ttl | Duration | None = None) -> None:
        if isinstance(aggregate, type) or not all(callable(getattr(aggregate, name, None)) for name in ("create", "add", "result")):
            raise PlanError(
                f"an AggregatingState needs an Aggregate object, not {aggregate!r}",
                hint="derive a class from af.Aggregate with create, add, merge and result, and pass an object of it",
            )
        self.aggregate = aggregate
        self.type = of
        self.ttl = Ttl.of(ttl)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> AggregatingHandle[T, R]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | AggregatingHandle[T, R]:
        if instance is None:
            return self
        raise self._unbound()


def declared_states(cls: type) -> dict[str, StateDescriptor]:
    """Return the keyed states that a class declares or inherits, by attribute name, base classes first."""
    found: dict[str, StateDescriptor] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, StateDescriptor):
                found[name] = value
            else:
                found.pop(name, None)
    return found
