"""Where the batches of a keyed operator come from in batch mode: all of its input is taken in and sorted first.

    input gate ──► sorter (memory, then disk) ── end of input ──► pieces that end where keys end ──► chain, finish_keys

A turn takes in one batch, or does one piece of sorting or merging work, or gives the chain one piece. So other actors run in between, and
while the sorter is at work the gate takes nothing: producers feel back-pressure.

Input that is not spread by key (a broadcast) passes at once: it is complete before the first sorted record is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, assert_never

from actorflow.errors import SerializationError
from actorflow.operators.columns import to_objects
from actorflow.operators.failures import NOTHING
from actorflow.runtime.feeds import GateFeed, Taker
from actorflow.runtime.key_pieces import KeyPieces, batches_of, lane_of
from actorflow.runtime.subtask import Subtask
from actorflow.storage.external_sort import ExternalSort
from actorflow.wire.batch import (
    MAX_TIMESTAMP,
    Active,
    Barrier,
    Batch,
    ChannelEvent,
    ColumnBatch,
    EndOfInput,
    Idle,
    LatencyMarker,
    ObjectBatch,
    Watermark,
    portions,
)
from actorflow.wire.key_order import key_code

_ROWS_AT_ONCE = 1 << 12
"""Rows of columns that become objects in one turn."""


class SortedFeed:
    """Feeds a subtask with its input sorted by key.

    Args:
        subtask: takes the batches.
        feed: makes what takes elements from the gate and gives them to something.
        keys: the key function of every port that is sorted.
        sort: sorts.
        operator: name of the operator that is fed, for errors.
        failure: makes the error to raise when a key could not be found, or is none: `(error, record) -> exception`.
        piece_records_max: records to give the chain at once.
    """

    def __init__(
        self,
        subtask: Subtask,
        feed: Callable[[Taker], GateFeed],
        *,
        keys: Mapping[int, Callable[[Any], Any]],
        sort: ExternalSort,
        operator: str,
        failure: Callable[[BaseException, object], Exception],
        piece_records_max: int,
    ) -> None:
        self.ended = False
        self.meter = subtask.meter
        self._subtask = subtask
        self._input = feed(self)
        self.gate = self._input.gate
        self._keys = keys
        self._sort = sort
        self._operator = operator
        self._failure = failure
        self._pieces = KeyPieces(sort.take, piece_records_max)
        self._arrived: deque[tuple[Batch, int]] = deque()
        self._all_there = False
        self._batches: Iterator[tuple[ObjectBatch, int]] = iter(())
        self._keys_complete = False

    @property
    def records_in(self) -> int:
        """Records that were taken in."""
        return self._input.records_in

    @property
    def bytes_in(self) -> int:
        """Encoded bytes of them that came from other nodes."""
        return self._input.bytes_in

    def rest(self) -> None:
        """Have no input for now."""
        self._subtask.rest()

    @property
    def waits_for(self) -> str:
        """What has to come."""
        return "" if self._all_there else self._input.waits_for

    def begin(self) -> None:
        """Grant the first credits."""
        self._input.begin()

    # --- taking in -----------------------------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Do one turn's work."""
        if self._all_there:
            return self._work() or self._give()
        if self._work():
            return True
        if self._arrived:
            self._absorb(*self._arrived.popleft())
            return True
        if not self._input.ended:
            more = self._input.advance()
            return more or self._input.ended or bool(self._arrived)
        self._sort.finish()
        self._all_there = True
        return True

    def _work(self) -> bool:
        try:
            return self._sort.work()
        except SerializationError as error:
            raise SerializationError(
                f"cannot sort the input of '{self._operator}' on disk: {error.message}", hint=error.hint
            ) from error

    def take(self, batch: Batch, port: int) -> None:
        """Take a batch from the gate. Columns become objects in portions: as objects, they take many times the memory."""
        if port not in self._keys:
            self._subtask.take(batch, port)
        elif len(batch) <= _ROWS_AT_ONCE:
            self._arrived.append((batch, port))
        else:
            self._arrived.extend((portion, port) for portion in portions(batch, _ROWS_AT_ONCE))

    def event(self, event: ChannelEvent) -> None:
        """Take an event from the gate: event time stands still until the end, and idleness means nothing to who waits for it."""
        match event:
            case Barrier() | LatencyMarker():
                self._subtask.event(event)
            case Watermark() | Idle() | Active() | EndOfInput():
                pass
            case _:
                assert_never(event)

    def _absorb(self, batch: Batch, port: int) -> None:
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        key_of = self._keys[port]
        try:
            self._sort.add(batch, list(map(key_of, batch.records)), lane_of(port, timed=batch.timestamps is not None))
        except BaseException as error:
            raise self._failure(error, _culprit(batch.records, key_of)) from error

    # --- giving --------------------------------------------------------------------------------------------------------------

    def _give(self) -> bool:
        batch = next(self._batches, None)
        if batch is not None:
            self._subtask.take(*batch)
        elif self._keys_complete:
            self._keys_complete = not self._subtask.chain.finish_keys()
        elif not self._next_piece():
            self.ended = True
            self._subtask.event(Watermark(MAX_TIMESTAMP))
        return not self.ended

    def _next_piece(self) -> bool:
        piece = self._pieces.next()
        if piece is None:
            return False
        rows, self._keys_complete = piece
        self._batches = batches_of(rows)
        return True

    def close(self) -> None:
        """Give memory and disk space back."""
        self._sort.close()
        self._input.close()


def _culprit(records: list[Any], key_of: Callable[[Any], Any]) -> object:
    """Return the record whose key cannot be found, or is none."""
    for record in records:
        try:
            key_code(key_of(record))
        except BaseException:
            return record
    return NOTHING
