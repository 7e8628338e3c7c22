"""The slow work of checkpoints on the JobMaster: one manifest that makes the parts a whole, and the removal of what is not needed any more."""

from __future__ import annotations

import threading
from importlib.metadata import version

from actorflow.clock import Clock
from actorflow.config import Config, options
from actorflow.connectors.contracts import SinkSpec
from actorflow.errors import CheckpointError, SourceError
from actorflow.ids import JobId, SubtaskId
from actorflow.plan.execution import ExecutionGraph
from actorflow.protocol.barriers import AlignmentMode
from actorflow.protocol.checkpoint_events import DiscardStates, StoreCheckpoint
from actorflow.protocol.checkpoint_plan import CheckpointPlan, Retention
from actorflow.protocol.checkpoint_schedule import CheckpointRules
from actorflow.runtime.input_barriers import alignment_rules
from actorflow.storage.checkpoint_files import CheckpointFiles, files_of_part
from actorflow.wire.manifest import Manifest, VertexState, decode_part


def can_go_on(graph: ExecutionGraph) -> bool:
    """Return whether a run can go on from a checkpoint: not where a client has results of a run that would be void, nor in batch mode."""
    sinks = [
        operator.spec.sink for vertex in graph.vertices for operator in vertex.operators if isinstance(operator.spec, SinkSpec)
    ]
    return not graph.batch and not any(sink.sends_results for sink in sinks)


def checkpoint_plan(config: Config, clock: Clock, *, possible: bool) -> CheckpointPlan:
    """Return how the options say that a job takes checkpoints.

    Args:
        config: the job's options.
        clock: the JobManager's.
        possible: whether its runs can go on from one.

    Raises:
        PlanError: if they contradict each other.
    """
    alignment = alignment_rules(config)
    rules = CheckpointRules(
        interval_s=config[options.CHECKPOINT_INTERVAL],
        min_pause_s=config[options.CHECKPOINT_MIN_PAUSE],
        timeout_s=config[options.CHECKPOINT_TIMEOUT],
        concurrent_max=config[options.CHECKPOINTS_CONCURRENT],
        tolerable_failures=config[options.CHECKPOINT_FAILURES],
        retained_max=config[options.CHECKPOINTS_RETAINED],
        unaligned=alignment.unaligned,
        aligned_first=alignment.timeout_s > 0,
        at_least_once=alignment.mode is AlignmentMode.AT_LEAST_ONCE,
    )
    wall_offset_ms = clock.wall_ms() - clock.now() * 1000
    return CheckpointPlan(rules, Retention(config[options.CHECKPOINT_RETENTION]), possible, wall_offset_ms)


def checkpoint_files(config: Config, job: JobId) -> CheckpointFiles | None:
    """Return where a job's checkpoints are stored, or None for the JobManager's memory."""
    directory = config[options.CHECKPOINT_DIRECTORY]
    if directory is None:
        return None
    return CheckpointFiles(directory, job, inline_bytes_max=config[options.CHECKPOINT_INLINE])


class CheckpointWork:
    """Stores and discards the checkpoints of one job. Its calls run on the pool, one at a time for one checkpoint.

    Args:
        job: unique id of the job.
        graph: what runs.
        files: where checkpoints are stored; None keeps them where their parts are, in the JobMaster's memory.
    """

    def __init__(self, job: JobId, graph: ExecutionGraph, files: CheckpointFiles | None) -> None:
        self._job = job
        self._graph = graph
        self._files = files
        self._writing = threading.Lock()
        self._removing = threading.Lock()
        self._over = False

    def store(self, work: StoreCheckpoint) -> str:
        """Make a checkpoint whole; return its location.

        Raises:
            CheckpointError: if the manifest cannot be written.
        """
        if self._files is None:
            return f"memory:{self._job}/{work.checkpoint}"
        with self._writing:
            if self._over:
                raise CheckpointError(f"checkpoint {work.checkpoint} comes too late: the job is over")
            return self._files.write_manifest(self._manifest(work), work.directory)

    def discard(self, work: DiscardStates) -> None:
        """Remove what is not needed any more.

        Raises:
            SinkError: if something cannot be removed.
        """
        if self._files is not None:
            with self._removing:
                self._files.discard(work.location, [file for part in work.states for file in files_of_part(decode_part(part))])

    def discard_all(self) -> None:
        """Remove everything that the job has stored.

        Raises:
            SinkError: if something cannot be removed.
        """
        if self._files is not None:
            # A manifest that is being written goes as well; and who lists a directory must not find files that vanish.
            with self._writing, self._removing:
                self._over = True
                try:
                    self._files.collect_orphans([])
                except SourceError:  # a worker that is about to end has renamed what it was writing: once more, then
                    self._files.collect_orphans([])

    def _manifest(self, work: StoreCheckpoint) -> Manifest:
        vertices = tuple(
            VertexState(
                vertex.id,
                vertex.name,
                tuple((operator.id, operator.name) for operator in vertex.operators),
                vertex.parallelism,
                vertex.max_parallelism,
                tuple(decode_part(work.states[SubtaskId(vertex.id, index)]) for index in range(vertex.parallelism)),
            )
            for vertex in self._graph.vertices
        )
        savepoint = work.directory is not None
        return Manifest(
            self._job, self._graph.name, work.checkpoint, work.attempt, work.timestamp, savepoint, version("actorflow"), vertices
        )
