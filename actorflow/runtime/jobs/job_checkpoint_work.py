"""The slow work of checkpoints on the JobMaster: one manifest that makes the parts a whole, and the removal of what is not needed any more."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from actorflow.clock import Clock
from actorflow.config import Config, options
from actorflow.connectors.contracts import SinkSpec
from actorflow.errors import CheckpointError, SourceError
from actorflow.ids import JobId, SubtaskId, VertexId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.graph import Role
from actorflow.protocol.checkpoints.barriers import AlignmentMode
from actorflow.protocol.checkpoints.checkpoint_events import (
    CollectOrphans,
    CompletedCheckpoint,
    DiscardClaimed,
    DiscardStates,
    StoreCheckpoint,
)
from actorflow.protocol.checkpoints.checkpoint_plan import CheckpointPlan, Retention
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.runtime.checkpoints.input_barriers import alignment_rules
from actorflow.savepoint.declared import schemas_of
from actorflow.storage.checkpoint_files import CheckpointFiles, files_of_part
from actorflow.storage.files import Pace, join, remove
from actorflow.storage.manifest_files import MANIFEST
from actorflow.storage.native_savepoint import NativeSavepoint
from actorflow.wire import pickling
from actorflow.wire.manifest import Manifest, StoredFile, SubtaskState, VertexState, decode_part

_SPLITS_BYTES_MAX = 1 << 16
"""Bytes of the splits of a source that stand in the manifest of each checkpoint."""


def can_go_on(graph: ExecutionGraph) -> bool:
    """Return whether a run can go on from a checkpoint: not where a client has results of a run that would be void, nor in batch mode."""
    return not graph.batch and not sends_results(graph)


def sends_results(graph: ExecutionGraph) -> bool:
    """Return whether a client is sent results while a job runs: none of it can run again without all of it."""
    sinks = [
        operator.spec.sink for vertex in graph.vertices for operator in vertex.operators if isinstance(operator.spec, SinkSpec)
    ]
    return any(sink.sends_results for sink in sinks)


def ends_by_itself(graph: ExecutionGraph) -> bool:
    """Return whether all sources of a job have an end."""
    heads = [vertex.operators[0].spec for vertex in graph.vertices]
    return all(spec.bounded for spec in heads if spec.role is Role.SOURCE)


def checkpoint_plan(config: Config, clock: Clock, *, possible: bool) -> CheckpointPlan:
    """Return how the options say that a job takes checkpoints.

    Args:
        config: the job's options.
        clock: the JobManager's.
        possible: whether its runs can go on from one.
    """
    alignment = alignment_rules(config)
    rules = CheckpointRules(
        interval_s=config[options.CHECKPOINT_INTERVAL],
        min_pause_s=config[options.CHECKPOINT_MIN_PAUSE],
        timeout_s=config[options.CHECKPOINT_TIMEOUT],
        concurrent_max=config[options.CHECKPOINTS_CONCURRENT],
        tolerable_failures=config[options.CHECKPOINT_FAILURES],
        backlog_interval_s=config[options.CHECKPOINT_BACKLOG_INTERVAL],
        retained_max=config[options.CHECKPOINTS_RETAINED],
        unaligned=alignment.unaligned,
        aligned_first=alignment.timeout_s > 0,
        at_least_once=alignment.mode is AlignmentMode.AT_LEAST_ONCE,
    )
    wall_offset_ms = clock.wall_ms() - clock.now() * 1000
    return CheckpointPlan(rules, Retention(config[options.CHECKPOINT_RETENTION]), possible, wall_offset_ms)


def is_checkpoint(location: str) -> bool:
    """Return whether a location is of a checkpoint in files: not in a JobManager's memory, and no savepoint."""
    return location.endswith(f"/{MANIFEST}") and not location.startswith("memory:")


def retains(config: Config) -> bool:
    """Return whether checkpoints outlast a job that is cancelled or fails."""
    return Retention(config[options.CHECKPOINT_RETENTION]) is Retention.RETAIN_ON_CANCELLATION


def checkpoint_files(config: Config, job: JobId, attempt: int = 0, pace: Pace | None = None) -> CheckpointFiles | None:
    """Return where a job's checkpoints are stored, for one of its attempts or for the JobMaster, or None for the JobManager's memory."""
    directory = config[options.CHECKPOINT_DIRECTORY]
    if directory is None:
        return None
    return CheckpointFiles(directory, job, inline_bytes_max=config[options.CHECKPOINT_INLINE], attempt=attempt, pace=pace)


