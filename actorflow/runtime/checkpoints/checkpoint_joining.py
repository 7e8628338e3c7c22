"""How a subtask comes to take part in checkpoints: what barriers may do at its inputs and outputs, and what it goes on from."""

from __future__ import annotations

from collections.abc import Sequence

from actorflow.ids import ChannelId
from actorflow.runtime.checkpoints.checkpoint_site import CheckpointSite
from actorflow.runtime.checkpoints.earlier_parts import earlier_parts, own_files, splits_before
from actorflow.runtime.checkpoints.in_flight import KeyFailure, Returned, edges_from, edges_into, overtakable
from actorflow.runtime.checkpoints.snapshots import give_back, outputs_of
from actorflow.runtime.checkpoints.subtask_checkpoints import SubtaskCheckpoints
from actorflow.runtime.subtasks.feeds import GateFeed
from actorflow.runtime.workers.deployment import Part
from actorflow.storage.local_copies import StateReader


def join(site: CheckpointSite, part: Part, restored: Sequence[bytes], failure: KeyFailure) -> SubtaskCheckpoints:
    """Give a subtask its part in checkpoints, and have it go on from the one that the run begins with, if any.

    Args:
        site: where to store, and whom to tell.
        part: the subtask, assembled and not begun.
        restored: the parts of all subtasks that the vertex had, in their order; none at the beginning.
        failure: see `KeyFailure`.

    Raises:
        CheckpointError: if a part is missing or damaged, or does not fit.
    """
    subtask, vertex = part.actor, part.vertex
    for sink in subtask.sinks:
        sink.in_checkpoints = site.periodic
    for exchange, edge in zip(subtask.exchanges, edges_from(site.graph, vertex.id), strict=True):
        exchange.overtakable = overtakable(edge)
    before = splits_before(restored) if restored and part.source is not None and part.id.index == 0 else ({}, ())
    checkpoints = SubtaskCheckpoints(subtask, part.id, site, vertex, part.source, before, own_files(restored, part.id.index))
    feed = subtask.feed
    if isinstance(feed, GateFeed):
        checkpoints.inputs = feed.barriers
        _obey(site, part, feed)
    if restored:
        read = StateReader(site.from_local)
        earlier = earlier_parts(restored, vertex, part.id.index, read)
        give_back(subtask.chain, earlier.snapshots, part.id.index, vertex.parallelism, vertex.max_parallelism, earlier.layers)
        checkpoints.uploads.restored = (read.local_bytes, read.remote_bytes)
        if earlier.same is not None:
            checkpoints.resume(earlier.same)
        outputs = outputs_of(earlier.snapshots, part.id.index, vertex.parallelism)
        for sink, committables in zip(subtask.sinks, outputs, strict=False):
            sink.recommit(committables)
        limit = site.payload_bytes_max
        returned = Returned(site.graph, vertex, part.id.index, earlier.in_flight, payload_bytes_max=limit, failure=failure)
        if isinstance(feed, GateFeed):
            feed.give_back(returned.inputs())
        checkpoints.returned = returned.outputs()
    return checkpoints


def _obey(site: CheckpointSite, part: Part, feed: GateFeed) -> None:
    """Tell the barriers at a gate what they may do in which channel."""
    graph = site.graph
    into = edges_into(graph, part.vertex.id)
    edges = [graph.edges[graph.channels[channel.id].edge] for channel in feed.gate.channels]
    feed.barriers.obey(
        site.alignment,
        part.actor,
        edges=[into.index(edge) for edge in edges],
        ordered=[ChannelId(index) for index, edge in enumerate(edges) if not overtakable(edge)],
        first=feed.still_returned,
    )
