"""The outputs of a subtask: how batches spread over the lanes to the consumer's subtasks, in eight ways.

Everything works a batch at a time where it can: dealing (rebalance, rescale, shuffle) takes strides of the list, broadcast shares one
buffer among all lanes, and forward passes the batch on as it is. Partitioning by key is the one that must look at each record;
the compiled chain does that in its own loop, through `lane_of` and the lanes' open buffers (`operators.contract.KeyRouter`).
"""

from __future__ import annotations

import abc
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actorflow.clock import Clock
from actorflow.errors import PlanError
from actorflow.operators.columns import to_objects
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.protocol.flush import FlushRules
from actorflow.protocol.flush import Lane as LaneIndex
from actorflow.runtime.lanes import Lane
from actorflow.wire.batch import Batch, ChannelEvent, ColumnBatch, ObjectBatch
from actorflow.wire.stable_hash import stable_hash

_LANES_REMEMBERED_MAX = 500_000
"""Keys whose lane is remembered by one exchange. Beyond it the memory is cleared, so that unbounded key spaces cost bounded memory."""


class Exchange(abc.ABC):
    """An output of a subtask: a set of lanes, and the rule that spreads batches over them.

    Args:
        lanes: one for each consuming subtask that this producer may reach, in their order.
        clock: tells since when a buffer is open.
        rules: when a buffer that is not full is sent.
    """

    def __init__(self, lanes: Sequence[Lane], clock: Clock, rules: FlushRules) -> None:
        self.lanes = tuple(lanes)
        self._now = clock.now
        self._rules = rules

    @abc.abstractmethod
    def spread(self, batch: Batch) -> None:
        """Add a batch to the lanes."""

    def emit(self, batch: Batch) -> None:
        """Spread a batch and send what is full."""
        self.spread(batch)
        self.settle()

    def settle(self) -> None:
        """Note what was added, and send the buffers that are full."""
        now, rules = self._now(), self._rules
        for index, lane in enumerate(self.lanes):
            if rules.buffered(LaneIndex(index), lane.settle(), now, lane.batch_records_max):
                lane.seal()
            lane.drain()

    def event(self, event: ChannelEvent) -> None:
        """Send an event down every lane, behind what was added before."""
        self._rules.passing()
        for lane in self.lanes:
            lane.event(event)
            lane.drain()

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

    @property
    def deadline_s(self) -> float | None:
        """When `flush_due` should be called, in seconds (monotonic), or None."""
        return self._rules.deadline

    @property
    def exhausted(self) -> bool:
        """Whether the producer has to wait: any lane may be the one that the next record needs."""
        return any(lane.exhausted for lane in self.lanes)

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
    """Each record to the lane that is computed for it: HASH (by key group) and CUSTOM (by the user's function).

    It is a `KeyRouter`: the compiled loop of a chain appends records to the lanes' open buffers itself.

    Args:
        lanes: see `Exchange`.
        clock: see `Exchange`.
        rules: see `Exchange`.
        key: the user's key function.
        lane_of: computes and remembers the lane of a key.
        key_column: name of the key column, for batches of columns.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        clock: Clock,
        rules: FlushRules,
        *,
        key: Callable[[Any], Any],
        lane_of: LaneOf,
        key_column: str | None = None,
    ) -> None:
        super().__init__(lanes, clock, rules)
        self.key = key
        self.lane_of: Mapping[Any, int] = lane_of
        self._remembered = lane_of
        self._key_column = key_column
        self._bind()

    def _bind(self) -> None:
        self.record_appends = [lane.records.append for lane in self.lanes]
        self.timestamp_appends = [lane.timestamps.append for lane in self.lanes]

    def settle(self) -> None:
        """Note what was appended, send the buffers that are full, and offer the new open buffers."""
        super().settle()
        self._bind()
        self._remembered.bound()

    def _send(self, indices: Sequence[LaneIndex]) -> None:
        super()._send(indices)
        self._bind()

    def event(self, event: ChannelEvent) -> None:
        """Send an event down every lane, and offer the new open buffers."""
        super().event(event)
        self._bind()

    def spread(self, batch: Batch) -> None:
        """Partition a batch that did not come through the compiled loop."""
        if isinstance(batch, ColumnBatch):
            if self._key_column is not None:
                self._spread_columns(batch, self._key_column)
                return
            batch = to_objects(batch)
        key, lane_of, appends = self.key, self.lane_of, self.record_appends
        if batch.timestamps is None:
            for record in batch.records:
                appends[lane_of[key(record)]](record)
        else:
            times = self.timestamp_appends
            for record, timestamp in zip(batch.records, batch.timestamps, strict=True):
                lane = lane_of[key(record)]
                appends[lane](record)
                times[lane](timestamp)

    def _spread_columns(self, batch: ColumnBatch, key_column: str) -> None:
        """Look up the lane of each distinct key once, then cut the batch by lane."""
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = batch.columns.column(key_column).dictionary_encode(null_encoding="encode")
        lane_of = self.lane_of
        lanes_by_code = pa.array([lane_of[key] for key in encoded.dictionary.to_pylist()], pa.int32())
        row_lanes = lanes_by_code.take(encoded.indices)
        for number, lane in enumerate(self.lanes):
            mask = pc.equal(row_lanes, number)
            part = batch.columns.filter(mask)
            if part.num_rows:
                lane.add(ColumnBatch(part, batch.timestamps.filter(mask) if batch.timestamps is not None else None))


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


def make_exchange(
    partitioner: Partitioner, lanes: Sequence[Lane], clock: Clock, rules: FlushRules, *, max_parallelism: int, first: int
) -> Exchange:
    """Return the exchange for one outgoing edge of one subtask.

    Args:
        partitioner: the edge's.
        lanes: to the consuming subtasks that this producer reaches, in their order.
        clock: see `Exchange`.
        rules: see `Exchange`.
        max_parallelism: key groups of the consumer.
        first: where dealing starts; the producer's own index, so that producers do not all start with the same consumer.
    """
    kind = partitioner.kind
    if kind is Partitioning.BROADCAST:
        return BroadcastExchange(lanes, clock, rules)
    if kind is Partitioning.CUSTOM:
        assert partitioner.key is not None, "a custom partitioner has a key"
        assert partitioner.choose is not None, "a custom partitioner chooses"
        chosen = CustomLaneOf(custom_lane(partitioner.choose, len(lanes)))
        return ChosenExchange(lanes, clock, rules, key=partitioner.key, lane_of=chosen)
    if len(lanes) == 1 or kind in {Partitioning.FORWARD, Partitioning.GLOBAL}:
        return ForwardExchange(lanes, clock, rules)
    if kind is Partitioning.HASH:
        assert partitioner.key is not None, "a hash partitioner has a key"
        by_group = LaneOf(hash_lane(len(lanes), max_parallelism))
        return ChosenExchange(lanes, clock, rules, key=partitioner.key, lane_of=by_group, key_column=partitioner.key_column)
    chance = random.Random(first) if kind is Partitioning.SHUFFLE else None
    return DealExchange(lanes, clock, rules, first=first, random_source=chance)
