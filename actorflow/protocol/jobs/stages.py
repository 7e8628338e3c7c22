"""Which stages of a batch job may run, and which need not run again, in this run or a later one.

    waiting ──all that it reads is written, no other slot group runs──► begun ──all of its subtasks have finished──► written
       ▲                                                                 │                                            │
       └──── the run has failed; its region has failed alone ────────────┴── what it has written, or reads, is lost ──┘

What was written lasts over a failure of the run (but not where sinks are, whose output is the run's). So a stage goes on with those of its subtasks
that had not finished, as long as what it reads is the same. It runs again if partitions of it are gone or damaged that are to be read; then those
that have read them run again, too: the second time they may be others. What is gone with the same node or directory as one that was not found whole
is gone, too; it is not looked for, one failure after the other.

A job whose exchanges are pipelined has no stages: all of it begins at once, and nothing lasts.

Late rule: none; the run drops what is late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actorflow.errors import ErrorInfo
from actorflow.ids import SubtaskId, VertexId
from actorflow.plan.stages import Stage
from actorflow.protocol.jobs.deployment import FinishedStages, SubtaskFinished, SubtaskTotals
from actorflow.protocol.jobs.job_messages import WrittenPartitions
from actorflow.protocol.machine import Effect, Start, ensure


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage as it is shown: its vertices, and whether it is `waiting`, `running` or `finished`."""

    vertices: tuple[VertexId, ...]
    state: str


@dataclass(frozen=True, slots=True)
class KeepStages:
    """Slow work: write down for the next leader which stages have finished."""

    finished: FinishedStages