class CheckpointWork:
    """Stores and discards the checkpoints of one job. Its calls run on the pool, one at a time for one checkpoint.

    Args:
        job: unique id of the job.
        graph: what runs.
        files: where checkpoints are stored; None keeps them where their parts are, in the JobMaster's memory.
        earlier: checkpoints that were completed under leaders before this one.

    Attributes:
        listed: the splits of each source, as they were listed.
    """

    def __init__(
        self, job: JobId, graph: ExecutionGraph, files: CheckpointFiles | None, earlier: Sequence[CompletedCheckpoint] = ()
    ) -> None:
        self._job = job
        self._graphs = [graph]
        self._files = files
        operators = [operator for vertex in graph.vertices for operator in vertex.operators]
        self._schemas: dict[str, dict[str, dict[str, Any]]] = {
            operator.id: found for operator in operators if (found := schemas_of(operator.spec))
        }
        self.listed: dict[VertexId, Sequence[bytes]] = {}
        self._writing = threading.Lock()
        self._removing = threading.Lock()
        self._over = False
        if files is not None:
            for one in earlier:
                files.inherit(one.location, _files_of(one.states.values()))

    def runs_as(self, graph: ExecutionGraph) -> None:
        """Expect checkpoints of another graph of the job from now on, too."""
        self._graphs = [*(known for known in self._graphs if known.subtasks() != graph.subtasks()), graph]

    def _graph_of(self, work: StoreCheckpoint) -> ExecutionGraph:
        """Return the graph whose subtasks have taken part."""
        return next(graph for graph in self._graphs if work.states.keys() == set(graph.subtasks()))

    def store(self, work: StoreCheckpoint) -> str:
        """Make a checkpoint whole; return its location.

        Raises:
            CheckpointError: if the manifest cannot be written.
        """
        if work.savepoint is not None and work.savepoint.format == "native":
            return NativeSavepoint(work.savepoint.directory).complete(self._manifest(work))
        if work.savepoint is not None:
            from actorflow.runtime.jobs.savepoint_work import store_savepoint  # brings Parquet, which few jobs need

            return store_savepoint(self._job, self._graph_of(work), work, work.savepoint, self.listed)
        if self._files is None:
            return f"memory:{self._job}/{work.checkpoint}/{MANIFEST}"
        with self._writing:
            if self._over:
                raise CheckpointError(f"checkpoint {work.checkpoint} comes too late: the job is over")
            return self._files.write_manifest(self._manifest(work))

    def discard(self, work: DiscardStates) -> None:
        """Remove what is not needed any more.

        Raises:
            SinkError: if something cannot be removed.
        """
        files = _files_of(work.states)
        location = work.location
        if location is not None and not location.endswith(MANIFEST):  # a savepoint's is its directory
            remove(join(location, MANIFEST), missing_ok=True)
            location = None
        if self._files is not None:
            with self._removing:
                self._files.discard(location, files)
        else:
            for file in files:  # of a savepoint that has failed
                remove(file.uri, missing_ok=True)

    def collect_orphans(self, work: CollectOrphans) -> None:
        """Remove what earlier runs have stored, and no checkpoint refers to.

        Raises:
            SinkError: if something cannot be removed; the next run tries again.
            SourceError: if there is no looking what is there.
        """
        if self._files is not None:
            with self._removing:
                self._files.collect_left(work.attempt, _files_of(work.keep))

    @staticmethod
    def discard_claimed(work: DiscardClaimed) -> None:
        """Remove another job's savepoint or checkpoint that belongs to this one now.

        Raises:
            CheckpointError: if there is none.
            SinkError: if something cannot be removed.
        """
        from actorflow.savepoint.opening import remove_snapshot

        remove_snapshot(work.directory)

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
                    self._files.discard_all()
                except SourceError:  # a worker that is about to end has renamed what it was writing: once more, then
                    self._files.discard_all()

    def _manifest(self, work: StoreCheckpoint) -> Manifest:
        saved = work.savepoint is not None
        graph = self._graph_of(work)
        vertices = tuple(
            VertexState(
                vertex.id,
                vertex.name,
                tuple((operator.id, operator.name) for operator in vertex.operators),
                vertex.parallelism,
                vertex.max_parallelism,
                tuple(part_left(work.states, SubtaskId(vertex.id, index)) for index in range(vertex.parallelism)),
                {operator.id: self._schemas[operator.id] for operator in vertex.operators if operator.id in self._schemas},
            )
            for vertex in graph.vertices
        )
        return Manifest(
            self._job,
            graph.name,
            work.checkpoint,
            work.attempt,
            work.timestamp,
            savepoint=saved,
            version=version("actorflow"),
            vertices=vertices,
            splits={vertex: pickling.dumps(splits) for vertex, splits in self.listed.items() if saved or _are_small(splits)},
        )


def _files_of(parts: Iterable[bytes]) -> list[StoredFile]:
    return [file for part in parts if part for file in files_of_part(decode_part(part))]


def part_left(states: Mapping[SubtaskId, bytes], subtask: SubtaskId) -> SubtaskState:
    """Return what a subtask has said, or left at its end.

    Raises:
        CheckpointError: if it has finished and has left nothing, which is so where only savepoints are taken.
    """
    if not states[subtask]:
        raise CheckpointError(
            f"no savepoint can be taken: {subtask} has finished, and has not left its state",
            hint="'execution.checkpointing.interval' has finished subtasks leave it",
        )
    return decode_part(states[subtask])


def _are_small(splits: Sequence[bytes]) -> bool:
    """Return whether splits can stand in every manifest. Others are listed again when another job goes on from a checkpoint."""
    return sum(map(len, splits)) <= _SPLITS_BYTES_MAX
