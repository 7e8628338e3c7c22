"""Invariants of a simulated world: what must hold whatever goes wrong. One class each, one object for each run.

They watch what machines say to each other, not what they keep: an independent account, kept by someone without any part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.ids import Address, SubtaskId
from actorflow.protocol.jobs.deployment import AttemptEnded, AttemptRunning
from actorflow.protocol.jobs.splits import ReaderLost, ReaderStarted, SplitAssigned, SplitFinished
from actorflow.protocol.machine import Report, Send, ensure
from actorflow.protocol.nodes.slot_messages import Allocation, FreeSlot, JobEnded, Slot, SlotsGranted, SlotsLost, SlotsRequested
from actorflow.protocol.transfer.delivery import Delivered
from actorflow.testing.simulation import Invariant, Step
from actorflow.wire.batch import Watermark


class DeliveredOnceInOrder(Invariant):
    """What a receiver delivers from one sender rises strictly in `number`: nothing doubled, nothing overtaken.

    Args:
        number: the number that the sender gave to a message; rises with each it sends, across its incarnations.
    """

    def __init__(self, number: Callable[[Any], int]) -> None:
        self._number = number
        self._last: dict[tuple[Address, Address], int] = {}

    def after(self, step: Step) -> None:
        """Compare each delivery with the one before it."""
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, Delivered):
                pair = (effect.value.sender, step.address)
                number = self._number(effect.value.message)
                last = self._last.get(pair, 0)
                ensure(number > last, f"{step.address} delivers number {number} of {pair[0]} after {last}")
                self._last[pair] = number


class SlotsLeasedOnce(Invariant):
    """A slot belongs to one allocation at a time, an allocation is never used again, and a request has one answer, which is whole."""

    def __init__(self) -> None:
        self._holder: dict[Slot, Allocation] = {}
        self._over: dict[Allocation, None] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._answers: dict[tuple[str, int], SlotsGranted] = {}

    def after(self, step: Step) -> None:
        """Follow requests, grants, and ends of leases through the messages of the pool."""
        if isinstance(step.event, SlotsRequested):
            self._asked[step.event.job, step.event.request] = step.event.slots
        for effect in step.effects:
            if not isinstance(effect, Send):
                continue
            match effect.message:
                case SlotsGranted() as grant:
                    self._granted(grant)
                case FreeSlot(allocation=allocation):
                    self._ended(allocation)
                case SlotsLost(allocations=allocations):
                    for allocation in allocations:
                        self._ended(allocation)
                case _:
                    pass

    def _granted(self, grant: SlotsGranted) -> None:
        asked = self._asked[grant.job, grant.request]
        ensure(len(grant.leases) == asked, f"'{grant.job}' asked for {asked} slots and got {len(grant.leases)}")
        answer = self._answers.setdefault((grant.job, grant.request), grant)
        ensure(answer == grant, f"request {grant.request} of '{grant.job}' is granted {answer.leases} and {grant.leases}")
        for lease in grant.leases:
            ensure(lease.allocation not in self._over, f"allocation {lease.allocation} is used again")
            holder = self._holder.setdefault(lease.slot, lease.allocation)
            ensure(holder == lease.allocation, f"slot {lease.slot} is leased as {lease.allocation} and as {holder}")

    def _ended(self, allocation: Allocation) -> None:
        self._over[allocation] = None
        for slot, holder in list(self._holder.items()):
            if holder == allocation:
                del self._holder[slot]


class EndedJobsHoldNothing(Invariant):
    """After a job has ended it is granted nothing."""

    def __init__(self) -> None:
        self._ended: dict[str, None] = {}

    def after(self, step: Step) -> None:
        """Compare grants with the jobs that have ended."""
        if isinstance(step.event, JobEnded):
            self._ended[step.event.job] = None
        for effect in step.effects:
            if isinstance(effect, Send) and isinstance(effect.message, SlotsGranted):
                ensure(effect.message.job not in self._ended, f"job '{effect.message.job}' has ended and is granted slots")


class WatermarksRise(Invariant):
    """The watermarks that a subtask forwards rise strictly."""

    def __init__(self) -> None:
        self._last: dict[Address, int] = {}

    def after(self, step: Step) -> None:
        """Compare each forwarded watermark with the one before it."""
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, Watermark):
                timestamp = effect.value.timestamp
                last = self._last.get(step.address)
                ensure(last is None or timestamp > last, f"{step.address} forwards watermark {timestamp} after {last}")
                self._last[step.address] = timestamp


class AttemptsEndOnce(Invariant):
    """Each attempt of a subtask is reported running at most once, then ended once, and nothing is reported after its end."""

    def __init__(self) -> None:
        self._running: dict[tuple[SubtaskId, int], None] = {}
        self._ended: dict[tuple[SubtaskId, int], None] = {}

    def after(self, step: Step) -> None:
        """Follow the reports on attempts."""
        for effect in step.effects:
            if not isinstance(effect, Report) or not isinstance(effect.value, AttemptRunning | AttemptEnded):
                continue
            key = (effect.value.subtask, effect.value.attempt)
            ensure(key not in self._ended, f"attempt {key[1]} of {key[0]} has ended, and then: {effect.value}")
            if isinstance(effect.value, AttemptEnded):
                self._ended[key] = None
            else:
                ensure(key not in self._running, f"attempt {key[1]} of {key[0]} runs twice")
                self._running[key] = None


class SplitsHaveOneReader(Invariant):
    """A split is given to nobody else while its reader lives, and never again once that reader has finished it."""

    def __init__(self) -> None:
        self._owner: dict[int, tuple[SubtaskId, int]] = {}
        self._finished: dict[int, None] = {}

    def after(self, step: Step) -> None:
        """Follow who was given which split."""
        match step.event:
            case ReaderLost(subtask, attempt):
                self._forget(subtask, attempt)
            case ReaderStarted(subtask, attempt):
                self._forget(subtask, attempt - 1)
            case SplitFinished(subtask=subtask, attempt=attempt, split=split):
                if self._owner.get(split) == (subtask, attempt):
                    self._finished[split] = None
            case _:
                pass
        for effect in step.effects:
            if isinstance(effect, Send) and isinstance(effect.message, SplitAssigned):
                given = effect.message
                reader = (given.subtask, given.attempt)
                owner = self._owner.setdefault(given.split, reader)
                ensure(owner == reader, f"split {given.split} is given to {reader} and belongs to {owner}")

    def _forget(self, subtask: SubtaskId, through_attempt: int) -> None:
        for split, (owner, attempt) in list(self._owner.items()):
            if owner == subtask and attempt <= through_attempt and split not in self._finished:
                del self._owner[split]
