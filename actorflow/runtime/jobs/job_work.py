"""The slow work of one job, off the JobMaster's thread: listing splits, committing and removing output, storing checkpoints."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from actorflow.connectors.contracts import Sink, SinkSpec, SourceSpec, TwoPhaseSink
from actorflow.errors import Deposed, describe
from actorflow.ids import VertexId
from actorflow.operators.failures import call_user
from actorflow.protocol.checkpoints.checkpoint_events import (
    CollectOrphans,
    DiscardAll,
    DiscardClaimed,
    DiscardStates,
    StoreCheckpoint,
)
from actorflow.protocol.checkpoints.commit import AbortLeft, CommitLeft, KeepEnd, RemoveBegun
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale
from actorflow.protocol.jobs.splits import ListSplits
from actorflow.protocol.jobs.stages import KeepStages
from actorflow.runtime.jobs.durable_job import DurableJob
from actorflow.runtime.jobs.durable_jobs import STORAGE_TRIES, until_written
from actorflow.runtime.jobs.job_checkpoint_work import CheckpointWork, is_checkpoint
from actorflow.runtime.jobs.job_planning import JobPlanner
from actorflow.wire.user_code import dumps_code, loads_code

log = logging.getLogger(__name__)


class JobWork:
    """The slow work of one job, done on the pool: what user code of sources and sinks does on the JobManager.

    Args:
        planner: knows the job, and plans it for another scale.
        checkpoints: stores and discards the job's checkpoints.
        durable: what is written down of the job for the next leader, if there can be one.
    """

    def __init__(
        self,
        planner: JobPlanner,
        checkpoints: CheckpointWork,
        durable: DurableJob | None = None,
    ) -> None:
        self._planner = planner
        self._graph = planner.graph
        self._job = planner.submission.job
        self._checkpoints = checkpoints
        self._restored = planner.submission.restored
        self._durable = durable

    def __call__(self, work: object) -> object:
        """Do one piece of work and return its result."""
        match work:
            case ListSplits(source=vertex, parallelism=parallelism):
                splits = self._listed(vertex, parallelism)
                self._checkpoints.listed[vertex] = splits
                return splits
            case CommitLeft(committables=left):
                self._make_sure_to_lead()
                _for_each(left, lambda sink, committables: sink.commit(committables))
            case AbortLeft(committables=left):
                self._make_sure_to_lead()
                self._abort(left)
            case RemoveBegun(runs=runs, at_end=at_end):
                self._remove(lambda: self._remove_begun(runs), at_end=at_end)
            case StoreCheckpoint():
                return self._store(work)
            case DiscardStates(checkpoint=checkpoint):
                if self._durable is not None:
                    self._durable.needless(checkpoint)
                self._checkpoints.discard(work)
            case CollectOrphans():
                self._make_sure_to_lead()
                self._checkpoints.collect_orphans(work)
            case DiscardAll():
                self._remove(self._checkpoints.discard_all, at_end=True)
            case PlanScale(scale=scale, like=like):
                planned = self._planner.plan(scale, like)
                self._checkpoints.runs_as(planned.graph)
                return planned
            case KeepScale(scale=scale):
                if self._durable is not None:
                    self._durable.rescaled(scale)
            case KeepEnd(end=end):
                self._keep(end)
            case KeepStages(finished=finished):
                if self._durable is not None:
                    self._durable.stages_finished(finished)
            case DiscardClaimed():
                self._make_sure_to_lead()
                self._checkpoints.discard_claimed(work)
            case _:
                raise AssertionError(f"unknown work {work!r}")
        return None

    def _make_sure_to_lead(self) -> None:
        """Refuse on behalf of a leader that was deposed: what it would remove or commit is another one's now."""
        if self._durable is not None:
            self._durable.still_led()

    def _remove(self, remove: Callable[[], None], *, at_end: bool) -> None:
        """Remove what nobody needs any more; or, at the end of the job, once that is written down."""
        if self._durable is not None and at_end:
            self._durable.remove_at_end(remove)
            return
        self._make_sure_to_lead()
        remove()

    def _keep(self, end: KeptEnd) -> None:
        durable = self._durable
        assert durable is not None, "without another leader there is nobody to keep it for"
        if not until_written(lambda: durable.ended(end), f"the end of job '{self._job}'", storage_tries=STORAGE_TRIES):
            raise Deposed(f"the end of job '{self._job}' is another leader's to decide")

    def _store(self, work: StoreCheckpoint) -> str:
        location = self._checkpoints.store(work)
        stops = work.savepoint is not None and work.savepoint.stops
        if self._durable is not None and (stops or is_checkpoint(location)):
            self._durable.completed(work.checkpoint, location)
        return location

    @staticmethod
    def _abort(left: Sequence[bytes]) -> None:
        try:
            _for_each(left, lambda sink, committables: sink.abort(committables))
        except BaseException as error:  # the job ends as it would, and nobody waits for this: it is only logged
            log.warning("prepared output could not be removed, and stays hidden: %s", describe(error))
            raise

    def _remove_begun(self, runs: Sequence[int]) -> None:
        specs = [vertex.operators[-1].spec for vertex in self._graph.vertices]
        sinks = [spec.sink for spec in specs if isinstance(spec, SinkSpec) and isinstance(spec.sink, TwoPhaseSink)]
        for sink in sinks:
            for run in runs:
                try:
                    sink.clean_up(self._job, run)
                except BaseException as error:  # as above
                    log.warning(
                        "what killed workers had begun to write could not be removed, and stays hidden: %s", describe(error)
                    )

    def _listed(self, vertex: VertexId, parallelism: int) -> Sequence[bytes]:
        """Return the splits of a source: what was read of them so far is counted by their numbers, so they stay as they were first listed."""
        known = self._checkpoints.listed.get(vertex, self._restored.listed.get(vertex))
        if known is not None:
            return known
        parallelism = self._restored.listed_for.get(vertex, parallelism)
        splits: list[bytes] = call_user(self._splits, vertex, parallelism, operator=self._name(vertex), subtask="JobMaster")
        return splits

    def _splits(self, vertex: VertexId, parallelism: int) -> list[bytes]:
        spec = self._graph.vertex(vertex).operators[0].spec
        assert isinstance(spec, SourceSpec), "only sources have splits"
        return [dumps_code(split) for split in spec.source.splits(parallelism)]

    def _name(self, vertex: VertexId) -> str:
        return self._graph.vertex(vertex).operators[0].name


def _for_each(left: Sequence[bytes], action: Callable[[TwoPhaseSink, list[Any]], None]) -> None:
    """Commit or abort what `SlotWorker` has packed: for each subtask the sinks and what they have prepared.

    What goes wrong with one does not keep the rest from it.

    Raises:
        BaseException: the first that was raised.
    """
    errors: list[BaseException] = []
    for payload in left:
        entries: list[tuple[Sink, list[Any]] | None] = []
        with _noted(errors):
            entries = loads_code(payload)
        for entry in entries:
            if entry is not None and isinstance(entry[0], TwoPhaseSink):
                with _noted(errors):
                    action(entry[0], entry[1])
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _noted(errors: list[BaseException]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        errors.append(error)
