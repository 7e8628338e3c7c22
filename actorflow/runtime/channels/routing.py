"""Which lane a record goes to: from its key, by key group, or by the user's own function."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from actorflow.errors import PlanError
from actorflow.operators.compiled.inline import inlined
from actorflow.operators.failures import NOTHING
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.wire.batch import ColumnBatch
from actorflow.wire.stable_hash import stable_hash, stable_hashes

_REMEMBERED_FIRST = 1 << 14
_REMEMBERED_MAX = 1 << 19
_LOOKED_UP_MIN = 1 << 16
_MISSES_ALLOWED = 0.3
_HASHED_FROM = 0.1
"""Share of keys not found from which hashing all of them in C loops is cheaper than looking most of them up."""


def _is_identity(key: Callable[[Any], Any]) -> bool:
    """Return whether a key function gives back its argument, as `lambda word: word` does."""
    expression = inlined(key)
    return expression is not None and expression.text("record") == "record"


class Chooser:
    """Finds the lane of a record by its key.

    Args:
        key: the user's key function.
        lane_of: computes the lane of a key, and may remember it.
        failure: makes the error to raise when `key` or `lane_of` raised for a record: `(error, record) -> exception`.
        key_column: name of the key column, for batches of columns.
    """

    def __init__(
        self,
        key: Callable[[Any], Any],
        lane_of: LaneOf,
        failure: Callable[[BaseException, Any], Exception],
        key_column: str | None = None,
    ) -> None:
        self.lane_of = lane_of
        self.key_column = key_column
        self._key = None if _is_identity(key) else key
        self._failure = failure
        self._looked_up = 0

    def lanes(self, records: list[Any]) -> Sequence[int]:
        """Return the lane of each record."""
        self._looked_up += len(records)
        try:
            return self.lane_of.lanes(records if self._key is None else list(map(self._key, records)))
        except BaseException as error:
            raise self._failure(error, self._culprit(records)) from error

    def columns_failure(self, error: BaseException, batch: ColumnBatch) -> Exception:
        """Return what to raise when the lanes of a batch of columns could not be found: it names the row."""
        columns = batch.columns
        keys = columns.column(self.key_column).to_pylist() if self.key_column in columns.schema.names else []
        for row, key in enumerate(keys):
            try:
                self.lane_of[key]
            except BaseException as failed:
                return self._failure(failed, columns.slice(row, 1).to_pylist()[0])
        return self._failure(error, NOTHING)

    def _culprit(self, records: list[Any]) -> Any:
        """Return the record for which looking up a lane fails."""
        for record in records:
            try:
                self.lane_of[record if self._key is None else self._key(record)]
            except BaseException:
                return record
        return NOTHING

    def adapt(self) -> None:
        """Once in a while, see whether the right number of lanes is remembered."""
        if self._looked_up >= _LOOKED_UP_MIN:
            self.lane_of.adapt(self._looked_up)
            self._looked_up = 0


class LaneOf(dict[Any, int]):
    """A mapping from key to lane that computes what it does not know. Python's own equality of keys is kept: `1 == 1.0 == True`.

    It remembers few keys at first: a table that fits the processor's cache and holds the frequent keys beats one that holds all of
    them (word count over 100,000 words on two cores spent 5.9 to 7.5 s of CPU with few, 8.5 s with all, on a busy machine). Where keys are spread so evenly that too
    many are not found, it remembers more, up to a limit; beyond that it starts anew, which also forgets keys that have gone out of use.

    Args:
        compute: returns the lane of a key.
    """

    __slots__ = ("_compute", "_misses", "_room")

    def __init__(self, compute: Callable[[Any], int]) -> None:
        super().__init__()
        self._compute = compute
        self._misses = 0
        self._room = _REMEMBERED_FIRST

    def __missing__(self, key: Any) -> int:
        lane = self._compute(key)
        self._misses += 1
        if len(self) < self._room:
            self[key] = lane
        return lane

    def lanes(self, keys: Sequence[Any]) -> Sequence[int]:
        """Return the lane of each key."""
        return list(map(self.__getitem__, keys))

    def adapt(self, looked_up: int) -> None:
        """Remember more keys, or start anew, if too many of the last `looked_up` were not known although the room is used up."""
        misses, self._misses = self._misses, 0
        if misses <= _MISSES_ALLOWED * looked_up or len(self) < self._room:
            return
        if self._room < _REMEMBERED_MAX:
            self._room *= 4
        else:
            self.clear()
            self._room = _REMEMBERED_FIRST


class GroupLaneOf(LaneOf):
    """The lane of a key by its key group.

    Text and integers whose table would have to be large are not looked up at all: whole batches are hashed anew, in C loops. That needs
    no memory, so it leaves the processor's cache to the state behind the exchange (word count over 100,000 words on two slots took 4.5 to 5.2 s of
    CPU instead of 5.1 to 6.2 s, on a busy machine).

    Args:
        parallelism: number of lanes.
        max_parallelism: number of key groups.
    """

    __slots__ = ("_by_last_byte", "_hashes", "_max_parallelism", "_owners")

    def __init__(self, parallelism: int, max_parallelism: int) -> None:
        owners = [subtask_of(group, parallelism, max_parallelism) for group in range(max_parallelism)]
        super().__init__(lambda key: owners[key_group(stable_hash(key), max_parallelism)])
        self._hashes = False
        self._owners = owners
        self._max_parallelism = max_parallelism
        self._by_last_byte = bytes(owners * (256 // max_parallelism)) if 256 % max_parallelism == 0 else None
        """The lane by the last byte of a hash, where that says what the group is."""

    def lanes(self, keys: Sequence[Any]) -> Sequence[int]:
        """Return the lane of each key."""
        hashes = stable_hashes(keys) if self._hashes else None
        if hashes is None:
            return super().lanes(keys)
        if self._by_last_byte is not None:
            return hashes[7::8].translate(self._by_last_byte)
        numbers = array("Q", hashes)
        numbers.byteswap()
        return list(map(self._owners.__getitem__, map(self._max_parallelism.__rmod__, numbers)))

    def adapt(self, looked_up: int) -> None:
        """Hash from now on, if many of the last `looked_up` were not known although the room is used up; for other keys see `LaneOf`."""
        if not self._hashes and self._misses > _HASHED_FROM * looked_up and len(self) >= self._room:
            self._hashes = True
            self._misses = 0
        else:
            super().adapt(looked_up)


def custom_lane(choose: Callable[[Any, int], int], parallelism: int) -> Callable[[Any], int]:
    """Return the user's choice of a lane, checked."""

    def lane(key: Any) -> int:
        chosen = choose(key, parallelism)
        if not isinstance(chosen, int) or not 0 <= chosen < parallelism:
            raise PlanError(
                f"the partitioner chose {chosen!r} for key {key!r}; the next operator has {parallelism} subtasks",
                hint=f"return an integer from 0 to {parallelism - 1}",
            )
        return chosen

    return lane


class CustomLaneOf(LaneOf):
    """Lanes chosen by the user's function, which may answer differently each time it is asked: nothing is remembered."""

    __slots__ = ()

    def __missing__(self, key: Any) -> int:
        return self._compute(key)
