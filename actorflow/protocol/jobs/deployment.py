"""The life of one subtask attempt, as its JobMaster sees it.

    CREATED ──deploy──► DEPLOYING ──started──► RUNNING ──finished──► FINISHED
       │                    │                     │
       │ cancel             │ cancel              │ cancel
       ▼                    └───────► CANCELLING ◄┘
    CANCELLED ◄── however it ended ───────┘
                            every state that is not final ──failed, lost, not started in time──► FAILED (from CANCELLING: CANCELLED)

- An attempt that does not start in time has failed; it is cancelled on its worker all the same, in case it does start.
- An attempt that does not end in time after a cancel has its slot killed, again and again until it is told to be gone.

Late rule: an event of another attempt, and every event in a final state, is dropped.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, SubtaskId
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.protocol.transfer.partitions import PartitionsAt
from actorflow.wire.message import Message


class AttemptState(enum.Enum):
    """Where an attempt stands."""

    CREATED = "created"
    DEPLOYING = "deploying"
    RUNNING = "running"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing can follow."""
        return self in _FINAL


_FINAL = frozenset({AttemptState.FINISHED, AttemptState.CANCELLED, AttemptState.FAILED})


# --- messages from the slot worker -----------------------------------------------------------------------------------------


class SubtaskStarted(Message, frozen=True):
    """The subtask is processing."""

    subtask: SubtaskId
    attempt: int


class SubtaskTotals(Message, frozen=True):
    """What a subtask has done by its end: records and encoded bytes that came and went, and how it has spent its time, in ms."""

    records_in: int = 0
    records_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ms: int = 0
    idle_ms: int = 0
    back_pressured_ms: int = 0


class SubtaskFinished(Message, frozen=True):
    """The subtask has processed all of its input.

    Attributes:
        subtask: which.
        attempt: which.
        committables: what its sinks have prepared, pickled, or nothing.
        state: where there are checkpoints: its part of those whose barrier it will not meet.
        passed: the highest checkpoint whose barrier it has passed on.
        totals: what it has done.
        partitions: where it has written what later stages read, if any do.
    """

    subtask: SubtaskId
    attempt: int
    committables: bytes = b""
    state: bytes = b""
    passed: int = 0
    totals: SubtaskTotals | None = None
    partitions: PartitionsAt | None = None


class FinishedStages(Message, frozen=True):
    """What a batch job need not do again, as it is kept for the next leader.

    Attributes:
        parallelism: of the job's vertices, in the order of its graph: what was written for other readers is of no use.
        subtasks: what those have said at their end.
    """

    parallelism: tuple[int, ...] = ()
    subtasks: tuple[SubtaskFinished, ...] = ()


class SubtaskCancelled(Message, frozen=True):
    """The subtask was cancelled and holds nothing any more; `totals` is what it has done, if it was built."""

    subtask: SubtaskId
    attempt: int
    totals: SubtaskTotals | None = None


class SubtaskFailed(Message, frozen=True):
    """The subtask ended in an error, or its slot worker was lost; `totals` is what it has done, if that is known."""

    subtask: SubtaskId
    attempt: int
    error: ErrorInfo
    totals: SubtaskTotals | None = None


SubtaskNews = SubtaskStarted | SubtaskFinished | SubtaskCancelled | SubtaskFailed


# --- messages to the slot worker, and to its TaskManager -------------------------------------------------------------------


class CancelSubtask(Message, frozen=True):
    """Stop the subtask; answer with how it ended."""

    subtask: SubtaskId
    attempt: int


class KillSlot(Message, frozen=True):
    """End the slot worker of `allocation`: a subtask in it does not react."""

    allocation: Allocation
    reason: str


# --- what the JobMaster says and hears -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deploy:
    """Send the attempt to its slot worker: this order carries it there."""

    order: Message


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the attempt."""


@dataclass(frozen=True, slots=True)
class SlotGone:
    """The attempt's slot is gone, and the attempt with it."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class AttemptRunning:
    """Reported when the attempt runs."""

    subtask: SubtaskId
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """Reported once, when the attempt has reached a final state. `error` is there if that is FAILED."""

    subtask: SubtaskId
    attempt: int
    state: AttemptState
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class AttemptObservation:
    """What `Attempt.observe` shows."""

    subtask: SubtaskId
    attempt: int
    state: AttemptState
    worker: Address
    since: float
    error: ErrorInfo | None


