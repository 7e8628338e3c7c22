"""State of an operator as a whole, not by key: lists that are dealt out anew when the parallelism changes, and broadcast maps.

    declared as            one subtask has      after a restore with another parallelism each subtask has
    OperatorListState      its own list         its share: the lists joined, and dealt out in contiguous parts
    UnionListState         its own list         the lists of all, joined
    BroadcastState         the whole map        the whole map

All of it lives in memory.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, overload

from actorflow.errors import PlanError

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class OperatorStateDescriptor:
    """Base of the declarations. A class attribute of an operator; see `state.descriptors` for how it becomes a handle.

    Attributes:
        name: the attribute's name; it identifies the state in checkpoints.
    """

    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def _unbound(self) -> PlanError:
        return PlanError(
            f"state '{self.name}' is used by an operator that is not running", hint="use it in on_start and later, not in __init__"
        )


class OperatorListState(OperatorStateDescriptor, Generic[T]):
    """A list of each subtask, dealt out in parts when the parallelism changes.

    Args:
        of: type of the values.
    """

    def __init__(self, of: type[T]) -> None:
        self.type = of

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> OperatorList[T]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | OperatorList[T]:
        if instance is None:
            return self
        raise self._unbound()


class UnionListState(OperatorListState[T]):
    """A list of each subtask; after a restore every subtask has the values of all, and takes what it wants."""


class BroadcastState(OperatorStateDescriptor, Generic[K, V]):
    """A map that is the same in every subtask, because the records that write it are broadcast.

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
    def __get__(self, instance: object, owner: type) -> BroadcastMap[K, V]: ...

    def __get__(self, instance: object | None, owner: type) -> Self | BroadcastMap[K, V]:
        if instance is None:
            return self
        raise self._unbound()


class OperatorList(Generic[T]):
    """What an operator can do with its list."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._values = list(values)

    def get(self) -> list[T]:
        """Return the values, oldest first, as a list of the caller's own."""
        return list(self._values)

    def add(self, value: T) -> None:
        """Append a value."""
        self._values.append(value)

    def update(self, values: Iterable[T]) -> None:
        """Replace the values."""
        self._values = list(values)

    def clear(self) -> None:
        """Forget the values."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)


class BroadcastMap(Generic[K, V]):
    """What an operator can do with a broadcast map: write on the broadcast side, read everywhere.

    Attributes:
        writable: whether what is being processed came by broadcast, so that every subtask does the same; set by the operator's stage.
    """

    __slots__ = ("_entries", "_name", "writable")

    def __init__(self, name: str, entries: Mapping[K, V] | None = None) -> None:
        self._name = name
        self._entries = dict(entries or {})
        self.writable = False

    def get(self, entry: K, default: V | None = None) -> V | None:
        """Return what `entry` maps to, or `default`."""
        return self._entries.get(entry, default)

    def contains(self, entry: K) -> bool:
        """Return whether `entry` is mapped."""
        return entry in self._entries

    def items(self) -> ItemsView[K, V]:
        """Return the entries, in the order in which they were first put. Copy before changing them on the way."""
        return self._entries.items()

    def put(self, entry: K, value: V) -> None:
        """Map `entry` to `value`.

        Raises:
            PlanError: on a side that is not broadcast.
        """
        self._check_writable()
        self._entries[entry] = value

    def remove(self, entry: K) -> None:
        """Forget `entry`; nothing happens if it is not there.

        Raises:
            PlanError: see `put`.
        """
        self._check_writable()
        self._entries.pop(entry, None)

    def clear(self) -> None:
        """Forget all entries.

        Raises:
            PlanError: see `put`.
        """
        self._check_writable()
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def _check_writable(self) -> None:
        if not self.writable:
            raise PlanError(
                f"broadcast state '{self._name}' can only be written in on_broadcast",
                hint="elsewhere each subtask sees other records, and the subtasks' maps would become different",
            )


@dataclass(frozen=True, slots=True)
class OperatorSnapshot:
    """The operator state of one subtask, by name. Later changes do not show in it (the values themselves are shared)."""

    lists: Mapping[str, Sequence[Any]]
    unions: Mapping[str, Sequence[Any]]
    maps: Mapping[str, Mapping[Any, Any]]


class OperatorStates:
    """The operator states of one subtask."""

    def __init__(self) -> None:
        self._lists: dict[str, OperatorList[Any]] = {}
        self._unions: dict[str, OperatorList[Any]] = {}
        self._maps: dict[str, BroadcastMap[Any, Any]] = {}

    def bind(self, descriptor: OperatorStateDescriptor) -> OperatorList[Any] | BroadcastMap[Any, Any]:
        """Return the handle of a declared state, with what was restored for it.

        Raises:
            PlanError: if it is of a kind that is not known.
        """
        match descriptor:
            case UnionListState():
                return self._unions.setdefault(descriptor.name, OperatorList())
            case OperatorListState():
                return self._lists.setdefault(descriptor.name, OperatorList())
            case BroadcastState():
                return self._maps.setdefault(descriptor.name, BroadcastMap(descriptor.name))
            case _:
                raise PlanError(f"state '{descriptor.name}' is of unknown kind {type(descriptor).__name__}")

    def set_writable(self, *, writable: bool) -> None:
        """Say whether the broadcast maps can be written now."""
        for entries in self._maps.values():
            entries.writable = writable

    def snapshot(self) -> OperatorSnapshot:
        """Return everything."""
        return OperatorSnapshot(
            {name: values.get() for name, values in self._lists.items()},
            {name: values.get() for name, values in self._unions.items()},
            {name: dict(entries.items()) for name, entries in self._maps.items()},
        )

    def restore(self, snapshots: Sequence[OperatorSnapshot], index: int, parallelism: int) -> None:
        """Take this subtask's share of what the subtasks of an earlier run had. Before `bind`.

        Args:
            snapshots: one of each earlier subtask, in their order.
            index: of this subtask.
            parallelism: number of subtasks now.
        """
        for name in _names(snapshot.lists for snapshot in snapshots):
            joined = [value for snapshot in snapshots for value in snapshot.lists.get(name, ())]
            start, stop = len(joined) * index // parallelism, len(joined) * (index + 1) // parallelism
            self._lists[name] = OperatorList(joined[start:stop])
        for name in _names(snapshot.unions for snapshot in snapshots):
            self._unions[name] = OperatorList(value for snapshot in snapshots for value in snapshot.unions.get(name, ()))
        for name in _names(snapshot.maps for snapshot in snapshots):
            first = next(snapshot.maps[name] for snapshot in snapshots if name in snapshot.maps)
            self._maps[name] = BroadcastMap(name, first)


def _names(states: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for named in states for name in named))


def declared_operator_states(cls: type) -> dict[str, OperatorStateDescriptor]:
    """Return the operator states that a class declares or inherits, by attribute name, base classes first."""
    found: dict[str, OperatorStateDescriptor] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, OperatorStateDescriptor):
                found[name] = value
            else:
                found.pop(name, None)
    return found
