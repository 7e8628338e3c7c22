"""What the sinks of a run have prepared, and what becomes of it: all of it visible, or none.

    prepared ──commit──► asked of the workers ──each has answered──► committed
        │                      │
        │ abort                ├── worker lost ──► committed for it by the JobMaster ──► committed
        ▼                      └── could not be committed ──► failed: output is half visible, nothing can be taken back
     removed

Committing is idempotent, so output of a worker that was lost while it committed is simply committed again.

Late rule: an answer of another run, of a worker that is not waited for any more, or before the decision to commit, is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId
from actorflow.protocol.deployment import SubtaskFinished
from actorflow.protocol.job_messages import CommitOutput, OutputCommitted
from actorflow.protocol.machine import Effect, Report, Send, Start, WorkDone, WorkFailed, ensure
from actorflow.protocol.slots import Allocation


@dataclass(frozen=True, slots=True)
class CommitLeft:
    """Slow work: commit the prepared output of a worker that was lost after the decision to commit."""

    run: int
    allocation: Allocation
    committables: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AbortLeft:
    """Slow work: remove the prepared output of a run that failed or was cancelled."""

    committables: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RunCommitted:
    """Reported when all output is visible."""


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """Reported when output cannot be made visible; other output of the run may be visible already."""

    error: ErrorInfo


@dataclass(slots=True)
class _Writer:
    """A worker with prepared output."""

    worker: Address
    committables: dict[SubtaskId, bytes] = field(default_factory=dict)
    lost: bool = False


class PreparedOutput:
    """Keeps what was prepared in one run.

    Args:
        run: number of the run; fences its messages.

    Attributes:
        committing: whether the decision to commit was made. There is no way back.
    """

    def __init__(self, run: int) -> None:
        self.committing = False
        self._run = run
        self._writers: dict[Allocation, _Writer] = {}
        self._awaited: dict[Allocation, None] = {}
        """Whose output is not visible yet, after the decision."""

    def prepared(self, finished: SubtaskFinished, worker: Address, allocation: Allocation) -> None:
        """Keep what a subtask has prepared, until it is known what becomes of the run."""
        if finished.committables and not self.committing:
            writer = self._writers.setdefault(allocation, _Writer(worker))
            writer.committables[finished.subtask] = finished.committables

    def commit(self) -> list[Effect]:
        """Decide to make all of it visible."""
        self.committing = True
        self._awaited = dict.fromkeys(self._writers)
        commits: list[Effect] = [Send(writer.worker, CommitOutput(self._run)) for writer in self._writers.values()]
        return [*commits, *self._when_all_is_visible()]

    def committed(self, committed: OutputCommitted) -> list[Effect]:
        """Take a worker's word on its output."""
        if committed.attempt != self._run:
            return []
        return self._answered(committed.allocation, committed.error)

    def worker_lost(self, allocation: Allocation) -> list[Effect]:
        """Commit for a worker that was lost after the decision, unless it had answered."""
        if allocation not in self._awaited or self._writers[allocation].lost:
            return []
        writer = self._writers[allocation]
        writer.lost = True
        return [Start(CommitLeft(self._run, allocation, tuple(writer.committables.values())))]

    def left_committed(self, news: WorkDone | WorkFailed, work: CommitLeft) -> list[Effect]:
        """Take the end of the slow work that commits for a lost worker."""
        if work.run != self._run:
            return []
        return self._answered(work.allocation, news.error if isinstance(news, WorkFailed) else None)

    def _answered(self, allocation: Allocation, error: ErrorInfo | None) -> list[Effect]:
        if allocation not in self._awaited:
            return []
        if error is not None:
            return [Report(CommitFailed(error))]
        del self._awaited[allocation]
        return self._when_all_is_visible()

    def _when_all_is_visible(self) -> list[Effect]:
        return [] if self._awaited else [Report(RunCommitted())]

    def abort(self) -> list[Effect]:
        """Remove what was prepared, unless the decision to commit was made."""
        if self.committing:
            return []
        left = tuple(payload for writer in self._writers.values() for payload in writer.committables.values())
        self._writers = {}
        return [Start(AbortLeft(left))] if left else []

    def check(self) -> None:
        """State that only a commit is waited for, and only of those who prepared something."""
        ensure(self.committing or not self._awaited, f"run {self._run} waits for a commit that was not decided")
        for allocation in self._awaited:
            ensure(allocation in self._writers, f"run {self._run} waits for {allocation}, which has prepared nothing")
