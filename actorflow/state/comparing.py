"""Finding out what has changed in a table by comparison: the values of now beside those of an earlier capture.

Keys have places, in the order in which they came. Some of the first ones may have left the table meanwhile, with the values that they had then;
others have come behind the last one.

    before        a=1  b=2  c=3  d=4
    now                     c=3  d=9  e=1        left: a=1, b=7        changed: b=7, d=9, e=1

A value is replaced when it changes, so it has changed if it is not the same object. Where values are many, only their addresses are compared, and keys
become bytes once: to touch an object costs more than all else here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress, filterfalse, islice, pairwise, repeat
from operator import is_, is_not
from typing import Any, Final, NamedTuple

from actorflow.state import references
from actorflow.state.key_bytes import KeyBytes, Picked
from actorflow.state.layers import CHUNK_KEYS, Chunk, Place, payload, payload_of_encoded

MISSING: Final = object()
"""Stands for the value of a key that has none."""

FEW: Final = 8192
"""So few values that it is not worth while to load NumPy for them."""

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
        encoded: as bytes, as far as anybody wanted them.
    """

    first: int = 0
    keys: list[Any] = field(default_factory=list)
    encoded: KeyBytes = field(default_factory=KeyBytes)

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
            self.encoded.forget(since)
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
        self._first, self._keys, self._encoded = keys.first, keys.keys, keys.encoded
        self._before = before
        self._now = now
        self._left = left

    def payloads(self) -> Iterator[bytes]:
        """Give it as payloads of chunks. May be called on another thread, once."""
        before, now = self._before, self._now
        gone = min(max(0, now.first - before.first), len(before.values))
        # Those that have left come first, for some of them may have come again.
        yield from self._cut(self._changed_of_left(gone))
        if len(now.values) < FEW:
            yield from self._cut(self._changed())
        else:
            yield from self._changed_of_many()

    def _cut(self, changed: Iterable[tuple[list[Any], list[Any]]]) -> Iterator[bytes]:
        keys: list[Any] = []
        values: list[Any] = []
        for some_keys, some_values in changed:
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
        """Give keys and values of those that are there."""
        before, now = self._before, self._now
        place, ahead = now.first - self._first, now.first - before.first
        then = before.values[ahead : ahead + len(now.values)]
        then += [MISSING] * (len(now.values) - len(then))
        changed = list(map(is_not, now.values, then))
        yield list(compress(self._keys[place : place + len(changed)], changed)), list(compress(now.values, changed))

    def _changed_of_many(self) -> Iterator[bytes]:
        """Give the chunks of those that are there, without touching what has not changed."""
        first, values = self._now.first, references.viewed(self._now.values)
        changed = references.changed(values, references.viewed(self._before.values), first - self._before.first)
        for start, end in self._encoded.ranges(first, first + len(values)):
            wanted = changed[start - first : end - first]
            some: list[Any] = values[start - first : end - first][wanted].tolist()
            if some:
                keys = self._encoded.portion(self._first, self._keys, end).picked(start, wanted)
                chunks = self._chunks(keys, some) if keys is not None else None
                if chunks is None:
                    known = compress(self._keys[start - self._first : end - self._first], wanted)
                    yield from self._cut([(list(known), some)])
                else:
                    yield from chunks

    def _chunks(self, keys: Picked, values: list[Any]) -> list[bytes] | None:
        """Return chunks of keys that are bytes already; None if values are not plain."""
        ends = [0, *keys.ends[CHUNK_KEYS - 1 :: CHUNK_KEYS].tolist(), len(keys.data)]
        chunks = []
        for at, (start, end) in zip(range(0, len(values), CHUNK_KEYS), pairwise(ends), strict=False):
            chunk = payload_of_encoded(self._place, keys.data[start:end], values[at : at + CHUNK_KEYS])
            if chunk is None:
                return None
            chunks.append(chunk)
        return chunks