class Stages:
    """Keeps the stages of one job, over all of its runs.

    Args:
        stages: in topological order; none if the job has none.
        subtasks: of the job.
        kept: what has finished under earlier leaders. It counts only if the job runs as wide as then.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        subtasks: Sequence[SubtaskId],
        kept: FinishedStages = FinishedStages(),  # noqa: B008 - a frozen value
    ) -> None:
        self._stages = tuple(stages)
        self._subtasks = tuple(subtasks)
        self._of_vertex = {vertex: number for number, stage in enumerate(self._stages) for vertex in stage.vertices}
        self._members: Mapping[int, list[SubtaskId]] = {number: [] for number in range(len(self._stages))}
        for subtask in subtasks if self._stages else ():
            self._members[self._of_vertex[subtask.vertex]].append(subtask)
        self._begun: dict[int, None] = {}
        """Stages that have begun, in this run or an earlier one, and need not begin again."""
        self._written: dict[SubtaskId, SubtaskFinished] = {}
        """What subtasks have said that have finished."""
        self._lost: dict[SubtaskId, None] = {}
        """Those of them whose partitions are gone: nobody minds, unless they are to be read again."""
        self._parallelism = tuple(Counter(subtask.vertex for subtask in subtasks).values())
        self._kept = kept
        self._keeping = False
        if kept.parallelism == self._parallelism:
            self._written |= {news.subtask: news for news in kept.subtasks}
            self._begun |= {number: None for number in range(len(self._stages)) if self._done(number)}

    def begin_run(self) -> None:
        """Forget all that a new run has to do again: what had not finished, what ends with a run, and what these need and is lost.

        Of a stage that had not finished those subtasks stay that had; but not where sources are, whose splits are dealt out anew.
        """
        for number, stage in enumerate(self._stages):
            if not stage.lasting or not (stage.reads or self._done(number)):
                self._forget([number])
            elif not self._done(number):
                self._begun.pop(number, None)
                self.run_again([member for member in self._members[number] if member in self._lost])
        while missed := [number for number in range(len(self._stages)) if self._is_missed(number)]:
            self._forget(missed)

    def _is_missed(self, number: int) -> bool:
        """Return whether a stage has finished, and what a stage is to read of it is lost."""
        if not self._done(number) or not any(member in self._lost for member in self._members[number]):
            return False
        vertices = self._stages[number].vertices
        return any(not self._done(reader) for reader, stage in enumerate(self._stages) if any(v in vertices for v in stage.reads))

    def forget_lost(self, error: ErrorInfo) -> None:
        """Forget what a reader has not found whole, if that is the error, so that it is written again, and read again by all its readers."""
        if self.misses(error):
            self.lose(error.context.get("lost with", ""))
            self._forget([self._of_vertex[self._producer(error)]])

    def lose(self, place: str) -> None:
        """Note that all is gone that was written in a directory, or served by a node."""
        for subtask, news in self._written.items():
            at = news.partitions
            if place and at is not None and (at.location.startswith(f"{place}/") or at.server.startswith(f"{place}/")):
                self._lost[subtask] = None

    def misses(self, error: ErrorInfo) -> bool:
        """Return whether an error says that something written is gone or damaged."""
        return self._producer(error) in self._of_vertex

    @staticmethod
    def _producer(error: ErrorInfo) -> VertexId:
        return VertexId(error.context.get("partition", "").rpartition("/")[0])

    def _forget(self, numbers: Iterable[int]) -> None:
        gone = dict.fromkeys(numbers)
        for number, stage in enumerate(self._stages):  # readers come after what they read
            if any(self._of_vertex[vertex] in gone for vertex in stage.reads):
                gone[number] = None
        for number in gone:
            self._begun.pop(number, None)
            self.run_again(self._members[number])

    def run_again(self, subtasks: Iterable[SubtaskId]) -> None:
        """Forget what subtasks have written that are to run again in the same run: their region has failed alone."""
        for subtask in subtasks:
            self._written.pop(subtask, None)
            self._lost.pop(subtask, None)

    # --- what is when ----------------------------------------------------------------------------------------------------------

    def of_turn(self) -> tuple[SubtaskId, ...]:
        """Return the subtasks that may start, and have not been returned before; without stages all of them."""
        if not self._stages:
            return self._subtasks
        turn: list[SubtaskId] = []
        for number, stage in enumerate(self._stages):
            if number not in self._begun and self._may_begin(stage):
                self._begun[number] = None
                turn += [member for member in self._members[number] if member not in self._written]
        return tuple(turn)

    def _may_begin(self, stage: Stage) -> bool:
        running = (self._stages[number] for number in self._begun if not self._done(number))
        return all(self._done(self._of_vertex[vertex]) for vertex in stage.reads) and all(
            other.slot_groups == stage.slot_groups for other in running
        )

    def finished(self, news: SubtaskFinished) -> bool:
        """Note that a subtask has finished; return whether others may start by that."""
        if not self._stages:
            return False
        self._written[news.subtask] = news
        return self._done(self._of_vertex[news.subtask.vertex])

    def keep(self) -> list[Effect]:
        """Have that kept for the next leader which lasts. What is kept is whole, if perhaps old: who goes on from it may find some of it lost.

        One after the other: of two that are written at the same time the older could be the last.
        """
        lasting = (number for number, stage in enumerate(self._stages) if stage.lasting and self._done(number))
        subtasks = tuple(self._written[member] for number in lasting for member in self._members[number])
        finished = FinishedStages(self._parallelism, subtasks)
        if self._keeping or not subtasks or finished == self._kept:
            return []
        self._keeping, self._kept = True, finished
        return [Start(KeepStages(finished))]

    def kept(self, work: KeepStages) -> list[Effect]:
        """Note that this is kept, or could not be: then it is tried again with the next stage. Have that kept which has finished meanwhile."""
        if work.finished != self._kept:
            return []  # it was of a job that ran at another parallelism
        self._keeping = False
        return self.keep()

    def left(self) -> tuple[SubtaskId, ...]:
        """Return the subtasks that have not finished."""
        return tuple(subtask for subtask in self._subtasks if subtask not in self._written)

    def has_finished(self, subtask: SubtaskId) -> bool:
        """Return whether a subtask need not run again."""
        return subtask in self._written

    def read_by(self, subtask: SubtaskId) -> tuple[WrittenPartitions, ...]:
        """Return where all is that a subtask reads, and more: what its producers have written for its siblings."""
        if not self._stages:
            return ()
        reads = self._stages[self._of_vertex[subtask.vertex]].reads
        members = (member for vertex in reads for member in self._members[self._of_vertex[vertex]])
        written = ((member, self._written[member].partitions) for member in members if member.vertex in reads)
        return tuple(WrittenPartitions(member, at) for member, at in written if at is not None)

    def totals(self) -> dict[SubtaskId, SubtaskTotals]:
        """Return what those have done that need not run again."""
        return {subtask: news.totals for subtask, news in self._written.items() if news.totals is not None}

    def records_in(self) -> int:
        """Return how many records were read by the sources among them."""
        sources = {vertex: None for stage in self._stages if not stage.reads for vertex in stage.vertices}
        return sum(totals.records_in for subtask, totals in self.totals().items() if subtask.vertex in sources)

    def _done(self, number: int) -> bool:
        return all(member in self._written for member in self._members[number])

    # --- looking at it ---------------------------------------------------------------------------------------------------------

    def observe(self) -> tuple[StageView, ...]:
        """Return the stages as values; none if the job has none."""
        return tuple(StageView(stage.vertices, self._state(number)) for number, stage in enumerate(self._stages))

    def _state(self, number: int) -> str:
        if number not in self._begun:
            return "waiting"
        return "finished" if self._done(number) else "running"

    def check(self) -> None:
        """State that what has begun has something whole to read, shares its slots with its like, and that only what has begun has written."""
        running = [self._stages[number] for number in self._begun if not self._done(number)]
        ensure(
            len({stage.slot_groups for stage in running}) < 2, f"stages of different slot groups run at the same time: {running}"
        )
        written = dict.fromkeys(self._of_vertex[subtask.vertex] for subtask in self._written)
        for number in self._begun | written:
            for vertex in self._stages[number].reads:
                ensure(
                    self._done(self._of_vertex[vertex]), f"{self._stages[number].vertices} has begun before {vertex} has finished"
                )
        for number in written:
            ensure(number in self._begun or not self._done(number), f"{self._stages[number].vertices} has finished, and not begun")
        for subtask in self._lost:
            ensure(subtask in self._written, f"what {subtask} has written is lost, and it has written nothing")
