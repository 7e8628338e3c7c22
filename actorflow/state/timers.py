"""Timers of keys: which key wants to be called at what time.

A timer is a triple of timestamp, key and namespace (a window, or None), and is there once, however often it is set. Timers come out by
timestamp, and those of one timestamp in the order in which they were set, so that a run can be repeated.

The queue in memory has a dict for each timestamp and a heap of timestamps: setting and taking one of a million timers that are due at the
same time costs a dict access, not a step through the heap. (They are taken from a list of what the dict held: the first item of a dict from
whose front much was deleted is found in linear time.)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol


class Timer(NamedTuple):
    """A call that a key wants.

    Attributes:
        timestamp: when, in ms.
        key: for whom.
        namespace: for which part of its state; None where there are no parts.
    """

    timestamp: int
    key: Any
    namespace: Hashable = None


Triple = tuple[int, Any, Hashable]
"""A timer as a plain tuple."""

Triples = set[Triple]

_timer_of: Final[Callable[[Triple], Timer]] = partial(tuple.__new__, Timer)
"""Makes a timer of a triple, in half the time of a call of the class."""


class TimerQueue(Protocol):
    """The timers of one kind of one operator of one subtask. Used from one thread."""

    def set(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Set a timer; nothing happens if it is set."""
        ...

    def delete(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Forget a timer; nothing happens if it is not set. It will not come out after this."""
        ...

    def take(self, until: int) -> Timer | None:
        """Remove and return the first timer at or before `until` (ms), or return None if there is none."""
        ...

    def first(self) -> int | None:
        """Return the timestamp of the first timer (ms), or None if there is none."""
        ...

    def __len__(self) -> int:
        """Return the number of timers."""
        ...

    def __iter__(self) -> Iterator[Timer]:
        """Give all timers, in the order in which they would come out."""
        ...


TIMERS_STATE: Final = "timers:"
"""In a snapshot the timers of a name stand as a state: `timers:<name>`, from key to a list of (timestamp, namespace)."""


def timers_as_states(queues: Mapping[str, TimerQueue]) -> Iterator[tuple[str, Any, list[tuple[int, Hashable]]]]:
    """Give the timers of each key, as a state of a snapshot: state name, key, and what is set for it."""
    for name, queue in queues.items():
        by_key: dict[Any, list[tuple[int, Hashable]]] = {}
        for timestamp, key, namespace in queue:
            by_key.setdefault(key, []).append((timestamp, namespace))
        for key, entries in by_key.items():
            yield f"{TIMERS_STATE}{name}", key, entries


def restore_timers(queue: TimerQueue, values: Mapping[Any, Iterable[tuple[int, Hashable]]]) -> None:
    """Set the timers that a snapshot holds as a state."""
    for key, entries in values.items():
        for timestamp, namespace in entries:
            queue.set(timestamp, key, namespace)


def absorb_timers(queue: TimerQueue, there: Iterable[tuple[int, Any, Hashable]], gone: Iterable[tuple[int, Any, Hashable]]) -> None:
    """Set and delete the timers that a layer of a snapshot is about: timestamp, key and namespace of each."""
    for timer in there:
        queue.set(*timer)
    for timer in gone:
        queue.delete(*timer)


class HeapTimers:
    """Timers in memory. See `TimerQueue`."""

    __slots__ = ("_at", "_changed", "_count", "_line", "_line_at", "_times")

    def __init__(self, timers: Iterable[Timer] = ()) -> None:
        self._at: dict[int, dict[tuple[Any, Hashable], None]] = {}
        self._times: list[int] = []
        self._count = 0
        self._line: list[tuple[Any, Hashable]] = []  # of timestamp `_line_at`, last one first; some may have been deleted since
        self._line_at: int | None = None
        self._changed: Triples | None = None
        for timer in timers:
            self.set(*timer)

    def set(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Set a timer."""
        at = self._at.get(timestamp)
        if at is None:
            at = self._at[timestamp] = {}
            heapq.heappush(self._times, timestamp)
        before = len(at)
        at[key, namespace] = None
        self._count += len(at) - before
        if self._changed is not None:
            self._changed.add((timestamp, key, namespace))

    def set_all(self, timestamp: int, entries: Sequence[tuple[Any, Hashable]]) -> None:
        """Set several timers of one timestamp: key and namespace of each."""
        at = self._at.get(timestamp)
        if at is None:
            at = self._at[timestamp] = {}
            heapq.heappush(self._times, timestamp)
        before = len(at)
        at.update(dict.fromkeys(entries))
        self._count += len(at) - before
        if self._changed is not None:
            self._changed.update((timestamp, key, namespace) for key, namespace in entries)

    def delete(self, timestamp: int, key: Any, namespace: Hashable = None) -> None:
        """Forget a timer. An emptied timestamp stays in the heap until it is the first."""
        at = self._at.get(timestamp)
        if at is not None and (key, namespace) in at:
            del at[key, namespace]
            self._count -= 1
            if self._changed is not None:
                self._changed.add((timestamp, key, namespace))

    def take(self, until: int) -> Timer | None:
        """Remove and return the first timer that is due."""
        times = self._times
        timestamp = times[0] if times and self._at[times[0]] else self.first()
        if timestamp is None or timestamp > until:
            return None
        at = self._at[timestamp]
        if self._line_at != timestamp:
            self._line_at, self._line = timestamp, list(reversed(at))
        while True:
            if not self._line:
                self._line = list(reversed(at))
            entry = self._line.pop()
            if entry in at:
                break
        del at[entry]
        self._count -= 1
        if self._changed is not None:
            self._changed.add((timestamp, *entry))
        return _timer_of((timestamp, *entry))

    def coming(self, count: int, until: int) -> list[Any]:
        """Return the keys of the timers that are due and come out next, if nothing changes: so many at most, all of one timestamp."""
        timestamp = self.first()
        if timestamp is None or timestamp > until:
            return []
        rest = self._line[-count:] if self._line_at == timestamp else []
        return [key for key, _ in rest or islice(self._at[timestamp], count)]

    def first(self) -> int | None:
        """Return the timestamp of the first timer."""
        times = self._times
        while times:
            if self._at[times[0]]:
                return times[0]
            del self._at[heapq.heappop(times)]
            self._line_at = None
        return None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Timer]:
        for timestamp in sorted(self._at):
            for key, namespace in self._at[timestamp]:
                yield Timer(timestamp, key, namespace)

    # --- for incremental snapshots -----------------------------------------------------------------------------------------------

    def changed(self) -> Triples:
        """Return the timers that were set or taken away since the last call, and note them from now on."""
        changed = self._changed or Triples()
        self._changed = Triples()
        return changed

    def holds(self, timestamp: int, key: Any, namespace: Hashable) -> bool:
        """Return whether a timer is set."""
        return (key, namespace) in self._at.get(timestamp, ())

    def triples(self) -> Iterator[tuple[int, Any, Hashable]]:
        """Give all timers as plain tuples, in no certain order."""
        for timestamp, at in self._at.items():
            for key, namespace in at:
                yield timestamp, key, namespace
