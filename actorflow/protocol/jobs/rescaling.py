"""Another parallelism for a job that runs: what was asked for, and how far it is. A part of a JobMaster.

    as it is ──asked──► planning ──► counting ──enough slots──► keeping ──kept──► due ──next run──► switching ──deployed──► as it is
                            └─ cannot run so ──┴─ not enough ──► refused

The job goes over when a checkpoint holds what its run has done: the run ends and the next one is as wide as was asked for. Until then nothing has
changed, and what fails meanwhile only makes the next run begin sooner. How wide a job is to run is kept before it is told, for the next leader.

A job that takes the slots there are (see `adaptive`) asks itself, too. It gives way to others: it does not ask while somebody else has, and if it asks as the
slots for them are gone again, they are told how wide it runs after all. Who asks while it goes over by itself is put off until that is done.

Late rule: work and counts for what is no longer asked for are dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address, OperatorId
from actorflow.plan.execution import ExecutionGraph
from actorflow.plan.scale import Scale
from actorflow.protocol.checkpoints.going_on import chains_of
from actorflow.protocol.jobs.job_checkpoints import JobCheckpoints
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_messages import JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.machine import Effect, Report, Send, Start, WorkDone, WorkFailed, ensure
from actorflow.protocol.nodes.slot_messages import CountSlots, SlotsCounted

ANSWERS_MAX = 100
"""Answers that are remembered, for who asks again."""


@dataclass(frozen=True, slots=True)
class PlanScale:
    """Slow work: plan the job for a scale. Its result is a `JobDescription`.

    Attributes:
        request: for which it is done.
        scale: how wide.
        like: what runs now.
    """

    request: str
    scale: Scale
    like: ExecutionGraph


@dataclass(frozen=True, slots=True)
class KeepScale:
    """Slow work: write down for the next leader how wide the job is to run."""

    request: str
    scale: Scale


@dataclass(frozen=True, slots=True)
class ScaleDue:
    """Reported when the job is to go over to another scale as soon as it can."""


@dataclass(frozen=True, slots=True)
class ScaledAsItIs:
    """Reported when what was asked for runs already: only what the job makes of slots is another thing."""

    description: JobDescription


class Phase(enum.Enum):
    """How far a request is."""

    AS_IT_IS = "as it is"
    PLANNING = "planning"
    COUNTING = "counting"
    KEEPING = "keeping"
    DUE = "due"
    SWITCHING = "switching"


@dataclass(frozen=True, slots=True)
class RescalingView:
    """What people see of it.

    Attributes:
        wanted: the highest parallelism of what was asked for, or runs.
        phase: how far that is.
        scale: of what runs.
        operators: with how many subtasks each of them is to run if there are slots for all, at that scale.
    """

    wanted: int
    phase: str
    scale: Scale = Scale()  # noqa: RUF009 - a frozen value
    operators: Mapping[OperatorId, int] = field(default_factory=dict)


class Rescaling:
    """Follows the requests for another parallelism of one job.

    Args:
        description: what runs.
        address: the JobMaster's.
        resource_manager: knows what slots there are.
    """

    def __init__(self, description: JobDescription, address: Address, resource_manager: Address) -> None:
        self._now = description
        self._address = address
        self._resource_manager = resource_manager
        self._phase = Phase.AS_IT_IS
        self._request: RescaleJob | None = None
        self._beside: tuple[RescaleJob, ...] = ()
        """Requests that are answered with it."""
        self._put_off: dict[str, RescaleJob] = {}
        self._wanted: JobDescription | None = None
        self._answers: dict[str, JobRescaled] = {}
        self._paused_at = 0.0

    @property
    def due(self) -> bool:
        """Whether the next run is another one."""
        return self._phase is Phase.DUE

    def asked(self, request: RescaleJob, status: JobStatus, checkpoints: JobCheckpoints) -> list[Effect]:
        """Take a request to a job in this status, with these checkpoints."""
        answer = self._answers.get(request.request)
        if answer is not None:
            return [Send(request.reply_to, answer)]
        if request.request in {one.request for one in self._under_way()}:
            return []
        if self._busy_with_own(status) and request.reply_to != self._address:
            self._put_off[request.request] = request
            return []
        if (refusal := self._refusal(request, status, checkpoints)) is not None:
            return [Send(request.reply_to, self._note(request, refusal))]
        return [*self._supersede(request), *self._plan(request)]

    def _under_way(self) -> tuple[RescaleJob, ...]:
        return self._beside if self._request is None else (self._request, *self._beside)

    def _supersede(self, request: RescaleJob) -> list[Effect]:
        """Have a request go before those that are under way. The job's own goes with them: it is how they can be met at all."""
        if request.reply_to == self._address:
            self._beside = self._under_way()
            return []
        return self._answer(_refused("another parallelism was asked for meanwhile", Retry.NEVER))

    def _plan(self, request: RescaleJob) -> list[Effect]:
        self._phase, self._request, self._wanted = Phase.PLANNING, request, None
        return [Start(PlanScale(request.request, request.scale, self._now.graph))]

    def _own(self) -> bool:
        return self._request is not None and self._request.reply_to == self._address

    def _busy_with_own(self, status: JobStatus) -> bool:
        return self._own() and self._busy(status)

    def _busy(self, status: JobStatus) -> bool:
        switching = self._phase is Phase.SWITCHING and status is not JobStatus.WAITING_FOR_SLOTS
        return switching or self._phase in {Phase.PLANNING, Phase.KEEPING}

    def put_off(self, status: JobStatus) -> tuple[RescaleJob, ...]:
        """Return whose turn it is now: they were put off while the job was busy with what it had asked for itself."""
        if not self._put_off or self._busy(status):
            return ()
        requests, self._put_off = tuple(self._put_off.values()), {}
        return requests

    def can_withdraw(self, request: str) -> bool:
        """Return whether a request is under way, and nothing has changed for it."""
        there = self._request is not None and self._request.request == request
        return there and self._phase not in {Phase.AS_IT_IS, Phase.SWITCHING}

    def withdraw(self) -> list[Effect]:
        """End a request that is not wanted any more."""
        return self._drop(_refused("it is not wanted any more", Retry.BACKOFF))

    def _refusal(self, request: RescaleJob, status: JobStatus, checkpoints: JobCheckpoints) -> ErrorInfo | None:
        given_way = self._request is not None and not self._own() and request.reply_to == self._address
        if self._busy(status) or (given_way and self._phase is not Phase.SWITCHING):
            return _refused("it is being rescaled", Retry.BACKOFF, "try again when that is done")
        if status in {JobStatus.COMMITTING, JobStatus.CANCELLING} or checkpoints.stopping:
            return _refused("it is coming to its end", Retry.NEVER)
        if self._now.stages:
            return _refused("it runs in stages", Retry.NEVER, "a batch job that begins anew may have another parallelism")
        how = "set execution.checkpointing.interval, or have it begin anew: actorflow rescale --from-scratch"
        allowed = checkpoints.active or request.from_scratch
        return None if allowed else _refused("it takes no checkpoints to go on from", Retry.NEVER, how)

    def handle(self, event: SlotsCounted | WorkDone | WorkFailed) -> list[Effect]:
        """Take what was found out about what is asked for."""
        match event:
            case SlotsCounted(slots=slots):
                return self._counted(slots) if self._phase is Phase.COUNTING else []
            case WorkDone(work=PlanScale(request=number), result=JobDescription() as planned):
                return self._planned(planned) if self._is_on(Phase.PLANNING, number) else []
            case WorkDone(work=KeepScale(request=number)):
                return self._kept() if self._is_on(Phase.KEEPING, number) else []
            case WorkFailed(work=PlanScale(request=number) | KeepScale(request=number), error=error):
                return self._drop(error) if self._request is not None and self._request.request == number else []
            case _:
                raise AssertionError(f"unknown event {event!r}")

    def _is_on(self, phase: Phase, request: str) -> bool:
        return self._phase is phase and self._request is not None and self._request.request == request

    def _planned(self, planned: JobDescription) -> list[Effect]:
        self._wanted = planned
        if planned.graph.slots_needed() <= self._now.graph.slots_needed():
            return self._keep()
        self._phase = Phase.COUNTING
        return [Send(self._resource_manager, CountSlots(self._now.job, self._address))]

    def _counted(self, slots: int) -> list[Effect]:
        """Go on if there are enough slots; if not, with those there are, where the job does with them."""
        assert self._wanted is not None, "slots are counted for what was planned"
        assert self._request is not None, "slots are counted for who has asked"
        needed, elasticity = self._wanted.graph.slots_needed(), self._wanted.elasticity
        if slots >= needed:
            return self._keep()
        if elasticity is not None and (width := elasticity.width(slots)):
            return self._plan(self._request.replaced(scale=replace(self._request.scale, most=width)))
        least = f"{needed} slots" if elasticity is None else f"at least {elasticity.slots(1)} slots"
        what = f"it would need {least}, and there are {slots} for it"
        return self._drop(_refused(what, Retry.BACKOFF, "start more TaskManagers, or raise taskmanager.numberOfTaskSlots"))

    def _keep(self) -> list[Effect]:
        assert self._request is not None, "what is kept was asked for"
        self._phase = Phase.KEEPING
        return [Start(KeepScale(self._request.request, self._request.scale))]

    def _kept(self) -> list[Effect]:
        assert self._wanted is not None, "what was kept was planned"
        if _alike(self._wanted.graph, self._now.graph):
            self._now = self._wanted
            return [Report(ScaledAsItIs(self._now)), *self._drop(None)]
        self._phase = Phase.DUE
        return [Report(ScaleDue())]

    def pausing(self, now: float) -> None:
        """Note that the run is ended for what is due."""
        self._paused_at = self._paused_at or now

    def next_run(self, now: float) -> JobDescription | None:
        """Return what the next run is, if it is another one than the last."""
        if self._phase is not Phase.DUE:
            return None
        assert self._wanted is not None, "what is due was planned"
        self._phase, self._now, self._wanted = Phase.SWITCHING, self._wanted, None
        self._paused_at = self._paused_at or now
        return self._now

    def deployed(self, now: float) -> list[Effect]:
        """Note that a run has started."""
        if self._phase is not Phase.SWITCHING:
            return []
        return self._answer(None, now - self._paused_at)

    def job_over(self) -> list[Effect]:
        """Answer whoever waits for what will not be."""
        self._beside, self._put_off = (*self._beside, *self._put_off.values()), {}
        return self._answer(_refused("it is over", Retry.NEVER))

    def _drop(self, error: ErrorInfo | None) -> list[Effect]:
        """End the request. Those that it went before are as far as they were: their plan waits for slots."""
        dropped = self._request
        if dropped is None or not self._beside:
            return self._answer(error)
        self._request, *beside = self._beside
        self._beside, self._phase, self._wanted = tuple(beside), Phase.SWITCHING, None
        return [Send(dropped.reply_to, self._note(dropped, error))]

    def _answer(self, error: ErrorInfo | None, paused_s: float = 0.0) -> list[Effect]:
        """End a request, if one is under way, and those beside it."""
        requests = self._under_way()
        self._request, self._beside = None, ()
        self._phase, self._wanted, self._paused_at = Phase.AS_IT_IS, None, 0.0
        return [Send(request.reply_to, self._note(request, error, paused_s)) for request in requests]

    def _note(self, request: RescaleJob, error: ErrorInfo | None, paused_s: float = 0.0) -> JobRescaled:
        answer = JobRescaled(request.request, self._now.graph.parallelism, paused_s, error)
        self._answers[request.request] = answer
        if len(self._answers) > ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]
        return answer

    def observe(self) -> RescalingView:
        """Return how wide the job is to be, and how far that is."""
        wanted = self._wanted or self._now
        return RescalingView(wanted.graph.parallelism, self._phase.value, self._now.scale, self._now.wanted)

    def check(self) -> None:
        """State that a request and a plan are there as long as the phase says."""
        match self._phase:
            case Phase.AS_IT_IS:
                asked, planned = False, False
            case Phase.PLANNING | Phase.SWITCHING:
                asked, planned = True, False
            case Phase.COUNTING | Phase.KEEPING | Phase.DUE:
                asked, planned = True, True
            case _:
                assert_never(self._phase)
        ensure(asked == (self._request is not None), f"rescaling is {self._phase.value}, asked for was {self._request}")
        ensure(planned == (self._wanted is not None), f"rescaling is {self._phase.value}, and the plan is another thing")


def _alike(one: ExecutionGraph, other: ExecutionGraph) -> bool:
    """Return whether two graphs of a job run the same subtasks."""
    return one.subtasks() == other.subtasks() and chains_of(one) == chains_of(other)


def _refused(why: str, retry: Retry, hint: str = "") -> ErrorInfo:
    return ErrorInfo("RescaleRefused", f"the job cannot be rescaled: {why}", hint=hint, domain=Domain.USER, retry=retry)
