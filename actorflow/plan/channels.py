"""Which subtasks an exchange joins.

    forward    one to one                            0─0  1─1  2─2
    rescale    each with its share of the others     0─0  0─1  1─2  1─3     (2 producers, 4 consumers)
    all other  everyone with everyone                0─0  0─1  1─0  1─1

Rescale gives every producer and every consumer at least one channel, and neighbours' shares differ by at most one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from actorflow.ids import ChannelId, SubtaskId, VertexId
from actorflow.plan.execution import Channel, ExecutionEdge
from actorflow.plan.graph import Partitioning


def consumers_of(kind: Partitioning, producer: int, producers: int, consumers: int) -> range:
    """Return the indexes of the consumers that subtask `producer` has channels to."""
    if kind is Partitioning.FORWARD:
        assert producers == consumers, f"forward joins equals, not {producers} and {consumers}"
        return range(producer, producer + 1)
    if kind is Partitioning.RESCALE:
        return _share(producer, producers, consumers)
    return range(consumers)


def lay_channels(edges: Sequence[ExecutionEdge], parallelism: Mapping[VertexId, int]) -> tuple[Channel, ...]:
    """Return the channels of all edges in the order edge, producer, consumer; the id of each is its position."""
    pairs = ((edge, pair) for edge in edges for pair in _pairs(edge, parallelism[edge.source], parallelism[edge.target]))
    return tuple(
        Channel(ChannelId(number), edge.index, SubtaskId(edge.source, producer), SubtaskId(edge.target, consumer))
        for number, (edge, (producer, consumer)) in enumerate(pairs)
    )


def _pairs(edge: ExecutionEdge, producers: int, consumers: int) -> Iterator[tuple[int, int]]:
    for producer in range(producers):
        for consumer in consumers_of(edge.partitioner.kind, producer, producers, consumers):
            yield producer, consumer


def _share(producer: int, producers: int, consumers: int) -> range:
    first = producer * consumers // producers
    if producers >= consumers:
        return range(first, first + 1)
    return range(first, (producer + 1) * consumers // producers)
