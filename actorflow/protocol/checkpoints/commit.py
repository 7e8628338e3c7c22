"""What the sinks of a run have prepared, and what becomes of it: all of it visible, or none.

    prepared ──commit──► (kept) ──► asked of the workers ──each has answered──► committed
        │                                 │
        │ abort                           ├── no answer ──► asked again ──► not in time ──► its slot is killed ──┐
        ▼                                 ├── worker lost ◄─────────────────────────────────────────────────────┘
     removed                              │        └──► committed for it by the JobMaster ──► committed
                                          └── could not be committed ──► failed, when all others have answered ──asked again──► as before

Committing is idempotent, so who does not answer is asked again, and output of a worker that was lost while it committed is committed again.
What has failed leaves output half visible, and nothing can be taken back: the job tries it again for as long as its restart strategy allows.
What others commit meanwhile is waited for, so that nothing becomes visible after the end.

Where another leader may follow and no checkpoint holds the end, the decision is kept before anybody acts on it: that one commits the same again, and
does not run the job a second time. It is kept when the client has all results of the run, which nobody could give it again. What cannot be kept is
tried again as what cannot be committed; until it is kept, there is a way back.

Late rule: an answer of another run, of a worker that is not waited for any more, or before the decision to commit, is dropped; so is the
failure of a worker that was lost, for which the JobMaster is trying, and one of an earlier round.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, SubtaskId
from actorflow.protocol.jobs.deployment import KillSlot, SubtaskFinished
from actorflow.protocol.jobs.job_messages import CommitOutput, OutputCommitted, ResultChunk, ResultTaken
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, Start, WorkDone, WorkFailed, ensure
from actorflow.protocol.nodes.slot_messages import Allocation

OF_EARLIER: Final = Allocation("of an earlier leader")
"""Stands for the workers of a run under a leader that was lost."""


@dataclass(frozen=True, slots=True)
class KeepEnd:
    """Slow work: write down for the next leader what is to be committed."""

    end: KeptEnd


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
class RemoveBegun:
    """Slow work: remove what is left hidden of some runs of a job: what their workers had begun when they were killed.

    Nothing of these runs may have to be committed any more.

    Attributes:
        runs: their numbers.
        at_end: whether that is so because the job is over: then it waits until that is written down. Another leader would go on from a checkpoint.
    """

    runs: tuple[int, ...]
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class RunCommitted:
    """Reported when all output is visible."""


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """Reported when some output could not be made visible, and all other is. `error` is the first."""

    error: ErrorInfo


@dataclass(slots=True)
class _Writer:
    """A worker with prepared output. `due_s` is when it has to be visible."""

    worker: Address
    task_manager: Address
    committables: dict[SubtaskId, bytes] = field(default_factory=dict)
    due_s: float = 0.0
    lost: bool = False


class PreparedOutput:
    """Keeps what was prepared in one run.

    Args:
        run: number of the run; fences its messages.
        again_s: who has not answered after so long is asked again.
        limit_s: how long a worker may take to commit before it is killed, and the JobMaster after it.
        keep: whether the decision to commit has to be kept before anybody acts on it.

    Attributes:
        committing: whether the decision to commit was made. There is no way back.
        timer: name of the one timer that it uses.
    """

    def __init__(self, run: int, *, again_s: float, limit_s: float, keep: bool = False) -> None:
        self.committing = False
        self.timer = f"commit:{run}"
        self._run = run
        self._again_s = again_s
        self._limit_s = limit_s
        self._error: ErrorInfo | None = None
        self._writers: dict[Allocation, _Writer] = {}
        self._awaited: dict[Allocation, None] = {}
        """Whose output is not visible yet, after the decision."""
        self._keeps = keep
        self._end: KeptEnd | None = None
        """What is to be kept, and is not yet."""
        self._results = 0
        """Results of the run that its client does not have yet."""
        self._round = 1
        self._failed: dict[Allocation, None] = {}
        """Whose output could not be made visible."""

    def prepared(self, finished: SubtaskFinished, worker: Address, task_manager: Address, allocation: Allocation) -> None:
        """Keep what a subtask has prepared, until it is known what becomes of the run."""
        if finished.committables and not self.committing:
            writer = self._writers.setdefault(allocation, _Writer(worker, task_manager))
            writer.committables[finished.subtask] = finished.committables

    def forget(self, subtasks: Iterable[SubtaskId]) -> None:
        """Drop what subtasks have prepared that are to run again."""
        for writer in self._writers.values():
            for subtask in subtasks:
                writer.committables.pop(subtask, None)

    def take_over(self, ended: KeptEnd) -> None:
        """Have what a leader before this one has decided to commit, of workers that are gone with it."""
        self._keeps = False
        self._writers[OF_EARLIER] = _Writer(Address(""), Address(""), dict(ended.prepared), lost=True)

    def result(self, event: ResultChunk | ResultTaken, worker: Address, client: Address) -> list[Effect]:
        """Pass on a result to the client, and the client's word that it has it to its worker."""
        if isinstance(event, ResultChunk):
            self._results += 1
            return [Send(client, event)]
        self._results -= 1
        return [Send(worker, event), *self._keep()]

    def commit(self, now: float, records: tuple[int, int] = (0, 0)) -> list[Effect]:
        """Decide to make all of it visible.

        Args:
            now: the time.
            records: how many the run has read and written.
        """
        self.committing = True
        if not self._keeps or not self._writers:
            return self._begin(now)
        prepared = [entry for writer in self._writers.values() for entry in writer.committables.items()]
        self._end = KeptEnd(self._run, tuple(prepared), *records)
        return self._keep()

    def _keep(self) -> list[Effect]:
        return [Start(KeepEnd(self._end))] if self._end is not None and not self._results else []

    def work_news(self, news: WorkDone | WorkFailed, now: float) -> list[Effect]:
        """Take the end of slow work: that keeps the decision, or commits for a lost worker."""
        match news.work:
            case CommitLeft(run=run, allocation=allocation) if run == self._run:
                return self._answered(allocation, news.error if isinstance(news, WorkFailed) else None)
            case KeepEnd(end=end) if end == self._end:
                return self._kept(news, now)
            case _:
                return []

    def _kept(self, news: WorkDone | WorkFailed, now: float) -> list[Effect]:
        if isinstance(news, WorkFailed):
            return [Report(CommitFailed(news.error))]
        self._end = None
        return self._begin(now)

    def _begin(self, now: float) -> list[Effect]:
        self._awaited = dict.fromkeys(self._writers)
        work: list[Effect] = []
        for allocation, writer in self._writers.items():
            writer.due_s = now + self._limit_s
            if writer.lost:
                work.append(Start(self._left(allocation)))
        return [*work, *self.ask(now)] if self._awaited else self._when_all_have_answered()

    def ask(self, now: float) -> list[Effect]:
        """Have those commit who have not answered, or have failed when there is nobody else; a timer that fires leads here again."""
        if self._end is not None:
            return self._keep()
        if not self._awaited:
            return self._try_again(now)
        effects: list[Effect] = [SetTimer(self.timer, now + self._again_s)]
        for allocation in tuple(self._awaited):
            writer = self._writers[allocation]
            if writer.lost:
                effects += self._answered(allocation, self._overdue(writer)) if now >= writer.due_s else []
            elif now >= writer.due_s:
                reason = f"its output was not committed within {self._limit_s:g} s"
                effects.append(Send(writer.task_manager, KillSlot(allocation, reason)))
            else:
                effects.append(Send(writer.worker, CommitOutput(self._run, self._round)))
        return effects

    def _try_again(self, now: float) -> list[Effect]:
        if not self._failed:
            return []
        self._awaited, self._failed, self._error = self._failed, {}, None
        self._round += 1
        work: list[Effect] = []
        for allocation in self._awaited:
            writer = self._writers[allocation]
            writer.due_s = now + self._limit_s
            if writer.lost:
                work.append(Start(self._left(allocation)))
        return [*work, *self.ask(now)]

    def _left(self, allocation: Allocation) -> CommitLeft:
        return CommitLeft(self._run, allocation, tuple(self._writers[allocation].committables.values()))

    def _overdue(self, writer: _Writer) -> ErrorInfo:
        whose = writer.worker or "an earlier leader's workers"
        return ErrorInfo(
            "CommitTimeout",
            f"output of {whose}, which was lost, could not be committed for it within {self._limit_s:g} s",
            hint="'actorflow.commit.timeout' says how long it may take",
            domain=Domain.EXTERNAL,
            retry=Retry.NEVER,
        )

    def committed(self, committed: OutputCommitted) -> list[Effect]:
        """Take a worker's word on its output."""
        if committed.attempt != self._run or committed.allocation not in self._awaited:
            return []
        if committed.error is not None and (committed.round != self._round or self._writers[committed.allocation].lost):
            return []
        return self._answered(committed.allocation, committed.error)

    def worker_lost(self, allocation: Allocation, now: float) -> list[Effect]:
        """Commit for a worker that was lost after the decision, unless it had answered."""
        concerned = allocation in (self._awaited if self._end is None else self._writers) or allocation in self._failed
        if not concerned or self._writers[allocation].lost:
            return []
        writer = self._writers[allocation]
        writer.lost, writer.due_s = True, now + self._limit_s
        return [Start(self._left(allocation))] if allocation in self._awaited else []

    def _answered(self, allocation: Allocation, error: ErrorInfo | None) -> list[Effect]:
        if allocation not in self._awaited:
            return []
        del self._awaited[allocation]
        if error is not None:
            self._failed[allocation] = None
            self._error = self._error or error
        return [] if self._awaited else [CancelTimer(self.timer), *self._when_all_have_answered()]

    def _when_all_have_answered(self) -> list[Effect]:
        return [Report(RunCommitted() if self._error is None else CommitFailed(self._error))]

    def abort(self) -> list[Effect]:
        """Remove what was prepared, unless the decision to commit was made, and kept if it has to be."""
        if self.committing and self._end is None:
            return []
        left = tuple(payload for writer in self._writers.values() for payload in writer.committables.values())
        self._writers = {}
        return [Start(AbortLeft(left))] if left else []

    def check(self) -> None:
        """State that only a commit is waited for, and only of those who prepared something."""
        ensure(self.committing or not self._awaited, f"run {self._run} waits for a commit that was not decided")
        ensure(self._end is None or not self._awaited, f"run {self._run} is committed, and that is not kept")
        ensure(self._results >= 0, f"the client of run {self._run} has more results than there were")
        for allocation in (*self._awaited, *self._failed):
            ensure(allocation in self._writers, f"run {self._run} waits for {allocation}, which has prepared nothing")
