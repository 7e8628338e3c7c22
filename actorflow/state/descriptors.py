"""Declared state: which keyed states an operator class has, known before the job runs.

    class Dedup(OperatorActor):
        seen = ValueState(bool, default=False)

On the class the name is the declaration; on an instance that runs it is the handle that `state.handles` describes. The instance's
own dict then shadows the declaration, so that access costs one attribute lookup.
"""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar, overload

from actorflow.errors import PlanError
from actorflow.state.handles import ListHandle, MapHandle, ValueHandle

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class StateDescriptor:
    """Base of the declarations.

    Attributes:
        name: the attribute's name; it identifies the state in checkpoints.
    """

    name: str = ""

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

    Raises:
        PlanError: if the default is a list, dict, set or another unhashable value.
    """

    @overload
    def __init__(self: ValueState[T | None], of: type[T]) -> None: ...

    @overload
    def __init__(self, of: type[T], *, default: T) -> None: ...

    def __init__(self, of: type[Any], *, default: Any = None) -> None:
        if type(default).__hash__ is None:
            raise PlanError(
                f"a {type(default).__name__} cannot be the default of a ValueState: all keys would share and change it",
                hint="use MapState or ListState, or None as default",
            )
        self.type = of
        self.default = default

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
    """

    def __init__(self, key_of: type[K], value_of: type[V]) -> None:
        self.key_type = key_of
        self.value_type = value_of

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
    """

    def __init__(self, of: type[T]) -> None:
        self.type = of

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> ListHandle[T]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | ListHandle[T]:
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
