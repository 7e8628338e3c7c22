"""The whole mind of a TaskManager: its slots, and the one worker process that each lease of a slot gets.

    lease:   waits ──slot has no process──► starting ──WorkerStarted──► ready
               │                               ├── not up in time, killed ──┤
               │                               └────── process ended ───────┴──► ended          any ──freed──► over
               └── killed ──► ended

A slot has no process when that of its last lease has ended, freed or not: it is told to (`EndWorker`), and its end is seen (`ChildEnded`).

What it tells may be lost, so it goes by what it knows. The slots are offered again and again, with the leases that are held; which of them
are over the ResourceManager knows, and frees them again. A lease that comes again is answered again: it is ready, or has ended. The end of
a lease is told with every offer until the lease is freed. A lease may also come from a JobMaster that has not heard yet that this
TaskManager was started anew; that one is freed too.

It serves one leader. Under another one, whose ResourceManager knows nothing of earlier leases, and when the node of the leader is lost, all it
runs is ended; slots are offered to whoever leads, for as long as it takes. One that was given up wrongly (`IncarnationFenced`) ends all it
runs, too, and registers anew in a higher incarnation.

One that nobody has wanted for long, because no ResourceManager has accepted its offers, says so (`NotRegistered`), if it is told to.

A worker that uses more memory than it may is killed with that as the reason, before the kernel chooses whom to kill.

A TaskManager never runs user code, so nothing a user function does can keep it from seeing its workers die. Each lease gets a fresh
process: what a job leaves behind in one (memory, threads, patched modules) ends with it, and before the next one begins.

The workers of a job that brings files or code are not said to be ready before those are here; what jobs have here goes when they are over (see
`job_files`).

Late rule: a lease that is over (freed, perhaps before it came) is dropped; so is everything of an unknown allocation, a lease by a JobMaster
whose leader is not this one's, and a worker's word that it is up after it was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, JobId, split_address
from actorflow.protocol.blobs import job_files
from actorflow.protocol.blobs.fetching import BlobsHere
from actorflow.protocol.blobs.job_files import JobFiles
from actorflow.protocol.jobs.deployment import KillSlot
from actorflow.protocol.jobs.job_messages import LeaseSlot, LinkBroken, NodeLost, SlotEnded, SlotReady, WorkerStarted
from actorflow.protocol.machine import (
    CancelTimer,
    ChildEnded,
    Done,
    Effect,
    Ending,
    Failed,
    Killed,
    Lost,
    Report,
    Send,
    SetTimer,
    Spawn,
    Stopped,
    TimerFired,
    ensure,
)
from actorflow.protocol.nodes.registration import IncarnationFenced
from actorflow.protocol.nodes.slot_messages import Allocation, FreeSlot, HeldLease, JobReleased, OfferAccepted, SlotsOffered

OVER_MAX = 1_000
"""How many allocations that are over are remembered, so that a late lease of theirs starts nothing."""

_SOON_S: Final = 0.2
"""When slots are offered to a leader's node that was lost, with the offer on its way to it: it may be back, as a leader that was restarted."""

_MB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Register:
    """Begin to offer the slots to the ResourceManager. The first event."""


@dataclass(frozen=True, slots=True)
class LeaderFound:
    """This one leads from now on, in an epoch that is higher than those before.

    Attributes:
        epoch: see above.
        resource_manager: takes offers of slots.
        dispatcher: its JobMasters are below it; no others may lease slots.
    """

    epoch: int
    resource_manager: Address
    dispatcher: Address


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """Reported once, when no ResourceManager has accepted an offer for `for_s` seconds."""

    for_s: float


@dataclass(frozen=True, slots=True)
class WorkerRecipe:
    """What a worker's shell needs to know to start one."""

    allocation: Allocation
    index: int
    job: JobId


@dataclass(frozen=True, slots=True)
class EndWorker:
    """To the child that stands for a worker: end the process, and then yourself."""


@dataclass(frozen=True, slots=True)
class WorkerMeasured:
    """The process of a lease has come to use this much memory, more than ever before."""

    allocation: Allocation
    memory_bytes: int


