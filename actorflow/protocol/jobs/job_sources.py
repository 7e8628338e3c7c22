"""The sources of a job: their splits are listed once, unless that fails, and are handed out anew in each run, from where a checkpoint says."""

from __future__ import annotations

from collections.abc import Collection

from actorflow.ids import SubtaskId, VertexId
from actorflow.protocol.checkpoints.checkpoint_plan import Restored
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.splits import (
    ListSplits,
    ReaderStarted,
    ResetSplits,
    SplitAssignment,
    SplitFinished,
    SplitRequested,
)
from actorflow.protocol.machine import Effect, Send, WorkDone, WorkFailed


class JobSources:
    """Composes the assignments of splits into a job.

    Args:
        description: the job.
    """

    def __init__(self, description: JobDescription) -> None:
        self._graph = description.graph
        self._splits = {
            vertex: SplitAssignment(vertex, count, partitioned=vertex in description.partitioned)
            for vertex, count in description.sources.items()
        }
        self._unlisted = dict.fromkeys(self._splits)
        """Sources whose splits are not known, and are not being listed."""

    def rescale(self, description: JobDescription) -> None:
        """Have other numbers of subtasks read what is listed."""
        self._graph = description.graph
        for vertex, count in description.sources.items():
            self._splits[vertex].rescale(count)

    def list_splits(self) -> list[Effect]:
        """Have those splits listed that are not known."""
        unlisted, self._unlisted = self._unlisted, {}
        return [effect for source in unlisted for effect in self._splits[source].start()]

    def read_from(self, restored: Restored, run: int, subtasks: Collection[SubtaskId], now: float) -> list[Effect]:
        """Have sources read from where a checkpoint says, by these subtasks: those of a run, or of a region of it."""
        effects: list[Effect] = []
        for source in dict.fromkeys(subtask.vertex for subtask in subtasks if subtask.vertex in self._splits):
            effects += self._splits[source].handle(restored.splits.get(source, ResetSplits()), now)
        for subtask in subtasks:
            if subtask.vertex in self._splits:
                effects += self._splits[subtask.vertex].handle(ReaderStarted(subtask, run), now)
        return effects

    def handle(self, news: SplitRequested | SplitFinished | WorkDone | WorkFailed, now: float) -> list[Effect]:
        """Take what readers say, or that splits are listed. If they cannot be, that is reported, and the next run tries again."""
        match news:
            case SplitRequested() | SplitFinished():
                return self._sends(news.subtask.vertex, news, now)
            case WorkDone(work=ListSplits(source=source)):
                return self._sends(source, news, now)
            case WorkFailed(work=ListSplits(source=source)):
                self._unlisted[source] = None
                return self._splits[source].handle(news, now)
            case _:
                raise AssertionError(f"unknown news {news!r}")

    def _sends(self, source: VertexId, news: SplitRequested | SplitFinished | WorkDone, now: float) -> list[Effect]:
        """Return the answers. That a source is listed, or exhausted, its readers find out when they ask."""
        return [effect for effect in self._splits[source].handle(news, now) if isinstance(effect, Send)]

    def check(self) -> None:
        """State what each assignment states."""
        for splits in self._splits.values():
            splits.check()