class Attempt:
    """One attempt to run one subtask.

    Args:
        subtask: what runs.
        attempt: 1 for the first, one more after each restart.
        worker: the slot worker that runs it.
        task_manager: can end that worker by force.
        allocation: under which lease.
        deploy_timeout_s: how long it may take to start.
        cancel_timeout_s: how long it may take to end after a cancel, before its slot is killed.
    """

    def __init__(
        self,
        subtask: SubtaskId,
        attempt: int,
        worker: Address,
        task_manager: Address,
        allocation: Allocation,
        *,
        deploy_timeout_s: float = 60.0,
        cancel_timeout_s: float = 30.0,
    ) -> None:
        self.subtask = subtask
        self.attempt = attempt
        self.worker = worker
        self.task_manager = task_manager
        self.allocation = allocation
        self.state = AttemptState.CREATED
        self.timer = f"attempt:{subtask}:{attempt}"
        """Name of the one timer that the attempt uses."""
        self._deploy_timeout_s = deploy_timeout_s
        self._cancel_timeout_s = cancel_timeout_s
        self._since = 0.0
        self._error: ErrorInfo | None = None

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the diagram above."""
        if self.state.final:
            return []
        match event:
            case Deploy(order):
                return self._send(order, now)
            case Cancel():
                return self._cancel(now)
            case SlotGone(error):
                return self._end(AttemptState.FAILED, now, error)
            case TimerFired(name):
                return self._overdue(now) if name == self.timer else []
            case SubtaskStarted() | SubtaskFinished() | SubtaskCancelled() | SubtaskFailed():
                return self._told(event, now) if (event.subtask, event.attempt) == (self.subtask, self.attempt) else []
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def finished_before(self) -> None:
        """Take it that the subtask has finished in an earlier run, and that what it has written is still there."""
        assert self.state is AttemptState.CREATED, f"{self.subtask} is {self.state.value}"
        self.state = AttemptState.FINISHED

    def _send(self, order: Message, now: float) -> list[Effect]:
        if self.state is not AttemptState.CREATED:
            return []
        self._become(AttemptState.DEPLOYING, now)
        return [Send(self.worker, order), SetTimer(self.timer, now + self._deploy_timeout_s)]

    def _cancel(self, now: float) -> list[Effect]:
        if self.state is AttemptState.CREATED:
            return self._end(AttemptState.CANCELLED, now)
        if self.state is AttemptState.CANCELLING:
            return []
        self._become(AttemptState.CANCELLING, now)
        return [
            Send(self.worker, CancelSubtask(self.subtask, self.attempt)),
            SetTimer(self.timer, now + self._cancel_timeout_s),
        ]

    def _told(self, news: SubtaskNews, now: float) -> list[Effect]:
        match news:
            case SubtaskStarted():
                if self.state is not AttemptState.DEPLOYING:
                    return []
                self._become(AttemptState.RUNNING, now)
                return [CancelTimer(self.timer), Report(AttemptRunning(self.subtask, self.attempt))]
            case SubtaskFinished():
                return self._end(AttemptState.FINISHED, now)
            case SubtaskCancelled():
                return self._end(AttemptState.CANCELLED, now)
            case SubtaskFailed():
                return self._end(AttemptState.FAILED, now, news.error)

    def _overdue(self, now: float) -> list[Effect]:
        if self.state is AttemptState.DEPLOYING:
            error = ErrorInfo(
                "DeploymentTimeout",
                f"subtask {self.subtask} did not start on {self.worker} within {self._deploy_timeout_s:g} s",
                hint="look at the log of its slot worker; 'actorflow.subtask.start-timeout' says how long it may take",
                domain=Domain.EXTERNAL,
                retry=Retry.BACKOFF,
            )
            cancel = Send(self.worker, CancelSubtask(self.subtask, self.attempt))
            return [cancel, *self._end(AttemptState.FAILED, now, error)]
        if self.state is AttemptState.CANCELLING:
            reason = f"subtask {self.subtask} did not end within {self._cancel_timeout_s:g} s after it was cancelled"
            return [
                Send(self.task_manager, KillSlot(self.allocation, reason)),
                SetTimer(self.timer, now + self._cancel_timeout_s),
            ]
        return []

    def _end(self, state: AttemptState, now: float, error: ErrorInfo | None = None) -> list[Effect]:
        if self.state is AttemptState.CANCELLING:
            state, error = AttemptState.CANCELLED, None
        self._become(state, now)
        self._error = error
        return [CancelTimer(self.timer), Report(AttemptEnded(self.subtask, self.attempt, state, error))]

    def _become(self, state: AttemptState, now: float) -> None:
        self.state = state
        self._since = now

    def observe(self) -> AttemptObservation:
        """Return the attempt as a value."""
        return AttemptObservation(self.subtask, self.attempt, self.state, self.worker, self._since, self._error)

    def check(self) -> None:
        """State that an error and FAILED go together."""
        failed = self.state is AttemptState.FAILED
        ensure(failed == (self._error is not None), f"attempt {self.attempt} of {self.subtask} is {self.state} with {self._error}")
