"""The slow work of savepoints on the JobMaster: one manifest that makes the parts of all subtasks a whole, and the removal of one that failed."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from actorflow.ids import JobId, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph, Vertex
from actorflow.protocol.checkpoints.checkpoint_events import StoreCheckpoint
from actorflow.runtime.checkpoints.earlier_parts import whole_snapshot
from actorflow.runtime.checkpoints.saved_parts import operators_of, taken_part
from actorflow.runtime.jobs.job_checkpoint_work import part_left
from actorflow.savepoint.files import write_manifest, write_rows
from actorflow.savepoint.layouts import split_rows
from actorflow.wire.batch import SavepointOrder
from actorflow.wire.manifest import InlineState, SubtaskState
from actorflow.wire.savepoint_manifest import SavedInput, SavedOperator, SavedPart, SavedState, Savepoint, decode_part


def store_savepoint(
    job: JobId,
    graph: ExecutionGraph,
    work: StoreCheckpoint,
    order: SavepointOrder,
    listed: Mapping[VertexId, Sequence[bytes]],
) -> str:
    """Make a savepoint whole; return its directory.

    Args:
        job: unique id of the job.
        graph: what runs.
        work: the parts of its subtasks.
        order: where the savepoint goes.
        listed: the splits of each source.

    Raises:
        CheckpointError: if the manifest cannot be written, or a subtask has finished and has not left its state.
    """
    operators: list[SavedOperator] = []
    for vertex in graph.vertices:
        parts = [
            _part(part_left(work.states, SubtaskId(vertex.id, index)), vertex, order.directory)
            for index in range(vertex.parallelism)
        ]
        saved = operators_of(vertex, parts)
        if vertex.id in listed:
            head = vertex.operators[0].name
            saved[head] = saved[head].with_state(_splits(order.directory, saved[head], listed[vertex.id]))
        operators += [
            saved[operator.name].reading(inputs)
            for operator, inputs in zip(vertex.operators, inputs_of(graph, vertex), strict=True)
        ]
    whole = Savepoint(
        graph.name,
        version("actorflow"),
        platform.python_version(),
        job,
        work.checkpoint,
        work.timestamp,
        tuple(operators),
        order.then == "drain",
    )
    return write_manifest(order.directory, whole)


def _splits(home: str, source: SavedOperator, listed: Sequence[bytes]) -> SavedState:
    """Write the splits of a source; of those that were read to their end nothing is needed but their number."""
    read = {split for subtask in source.subtasks for split in subtask.read}
    rows = split_rows([b"" if number in read else payload for number, payload in enumerate(listed)])
    return SavedState("splits", rows.layout, (write_rows(home, source.id, "splits", 0, rows),))


def _part(part: SubtaskState, vertex: Vertex, home: str) -> SavedPart:
    """Return what a subtask says; one that has finished has left its state in the form of a checkpoint."""
    saved = decode_part(part.state.data) if isinstance(part.state, InlineState) else None
    if saved is not None:
        return saved
    taken = taken_part(whole_snapshot(part, vertex), vertex, part.index, part.positions, part.read)
    return taken.written(home, {operator.name: operator.id for operator in vertex.operators})


def inputs_of(graph: ExecutionGraph, vertex: Vertex) -> list[tuple[SavedInput, ...]]:
    """Return for each operator of a vertex whose outputs it reads."""
    head = tuple(
        SavedInput(graph.vertex(edge.source).operators[edge.operator].id, edge.tag, edge.port)
        for edge in graph.edges
        if edge.target == vertex.id
    )
    return [head, *((SavedInput(before.id),) for before in vertex.operators[:-1])]
