"""The whole mind of a ResourceManager: which TaskManagers are there, and, by its `SlotPool`, who has their slots.

    unknown ──offers──► registered ──connection breaks──► silent ──offers──► registered
                             │                              └──for `reconnect_s`──┐
                             └──────────its node is lost, or leaves───────────────┴──► lost (this incarnation)

A process that dies breaks its connection at once, whoever notices first; one that lives connects again at once, and offers its slots. What
lies between is the time that a network may have for itself. A TaskManager that was given up wrongly is told so (`IncarnationFenced`): it ends
what it runs, for others have its work, and registers anew.

Late rule: see `SlotPool`; an offer of an incarnation that is lost is answered by its fencing.
"""

from __future__ import annotations

from actorflow.ids import Address, split_address
from actorflow.protocol.jobs.job_messages import LinkBroken, NodeLost
from actorflow.protocol.machine import CancelTimer, Effect, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.slot_messages import JobEnded, JobReleased, OfferAccepted, SlotsOffered, TaskManagerLost
from actorflow.protocol.nodes.slots import SlotDemand, SlotPool, SlotPoolState
from actorflow.wire.message import Message

_SILENT = "silent:"


class IncarnationFenced(Message, frozen=True):
    """To a TaskManager: `by` has given up this incarnation of yours. End what you run, and register with a higher one."""

    by: Address
    incarnation: int


class ResourceManagerMachine:
    """Decides for one ResourceManager.

    Args:
        address: its own.
        pool: keeps the slots.
        reconnect_s: how long a TaskManager whose connection broke may take to come back.
    """

    def __init__(self, address: Address, pool: SlotPool, *, reconnect_s: float) -> None:
        self._address = address
        self._pool = pool
        self._reconnect_s = reconnect_s
        self._registered: dict[Address, int] = {}
        """The incarnation of each TaskManager."""
        self._silent: dict[Address, None] = {}
        self._lost: dict[Address, int] = {}
        """The last incarnation of each that was lost."""

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event: of connections, or for the pool."""
        match event:
            case SlotsOffered():
                return self._offered(event, now)
            case JobEnded(job):
                return [*self._pool.handle(event, now), *(Send(to, JobReleased(job)) for to in self._registered)]
            case LinkBroken(node=node):
                return [effect for task_manager in self._on(node) for effect in self._fell_silent(task_manager, now)]
            case NodeLost(node=node, reason=reason):
                return [effect for task_manager in self._on(node) for effect in self._give_up(task_manager, reason, now)]
            case TimerFired(name=name) if name.startswith(_SILENT):
                reason = f"it did not come back within {self._reconnect_s:g} s after its connection broke"
                return self._give_up(Address(name.removeprefix(_SILENT)), reason, now)
            case _:
                return self._pool.handle(event, now)

    def _on(self, node: str) -> list[Address]:
        return [task_manager for task_manager in self._registered if split_address(task_manager)[0] == node]

    def _offered(self, offer: SlotsOffered, now: float) -> list[Effect]:
        task_manager = offer.task_manager
        if offer.incarnation <= self._lost.get(task_manager, -1):
            return [Send(task_manager, IncarnationFenced(self._address, offer.incarnation))]
        if offer.incarnation < self._registered.get(task_manager, -1):
            return []
        self._registered[task_manager] = offer.incarnation
        back = [CancelTimer(_SILENT + task_manager)] if task_manager in self._silent else []
        self._silent.pop(task_manager, None)
        return [*back, Send(task_manager, OfferAccepted(self._address)), *self._pool.handle(offer, now)]

    def _fell_silent(self, task_manager: Address, now: float) -> list[Effect]:
        if task_manager in self._silent:
            return []
        self._silent[task_manager] = None
        return [SetTimer(_SILENT + task_manager, now + self._reconnect_s)]

    def _give_up(self, task_manager: Address, reason: str, now: float) -> list[Effect]:
        incarnation = self._registered.pop(task_manager, None)
        if incarnation is None:
            return []
        self._lost[task_manager] = incarnation
        silent = [CancelTimer(_SILENT + task_manager)] if task_manager in self._silent else []
        self._silent.pop(task_manager, None)
        return [*silent, *self._pool.handle(TaskManagerLost(task_manager, incarnation, reason), now)]

    def demand(self) -> SlotDemand:
        """Return what is lacking, and what there is."""
        return self._pool.demand()

    def still_awaited(self, because: str) -> list[Effect]:
        """Say to those who wait for slots why there are none."""
        return self._pool.awaited(because)

    def observe(self) -> SlotPoolState:
        """Return the pool as a value."""
        return self._pool.observe()

    def check(self) -> None:
        """State that the pool has the slots of those who are registered, and that nobody else is waited for."""
        self._pool.check()
        pooled = {state.address: state.incarnation for state in self._pool.observe().task_managers}
        ensure(pooled == self._registered, f"{self._registered} are registered, and {pooled} have slots")
        for task_manager in self._silent:
            ensure(task_manager in self._registered, f"{task_manager} is waited for, and is not registered")
        for task_manager, incarnation in self._registered.items():
            ensure(incarnation > self._lost.get(task_manager, -1), f"{task_manager} is registered with a lost incarnation")
