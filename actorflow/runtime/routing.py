"""Which lane a record goes to: from its key, by key group, or by the user's own function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.errors import PlanError
from actorflow.operators.failures import NOTHING
from actorflow.operators.inline import inlined
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.wire.stable_hash import stable_hash

_LANES_REMEMBERED_MAX = 500_000
"""Keys whose lane is remembered by one exchange. Beyond it the memory is cleared, so that unbounded key spaces cost bounded memory."""


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

    def lanes(self, records: list[Any]) -> list[int]:
        """Return the lane of each record."""
        look_up = self.lane_of.__getitem__
        try:
            return list(map(look_up, records if self._key is None else map(self._key, records)))
        except BaseException as error:
            raise self._failure(error, self._culprit(records)) from error

    def _culprit(self, records: list[Any]) -> Any:
        """Return the record for which looking up a lane fails."""
        for record in records:
            try:
                self.lane_of[record if self._key is None else self._key(record)]
            except BaseException:
                return record
        return NOTHING

    def bound(self) -> None:
        """Forget lanes once too many are remembered."""
        self.lane_of.bound()


class LaneOf(dict[Any, int]):
    """A mapping from key to lane that computes what it does not know yet. Python's own equality of keys is kept: `1 == 1.0 == True`."""

    __slots__ = ("_compute",)

    def __init__(self, compute: Callable[[Any], int]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: Any) -> int:
        lane = self[key] = self._compute(key)
        return lane

    def bound(self) -> None:
        """Forget all lanes once too many keys are remembered."""
        if len(self) > _LANES_REMEMBERED_MAX:
            self.clear()


def hash_lane(parallelism: int, max_parallelism: int) -> Callable[[Any], int]:
    """Return the function from key to subtask index, by key group."""

    def lane(key: Any) -> int:
        return subtask_of(key_group(stable_hash(key), max_parallelism), parallelism, max_parallelism)

    return lane


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
