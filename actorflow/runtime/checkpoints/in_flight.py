"""Batches in channels, as an unaligned checkpoint stores them, and their way back.

What had been received and not processed is processed by the consumer before anything new. What had been emitted and not sent waits in the
producer's lanes again, as it did; if there are more or fewer lanes now, the exchange spreads it once more. With another parallelism than before, a consumer takes those
records of a keyed channel that have its key groups; of other channels, every so manieth earlier consumer's batches as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from actorflow.errors import ActorflowError, CheckpointError
from actorflow.ids import VertexId
from actorflow.operators.columnar.conversion import to_objects
from actorflow.operators.columnar.lanes import ColumnSplitter
from actorflow.plan.execution import ExecutionEdge, ExecutionGraph, Vertex
from actorflow.plan.graph import Partitioning
from actorflow.runtime.channels.links import ReceivedBatch
from actorflow.runtime.channels.routing import Chooser, CustomLaneOf, GroupLaneOf, custom_lane
from actorflow.wire.batch import Batch, ColumnBatch, ObjectBatch
from actorflow.wire.codec import encode_batch
from actorflow.wire.frame import Flag, Frame, Kind
from actorflow.wire.in_flight import InFlight, StoredBatch

_KEEPING_ORDER = frozenset({Partitioning.FORWARD, Partitioning.RESCALE, Partitioning.BROADCAST})
_CHOSEN = frozenset({Partitioning.HASH, Partitioning.CUSTOM})

KeyFailure = Callable[[BaseException, Any], Exception]
"""Makes the error to raise when a key function raises, or gives what is no key: `(error, record) -> exception`."""


def overtakable(edge: ExecutionEdge) -> bool:
    """Return whether a barrier may overtake batches on an edge.

    Not where a record belongs to a certain subtask, or to all of them: then it could not be given to others after a change of parallelism.
    """
    return edge.partitioner.kind not in _KEEPING_ORDER


def edges_into(graph: ExecutionGraph, vertex: VertexId) -> list[ExecutionEdge]:
    """Return the edges that lead to a vertex, in their order."""
    return [edge for edge in graph.edges if edge.target == vertex]


def edges_from(graph: ExecutionGraph, vertex: VertexId) -> list[ExecutionEdge]:
    """Return the edges that leave a vertex, in their order, which is that of the exchanges of its subtasks."""
    return [edge for edge in graph.edges if edge.source == vertex]


def stored(edge: int, batch: Batch | ReceivedBatch, lane: int = 0, lanes: int = 0) -> StoredBatch:
    """Return a batch as it is stored: one that came over the wire as it came. Arguments: see `StoredBatch`.

    Raises:
        SerializationError: if a record cannot be pickled.
    """
    if isinstance(batch, ReceivedBatch):
        frame = batch.frame
        return StoredBatch(edge, frame.codec, frame.flags & Flag.LZ4, bytes(frame.payload), lane, lanes)
    codec, payload = encode_batch(batch)
    return StoredBatch(edge, codec, 0, bytes(payload), lane, lanes)


@dataclass(frozen=True, slots=True)
class Unsent:
    """A batch that an earlier run had emitted and not sent.

    Attributes:
        edge: position of the exchange.
        batch: to be emitted.
        lane: where it waited.
        lanes: how many lanes there were.
    """

    edge: int
    batch: Batch
    lane: int
    lanes: int


class StoredBatches:
    """Collects batches for a snapshot, at once in the form in which they are stored: records that are handed over by reference may change.

    Attributes:
        batches: in their order.
        error: why one of them cannot be stored. It makes the checkpoint impossible, and is nobody's failure.
    """

    def __init__(self) -> None:
        self.batches: list[StoredBatch] = []
        self.error: ActorflowError | None = None

    def add(self, edge: int, batch: Batch | ReceivedBatch, lane: int = 0, lanes: int = 0) -> None:
        """Take one more. Arguments: see `StoredBatch`."""
        if self.error is None:
            try:
                self.batches.append(stored(edge, batch, lane, lanes))
            except ActorflowError as error:
                self.error = error


def as_received(batch: StoredBatch) -> ReceivedBatch:
    """Return a stored batch as if it had just come over the wire."""
    return ReceivedBatch(Frame(Kind.DATA, batch.flags, batch.codec, 0, 0, 0, 0, memoryview(batch.payload)))


class Returned:
    """What a subtask gets back of the batches that were in flight.

    Args:
        graph: what runs.
        vertex: whose subtask it is.
        index: of the subtask.
        parts: what each subtask that the vertex had stored, in their order.
        payload_bytes_max: what a compressed payload may grow to.
        failure: see `KeyFailure`.

    Raises:
        CheckpointError: if the vertex has not the edges that it had.
    """

    def __init__(
        self,
        graph: ExecutionGraph,
        vertex: Vertex,
        index: int,
        parts: Sequence[InFlight],
        *,
        payload_bytes_max: int,
        failure: KeyFailure,
    ) -> None:
        self._into = edges_into(graph, vertex.id)
        self._index = index
        self._vertex = vertex
        self._parts = parts
        self._payload_bytes_max = payload_bytes_max
        self._failure = failure
        out_of = edges_from(graph, vertex.id)
        highest_in = max((one.edge for part in parts for one in part.inputs), default=-1)
        highest_out = max((one.edge for part in parts for one in part.outputs), default=-1)
        if highest_in >= len(self._into) or highest_out >= len(out_of):
            raise CheckpointError(
                f"'{vertex.name}' has {len(self._into)} edges in and {len(out_of)} out, and the checkpoint holds batches of more",
                hint="an unaligned checkpoint fits only the graph that it was taken of",
            )

    def inputs(self) -> deque[tuple[int, int, ReceivedBatch | Batch]]:
        """Return what is to be processed before anything new: position of the edge, port, batch."""
        return deque(
            (batch.edge, self._into[batch.edge].port, mine)
            for number, part in enumerate(self._parts)
            for batch in part.inputs
            for mine in self._shares(number, batch)
        )

    def outputs(self) -> list[Unsent]:
        """Return what is to be emitted before anything new."""
        mine = [part for number, part in enumerate(self._parts) if number % self._vertex.parallelism == self._index]
        return [
            Unsent(batch.edge, as_received(batch).decode(self._payload_bytes_max), batch.lane, batch.lanes)
            for part in mine
            for batch in part.outputs
        ]

    def _shares(self, number: int, batch: StoredBatch) -> Iterator[ReceivedBatch | Batch]:
        """Give what this subtask has to process of a batch that an earlier one had received."""
        edge, parallelism = self._into[batch.edge], self._vertex.parallelism
        if edge.partitioner.kind not in _CHOSEN or len(self._parts) == parallelism:
            if number % parallelism == self._index:
                yield as_received(batch)
            return
        share = self._of_my_keys(as_received(batch).decode(self._payload_bytes_max), edge)
        if share is not None:
            yield share

    def _of_my_keys(self, batch: Batch, edge: ExecutionEdge) -> Batch | None:
        chooser = self._chooser(edge)
        if isinstance(batch, ColumnBatch):
            if chooser.key_column is not None:
                lanes = ColumnSplitter(chooser.lane_of).split(batch, chooser.key_column)
                return next((part for lane, part in lanes if lane == self._index), None)
            batch = to_objects(batch)
        mine = [lane == self._index for lane in chooser.lanes(batch.records)]
        if not any(mine):
            return None
        timestamps = None if batch.timestamps is None else list(compress(batch.timestamps, mine))
        return ObjectBatch(list(compress(batch.records, mine)), timestamps)

    def _chooser(self, edge: ExecutionEdge) -> Chooser:
        partitioner, parallelism = edge.partitioner, self._vertex.parallelism
        assert partitioner.key is not None, "what is chosen by key has one"
        if partitioner.choose is not None:
            return Chooser(partitioner.key, CustomLaneOf(custom_lane(partitioner.choose, parallelism)), self._failure)
        by_group = GroupLaneOf(parallelism, self._vertex.max_parallelism)
        return Chooser(partitioner.key, by_group, self._failure, partitioner.key_column)
