"""The whole mind of a TaskManager: its slots, and the one worker process that each lease of a slot gets.

    lease:   asked for ──spawn──► starting ──WorkerStarted──► ready
                                     │                          │
                                     └── freed, killed, process ended, not up in time ──► gone

The slots are offered again and again, with the leases that are held: an offer may be lost, and a lease may come from a JobMaster that has
not heard yet that this TaskManager was started anew. What the ResourceManager does not know of it has freed.

A TaskManager never runs user code, so nothing a user function does can keep it from seeing its workers die. Each lease gets a fresh
process: what a job leaves behind in one (memory, threads, patched modules) ends with it.

Late rule: a lease of an allocation that is over (freed, perhaps before it came, or its process has ended) or is held already is dropped;
so is everything of an unknown allocation, and a worker's word that it is up after it was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, JobId
from actorflow.protocol.deployment import KillSlot
from actorflow.protocol.job_messages import LeaseSlot, SlotEnded, SlotReady, WorkerStarted
from actorflow.protocol.machine import (
    CancelTimer,
    ChildEnded,
    Done,
    Effect,
    Ending,
    Failed,
    Killed,
    Lost,
    Send,
    SetTimer,
    Spawn,
    StopChild,
    Stopped,
    TimerFired,
    ensure,
)
from actorflow.protocol.slots import Allocation, FreeSlot, HeldLease, SlotsOffered

OVER_MAX = 1_000
"""How many allocations that are over are remembered, so that a late lease of theirs starts nothing."""


@dataclass(frozen=True, slots=True)
class Register:
    """Begin to offer the slots to the ResourceManager. The first event."""


@dataclass(frozen=True, slots=True)
class WorkerRecipe:
    """What a worker's shell needs to know to start one."""

    allocation: Allocation
    index: int
    job: JobId


@dataclass(slots=True)
class _Held:
    lease: LeaseSlot
    ready: bool = False
    reason: str = ""
    """Why it is being ended by force, if it is."""


@dataclass(frozen=True, slots=True)
class TaskManagerState:
    """What `TaskManagerMachine.observe` shows. `leases` maps allocations to (slot index, job, whether its worker is ready)."""

    address: Address
    slots: int
    leases: Mapping[Allocation, tuple[int, JobId, bool]]


class TaskManagerMachine:
    """Decides for one TaskManager.

    Args:
        address: its own.
        resource_manager: to whom it offers its slots.
        slots: how many it has.
        incarnation: rises with every start of it.
        start_timeout_s: how long a worker may take to report.
        offer_every_s: how long after an offer the slots are offered again.
    """

    def __init__(
        self,
        address: Address,
        resource_manager: Address,
        *,
        slots: int,
        incarnation: int = 1,
        start_timeout_s: float = 30.0,
        offer_every_s: float = 5.0,
    ) -> None:
        self._address = address
        self._resource_manager = resource_manager
        self._slots = slots
        self._incarnation = incarnation
        self._start_timeout_s = start_timeout_s
        self._offer_every_s = offer_every_s
        self._held: dict[Allocation, _Held] = {}
        self._over: dict[Allocation, None] = {}

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the diagram above."""
        match event:
            case Register() | TimerFired(name="offer"):
                return self._offer(now)
            case LeaseSlot():
                return self._lease(event, now)
            case WorkerStarted():
                return self._started(event)
            case FreeSlot(allocation=allocation):
                return self._free(allocation)
            case KillSlot(allocation=allocation, reason=reason):
                return self._kill(allocation, reason)
            case ChildEnded(name=name, ending=ending):
                return self._ended(Allocation(name), ending)
            case TimerFired(name=name):
                allocation = Allocation(name)
                return self._kill(allocation, f"it did not report within {self._start_timeout_s:g} s of its start")
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _offer(self, now: float) -> list[Effect]:
        held = tuple(HeldLease(h.lease.index, a, h.lease.job, h.lease.job_master) for a, h in self._held.items())
        offer = SlotsOffered(self._address, self._incarnation, self._slots, held)
        return [Send(self._resource_manager, offer), SetTimer("offer", now + self._offer_every_s)]

    def _lease(self, lease: LeaseSlot, now: float) -> list[Effect]:
        allocation = lease.allocation
        if allocation in self._over or allocation in self._held:
            return []
        if not 0 <= lease.index < self._slots:
            error = ErrorInfo("SlotLost", f"{self._address} has no slot {lease.index}", retry=Retry.NEVER)
            return [Send(lease.job_master, SlotEnded(allocation, error))]
        self._held[allocation] = _Held(lease)
        return [
            Spawn(allocation, WorkerRecipe(allocation, lease.index, lease.job)),
            SetTimer(allocation, now + self._start_timeout_s),
        ]

    def _started(self, started: WorkerStarted) -> list[Effect]:
        held = self._held.get(started.allocation)
        if held is None or held.ready or held.reason:
            return []
        held.ready = True
        ready = SlotReady(started.allocation, started.worker, started.endpoints)
        return [CancelTimer(started.allocation), Send(held.lease.job_master, ready)]

    def _free(self, allocation: Allocation) -> list[Effect]:
        self._remember(allocation)
        if self._held.pop(allocation, None) is None:
            return []
        return [CancelTimer(allocation), StopChild(allocation)]

    def _remember(self, allocation: Allocation) -> None:
        self._over[allocation] = None
        if len(self._over) > OVER_MAX:
            del self._over[next(iter(self._over))]

    def _kill(self, allocation: Allocation, reason: str) -> list[Effect]:
        held = self._held.get(allocation)
        if held is None or held.reason:
            return []
        held.reason = reason
        return [CancelTimer(allocation), StopChild(allocation)]

    def _ended(self, allocation: Allocation, ending: Ending) -> list[Effect]:
        held = self._held.pop(allocation, None)
        if held is None:
            return []
        self._remember(allocation)
        return [CancelTimer(allocation), Send(held.lease.job_master, SlotEnded(allocation, self._why(held, ending)))]

    def _why(self, held: _Held, ending: Ending) -> ErrorInfo:
        slot = f"slot worker {held.lease.index} of {self._address}"
        if held.reason:
            return ErrorInfo("SlotLost", f"{slot} was killed: {held.reason}", domain=Domain.USER)
        match ending:
            case Failed(error):
                return replace(error, traceback="", context={})  # where it was noticed is not where it happened
            case Done() | Stopped() | Killed():
                return ErrorInfo("SlotLost", f"{slot} ended before it was released", domain=Domain.EXTERNAL)
            case Lost(node):
                return ErrorInfo("SlotLost", f"{slot} cannot be reached: node {node} is lost", domain=Domain.EXTERNAL)
            case _:
                assert_never(ending)

    def observe(self) -> TaskManagerState:
        """Return the TaskManager as a value."""
        leases = {allocation: (held.lease.index, held.lease.job, held.ready) for allocation, held in self._held.items()}
        return TaskManagerState(self._address, self._slots, leases)

    def check(self) -> None:
        """State that nothing is held that is over, and that slots exist."""
        for allocation, held in self._held.items():
            ensure(allocation not in self._over, f"allocation {allocation} is over and held")
            ensure(
                0 <= held.lease.index < self._slots,
                f"allocation {allocation} is of slot {held.lease.index}, there are {self._slots}",
            )
