"""The outputs of a subtask: how batches spread over the lanes to the consumer's subtasks, in eight ways.

Everything works a batch at a time: dealing (rebalance, rescale, shuffle) takes strides of the list, forward and broadcast pass the batch
on, and partitioning by key looks lanes up and picks records in C loops (see `ChosenExchange`).
"""

from __future__ import annotations

import abc
import random
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

from actorflow.clock import Clock
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.columnar.lanes import ColumnSplitter
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.protocol.transfer.flush import FlushRules
from actorflow.protocol.transfer.flush import Lane as LaneIndex
from actorflow.runtime.channels.lanes import Lane
from actorflow.runtime.channels.routing import Chooser, CustomLaneOf, GroupLaneOf, custom_lane
from actorflow.wire.batch import Barrier, Batch, ChannelEvent, ColumnBatch, ObjectBatch

_TAGGED_LANES_MAX = 16
"""Lanes for which a pass over the batch each is cheaper than a Python loop over its records."""


class Exchange(abc.ABC):
    """An output of a subtask: a set of lanes, and the rule that spreads batches over them.

    Args:
        lanes: one for each consuming subtask that this producer may reach, in their order.
        clock: tells since when a buffer is open.
        rules: when a buffer that is not full is sent.
    """

    def __init__(self, lanes: Sequence[Lane], clock: Clock, rules: FlushRules) -> None:
        self.lanes = tuple(lanes)
        self.records_taken = 0
        """Records that were emitted into it."""
        self.overtakable = False
        """Whether a barrier may overtake what waits in its lanes."""
        self.closing: Callable[[], None] | None = None
        """What frees what its lanes lead to."""
        self.taps: tuple[Callable[[Batch], None], ...] = ()
        """Who looks at the batches that are emitted."""
        self._now = clock.now
        self._rules = rules

    @abc.abstractmethod
    def spread(self, batch: Batch) -> None:
        """Add a batch to the lanes."""

    def emit(self, batch: Batch) -> None:
        """Spread a batch and send what is full."""
        self.records_taken += len(batch)
        for tap in self.taps:
            tap(batch)
        self.spread(batch)
        self.settle()

    def settle(self) -> None:
        """Note what was added, and send the buffers that are full."""
        now, rules = self._now(), self._rules
        for index, lane in enumerate(self.lanes):
            if rules.buffered(LaneIndex(index), len(lane.records), now, lane.batch_records_max):
                lane.seal()
            lane.drain()

    def event(self, event: ChannelEvent) -> None:
        """Send an event down every lane, behind what was added before."""
        self._rules.passing()
        for lane in self.lanes:
            lane.event(event)
            lane.drain()

    def overtake(self, barrier: Barrier) -> list[tuple[int, Batch]]:
        """Send a barrier down every lane before what waits there; return the batches that it has overtaken, with their lanes. `drain` is to follow."""
        self._rules.passing()
        return [(place, batch) for place, lane in enumerate(self.lanes) for batch in lane.overtake(barrier)]

    def drain(self) -> None:
        """Send what there is credit for."""
        for lane in self.lanes:
            lane.drain()

    def send_again(self, batch: Batch, lane: int, lanes: int) -> None:
        """Take a batch that an earlier run had emitted and not sent: into its lane, if there are as many as then; else it is spread once more."""
        if lanes == len(self.lanes):
            self.lanes[lane].add(batch)
        else:
            self.spread(batch)
        self.settle()

    def flush_due(self, now: float) -> None:
        """Send the half-full buffers whose time is up."""
        self._send(self._rules.due(now))

    def flush_idle(self) -> None:
        """Send the half-full buffers that can go at once: the node has nothing better to do."""
        self._send(self._rules.idle(LaneIndex(index) for index, lane in enumerate(self.lanes) if lane.clear))

    def _send(self, indices: Sequence[LaneIndex]) -> None:
        for index in indices:
            self.lanes[index].seal()
            self.lanes[index].drain()

    def close(self) -> None:
        """Free what its lanes lead to."""
        if self.closing is not None:
            self.closing()

    @property
    def deadline_s(self) -> float | None:
        """When `flush_due` should be called, in seconds (monotonic), or None."""
        return self._rules.deadline

    @property
    def exhausted(self) -> bool:
        """Whether the producer has to wait: any lane may be the one that the next record needs."""
        return any(lane.exhausted for lane in self.lanes)

    @property
    def overdrawn(self) -> bool:
        """Whether a burst has overrun the overdraft of a lane."""
        return any(lane.overdrawn for lane in self.lanes)

    @property
    def records_sent(self) -> int:
        """Records that left."""
        return sum(lane.records_sent for lane in self.lanes)

    @property
    def bytes_sent(self) -> int:
        """Encoded bytes that left the node."""
        return sum(lane.bytes_sent for lane in self.lanes)