@dataclass(slots=True)
class _Held:
    lease: LeaseSlot
    ready: SlotReady | None = None
    ended: SlotEnded | None = None
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
        resource_manager: to whom it offers its slots, where there is only one leader; None until a `LeaderFound` says.
        slots: how many it has.
        incarnation: rises with every start of it.
        start_timeout_s: how long a worker may take to report.
        offer_every_s: how long after an offer the slots are offered again.
        worker_bytes_max: how much memory a worker may use; None if nobody says.
        registration_timeout_s: how long it may be without a ResourceManager; None: for ever.
        keep_files_s: how long files of jobs are kept when there is no leader.
    """

    def __init__(
        self,
        address: Address,
        resource_manager: Address | None,
        *,
        slots: int,
        incarnation: int = 1,
        start_timeout_s: float = 30.0,
        offer_every_s: float = 5.0,
        worker_bytes_max: int | None = None,
        registration_timeout_s: float | None = None,
        keep_files_s: float = 3600.0,
    ) -> None:
        self._address = address
        self._resource_manager = resource_manager
        self._slots = slots
        self._incarnation = incarnation
        self._leader: LeaderFound | None = None
        self._start_timeout_s = start_timeout_s
        self._offer_every_s = offer_every_s
        self._worker_bytes_max = worker_bytes_max
        self._registration_timeout_s = registration_timeout_s
        self._files = JobFiles(address, keep_files_s)
        self._held: dict[Allocation, _Held] = {}
        self._processes: dict[Allocation, int] = {}
        """Slots of the processes that live, of freed leases too."""
        self._occupied: dict[int, Allocation] = {}
        """Whose process lives in a slot."""
        self._queues: dict[int, dict[Allocation, None]] = {}
        """Leases that wait until the last process of their slot has ended."""
        self._over: dict[Allocation, None] = {}

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event; see the diagram above."""
        match event:
            case Register():
                return [*self._expect_to_be_wanted(now), *self._offer(now)]
            case TimerFired(name="offer"):
                return self._offer(now)
            case OfferAccepted(by=by):
                return self._expect_to_be_wanted(now) if by == self._resource_manager else []
            case TimerFired(name="registration"):
                return [Report(NotRegistered(self._registration_timeout_s or 0.0))]
            case LeaderFound():
                return self._led_by(event, now)
            case NodeLost(node=node):
                return self._node_lost(node, now)
            case LinkBroken(node=node):
                return self._offer(now) if self._leads(node) else []
            case IncarnationFenced(incarnation=incarnation):
                return self._fenced(incarnation, now)
            case LeaseSlot():
                return self._lease(event, now)
            case WorkerStarted():
                return self._started(event)
            case WorkerMeasured():
                return self._measured(event)
            case FreeSlot(allocation=allocation):
                return self._free(allocation)
            case BlobsHere(job=job, error=error):
                return self._blobs_here(job, error)
            case JobReleased(job=job):
                return self._files.released(job)
            case TimerFired(name=job_files.ABANDONED):
                return self._files.abandoned()
            case KillSlot(allocation=allocation, reason=reason):
                return self._kill(allocation, reason)
            case ChildEnded(name=name, ending=ending):
                return self._ended(Allocation(name), ending, now)
            case TimerFired(name=name):
                allocation = Allocation(name)
                return self._kill(allocation, f"it did not report within {self._start_timeout_s:g} s of its start")
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _expect_to_be_wanted(self, now: float) -> list[Effect]:
        timeout_s = self._registration_timeout_s
        return [] if timeout_s is None else [SetTimer("registration", now + timeout_s)]

    def _leads(self, node: str) -> bool:
        return self._resource_manager is not None and split_address(self._resource_manager)[0] == node

    def _led_by(self, leader: LeaderFound, now: float) -> list[Effect]:
        if self._leader is not None and leader.epoch < self._leader.epoch:
            return []
        ended = [] if leader == self._leader else self._free_all(lambda _: True)
        self._leader, self._resource_manager = leader, leader.resource_manager
        return [*ended, *self._files.led(), *self._offer(now)]

    def _node_lost(self, node: str, now: float) -> list[Effect]:
        freed = self._free_all(lambda job_master: split_address(job_master)[0] == node)
        if not self._leads(node):
            return freed
        return [*freed, *self._files.leader_lost(now), SetTimer("offer", now + min(_SOON_S, self._offer_every_s))]

    def _fenced(self, incarnation: int, now: float) -> list[Effect]:
        if incarnation != self._incarnation:
            return []
        self._incarnation += 1
        return [*self._free_all(lambda _: True), *self._offer(now)]

    def _free_all(self, of: Callable[[Address], bool]) -> list[Effect]:
        """End what runs for JobMasters that will not ask for it any more."""
        gone = [allocation for allocation, held in self._held.items() if of(held.lease.job_master)]
        return [effect for allocation in gone for effect in self._free(allocation)]

    def _offer(self, now: float) -> list[Effect]:
        if self._resource_manager is None:
            return []
        held = tuple(HeldLease(h.lease.index, a, h.lease.job, h.lease.job_master) for a, h in self._held.items())
        offer = SlotsOffered(self._address, self._incarnation, self._slots, held)
        told_again = [Send(h.lease.job_master, h.ended) for h in self._held.values() if h.ended is not None]
        kept = self._files.told_to(self._leader.dispatcher if self._leader is not None else None)
        return [Send(self._resource_manager, offer), *told_again, *kept, SetTimer("offer", now + self._offer_every_s)]

    def _lease(self, lease: LeaseSlot, now: float) -> list[Effect]:
        allocation = lease.allocation
        if allocation in self._over or (self._leader and not lease.job_master.startswith(f"{self._leader.dispatcher}/")):
            return []
        if allocation in self._held:
            return [*self._files.leased(lease), *self._tell(self._held[allocation])]
        if not 0 <= lease.index < self._slots:
            error = ErrorInfo("SlotLost", f"{self._address} has no slot {lease.index}", retry=Retry.NEVER)
            return [Send(lease.job_master, SlotEnded(allocation, error))]
        self._held[allocation] = _Held(lease)
        self._queues.setdefault(lease.index, {})[allocation] = None
        return [*self._files.leased(lease), *self._start_next(lease.index, now)]

    def _blobs_here(self, job: JobId, error: ErrorInfo | None) -> list[Effect]:
        theirs = {allocation: held for allocation, held in self._held.items() if held.lease.job == job}
        if error is not None:
            return [effect for allocation in theirs for effect in self._kill(allocation, str(error))]
        self._files.arrived(job)
        return [effect for held in theirs.values() for effect in self._tell(held)]

    def _start_next(self, index: int, now: float) -> list[Effect]:
        """Start the worker of the first lease that waits for a slot, if no process lives there."""
        queue = self._queues.get(index)
        if not queue or index in self._occupied:
            return []
        allocation = next(iter(queue))
        del queue[allocation]
        self._occupied[index], self._processes[allocation] = allocation, index
        recipe = WorkerRecipe(allocation, index, self._held[allocation].lease.job)
        return [Spawn(allocation, recipe), SetTimer(allocation, now + self._start_timeout_s)]

    def _tell(self, held: _Held) -> list[Effect]:
        """Tell the holder of a lease how far its worker is."""
        news = held.ended or (held.ready if self._files.complete(held.lease.job) else None)
        return [Send(held.lease.job_master, news)] if news is not None else []

    def _started(self, started: WorkerStarted) -> list[Effect]:
        held = self._held.get(started.allocation)
        if held is None or held.ready or held.ended or held.reason:
            return []
        held.ready = SlotReady(started.allocation, started.worker, started.endpoints)
        return [CancelTimer(started.allocation), *self._tell(held)]

    def _measured(self, measured: WorkerMeasured) -> list[Effect]:
        used, limit = measured.memory_bytes, self._worker_bytes_max
        if limit is None or used <= limit:
            return []
        share = f"its share of the option 'taskmanager.memory.process.size' for {self._slots} slots"
        return self._kill(measured.allocation, f"it uses {-(-used // _MB)} MB, more than its limit of {limit // _MB} MB ({share})")

    def _free(self, allocation: Allocation) -> list[Effect]:
        self._remember(allocation)
        held = self._held.pop(allocation, None)
        if held is None:
            return []
        self._queues.get(held.lease.index, {}).pop(allocation, None)
        return self._stop(allocation)

    def _remember(self, allocation: Allocation) -> None:
        self._over[allocation] = None
        if len(self._over) > OVER_MAX:
            del self._over[next(iter(self._over))]

    def _stop(self, allocation: Allocation) -> list[Effect]:
        if allocation not in self._processes:
            return []
        return [CancelTimer(allocation), Send(Address(f"{self._address}/{allocation}"), EndWorker())]

    def _kill(self, allocation: Allocation, reason: str) -> list[Effect]:
        held = self._held.get(allocation)
        if held is None:
            return []
        if held.ended:
            return self._tell(held)
        if not held.reason:
            held.reason = reason
            if self._queues.get(held.lease.index, {}).pop(allocation, 0) is None:
                return self._end(held, Stopped())  # there is no process that could end
            return self._stop(allocation)
        return []

    def _ended(self, allocation: Allocation, ending: Ending, now: float) -> list[Effect]:
        index = self._processes.pop(allocation, None)
        if index is None:
            return []
        del self._occupied[index]
        held = self._held.get(allocation)
        told = self._end(held, ending) if held is not None else []
        return [CancelTimer(allocation), *told, *self._start_next(index, now)]

    def _end(self, held: _Held, ending: Ending) -> list[Effect]:
        held.ended = SlotEnded(held.lease.allocation, self._why(held, ending))
        return self._tell(held)

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
        leases = {
            a: (held.lease.index, held.lease.job, held.ready is not None and held.ended is None) for a, held in self._held.items()
        }
        return TaskManagerState(self._address, self._slots, leases)

    def check(self) -> None:
        """State that nothing is held that is over, that slots exist, and that each has at most one process, and a cause to wait."""
        for allocation, held in self._held.items():
            index = held.lease.index
            ensure(allocation not in self._over, f"allocation {allocation} is over and held")
            ensure(0 <= index < self._slots, f"allocation {allocation} is of slot {index}, there are {self._slots}")
            places = (allocation in self._processes) + (held.ended is not None) + (allocation in self._queues[index])
            ensure(places == 1, f"allocation {allocation} waits, lives and has ended in {places} ways")
        for index, queue in self._queues.items():
            ensure(not queue or index in self._occupied, f"{list(queue)} wait for slot {index}, which is free")
            for allocation in queue:
                ensure(allocation in self._held, f"allocation {allocation} waits for slot {index}, and is not held")
        lives = {allocation: index for index, allocation in self._occupied.items()}
        ensure(lives == self._processes, f"processes {self._processes} and slots {self._occupied} disagree")
