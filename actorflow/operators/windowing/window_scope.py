"""The key and window that are being worked on, as triggers and window functions see them.

State that belongs to a key and window is kept by key, as a dict from window to value: of most keys few windows are open at a time, and
all of a key's are loaded together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, ItemsView, Mapping, Sequence
from typing import Any, Final, cast

from actorflow.errors import PlanError
from actorflow.operators.processing.actor import Tagged
from actorflow.operators.processing.emitting import Buffer
from actorflow.operators.processing.timing import EVENT, PROCESSING
from actorflow.operators.windowing.trigger import Trigger
from actorflow.operators.windowing.window import Window
from actorflow.state.backend import KeyedBackend
from actorflow.state.descriptors import MapState, ValueState, declared_states
from actorflow.state.handles import MapHandle, ValueHandle
from actorflow.wire.batch import MIN_TIMESTAMP

WindowTable = dict[Any, dict[Window, Any]]
"""From key to window to value."""

_NOTHING: Final[dict[Any, Any]] = {}


class WindowScope:
    """Where the work is at. See `operators.windowing.trigger.TriggerContext` and `operators.windowing.window_function.WindowContext`.

    Args:
        backend: keeps state and timers.
        processing_time: returns the wall clock in ms.
        sides: buffers of the side outputs, by tag.
        in_processing_time: see `TriggerContext`.
        merging: whether windows merge.

    Attributes:
        key: see `TriggerContext`.
        window: the window.
        watermark: see `TriggerContext`.
        timers: see `TriggerContext`.
        stamp: event time of the result that is being computed.
        merged_from: in `on_merge`, the windows that have become one.
    """

    def __init__(
        self,
        backend: KeyedBackend,
        processing_time: Callable[[], int],
        sides: Mapping[str, Buffer],
        *,
        in_processing_time: bool,
        merging: bool,
    ) -> None:
        self.key: Any = None
        self.window = Window(0, 0)
        self.watermark = MIN_TIMESTAMP
        self.in_processing_time = in_processing_time
        self.timers = ScopeTimers(self, backend)
        self.stamp: int | None = None
        self.merged_from: Sequence[Window] = ()
        self.processing_time = processing_time
        self._backend = backend
        self._sides = sides
        self._merging = merging
        self._tables: dict[str, WindowTable] = {}
        self._global_state: MapHandle[Any, Any] | None = None

    # --- state -------------------------------------------------------------------------------------------------------------------

    def table(self, name: str) -> WindowTable:
        """Return the table of a state that is kept for windows."""
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = self._backend.table(name)
        return table

    def load(self, keys: Sequence[Any]) -> None:
        """Have the state of some keys at hand. Needed if the backend is not resident."""
        for name in self._tables:
            self._backend.load(name, keys)

    def begin(self) -> None:
        """Ask for the tables again, because the backend was cleared."""
        for name in self._tables:
            self._tables[name] = self._backend.table(name)
        self.timers.begin()

    def forget(self, window: Window) -> None:
        """Remove all state of the current key for a window."""
        for table in self._tables.values():
            drop_window(table, self.key, window)

    def merged(self, state: ValueHandle[Any]) -> list[Any]:
        """Return what a trigger's state holds for the windows that have become one."""
        assert isinstance(state, WindowValue), "a state of this trigger"
        held = state.held()
        return [held[window] for window in self.merged_from if window in held]

    @property
    def window_state(self) -> MapHandle[Any, Any]:
        """What the function remembers of this key and window.

        Raises:
            PlanError: if windows merge: nobody could say what becomes of it.
        """
        if self._merging:
            raise PlanError("windows that merge have no state of their own", hint="use ctx.global_state, or an aggregation")
        return WindowMap(self, "window_state")

    @property
    def global_state(self) -> MapHandle[Any, Any]:
        """What the function remembers of this key."""
        if self._global_state is None:
            descriptor = MapState(object, object)
            descriptor.name = "global_state"
            self._global_state = cast("MapHandle[Any, Any]", self._backend.bind(descriptor))
        return self._global_state

    def emit_to(self, tag: str | Tagged, record: Any, timestamp: int | None = None) -> None:
        """Give a record to a side output, if anything reads it."""
        side = self._sides.get(tag if isinstance(tag, str) else tag.name)
        if side is None:
            return
        stamp = self.stamp if timestamp is None else timestamp
        side.records.append(record)
        if stamp is not None:
            side.stamps.append(stamp)


