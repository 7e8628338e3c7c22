"""Finds what has expired in a state that is kept in memory, a little at every use and after every batch.

There is one place in the line for each key (each entry of a map). It is looked at when its time may be over, and goes to the end if the state was
used since. So the work is that of about one look for each use, and what nobody asks for again does not stay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actorflow.state.binding import KeyedState
from actorflow.state.descriptors import ListState, MapState, StateDescriptor
from actorflow.state.ttl import Ages


class ExpiryLine:
    """What may expire, by the time at which it was used. A `ttl.Uses`.

    Args:
        current_key: returns the key that is being processed.
        last_use: returns when a key (and entry) was last used, or None if it is gone.
        forget: removes what has expired of a key (and entry).
        ages: the state's clock and rule; set by who binds the state, because it needs this object.
    """

    _LOOKS = 2

    def __init__(
        self,
        current_key: Callable[[], Any],
        last_use: Callable[[Any, Any], int | None],
        forget: Callable[[Any, Any], None],
    ) -> None:
        self.ages: Ages | None = None
        self._current_key = current_key
        self._last_use = last_use
        self._forget = forget
        self._line: deque[tuple[int, Any, Any]] = deque()
        self._in_line: set[tuple[Any, Any]] = set()

    def told(self, note: Callable[[Any], object]) -> None:
        """Have `note` called with each key of which something is forgotten."""
        forget = self._forget

        def forget_and_tell(key: Any, entry: Any) -> None:
            note(key)
            forget(key, entry)

        self._forget = forget_and_tell

    def __len__(self) -> int:
        return len(self._line)

    def used(self, entry: Any, at: int) -> None:
        """Note a use of the current key, and look at the head of the line."""
        self.note(self._current_key(), entry, at)
        self.clean(self._LOOKS)

    def note(self, key: Any, entry: Any, at: int) -> None:
        """Note a use."""
        place = (key, entry)
        if place not in self._in_line:
            self._in_line.add(place)
            self._line.append((at, key, entry))

    def clean(self, looks: int) -> None:
        """Look at the first so many in the line whose time may be over."""
        assert self.ages is not None, "a line belongs to a state"
        line, now = self._line, self.ages.horizon()
        while looks > 0 and line and self.ages.expired(line[0][0], now):
            looks -= 1
            _, key, entry = line.popleft()
            last_use = self._last_use(key, entry)
            if last_use is not None and not self.ages.expired(last_use, now):
                line.append((last_use, key, entry))
                continue
            self._in_line.discard((key, entry))
            if last_use is not None:
                self._forget(key, entry)

    def clear(self) -> None:
        """Forget all places."""
        self._line.clear()
        self._in_line.clear()


def expiry_line(
    descriptor: KeyedState,
    table: dict[Any, Any],
    current_key: Callable[[], Any],
    note: Callable[[Any], object] | None = None,
) -> ExpiryLine:
    """Return the line of a state.

    Args:
        descriptor: of the state.
        table: its values, with their times of use.
        current_key: returns the key that is being processed.
        note: is told of each key of which something is forgotten.
    """
    line = _line_of(descriptor, table, current_key)
    if note is not None:
        line.told(note)
    return line


def _line_of(descriptor: KeyedState, table: dict[Any, Any], current_key: Callable[[], Any]) -> ExpiryLine:
    match descriptor:
        case MapState():
            return ExpiryLine(current_key, *_of_entries(table))
        case ListState():
            line = ExpiryLine(current_key, *_of_elements(table, lambda: line))
            return line
        case _:
            return ExpiryLine(
                current_key, lambda key, _: table[key][1] if key in table else None, lambda key, _: table.pop(key, None)
            )


def remember(descriptor: StateDescriptor, table: dict[Any, Any], line: ExpiryLine) -> None:
    """Give everything in a table its place, oldest first: a state was restored."""
    places: list[tuple[int, Any, Any]] = []
    for key, held in table.items():
        match descriptor:
            case MapState():
                places.extend((last_use, key, entry) for entry, (_, last_use) in held.items())
            case ListState():
                places.append((min(last_use for _, last_use in held), key, None))
            case _:
                places.append((held[1], key, None))
    for last_use, key, entry in sorted(places, key=lambda place: place[0]):
        line.note(key, entry, last_use)


_LastUse = Callable[[Any, Any], int | None]
_Forget = Callable[[Any, Any], None]


def _of_entries(table: dict[Any, dict[Any, tuple[Any, int]]]) -> tuple[_LastUse, _Forget]:
    def last_use(key: Any, entry: Any) -> int | None:
        held = table.get(key, {}).get(entry)
        return None if held is None else held[1]

    def forget(key: Any, entry: Any) -> None:
        del table[key][entry]
        if not table[key]:
            del table[key]

    return last_use, forget


def _of_elements(table: dict[Any, list[tuple[Any, int]]], line_of: Callable[[], ExpiryLine]) -> tuple[_LastUse, _Forget]:
    """A list has one place, that of its oldest element; when that expires, the place of the oldest that is left takes over."""

    def last_use(key: Any, _: Any) -> int | None:
        return min((last_use for _, last_use in table.get(key, ())), default=None)

    def forget(key: Any, _: Any) -> None:
        line = line_of()
        assert line.ages is not None, "a line belongs to a state"
        now = line.ages.horizon()
        alive = [element for element in table[key] if not line.ages.expired(element[1], now)]
        if alive:
            table[key] = alive
            line.note(key, None, min(last_use for _, last_use in alive))
        else:
            del table[key]

    return last_use, forget
