"""The contract of a keyed state backend: where the states of one operator of one subtask live.

The operator's loop sets `current_key` once for each record; handles read it. While there is no current key (in `on_start`,
`on_message`, between batches), it is `NO_KEY`, and touching keyed state is an error.

Key groups are computed when a snapshot is taken, never per access.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NoReturn, Protocol

from actorflow.errors import PlanError
from actorflow.state.descriptors import StateDescriptor
from actorflow.state.handles import ListHandle, MapHandle, ValueHandle

KeyGroupState = dict[str, dict[Any, Any]]
"""Snapshot of one key group: state name, then key, then value (a dict for a map state, a list for a list state)."""

StateHandle = ValueHandle[Any] | MapHandle[Any, Any] | ListHandle[Any]


class NoKey:
    """What no state is kept by. It refuses to be hashed, so that no table can be asked for it, and handles need not check."""

    def __hash__(self) -> NoReturn:
        raise PlanError(
            "keyed state is used where there is no current key",
            hint="use it in on_record of an operator after key_by; on_start and on_message have no key",
        )


NO_KEY: Final = NoKey()
"""The current key where there is none."""


class KeyedBackend(Protocol):
    """Keyed states of one operator of one subtask. Used from one thread.

    Attributes:
        current_key: key of the record that is being processed, or `NO_KEY`.
    """

    current_key: Any

    def bind(self, descriptor: StateDescriptor) -> StateHandle:
        """Return the handle of a declared state, creating the state if it does not exist.

        Raises:
            PlanError: if another kind of state has this name.
        """
        ...

    def keys(self) -> Collection[Any]:
        """Return the keys that have a value in any state, each once."""
        ...

    def values(self, key: Any) -> Mapping[str, object]:
        """Return copies of the values of one key, by state name; states without a value for it are left out."""
        ...

    def snapshot(self, group_of: Callable[[Any], int]) -> dict[int, KeyGroupState]:
        """Return everything by key group. Later changes to the state do not show in it (the stored values themselves are shared).

        Args:
            group_of: key group of a key.
        """
        ...

    def restore(self, groups: Iterable[KeyGroupState]) -> None:
        """Add what snapshots hold. States that are not bound yet find their values when they are."""
        ...
