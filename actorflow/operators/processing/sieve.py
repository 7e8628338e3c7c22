"""Puts aside the records that have failed too often, in front of an operator that asks for it (`operators.processing.supervise`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from actorflow.errors import ActorflowError, UserFunctionError
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.contract import SubtaskContext
from actorflow.operators.processing.emitting import Outputs
from actorflow.operators.processing.supervise import DeadLetter
from actorflow.operators.stage import Kept
from actorflow.wire import pickling
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch


class Sieve:
    """Puts records aside before an operator sees them, and says of a record that has failed which one it was.

    It looks for records only until it has found those that it was told of. Of every batch it keeps a copy until the next: an operator may change a
    record before it fails at it, and the record has to be known again as it comes.

    Args:
        operator: its name.
        tag: side output for dead letters.
        keyed: whether a record always comes to the same subtask.
        outputs: of the operator.
        context: the subtask.
    """

    def __init__(self, operator: str, tag: str, outputs: Outputs, context: SubtaskContext, *, keyed: bool) -> None:
        self._letters = outputs.sides.get(tag)
        self._log = context.log
        self._first = context.subtask.index == 0
        self._done: Counter[str] = Counter()
        self._done_before: Counter[str] = Counter()
        own = context.subtask if keyed else None
        self._operator = operator
        self._orders = {order.suspect: order for order in context.quarantined if order.concerns(operator, own)}
        self._left = {suspect: order.times for suspect, order in self._orders.items()}
        self._given: Sequence[Any] = ()
        """What the operator has got last."""
        self._as_given = b""
        """The same in bytes, from before the operator could change it; nothing if it cannot be pickled."""

    def sift(self, batch: Batch) -> Batch:
        """Return the batch without the records that are to be put aside."""
        objects = to_objects(batch) if isinstance(batch, ColumnBatch) else batch
        if self._left:
            objects = self._without_suspects(objects)
        self._given = objects.records
        try:
            self._as_given = pickling.dumps(objects.records)
        except Exception:  # whatever the user's own pickling raises
            self._as_given = b""
        return objects

    def _without_suspects(self, batch: ObjectBatch) -> ObjectBatch:
        stamps: Sequence[int | None] = batch.timestamps if batch.timestamps is not None else [None] * len(batch)
        kept = [not self._put_aside(record, stamp) for record, stamp in zip(batch.records, stamps, strict=True)]
        if all(kept):
            return batch
        records = [record for record, keep in zip(batch.records, kept, strict=True) if keep]
        timestamps = batch.timestamps
        return ObjectBatch(
            records, None if timestamps is None else [stamp for stamp, keep in zip(timestamps, kept, strict=True) if keep]
        )

    def _put_aside(self, record: Any, timestamp: int | None) -> bool:
        suspect = fingerprint(record, timestamp) if self._left else ""
        if suspect not in self._left:
            return False
        self._left[suspect] -= 1
        if not self._left[suspect]:
            del self._left[suspect]
        self._done[suspect] += 1
        order = self._orders[suspect]
        letter = DeadLetter(record, timestamp, self._operator, order.failures, str(order.error), order.error.traceback)
        if self._letters is not None:
            self._letters.records.append(letter)
            if timestamp is not None:
                self._letters.stamps.append(timestamp)
        self._log.warning("a record was put aside after %d failures: %s", order.failures, order.error)
        return True

    def blamed(self, failure: ActorflowError, record: Any, timestamp: int | None) -> ActorflowError:
        """Return a failure with the record that it happened at, as that was before the operator had it."""
        if not isinstance(failure, UserFunctionError):
            return failure
        return UserFunctionError(replace(failure.error, suspect=fingerprint(self._as_it_came(record), timestamp)))

    def _as_it_came(self, record: Any) -> Any:
        place = next(place for place, given in enumerate(self._given) if given is record)
        try:
            return pickling.loads(self._as_given)[place]
        except Exception:  # it could not be pickled, or not be read again
            return record

    def snapshot(self) -> Mapping[str, int]:
        """Return how many records were put aside, by suspect. The first subtask also keeps what was done before its run."""
        return dict(self._done + self._done_before if self._first else self._done)

    def restore(self, kept: Sequence[Kept]) -> None:
        """Go on from what the subtasks of an earlier run have kept: what was put aside before that is not to be found any more."""
        for of_subtask in kept:
            self._done_before.update(of_subtask.put_aside)
        left = {suspect: order.times - self._done_before[suspect] for suspect, order in self._orders.items()}
        self._left = {suspect: times for suspect, times in left.items() if times > 0}


def fingerprint(record: Any, timestamp: int | None) -> str:
    """Return a digest that knows a record again in another attempt; an empty text for one that cannot be pickled."""
    try:
        return blake2b(pickling.dumps((record, timestamp)), digest_size=16).hexdigest()
    except Exception:  # whatever the user's own pickling raises
        return ""
