"""The slot pool of a ResourceManager: which slots there are, who holds them, and who waits.

    slot:     free ──granted──► leased (by an allocation) ──released──► free          any ──TaskManager lost──► gone
    request:  new ──enough free──► granted     new ──not enough──► waiting ──enough──► granted
                                                                   waiting ──timeout──► refused (`NotEnoughSlots`, with the sums)

A request is for a number of slots, all or nothing. Waiting requests are served in order of arrival; one that asks for more than are
registered lets the others pass. A lease is named by its *allocation*, which is never used again: what a TaskManager or a JobMaster
says about an old allocation cannot touch the slot's next lease. What a TaskManager holds that this pool has not granted, or has taken back, is
freed: the leases of another ResourceManager end with it.

Late rule: an offer of a TaskManager incarnation that is older, or was lost, is dropped; so is a request number of a job that is not
higher than its last (the last itself is answered again), everything of a job that has ended, and the release of an unknown allocation.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Literal

from actorflow.errors import NotEnoughSlots
from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.protocol.machine import CancelTimer, Effect, Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.slot_messages import (
    Allocation,
    CountSlots,
    FreeSlot,
    JobEnded,
    Lease,
    Slot,
    SlotsAwaited,
    SlotsCounted,
    SlotsGranted,
    SlotsLost,
    SlotsOffered,
    SlotsRefused,
    SlotsReleased,
    SlotsRequested,
    TaskManagerLost,
)

ENDED_JOBS_MAX = 1_000
"""How many ended jobs are remembered, so that a late request of theirs leases nothing."""


@dataclass(slots=True)
class _TaskManager:
    incarnation: int
    leased: list[Allocation | None]
    """By slot index."""
    free: list[int]
    """Indexes of the slots that nobody holds, a heap."""


@dataclass(frozen=True, slots=True)
class _Holding:
    lease: Lease
    job: JobId
    request: int
    holder: Address


@dataclass(frozen=True, slots=True)
class TaskManagerSlots:
    """One TaskManager in `SlotPool.observe`. `leased` has the allocation of each slot, or None."""

    address: Address
    incarnation: int
    leased: tuple[Allocation | None, ...]


@dataclass(frozen=True, slots=True)
class SlotPoolState:
    """What `SlotPool.observe` shows."""

    registered: int
    free: int
    task_managers: tuple[TaskManagerSlots, ...]
    leases: tuple[tuple[JobId, Lease], ...]
    waiting: tuple[SlotsRequested, ...]


@dataclass(frozen=True, slots=True)
class TaskManagerLoad:
    """One TaskManager in a `SlotDemand`."""

    node: NodeId
    slots: int
    free: int


@dataclass(frozen=True, slots=True)
class SlotDemand:
    """How many slots each waiting request is for, in order of arrival, and what there is."""

    waiting: tuple[int, ...]
    task_managers: tuple[TaskManagerLoad, ...]


class SlotPool:
    """Grants slots to jobs.

    Args:
        life: names this ResourceManager, and no other: its allocations begin with it.
        request_timeout_s: how long a request may wait; 0 refuses at once.
        fill: `spread` takes from the TaskManager with the most free slots, `pack` from the one with the fewest.
        slots_max: how many slots there will ever be; None if nobody knows.
    """

    def __init__(
        self,
        *,
        life: str = "1",
        request_timeout_s: float = 300.0,
        fill: Literal["spread", "pack"] = "spread",
        slots_max: int | None = None,
    ) -> None:
        self._life = life
        self._request_timeout_s = request_timeout_s
        self._fill = fill
        self._slots_max = slots_max
        self._allocations = 0
        self._task_managers: dict[Address, _TaskManager] = {}
        self._registered = 0
        """How many slots the TaskManagers have."""
        self._lost: dict[Address, int] = {}
        self._holdings: dict[Allocation, _Holding] = {}
        self._waiting: dict[tuple[JobId, int], SlotsRequested] = {}
        self._last_request: dict[JobId, int] = {}
        self._ended: dict[JobId, None] = {}
        self._watching: dict[JobId, tuple[Address, SlotsCounted]] = {}
        """Who is told when the slots for a job become more or fewer, and what it was told last."""

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the messages above. Then tell those who watch how many slots there are for them."""
        effects = self._handle(event, now)
        return [*effects, *self._tell_watchers()] if self._watching else effects

    def _handle(self, event: object, now: float) -> list[Effect]:
        match event:
            case SlotsOffered():
                return self._offered(event)
            case SlotsRequested():
                return self._requested(event, now)
            case SlotsReleased(job=job, allocations=allocations):
                return self._released(job, allocations)
            case CountSlots():
                return self._counted(event)
            case TaskManagerLost():
                return self._task_manager_lost(event)
            case JobEnded(job):
                return self._job_ended(job)
            case TimerFired(name):
                return self._timed_out(name)
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def missing(self, job: JobId, slots: int, because: str = "") -> NotEnoughSlots:
        """Return the error that says what `job` lacks of `slots`, with the sums, and why that stays so, if that is known."""
        registered = f"{self._registered} registered on {_count(len(self._task_managers), 'TaskManager')}"
        hint = "start more TaskManagers, raise taskmanager.numberOfTaskSlots, or lower the parallelism"
        if self._slots_max is not None and slots > self._slots_max:
            hint = f"raise slotmanager.number-of-slots.max, which is {self._slots_max}, or lower the parallelism"
        needs = f"job '{job}' needs {_count(slots, 'slot')}, {self._free()} of {registered} are free"
        return NotEnoughSlots(f"{needs}; {because}" if because else needs, hint=hint)

    def awaited(self, because: str = "") -> list[Effect]:
        """Say anew what those lack who wait."""
        return [
            Report(SlotsAwaited(job, number, self.missing(job, request.slots, because).info()))
            for (job, number), request in self._waiting.items()
        ]

    def _offered(self, offer: SlotsOffered) -> list[Effect]:
        address = offer.task_manager
        if offer.incarnation <= self._lost.get(address, -1):
            return []
        known = self._task_managers.get(address)
        effects: list[Effect] = []
        if known is None or known.incarnation < offer.incarnation:
            if known is not None:
                effects += self._drop(address, "it was started anew")
            self._task_managers[address] = known = _TaskManager(offer.incarnation, [None] * offer.slots, [])
            self._registered += offer.slots
            known.free = list(range(offer.slots))
            return [*effects, *self._free_unknown(offer), *self._serve(), *self.awaited()]
        if offer.incarnation < known.incarnation:
            return []
        return [*self._free_unknown(offer), *self._serve()]

    def _free_unknown(self, offer: SlotsOffered) -> list[Effect]:
        unknown = [held.allocation for held in offer.leases if held.allocation not in self._holdings]
        return [Send(offer.task_manager, FreeSlot(allocation)) for allocation in unknown]

    def _requested(self, request: SlotsRequested, now: float) -> list[Effect]:
        job, number = request.job, request.request
        last = self._last_request.get(job, 0)
        if job in self._ended or number < last:
            return []
        if number == last:
            leases = tuple(holding.lease for holding in self._holdings.values() if holding.job == job and holding.request == number)
            return [Send(request.reply_to, SlotsGranted(job, number, leases))] if len(leases) == request.slots else []
        self._last_request[job] = number
        superseded = self._forget_waiting(job)
        self._waiting[job, number] = request
        granted = superseded + self._serve()
        if (job, number) not in self._waiting:
            return granted
        awaited = SlotsAwaited(job, number, self.missing(job, request.slots).info())
        if request.patient:
            return [*granted, Report(awaited)]
        if self._request_timeout_s <= 0:
            return granted + self._refuse(job, number)
        return [*granted, SetTimer(_timer(job, number), now + self._request_timeout_s), Report(awaited)]

    def _released(self, job: JobId, allocations: tuple[Allocation, ...]) -> list[Effect]:
        effects: list[Effect] = []
        for allocation in allocations:
            holding = self._holdings.get(allocation)
            if holding is not None and holding.job == job:
                effects += self._free_slot(holding)
        return effects + self._serve()

    def _task_manager_lost(self, lost: TaskManagerLost) -> list[Effect]:
        address = lost.task_manager
        self._lost[address] = max(lost.incarnation, self._lost.get(address, -1))
        known = self._task_managers.get(address)
        if known is None or known.incarnation > lost.incarnation:
            return []
        return [*self._drop(address, lost.reason), *self._serve(), *self.awaited()]

    def _job_ended(self, job: JobId) -> list[Effect]:
        self._ended[job] = None
        if len(self._ended) > ENDED_JOBS_MAX:
            del self._ended[next(iter(self._ended))]
        self._last_request.pop(job, None)
        self._watching.pop(job, None)
        effects = self._forget_waiting(job)
        for holding in [holding for holding in self._holdings.values() if holding.job == job]:
            effects += self._free_slot(holding)
        return effects + self._serve()

    def _forget_waiting(self, job: JobId) -> list[Effect]:
        """Drop what a job waits for: it is over, or asks for something else."""
        keys = [key for key in self._waiting if key[0] == job]
        for key in keys:
            del self._waiting[key]
        return [CancelTimer(_timer(*key)) for key in keys]

    def _count_for(self, job: JobId, question: int) -> SlotsCounted:
        """Count the slots that a job could have: its own, the free ones, and those that TaskManagers could be started for."""
        there = sum(holding.job == job for holding in self._holdings.values()) + self._free()
        return SlotsCounted(job, there + max((self._slots_max or 0) - self._registered, 0), there, question)

    def _counted(self, asked: CountSlots) -> list[Effect]:
        count = self._count_for(asked.job, asked.question)
        if asked.watch and asked.job not in self._ended:
            self._watching[asked.job] = (asked.reply_to, count)
        return [Send(asked.reply_to, count)]

    def _tell_watchers(self) -> list[Effect]:
        effects: list[Effect] = []
        for job, (watcher, told) in self._watching.items():
            if (count := self._count_for(job, told.question)) != told:
                self._watching[job] = (watcher, count)
                effects.append(Send(watcher, count))
        return effects

    def _timed_out(self, timer: str) -> list[Effect]:
        for job, number in self._waiting:
            if _timer(job, number) == timer:
                return self._refuse(job, number) + self._serve()
        return []

    def _serve(self) -> list[Effect]:
        """Grant waiting requests in order, until one has to wait for a slot that may come free."""
        effects: list[Effect] = []
        for key, request in list(self._waiting.items()):
            if request.slots > self._free():
                if request.slots > self._registered:
                    continue
                break
            del self._waiting[key]
            effects += [CancelTimer(_timer(*key)), Send(request.reply_to, SlotsGranted(*key, self._lease(request)))]
        return effects

    def _lease(self, request: SlotsRequested) -> tuple[Lease, ...]:
        """Lease as many slots as are asked for, and are free. Only the rank of the TaskManager that gives one changes by it."""
        sign = -1 if self._fill == "spread" else 1
        queue = [
            (sign * len(task_manager.free), address) for address, task_manager in self._task_managers.items() if task_manager.free
        ]
        heapify(queue)
        leases = []
        for _ in range(request.slots):
            _, address = queue[0]
            task_manager = self._task_managers[address]
            self._allocations += 1
            allocation = Allocation(f"{self._life}.{self._allocations}")
            lease = Lease(Slot(address, heappop(task_manager.free)), allocation)
            task_manager.leased[lease.slot.index] = allocation
            self._holdings[allocation] = _Holding(lease, request.job, request.request, request.reply_to)
            leases.append(lease)
            if task_manager.free:
                heapreplace(queue, (sign * len(task_manager.free), address))
            else:
                heappop(queue)
        return tuple(leases)

    def _free_slot(self, holding: _Holding) -> list[Effect]:
        slot, allocation = holding.lease.slot, holding.lease.allocation
        del self._holdings[allocation]
        task_manager = self._task_managers[slot.task_manager]
        task_manager.leased[slot.index] = None
        heappush(task_manager.free, slot.index)
        return [Send(slot.task_manager, FreeSlot(allocation))]

    def _drop(self, address: Address, reason: str) -> list[Effect]:
        """Forget a TaskManager and tell the holders of its leases."""
        self._registered -= len(self._task_managers.pop(address).leased)
        lost: dict[tuple[Address, JobId], list[Allocation]] = {}
        for allocation, holding in list(self._holdings.items()):
            if holding.lease.slot.task_manager == address:
                del self._holdings[allocation]
                lost.setdefault((holding.holder, holding.job), []).append(allocation)
        text = f"TaskManager {address} is lost: {reason}"
        return [Send(holder, SlotsLost(job, tuple(allocations), text)) for (holder, job), allocations in lost.items()]

    def _refuse(self, job: JobId, number: int) -> list[Effect]:
        request = self._waiting.pop((job, number))
        error = self.missing(job, request.slots).info()
        return [Send(request.reply_to, SlotsRefused(job, number, error))]

    def _free(self) -> int:
        return self._registered - len(self._holdings)

    def demand(self) -> SlotDemand:
        """Return what is lacking, and what there is."""
        loads = [TaskManagerLoad(split_address(at)[0], len(tm.leased), len(tm.free)) for at, tm in self._task_managers.items()]
        return SlotDemand(tuple(request.slots for request in self._waiting.values()), tuple(loads))

    def observe(self) -> SlotPoolState:
        """Return the pool as a value."""
        return SlotPoolState(
            self._registered,
            self._free(),
            tuple(TaskManagerSlots(address, tm.incarnation, tuple(tm.leased)) for address, tm in self._task_managers.items()),
            tuple((holding.job, holding.lease) for holding in self._holdings.values()),
            tuple(self._waiting.values()),
        )

    def check(self) -> None:
        """State that leases and slots agree one to one, and that nobody waits who could be served."""
        by_slot: dict[Slot, Allocation] = {}
        for allocation, holding in self._holdings.items():
            slot = holding.lease.slot
            ensure(slot not in by_slot, f"slot {slot} is leased twice: {by_slot.get(slot)} and {allocation}")
            by_slot[slot] = allocation
            ensure(holding.job not in self._ended, f"job '{holding.job}' has ended and holds {slot}")
        for address, task_manager in self._task_managers.items():
            ensure(task_manager.incarnation > self._lost.get(address, -1), f"{address} is registered with a lost incarnation")
            for index, allocation_or_none in enumerate(task_manager.leased):
                slot = Slot(address, index)
                ensure(by_slot.pop(slot, None) == allocation_or_none, f"slot {slot} and its lease disagree")
            free = [index for index, allocation_or_none in enumerate(task_manager.leased) if allocation_or_none is None]
            ensure(sorted(task_manager.free) == free, f"of {address} {sorted(task_manager.free)} count as free, and {free} are")
        ensure(not by_slot, f"leases of slots that are not registered: {sorted(by_slot)}")
        registered = sum(len(task_manager.leased) for task_manager in self._task_managers.values())
        ensure(registered == self._registered, f"{self._registered} slots count as registered, and {registered} are")
        servable = next((request for request in self._waiting.values() if request.slots <= registered), None)
        ensure(servable is None or servable.slots > self._free(), "the first request that could be served waits")


def _timer(job: JobId, request: int) -> str:
    return f"slots:{job}:{request}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
