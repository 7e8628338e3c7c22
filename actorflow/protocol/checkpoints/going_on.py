"""Where a run goes on from, of a checkpoint of its own job: which parts are for which vertex, now that the job may run as another graph.

What runs in the same chain as then is handed on as it is, whatever its parallelism. Of what runs in another one, each vertex takes what its operators had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from actorflow.ids import VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.checkpoints.checkpoint_events import Chain, CompletedCheckpoint
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.jobs.splits import ResetSplits
from actorflow.wire.manifest import Adopted, adopted_again, decode_part, encode_part, splits_of
from actorflow.wire.savepoint_manifest import SavedVertex, decode_vertex, encode_vertex


def chains_of(graph: ExecutionGraph) -> dict[VertexId, Chain]:
    """Return what the subtasks of each vertex run."""
    return {vertex.id: _chain(vertex) for vertex in graph.vertices}


def going_on(latest: CompletedCheckpoint, graph: ExecutionGraph, sources: Collection[VertexId]) -> Restored:
    """Return where the next run goes on from.

    Args:
        latest: the job's last completed checkpoint.
        graph: what the next run runs.
        sources: the vertices that read.
    """
    then: dict[VertexId, list[bytes]] = {}
    for subtask in sorted(latest.states):
        then.setdefault(subtask.vertex, []).append(latest.states[subtask])
    parts = {vertex.id: tuple(_parts(vertex, then, latest.chains)) for vertex in graph.vertices}
    return Restored(latest.checkpoint, parts, {source: _splits(parts[source]) for source in sources})


def fitted(first: Restored, planned: ExecutionGraph, graph: ExecutionGraph) -> Restored:
    """Return where a first run goes on from, which was found for one graph of the job, for another one."""
    chains = chains_of(planned)
    parts = {vertex.id: tuple(_parts(vertex, first.parts, chains)) for vertex in graph.vertices}
    return replace(first, parts={vertex: theirs for vertex, theirs in parts.items() if theirs})


def _parts(vertex: Vertex, then: Mapping[VertexId, Sequence[bytes]], chains: Mapping[VertexId, Chain]) -> Iterator[bytes]:
    if chains.get(vertex.id) == _chain(vertex):
        yield from then.get(vertex.id, ())
        return
    now, saved = {str(operator.id): operator.name for operator in vertex.operators}, list[SavedVertex]()
    for earlier, chain in chains.items():
        names = {name: now[operator] for operator, name in chain if operator in now}
        for part in then.get(earlier, ()) if names else ():
            if (matched := decode_vertex(part)) is not None:
                saved.append(matched)
            else:
                taken = Adopted(names, outputs=chain[-1][0] in now)
                yield encode_part(adopted_again(decode_part(part), taken, read=chain[0][0] in now))
    operators = {name: operator for one in saved for name, operator in one.operators.items() if name in now.values()}
    if operators:
        yield encode_vertex(SavedVertex(saved[0].home, operators))


def _chain(vertex: Vertex) -> Chain:
    return tuple((str(operator.id), operator.name) for operator in vertex.operators)


def _splits(parts: tuple[bytes, ...]) -> ResetSplits:
    """Return how far the readers of a source were at a checkpoint."""
    positions, read = splits_of(map(decode_part, parts))
    return ResetSplits(read, positions)
