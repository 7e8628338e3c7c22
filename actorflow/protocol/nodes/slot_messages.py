"""What is said about slots: between JobMasters, TaskManagers and the `SlotPool` of a ResourceManager, which decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, JobId
from actorflow.wire.message import Message

Allocation = NewType("Allocation", str)
"""Names one lease of one slot: the life of its pool, a dot, and a number that rises."""


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Slot `index` of a TaskManager."""

    task_manager: Address
    index: int

    def __str__(self) -> str:
        return f"{self.task_manager}#{self.index}"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to use `slot`, until it is released or lost."""

    slot: Slot
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease as its TaskManager knows it."""

    index: int
    allocation: Allocation
    job: JobId
    holder: Address


# --- messages to the pool --------------------------------------------------------------------------------------------------


class SlotsOffered(Message, frozen=True):
    """A TaskManager registers, or tells again, its slots 0 to `slots` - 1 and the leases it knows."""

    task_manager: Address
    incarnation: int
    slots: int
    leases: tuple[HeldLease, ...] = ()


class SlotsRequested(Message, frozen=True):
    """The JobMaster at `reply_to` needs `slots` more slots.

    Attributes:
        job: which.
        request: rises with each request of a job.
        slots: how many.
        reply_to: gets the answer.
        patient: whether it waits until the job has done with it; else for as long as the pool lets it.
    """

    job: JobId
    request: int
    slots: int
    reply_to: Address
    patient: bool = False


class SlotsReleased(Message, frozen=True):
    """A job gives leases back."""

    job: JobId
    allocations: tuple[Allocation, ...]


class CountSlots(Message, frozen=True):
    """Asks how many slots a job could have: those that it holds, the free ones, and those that may come. Answered by `SlotsCounted`.

    Attributes:
        job: which.
        reply_to: gets the answer.
        watch: whether it is to be answered again whenever the number changes, until the job is over, or asks again.
        question: comes back with each answer.
    """

    job: JobId
    reply_to: Address
    watch: bool = False
    question: int = 0


@dataclass(frozen=True, slots=True)
class TaskManagerLost:
    """The failure detector has declared an incarnation of a TaskManager dead."""

    task_manager: Address
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over: whatever it holds or waits for is free."""

    job: JobId


# --- messages from the pool ------------------------------------------------------------------------------------------------


class SlotsGranted(Message, frozen=True):
    """The answer to a request: as many leases as it asked for."""

    job: JobId
    request: int
    leases: tuple[Lease, ...]


class SlotsRefused(Message, frozen=True):
    """A request waited too long. `error` is a `NotEnoughSlots`."""

    job: JobId
    request: int
    error: ErrorInfo


class SlotsCounted(Message, frozen=True):
    """The answer to `CountSlots`.

    Attributes:
        job: which.
        slots: how many it could have.
        there: how many of them there are now.
        question: which this is the answer to.
    """

    job: JobId
    slots: int
    there: int
    question: int = 0


class SlotsLost(Message, frozen=True):
    """Leases of a job ended because their TaskManager did."""

    job: JobId
    allocations: tuple[Allocation, ...]
    reason: str


class JobReleased(Message, frozen=True):
    """To every TaskManager: a job is over, and what it has kept on a host can go."""

    job: JobId


class OfferAccepted(Message, frozen=True):
    """To a TaskManager: the ResourceManager `by` has its slots. Every offer is answered."""

    by: Address


class FreeSlot(Message, frozen=True):
    """To a TaskManager: whatever still runs under `allocation` is to be ended."""

    allocation: Allocation


@dataclass(frozen=True, slots=True)
class SlotsAwaited:
    """Reported when a request has to wait, and when what there is has changed; `error` says what is missing."""

    job: JobId
    request: int
    error: ErrorInfo
