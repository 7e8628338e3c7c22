"""The contract of a keyed state backend: where the states of one operator of one subtask live.

There are two ways to one state, and both see the same values:

- *Handles*, for code that takes a record at a time. The loop sets `current_key` once for each record; handles read it. While there is
  no current key (in `on_start`, `on_message`, between batches), it is `NO_KEY`, and touching keyed state is an error.
- *Tables*, for code that takes a batch at a time: `table(name)` is a plain dict from key to value. A backend that keeps values elsewhere
  (`resident` is False) has `load` called with the keys of a batch first, and `settle` when the batch is through.

A state may be divided into *namespaces* (the windows of a windowed aggregation): each is a table of its own, and disappears as a whole. To
handles and snapshots such a state is a map state, whose entries are the namespaces.

Time to live is counted on the clock that the state declares: `processing_time`, or `event_time` with the `watermark` as its horizon.

Key groups are computed when a snapshot is taken, never per access of a resident backend.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from actorflow.errors import PlanError
from actorflow.state.binding import StateHandle
from actorflow.state.descriptors import StateDescriptor
from actorflow.state.timers import TimerQueue

if TYPE_CHECKING:
    from actorflow.state.changes import ChangeLog
    from actorflow.state.layers import Chunk

KeyGroupState = dict[str, dict[Any, Any]]
"""Snapshot of one key group: state name, then key, then value (a dict for a map state, a list for a list state)."""


class NoKey:
    """What no state is kept by. It refuses to be hashed, so that no table can be asked for it, and handles need not check."""

    def __hash__(self) -> NoReturn:
        raise PlanError(
            "keyed state is used where there is no current key",
            hint="use it in on_record of an operator after key_by; on_start and on_message have no key",
        )


NO_KEY: Final = NoKey()
"""The current key where there is none."""


class Overlay(Protocol):
    """Newer values of a state than its table has, in another form: running totals in columns, say."""

    def __len__(self) -> int:
        """Return the number of keys, in the table or only here."""
        ...

    def write_back(self) -> None:
        """Put all values into the table, too."""
        ...

    def write_back_key(self, key: Any) -> None:
        """Put the value of one key into the table, if it has one."""
        ...

    def release(self) -> None:
        """Put all values into the table, and keep none elsewhere."""
        ...


class KeyedBackend(Protocol):
    """Keyed states of one operator of one subtask. Used from one thread.

    Attributes:
        current_key: key of the record that is being processed, or `NO_KEY`.
        watermark: event time that the operator has reached, in ms; set by the operator's stage.
        processing_time: returns the wall clock in ms.
        event_time: returns the event time in ms of what is being processed; the operator's stage sets it, until then it is the watermark.
        resident: whether tables hold all values, always. If not, `load` and `settle` enclose the work on them.
        wants_keys: whether `load` has to be called before work on tables: because the values are elsewhere, or because it is noted what changes.
    """

    current_key: Any
    watermark: int
    processing_time: Callable[[], int]
    event_time: Callable[[], int]
    resident: bool
    wants_keys: bool

    def bind(self, descriptor: StateDescriptor) -> StateHandle:
        """Return the handle of a declared state, creating the state if it does not exist.

        Raises:
            PlanError: if another kind of state has this name.
        """
        ...

    def table(self, name: str, namespace: Hashable = None) -> dict[Any, Any]:
        """Return the dict of a state (of one namespace of it), from key to value. It stays the same object until `drop` or `clear`."""
        ...

    def load(self, name: str, keys: Iterable[Any], namespace: Hashable = None) -> None:
        """Have the values of these keys in the table, if they have any, and take them for changed after it. Work on earlier ones is through."""
        ...

    def settle(self) -> None:
        """Note that no code is at work on tables: values may leave them for the place where they are kept."""
        ...

    def namespaces(self, name: str) -> Collection[Any]:
        """Return the namespaces of a state that hold a value, in no certain order."""
        ...

    def entries(self, name: str, namespace: Hashable = None) -> Iterable[tuple[Any, Any]]:
        """Give every key with its value, wherever it is kept. Not changed on the way."""
        ...

    def drop(self, name: str, namespace: Hashable = None) -> None:
        """Forget a namespace of a state and all its values."""
        ...

    def overlay(self, name: str, values: Overlay) -> None:
        """Have the table of the state `name` brought up to date before it is read here. For resident backends only."""
        ...

    def track(self) -> ChangeLog | None:
        """Note what changes from now on, and return what tells it; None if it cannot. Called before states are bound, if at all."""
        ...

    def replaced(self, name: str) -> None:
        """Note that values of the state `name` are replaced, never changed in place or removed one by one: what changes need not be told.

        Whoever loads a key sets its value before `settle`. Called before there is a table of this name.
        """
        ...

    def noting(self, name: str) -> Callable[[Any], object] | None:
        """Return what is to be told of each key whose value changes in the table of `name` without `load`; None if nobody wants to know."""
        ...

    def timers(self, name: str) -> TimerQueue:
        """Return the timers of this name, such as `event` and `processing`. They belong to the snapshot."""
        ...

    def __len__(self) -> int:
        """Return the number of keys that have a value in any state; an estimate where counting would read everything."""
        ...

    def keys(self) -> Collection[Any]:
        """Return the keys that have a value in any state, each once."""
        ...

    def values(self, key: Any) -> Mapping[str, object]:
        """Return copies of the values of one key, by state name; states without a value for it are left out."""
        ...

    def clear(self) -> None:
        """Forget all values and timers. Handles stay bound; tables have to be asked for again."""
        ...

    def snapshot(self, group_of: Callable[[Any], int]) -> dict[int, KeyGroupState]:
        """Return everything by key group, timers as states (see `state.timers`). Later changes to the state do not show in it (the stored values themselves are shared).

        Args:
            group_of: key group of a key.
        """
        ...

    def restore(self, groups: Iterable[KeyGroupState]) -> None:
        """Add what snapshots hold. States that are not bound yet find their values when they are, and namespaces when one is asked for."""
        ...

    def absorb(self, chunk: Chunk) -> None:
        """Take what a layer of a snapshot says of some keys, after what the layers below it say. Called before states are bound."""
        ...

    def close(self) -> None:
        """Free what it holds: memory, files. Called once."""
        ...
