"""Finding out what has changed in a table by comparison: the values of now beside those of an earlier capture.

Keys have places, in the order in which they came. Some of the first ones may have left the table meanwhile, with the values that they had then;
others have come behind the last one.

    before        a=1  b=2  c=3  d=4
    now                     c=3  d=9  e=1        left: a=1, b=7        changed: b=7, d=9, e=1

A value is replaced when it changes, so it has changed if it is not the same object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress, filterfalse, islice, repeat
from operator import is_, is_not
from typing import Any, Final, NamedTuple

from actorflow.state.layers import CHUNK_KEYS, Chunk, Place, payload

MISSING: Final = object()
"""Stands for the value of a key that has none."""

_COMPARED_AT_ONCE: Final = 2048
"""So few that nobody waits long for the interpreter."""


class Values(NamedTuple):
    """Values of a capture.

    Attributes:
        first: the place of the first one.
        values: of the keys from there on.
    """

    first: int
    values: list[Any]


NOTHING: Final = Values(0, [])


class Ordered(NamedTuple):
    """A table whose keys leave in the order in which they came.

    Attributes:
        entries: the table.
        first: the place of its first key: so many have left.
        left: keys that have left since the last capture, with their values.
        in_order: whether the rest is true.
    """

    entries: dict[Any, Any]
    first: int = 0
    left: dict[Any, Any] = {}  # noqa: RUF012 - nobody changes it
    in_order: bool = True


@dataclass(slots=True)
class Keys:
    """The keys of a table by their places.

    Attributes:
        first: the place of the first one that is still known.
        keys: from there on. Others may read those that are there while it grows.
    """

    first: int = 0
    keys: list[Any] = field(default_factory=list)

    def values(self, table: Ordered, since: int) -> Values:
        """Return the values of now, and know all their keys.

        Args:
            table: as it is now.
            since: keys before this place need not be known any more.
        """
        values = list(table.entries.values())
        behind = self.first + len(self.keys)
        if behind < table.first:  # keys that came and left again between two captures
            self.keys.extend([None] * (table.first - behind))
            behind = table.first
        if behind == table.first:
            self.keys.extend(table.entries)
        else:
            self.keys.extend(reversed(list(islice(reversed(table.entries), table.first + len(values) - behind))))
        if since - self.first > len(self.keys) // 2:
            self.first, self.keys = since, self.keys[since - self.first :]
        return Values(table.first, values)


class Comparison:
    """What has changed. A `changes.Piece`.

    Args:
        place: of the table.
        keys: of all values; they may grow.
        before: the values of an earlier capture.
        now: those of this one.
        left: the values of keys that have left since.
    """

    def __init__(self, place: Place, keys: Keys, before: Values, now: Values, left: dict[Any, Any]) -> None:
        self._place = place
        self._first, self._keys = keys.first, keys.keys
        self._before = before
        self._now = now
        self._left = left

    def payloads(self) -> Iterator[bytes]:
        """Give it as payloads of chunks. May be called on another thread, once."""
        keys: list[Any] = []
        values: list[Any] = []
        for some_keys, some_values in self._changed():
            keys += some_keys
            values += some_values
            while len(keys) >= CHUNK_KEYS:
                yield payload(Chunk(self._place, keys[:CHUNK_KEYS], values[:CHUNK_KEYS], []))
                del keys[:CHUNK_KEYS], values[:CHUNK_KEYS]
        if keys:
            yield payload(Chunk(self._place, keys, values, []))

    def _changed_of_left(self, gone: int) -> Iterator[tuple[list[Any], list[Any]]]:
        """Give keys and values of those that have left and were not the same before; so many of the first ones that were there are gone."""
        left, same = self._left, set[Any]()
        start = self._before.first - self._first
        for at in range(0, gone, _COMPARED_AT_ONCE):
            end = min(gone, at + _COMPARED_AT_ONCE)
            known = self._keys[start + at : start + end]
            same.update(compress(known, map(is_, map(left.get, known, repeat(MISSING)), self._before.values[at:end])))
        keys = iter(left)
        while some := list(islice(keys, _COMPARED_AT_ONCE)):
            changed = list(filterfalse(same.__contains__, some)) if same else some
            yield changed, list(map(left.__getitem__, changed))

    def _changed(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Give keys and values: of those that have left first, for some of them may have come again."""
        before, now = self._before, self._now
        gone = min(max(0, now.first - before.first), len(before.values))
        yield from self._changed_of_left(gone)
        place, ahead = now.first - self._first, now.first - before.first
        for at in range(0, len(now.values), _COMPARED_AT_ONCE):
            values = now.values[at : at + _COMPARED_AT_ONCE]
            end = at + len(values)
            then = before.values[ahead + at : ahead + end]
            then += [MISSING] * (len(values) - len(then))
            changed = list(map(is_not, values, then))
            yield list(compress(self._keys[place + at : place + end], changed)), list(compress(values, changed))