class ForwardExchange(Exchange):
    """Everything to the first lane: FORWARD, GLOBAL, and any partitioning over a single lane."""

    def spread(self, batch: Batch) -> None:
        """Pass the batch on."""
        self.lanes[0].add(batch)

    @property
    def exhausted(self) -> bool:
        """Whether the one lane in use is exhausted."""
        return self.lanes[0].exhausted


class BroadcastExchange(Exchange):
    """Every record to every lane."""

    def spread(self, batch: Batch) -> None:
        """Add the batch to all lanes."""
        for lane in self.lanes:
            lane.add(batch)


class DealExchange(Exchange):
    """Records dealt out in turn: REBALANCE and RESCALE (round robin), SHUFFLE (at random).

    Lanes that are exhausted are passed over, so one slow consumer does not hold up the others; only when all are exhausted does the
    producer wait.

    Args:
        lanes: see `Exchange`.
        clock: see `Exchange`.
        rules: see `Exchange`.
        first: the lane that gets the first record.
        random_source: None deals in turn; otherwise decides the order anew for each batch.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        clock: Clock,
        rules: FlushRules,
        *,
        first: int = 0,
        random_source: random.Random | None = None,
    ) -> None:
        super().__init__(lanes, clock, rules)
        self._random = random_source
        self._next = first % len(lanes)

    def spread(self, batch: Batch) -> None:
        """Deal the records of the batch out to the lanes that can take more."""
        lanes = [lane for lane in self._in_turn() if not lane.exhausted] or [self.lanes[self._next]]
        count = len(batch)
        self._next = (self._next + count) % len(self.lanes)
        if len(lanes) == 1:
            lanes[0].add(batch)
        elif isinstance(batch, ColumnBatch):
            self._deal_columns(batch, lanes)
        else:
            for offset, lane in enumerate(lanes[:count]):
                timestamps = batch.timestamps[offset :: len(lanes)] if batch.timestamps is not None else None
                lane.add(ObjectBatch(batch.records[offset :: len(lanes)], timestamps))

    def _in_turn(self) -> list[Lane]:
        lanes = [*self.lanes[self._next :], *self.lanes[: self._next]]
        if self._random is not None:
            self._random.shuffle(lanes)
        return lanes

    @staticmethod
    def _deal_columns(batch: ColumnBatch, lanes: list[Lane]) -> None:
        """Deal contiguous slices: a slice of columns shares their memory, a stride would copy."""
        rows, parts = len(batch), len(lanes)
        for part, lane in enumerate(lanes):
            start, stop = rows * part // parts, rows * (part + 1) // parts
            if stop > start:
                timestamps = batch.timestamps.slice(start, stop - start) if batch.timestamps is not None else None
                lane.add(ColumnBatch(batch.columns.slice(start, stop - start), timestamps))

    @property
    def exhausted(self) -> bool:
        """Whether all lanes are exhausted."""
        return all(lane.exhausted for lane in self.lanes)


class ChosenExchange(Exchange):
    """Each record to the lane that is computed for its key: HASH (by key group) and CUSTOM (by the user's function).

    The lane of every record of a batch is looked up first, in one C loop; then each lane picks its records, in another. That is half
    the cost of a Python loop that appends one record at a time.

    Args:
        lanes: see `Exchange`.
        clock: see `Exchange`.
        rules: see `Exchange`.
        chooser: finds the lane of a record.
    """

    def __init__(self, lanes: Sequence[Lane], clock: Clock, rules: FlushRules, chooser: Chooser) -> None:
        super().__init__(lanes, clock, rules)
        self._chooser = chooser
        self._splitter = ColumnSplitter(chooser.lane_of)
        self._selectors = [_selector(index) for index in range(len(lanes))] if len(lanes) <= _TAGGED_LANES_MAX else []

    def spread(self, batch: Batch) -> None:
        """Give each lane its records.

        Raises:
            UserFunctionError: if the key function raises; it names the record.
            UnstableKey: if a key has no stable hash.
        """
        if isinstance(batch, ColumnBatch):
            column = self._chooser.key_column
            if column is not None:
                self._spread_columns(batch, column)
                return
            batch = to_objects(batch)
        if self._selectors:
            self._spread_tagged(batch.records, batch.timestamps)
        else:
            self._spread_singly(batch.records, batch.timestamps)

    def _spread_tagged(self, records: list[Any], timestamps: list[int] | None) -> None:
        tags = bytes(self._chooser.lanes(records))
        for lane, selector in zip(self.lanes, self._selectors, strict=True):
            mine = tags.translate(selector)
            lane.extend(compress(records, mine), None if timestamps is None else compress(timestamps, mine))

    def _spread_singly(self, records: list[Any], timestamps: list[int] | None) -> None:
        """Spread over more lanes than fit a byte, where a pass for each lane would cost more than a look at each record."""
        chosen: dict[int, list[int]] = {}
        for position, lane in enumerate(self._chooser.lanes(records)):
            chosen.setdefault(lane, []).append(position)
        for lane, positions in chosen.items():
            times = None if timestamps is None else [timestamps[position] for position in positions]
            self.lanes[lane].extend([records[position] for position in positions], times)

    def _spread_columns(self, batch: ColumnBatch, column: str) -> None:
        try:
            parts = list(self._splitter.split(batch, column))
        except BaseException as error:
            raise self._chooser.columns_failure(error, batch) from error
        for lane, part in parts:
            self.lanes[lane].add(part)

    def settle(self) -> None:
        """Note what was added, and send the buffers that are full."""
        super().settle()
        self._chooser.adapt()


def _selector(lane: int) -> bytes:
    """Return the table that turns tags into 1 for `lane` and 0 for the others."""
    return bytes(tag == lane for tag in range(256))


def make_exchange(
    partitioner: Partitioner,
    lanes: Sequence[Lane],
    clock: Clock,
    rules: FlushRules,
    *,
    max_parallelism: int,
    first: int,
    failure: Callable[[BaseException, Any], Exception],
) -> Exchange:
    """Return the exchange for one outgoing edge of one subtask.

    Args:
        partitioner: the edge's.
        lanes: to the consuming subtasks that this producer reaches, in their order.
        clock: see `Exchange`.
        rules: see `Exchange`.
        max_parallelism: key groups of the consumer.
        first: where dealing starts; the producer's own index, so that producers do not all start with the same consumer.
        failure: see `Chooser`.
    """
    kind = partitioner.kind
    if kind is Partitioning.BROADCAST:
        return BroadcastExchange(lanes, clock, rules)
    if kind is Partitioning.CUSTOM:
        assert partitioner.key is not None, "a custom partitioner has a key"
        assert partitioner.choose is not None, "a custom partitioner chooses"
        chosen = CustomLaneOf(custom_lane(partitioner.choose, len(lanes)))
        return ChosenExchange(lanes, clock, rules, Chooser(partitioner.key, chosen, failure))
    if len(lanes) == 1 or kind in {Partitioning.FORWARD, Partitioning.GLOBAL}:
        return ForwardExchange(lanes, clock, rules)
    if kind is Partitioning.HASH:
        assert partitioner.key is not None, "a hash partitioner has a key"
        by_group = GroupLaneOf(len(lanes), max_parallelism)
        return ChosenExchange(lanes, clock, rules, Chooser(partitioner.key, by_group, failure, partitioner.key_column))
    chance = random.Random(first) if kind is Partitioning.SHUFFLE else None
    return DealExchange(lanes, clock, rules, first=first, random_source=chance)
