"""Key groups: the units in which keyed state is spread over subtasks, and moves when the parallelism changes.

    stable hash of a key ──► group = hash % max_parallelism ──► subtask = group * parallelism // max_parallelism

The number of groups (`max_parallelism`) is fixed for the life of a job's state. Each subtask owns one contiguous range of them, the
ranges differ in length by at most one, and changing the parallelism only cuts the ranges elsewhere: no key changes its group.
The hash itself is `actorflow.wire.stable_hash`; here is only the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_PARALLELISM_LIMIT = 32_768
"""The most key groups a job can have: a group number fits 15 bits, as the key prefix of the state backends needs."""


@dataclass(frozen=True, slots=True)
class Move:
    """Key groups that one subtask held before a change of parallelism, and one subtask holds after it.

    Attributes:
        source: index of the subtask that held them.
        target: index of the subtask that will hold them; it may be the same number.
        groups: the key groups, contiguous, never empty.
    """

    source: int
    target: int
    groups: range


def key_group(key_hash: int, max_parallelism: int) -> int:
    """Return the key group of a key with this stable hash (not negative)."""
    return key_hash % max_parallelism


def subtask_of(group: int, parallelism: int, max_parallelism: int) -> int:
    """Return the index of the subtask that owns `group`."""
    return group * parallelism // max_parallelism


def group_range(index: int, parallelism: int, max_parallelism: int) -> range:
    """Return the key groups that subtask `index` owns: exactly those for which `subtask_of` answers `index`."""
    assert 0 <= index < parallelism <= max_parallelism, f"no subtask {index} of {parallelism} with {max_parallelism} key groups"
    return range(_first_group(index, parallelism, max_parallelism), _first_group(index + 1, parallelism, max_parallelism))


def moves(old_parallelism: int, new_parallelism: int, max_parallelism: int) -> tuple[Move, ...]:
    """Return where every key group goes when `old_parallelism` subtasks become `new_parallelism`, in the order of the groups.

    Every group is in exactly one move. There are at most `old_parallelism + new_parallelism - 1` moves: one walk over the two
    rows of ranges, cut wherever either of them is cut.
    """
    result: list[Move] = []
    start = source = target = 0
    while start < max_parallelism:
        source_end = _first_group(source + 1, old_parallelism, max_parallelism)
        target_end = _first_group(target + 1, new_parallelism, max_parallelism)
        end = min(source_end, target_end)
        result.append(Move(source, target, range(start, end)))
        source += end == source_end
        target += end == target_end
        start = end
    return tuple(result)


def _first_group(index: int, parallelism: int, max_parallelism: int) -> int:
    """Return the smallest group for which `group * parallelism // max_parallelism >= index`: a division rounded up."""
    return -(-index * max_parallelism // parallelism)