class ScopeTimers:
    """Timers of the current key and window. See `operators.windowing.trigger.WindowTimers`.

    Args:
        scope: knows key and window.
        backend: keeps them.

    Attributes:
        ended: whether the wall clock will not be asked any more: what is set for it is dropped.
    """

    def __init__(self, scope: WindowScope, backend: KeyedBackend) -> None:
        self._scope = scope
        self._backend = backend
        self.begin()

    def begin(self) -> None:
        """Ask for the queues again, because the backend was cleared."""
        self.ended = False
        self._events = self._backend.timers(EVENT)
        self._waiting = self._backend.timers(PROCESSING)

    def event(self, timestamp: int) -> None:
        """Have `on_event_time` called."""
        scope = self._scope
        self._events.set(timestamp, scope.key, scope.window)

    def processing(self, timestamp: int) -> None:
        """Have `on_processing_time` called."""
        if not self.ended:
            scope = self._scope
            self._waiting.set(timestamp, scope.key, scope.window)

    def delete(self, timestamp: int, *, processing: bool = False) -> None:
        """Forget a timer."""
        scope = self._scope
        (self._waiting if processing else self._events).delete(timestamp, scope.key, scope.window)


class WindowValue:
    """One value for each key and window: the state of a trigger. See `state.handles.ValueHandle`."""

    __slots__ = ("_default", "_name", "_scope")

    def __init__(self, scope: WindowScope, name: str, default: Any) -> None:
        self._scope = scope
        self._name = name
        self._default = default
        scope.table(name)

    def held(self) -> dict[Window, Any]:
        """Return the values of the current key by window."""
        scope = self._scope
        return scope.table(self._name).get(scope.key, _NOTHING)

    def get(self) -> Any:
        """Return the value of the current key and window, or the default."""
        return self.held().get(self._scope.window, self._default)

    def set(self, value: Any) -> None:
        """Remember a value for the current key and window."""
        scope = self._scope
        put_window(scope.table(self._name), scope.key, scope.window, value)

    def clear(self) -> None:
        """Forget the value of the current key and window."""
        scope = self._scope
        drop_window(scope.table(self._name), scope.key, scope.window)


class WindowMap:
    """A mapping for each key and window: the state of a window function. See `state.handles.MapHandle`."""

    __slots__ = ("_name", "_scope")

    def __init__(self, scope: WindowScope, name: str) -> None:
        self._scope = scope
        self._name = name

    def _held(self) -> dict[Any, Any]:
        scope = self._scope
        held: dict[Any, Any] = scope.table(self._name).get(scope.key, _NOTHING).get(scope.window, _NOTHING)
        return held

    def get(self, entry: Any, default: Any = None) -> Any:
        """Return what `entry` maps to, or `default`."""
        return self._held().get(entry, default)

    def put(self, entry: Any, value: Any) -> None:
        """Map `entry` to `value`."""
        scope = self._scope
        scope.table(self._name).setdefault(scope.key, {}).setdefault(scope.window, {})[entry] = value

    def contains(self, entry: Any) -> bool:
        """Return whether `entry` is mapped."""
        return entry in self._held()

    def remove(self, entry: Any) -> None:
        """Forget `entry`, if it is there."""
        held = self._held()
        if entry in held:
            del held[entry]
            if not held:
                self.clear()

    def items(self) -> ItemsView[Any, Any]:
        """Return a view of the entries."""
        return self._held().items()

    def clear(self) -> None:
        """Forget all entries."""
        scope = self._scope
        drop_window(scope.table(self._name), scope.key, scope.window)


def bound_trigger(operator: str, trigger: Trigger, scope: WindowScope) -> Trigger:
    """Return a copy of a trigger whose states, and those of the triggers nested in it, are kept by key and window.

    Raises:
        PlanError: if it cannot be copied, or declares a state that is no value or has a time to live.
    """
    try:
        own = copy.deepcopy(trigger)
    except Exception as error:
        raise PlanError(f"'{operator}' cannot give each subtask its own {type(trigger).__name__}: {error}") from error
    waiting = [("trigger", own)]
    while waiting:
        path, part = waiting.pop()
        for attribute, descriptor in declared_states(type(part)).items():
            if not isinstance(descriptor, ValueState) or descriptor.ttl is not None:
                raise PlanError(
                    f"the trigger of '{operator}' cannot keep '{attribute}': it is no plain ValueState",
                    hint="a trigger's states are ValueStates, and live as long as their window",
                )
            vars(part)[attribute] = WindowValue(scope, f"{path}.{attribute}", descriptor.default)
        waiting.extend((f"{path}.{number}", nested) for number, nested in enumerate(part.nested()))
    return own


def put_window(table: WindowTable, key: Any, window: Window, value: Any) -> None:
    """Set the value of a key and window."""
    held = table.get(key)
    if held is None:
        table[key] = {window: value}
    else:
        held[window] = value


def drop_window(table: WindowTable, key: Any, window: Window) -> None:
    """Remove the value of a key and window, if it is there, and with its last window the key."""
    held = table.get(key)
    if held is not None and window in held:
        del held[window]
        if not held:
            del table[key]
