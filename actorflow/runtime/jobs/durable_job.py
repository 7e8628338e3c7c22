"""What is written down of one job while a leader runs it, in the order in which it may be acted upon: see `durable_jobs`. All calls block."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from actorflow.coordination import CheckpointPointer, Coordination
from actorflow.errors import ActorflowError, CheckpointError, CoordinationError, Retry
from actorflow.ids import JobId
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.checkpoint_plan import EarlierLife
from actorflow.protocol.jobs.deployment import FinishedStages
from actorflow.protocol.jobs.job_messages import JobStatusChanged, SubmitJob
from actorflow.protocol.jobs.kept_end import KeptEnd
from actorflow.runtime.blobs.durable import DurableBlobs
from actorflow.runtime.messages import control_codec
from actorflow.wire.message import Message, MessageCodec

log = logging.getLogger(__name__)


class JobOutcome(Message, frozen=True):
    """How a job ended, as it is stored."""

    name: str
    news: JobStatusChanged


@dataclass(slots=True)
class DurableJob:
    """What is written down of one job while it runs."""

    coordination: Coordination
    epoch: int
    submission: SubmitJob
    earlier: EarlierLife
    blobs: DurableBlobs | None = None
    _pointers: tuple[CheckpointPointer, ...] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _over: bool = field(default=False, init=False)
    _at_end: list[Callable[[], None]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._pointers = tuple(CheckpointPointer(one.checkpoint, one.location) for one in self.earlier.completed)

    def completed(self, checkpoint: int, location: str) -> None:
        """Record a checkpoint whose manifest is written. Then it may be committed, and those before it are needless.

        They stay recorded until somebody says so: if this one is given up after all, the next leader goes on from them.

        Raises:
            Deposed: if this leader leads no longer.
            CoordinationError: if it is not known whether it was recorded.
        """
        with self._lock:
            if self._over:
                raise CheckpointError(f"checkpoint {checkpoint} comes too late: the job is over")
            # It is counted as recorded before that is known: if it was, and nobody has said so, it must not be removed unsaid.
            self._pointers = tuple(sorted((*self._pointers, CheckpointPointer(checkpoint, location)), key=_number))
            self._record()

    def needless(self, checkpoint: int) -> None:
        """Say that a checkpoint is not needed. Then it may be removed.

        Raises:
            Deposed: if this leader leads no longer: then it is the next one's to remove.
            CoordinationError: if that could not be said.
        """
        with self._lock:
            if self._over:
                return
            self._pointers = tuple(pointer for pointer in self._pointers if pointer.checkpoint != checkpoint)
            self._record()

    def rescaled(self, scale: Scale) -> None:
        """Keep how wide the job is to run. Then it may be told: the next leader goes on with it.

        Raises:
            Deposed: if this leader leads no longer.
            CoordinationError: if it is not known whether it was stored.
        """
        self._put(scale=scale)

    def ended(self, end: KeptEnd) -> None:
        """Keep what is to be committed of the job's last run. Then it may be: the next leader commits the same, and does not run the job again.

        Raises:
            Deposed: if this leader leads no longer.
            StorageError: if there is no room for it.
            CoordinationError: if it is not known whether it was stored.
        """
        self._put(ended=end)

    def stages_finished(self, finished: FinishedStages) -> None:
        """Keep which stages have finished. The next leader goes on behind them.

        Raises:
            Deposed: if this leader leads no longer.
            StorageError: if there is no room for it.
            CoordinationError: if it is not known whether it was stored.
        """
        self._put(finished=finished)

    def _put(self, **changes: object) -> None:
        with self._lock:
            now = self.submission
            if self._over:
                raise CoordinationError(f"job '{now.job}' is over", retry=Retry.NEVER)
            kept_at = now.kept_at or (self.blobs.kept_at(now.job) if now.blobs and self.blobs is not None else "")
            submission = now.replaced(kept_at=kept_at, **changes)
            self.coordination.jobs.put(now.job, control_codec().encode(submission), self.epoch)
            self.submission = submission

    def still_led(self) -> None:
        """Make sure that this leader leads.

        Raises:
            Deposed: if not.
            CoordinationError: if that could not be found out.
        """
        with self._lock:
            if not self._over:  # else whatever is left of it is to be removed, and nothing is committed any more
                self._record()

    def _record(self) -> None:
        self.coordination.checkpoints.record(self.submission.job, self._pointers, self.epoch)

    def end(self, news: JobStatusChanged) -> None:
        """Write down how the job ended. Then it may be told; what was stored of the job is removed.

        Raises:
            Deposed: if this leader leads no longer.
            CoordinationError: if that could not be written.
        """
        job = self.submission.job
        outcome = MessageCodec((JobOutcome,)).encode(JobOutcome(self.submission.name, news))
        self.coordination.results.put(job, outcome, self.epoch)
        with self._lock:
            self._over = True
        for remove in self._at_end:
            self._remove(remove)
        blobs = self.blobs
        if blobs is not None and self.submission.blobs:
            kept_at = self.submission.kept_at or blobs.kept_at(job)
            self._remove(lambda: blobs.remove(kept_at))
        forget(self.coordination, job, self.epoch)

    def remove_at_end(self, remove: Callable[[], None]) -> None:
        """Remove files of the job, once it is written down that it has ended."""
        with self._lock:
            if not self._over:
                self._at_end.append(remove)
                return
        self._remove(remove)

    def _remove(self, remove: Callable[[], None]) -> None:
        try:
            remove()
        except ActorflowError as error:
            log.warning("files of job '%s', which is over, are left: %s", self.submission.job, error)


def forget(coordination: Coordination, job: JobId, epoch: int) -> None:
    """Remove the entries of a job that is over, but its result.

    Raises:
        Deposed: if this leader leads no longer.
        CoordinationError: if they cannot be removed now; the next leader does it.
    """
    coordination.jobs.remove(job, epoch)
    coordination.checkpoints.remove(job, epoch)
    coordination.results.clean(job, epoch)


def _number(pointer: CheckpointPointer) -> int:
    return pointer.checkpoint
