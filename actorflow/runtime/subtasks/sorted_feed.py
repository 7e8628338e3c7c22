"""Where the batches of a keyed operator come from in batch mode: all of its input is taken in and sorted first.

    input gate ──► sorter (memory, then disk) ── end of input ──► pieces that end where keys end ──► chain, finish_keys
             │        ▲
             └─► combiner: one pair a key, for counts, sums, smallest and largest values

A turn takes in one batch, or does one piece of sorting or merging work, or gives the chain one piece. So other actors run in between, and
while the sorter is at work the gate takes nothing: producers feel back-pressure.

Input that is not spread by key (a broadcast) passes at once: it is complete before the first sorted record is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, assert_never

from actorflow.config import Config, options
from actorflow.errors import SerializationError, UserFunctionError
from actorflow.ids import SubtaskId
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.compiled.combining import Combiner, combines
from actorflow.operators.failures import NOTHING
from actorflow.plan.graph import LogicalOperator
from actorflow.runtime.channels.key_pieces import KeyPieces, batches_of, lane_of
from actorflow.runtime.subtasks.feeds import GateFeed, Taker
from actorflow.runtime.subtasks.subtask import Subtask
from actorflow.runtime.subtasks.subtask_contract import InputView
from actorflow.storage.external_sort import ExternalSort
from actorflow.storage.spill_file import SpillFile, spill_directories
from actorflow.wire.batch import (
    MAX_TIMESTAMP,
    Active,
    Barrier,
    Batch,
    ChannelEvent,
    ColumnBatch,
    EndOfInput,
    Idle,
    ObjectBatch,
    Watermark,
    portions,
)
from actorflow.wire.key_order import key_code
from actorflow.wire.stable_hash import UnstableKey

_ROWS_AT_ONCE = 1 << 12
"""Rows of columns that become objects in one turn, and combined pairs that are sorted."""

_PAIRS_SHARE_MAX = 0.5
_COMBINED_BYTES_FEW = 1 << 18
"""Where there are so many keys that combining leaves more than half of the records, only those near each other are combined: a small table
stays in the processor's cache, and still takes the frequent keys."""

_KEY = itemgetter(0)


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
        combiner: for an aggregation whose input can be combined before it is sorted: the chain then gets pairs of key and value.
        combined_bytes_max: how large what it holds may become, in bytes.
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
        combiner: Combiner | None = None,
        combined_bytes_max: int = 0,
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
        self._combiner = combiner
        self._combined_bytes_max = combined_bytes_max
        self._combined_records = 0
        self._pairs: Iterator[ObjectBatch] = iter(())
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

    def channels(self) -> tuple[InputView, ...]:
        """Return the input channels as values."""
        return self._input.channels()

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
        pairs = next(self._pairs, None)
        if pairs is not None:
            self._add(pairs, _KEY, 0)
            return True
        if self._arrived:
            self._absorb(*self._arrived.popleft())
            return True
        if not self._input.ended:
            more = self._input.advance()
            return more or self._input.ended or bool(self._arrived)
        if self._combiner is not None and self._combiner.held_bytes:
            self._pairs = self._combiner.take(_ROWS_AT_ONCE)
        else:
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
        elif len(batch) <= _ROWS_AT_ONCE or self._combiner is not None:
            self._arrived.append((batch, port))
        else:
            self._arrived.extend((portion, port) for portion in portions(batch, _ROWS_AT_ONCE))

    def event(self, event: ChannelEvent) -> None:
        """Take an event from the gate: event time stands still until the end, and idleness means nothing to who waits for it."""
        match event:
            case Barrier():
                raise AssertionError("no checkpoint is taken of a job in batch mode: it would lack what waits here to be sorted")
            case Watermark() | Idle() | Active() | EndOfInput():
                pass
            case _:
                assert_never(event)

    def _absorb(self, batch: Batch, port: int) -> None:
        if self._combiner is not None:
            self._combine(self._combiner, batch, port)
            return
        if isinstance(batch, ColumnBatch):
            batch = to_objects(batch)
        self._add(batch, self._keys[port], port)

    def _combine(self, combiner: Combiner, batch: Batch, port: int) -> None:
        try:
            combiner.add(batch)
        except UserFunctionError as error:
            record, unusable = _culprit(batch, self._keys[port])
            if isinstance(unusable, UnstableKey):  # a key that no dict takes: say what a key has to be
                raise self._failure(unusable, record) from error
            raise
        self._combined_records += len(batch)
        if combiner.held_bytes > self._combined_bytes_max:
            if len(combiner) > _PAIRS_SHARE_MAX * self._combined_records:
                self._combined_bytes_max = min(self._combined_bytes_max, _COMBINED_BYTES_FEW)
            self._combined_records = 0
            self._pairs = combiner.take(_ROWS_AT_ONCE)

    def _add(self, batch: ObjectBatch, key_of: Callable[[Any], Any], port: int) -> None:
        try:
            self._sort.add(batch, list(map(key_of, batch.records)), lane_of(port, timed=batch.timestamps is not None))
        except BaseException as error:
            raise self._failure(error, _culprit(batch, key_of)[0]) from error

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


def _culprit(batch: Batch, key_of: Callable[[Any], Any]) -> tuple[object, BaseException | None]:
    """Return the record whose key cannot be found, or is none, and why."""
    for record in (to_objects(batch) if isinstance(batch, ColumnBatch) else batch).records:
        try:
            key_code(key_of(record))
        except BaseException as error:
            return record, error
    return NOTHING, None


def sorted_feed(
    subtask: Subtask,
    feed: Callable[[Taker], GateFeed],
    operator: LogicalOperator,
    subtask_id: SubtaskId,
    *,
    keys: Mapping[int, Callable[[Any], Any]],
    config: Config,
    failure: Callable[[BaseException, object], Exception],
) -> SortedFeed:
    """Return the sorted feed of a subtask, with what it needs according to the options of the job.

    Args:
        subtask: see `SortedFeed`.
        feed: see `SortedFeed`.
        operator: the first of the subtask's operators.
        subtask_id: which one it is; subtasks take the directories in turn.
        keys: see `SortedFeed`.
        config: options of the job.
        failure: see `SortedFeed`.
    """
    directories = spill_directories(config[options.TMP_DIRS])
    directory = directories[subtask_id.index % len(directories)]
    memory_bytes = config[options.SORT_MEMORY]
    spec = operator.spec
    return SortedFeed(
        subtask,
        feed,
        keys=keys,
        sort=ExternalSort(lambda: SpillFile(directory, f"the input of '{operator.name}'"), memory_bytes),
        operator=operator.name,
        failure=failure,
        piece_records_max=min(config[options.BATCH_RECORDS_INITIAL], config[options.BATCH_RECORDS_MAX]),
        combiner=Combiner(operator.name, spec, subtask=str(subtask_id)) if combines(spec) else None,
        combined_bytes_max=memory_bytes // 2,
    )
