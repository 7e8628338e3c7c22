"""The keys of a table as MessagePack: each becomes bytes once, when it is first stored, and not for each checkpoint in which its value has changed.

Bytes of neighbouring places stand together in portions:

    places          65,536    65,537    65,538   …
    data            a4 w100   a2 w7     a3 w2f   …          the bytes of changed ones are picked without touching a key
    lengths         5         3         4        …

A portion that has a key which is no plain value (see `wire.plain_values`) has no bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actorflow.wire.plain_values import SPACE, encode_each, encode_spaced, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PORTION: Final = 1 << 16
"""Places of a portion: so few that nobody waits long for the interpreter while their keys become bytes."""


class Picked(NamedTuple):
    """The bytes of some keys.

    Attributes:
        data: one after another.
        ends: where each ends.
    """

    data: bytes
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Portion:
    """The keys of some neighbouring places.

    Attributes:
        first: the first place.
        number: of keys.
        encoded: their bytes, one after another, and how many each has; None if there are no keys, or some that are not plain.
    """

    first: int
    number: int = 0
    encoded: tuple[NDArray[np.uint8], NDArray[np.uint32]] | None = None

    @property
    def end(self) -> int:
        """The place behind the last one."""
        return self.first + self.number

    def followed_by(self, keys: list[Any]) -> Portion:
        """Return it with more keys."""
        import numpy as np

        encoded = _encoded(keys) if self.encoded is not None or not self.number else None
        if encoded is not None and self.encoded is not None:
            encoded = np.concatenate([self.encoded[0], encoded[0]]), np.concatenate([self.encoded[1], encoded[1]])
        return Portion(self.first, self.number + len(keys), encoded)

    def picked(self, start: int, wanted: NDArray[np.bool_]) -> Picked | None:
        """Return the bytes of those keys that are wanted, from the place `start` on; None if they are not plain."""
        import numpy as np

        if self.encoded is None:
            return None
        data, lengths = self.encoded
        at = start - self.first
        begin = int(lengths[:at].sum())
        lengths = lengths[at : at + len(wanted)]
        data = data[begin : begin + int(lengths.sum())]
        if not wanted.all():
            data, lengths = data[np.repeat(wanted, lengths)], lengths[wanted]
        return Picked(data.tobytes(), np.cumsum(lengths, dtype=np.int64))


class KeyBytes:
    """The keys of one table by their places. May be used on several threads at once: portions are replaced, and never changed."""

    def __init__(self) -> None:
        self._portions: dict[int, Portion] = {}

    @staticmethod
    def ranges(start: int, end: int) -> Iterator[tuple[int, int]]:
        """Divide places at the ends of portions: give the first of each part, and the one behind its last."""
        while start < end:
            behind = min(end, start - start % PORTION + PORTION)
            yield start, behind
            start = behind

    def portion(self, first: int, keys: list[Any], end: int) -> Portion:
        """Return the portion that a place ends, or is within.

        Args:
            first: the place of the first key of `keys`.
            keys: at least those up to `end`.
            end: the place behind the last one that is wanted.
        """
        number = (end - 1) // PORTION
        start = max(number * PORTION, first)
        portion = self._portions.get(number)
        if (
            portion is None or portion.first > start or portion.end < first
        ):  # it may have been told of keys that nobody knows any more
            portion = Portion(start)
        if portion.end < end:
            portion = self._portions[number] = portion.followed_by(keys[portion.end - first : end - first])
        return portion

    def forget(self, before: int) -> None:
        """Forget portions that end before a place."""
        for number in [number for number in list(self._portions) if (number + 1) * PORTION <= before]:
            del self._portions[number]


def _encoded(keys: list[Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint32]] | None:
    """Return the bytes of keys, and how many each has; None if they are not plain."""
    import numpy as np

    spaced = encode_spaced(keys) if plain(keys) else None
    if spaced is None:
        return None
    data = np.frombuffer(spaced, dtype=np.uint8)
    spaces = np.flatnonzero(data == SPACE)
    if len(spaces) == len(keys):
        return data[data != SPACE], np.diff(spaces, prepend=-1).astype(np.uint32) - np.uint32(1)
    each = encode_each(keys)  # a number of which a byte looks like the space
    return np.frombuffer(b"".join(each), dtype=np.uint8), np.fromiter(map(len, each), dtype=np.uint32, count=len(each))
