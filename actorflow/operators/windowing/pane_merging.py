"""Windows out of panes, with a few merges for each key and slide however long the windows are.

Two stacks make a queue: the panes of a window are merged from a *turn* in both directions, and as windows move on, the left side is used
up and the right side grows. When a window starts at the turn or behind it, everything turns: its end is the next turn.

    panes        0   1   2   3 | 4   5   6            turn at 4
    left side    0..3  1..3  2..3  3                  of each key: one value for each of its panes, the widest on top
    right side                   4..6                 of each key: one value
    window 2..6  = 2..3 + 4..6

The left side has as many values as the panes have, so it costs no more memory than they do. Source: the two-stack algorithm of sliding
window aggregation (Tangwongsan, Hirzel, Schneider: "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time", 2017).

It is a cache: panes are the truth. A record that comes to a pane which was merged already makes its key *stale*; the window of such a
key is merged from its panes, until the next turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

T = TypeVar("T")

KEYS_AT_ONCE: Final = 2000
"""Then others get their turn, if it is time."""

Merge = Callable[[Any, Any], Any]


class PaneMerger:
    """Merges panes to windows, for windows that follow each other.

    Args:
        merge: the accumulator of two, the earlier one first.
        entries: gives the keys of a pane with their accumulators.
        look_up: returns the accumulators of one key in some panes, in order, without those where it has none.
    """

    def __init__(
        self,
        merge: Merge,
        entries: Callable[[int], Iterable[tuple[Any, Any]]],
        look_up: Callable[[Any, Sequence[int]], Iterable[Any]],
    ) -> None:
        self._merges = 0
        """Since others had their turn."""
        self._merge = merge
        self._entries = entries
        self._look_up = look_up
        self.clear()

    def clear(self) -> None:
        """Forget what was merged."""
        self._turn: int | None = None
        self._merged_to = 0
        self._left: dict[Any, list[tuple[int, Any]]] = {}
        self._right: dict[Any, Any] = {}
        self._stale: dict[Any, None] = {}

    def changed(self, pane: int, keys: Iterable[Any]) -> None:
        """Note that records of these keys came to a pane."""
        if self._turn is not None and pane < self._merged_to:
            self._stale.update(dict.fromkeys(keys))

    def window(self, start: int, end: int, panes: Sequence[int]) -> Iterator[list[tuple[Any, Any]]]:
        """Give the keys of a window with their accumulators, in lists. Windows are asked for in order, each is taken to its end before the next.

        The lists before the first results are empty: panes are merged, which may take as long as giving the results.

        Args:
            start: of the window, not before that of the window before.
            end: of the window.
            panes: all that exist, in order.
        """
        if self._turn is None or start >= self._turn:
            merging = self._turn_at(end, panes[bisect_left(panes, start) : bisect_left(panes, end)])
        else:
            merging = self._add(panes[bisect_left(panes, self._merged_to) : bisect_left(panes, end)])
        for merged in merging:
            self._merges += merged
            if self._merges >= KEYS_AT_ONCE:
                self._merges = 0
                yield []
        self._merged_to = end
        used_up: list[Any] = []
        for some in portions(self._left.items()):
            if results := self._from_left(some, start, used_up):
                yield results
        for key in used_up:
            del self._left[key]
        for some in portions(self._right.items()):
            if results := [(key, acc) for key, acc in some if key not in self._left and key not in self._stale]:
                yield results
        inside = panes[bisect_left(panes, start) : bisect_left(panes, end)] if self._stale else ()
        for some in portions(self._stale):
            if results := [(key, found[0]) for key in some if (found := self.fresh(key, inside)) is not None]:
                yield results

    def _from_left(
        self, some: Iterable[tuple[Any, list[tuple[int, Any]]]], start: int, used_up: list[Any]
    ) -> list[tuple[Any, Any]]:
        """Return keys of the left side, merged with the right side; add those that it has nothing of any more to `used_up`."""
        right, stale, merge = self._right, self._stale, self._merge
        merged: list[tuple[Any, Any]] = []
        for key, values in some:
            while values and values[-1][0] < start:
                values.pop()
            if not values:
                used_up.append(key)
            elif key in right:
                if key not in stale:
                    merged.append((key, merge(values[-1][1], right[key])))
            elif key not in stale:
                merged.append((key, values[-1][1]))
        return merged

    def fresh(self, key: Any, panes: Sequence[int]) -> tuple[Any] | None:
        """Return the accumulator of a key, merged from some panes, in a tuple; None if it is in none of them."""
        found: tuple[Any] | None = None
        for acc in self._look_up(key, panes):
            found = (acc if found is None else self._merge(found[0], acc),)
        return found

    def _turn_at(self, turn: int, panes: Sequence[int]) -> Iterator[int]:
        """Merge panes from the last to the first, and begin a new right side. Gives how many keys were merged, now and then."""
        self.clear()
        self._turn = turn
        left, merge = self._left, self._merge
        for pane in reversed(panes):
            for some in portions(self._entries(pane)):
                for key, acc in some:
                    values = left.get(key)
                    if values is None:
                        left[key] = [(pane, acc)]
                    else:
                        values.append((pane, merge(acc, values[-1][1])))
                yield len(some)

    def _add(self, panes: Sequence[int]) -> Iterator[int]:
        """Merge panes to the right side. Gives how many keys were merged, now and then."""
        right, merge = self._right, self._merge
        for pane in panes:
            for some in portions(self._entries(pane)):
                for key, acc in some:
                    before = right.get(key, right)
                    right[key] = acc if before is right else merge(before, acc)
                yield len(some)


def portions(items: Iterable[T]) -> Iterator[list[T]]:
    """Give what there is in lists of some length."""
    rest = iter(items)
    while some := list(islice(rest, KEYS_AT_ONCE)):
        yield some
