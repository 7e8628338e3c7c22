"""A JobMaster's mind for a job that runs with the slots there are: a `JobMachine` that asks itself for another parallelism.

    ResourceManager ──slots counted──► Adaptive ──another width──► JobMachine, as if somebody had asked for it ──answer──► Adaptive

Late rule: see the two machines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actorflow.errors import ErrorInfo, NotEnoughSlots
from actorflow.protocol.jobs import adaptive
from actorflow.protocol.jobs.adaptive import Adaptive, CountAnew, Elasticity, Resize, Stage, TooFewSlots, Withdraw
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_messages import JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.machine import Effect, Report, Send, TimerFired
from actorflow.protocol.nodes.slot_messages import CountSlots, SlotsCounted

_STAGES = {
    JobStatus.WAITING_FOR_SLOTS: Stage.WAITING,
    JobStatus.RUNNING: Stage.RUNNING,
    JobStatus.RESCALING: Stage.GOING_OVER,
    JobStatus.RESTARTING: Stage.RESTARTING,
}


class AdaptiveJobMachine(JobMachine):
    """Decides for one job whose description says what it makes of slots. See `JobMachine`."""

    def __init__(self, description: JobDescription, **options: Any) -> None:
        super().__init__(description, **options)
        self._adaptive = Adaptive(self._rules)

    @property
    def _rules(self) -> Elasticity:
        rules = self._description.elasticity
        assert rules is not None, "a job that takes the slots there are says what it makes of them"
        return rules

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event: for the job, or for its width, which is looked at after each."""
        match event:
            case TimerFired(name=adaptive.TIMER):
                effects = self._adaptive.time_out(now)
            case JobRescaled():
                effects = self._adaptive.answered(event, now)
            case SlotsCounted():
                effects = [*super().handle(event, now), *self._adaptive.counted(event, now)]
            case _:
                effects = super().handle(event, now)
        effects = self._acted([*effects, *self._follow(now)], now)
        for request in self._rescaling.put_off(self._status):
            effects += super().handle(request, now)
        return [*effects, *self._acted(self._follow(now), now)]

    def _follow(self, now: float) -> list[Effect]:
        """Have it known what the job does now, if that has changed."""
        stage, run = _STAGES.get(self._status, Stage.BETWEEN), self._run.number
        if stage is Stage.WAITING and self._run.workers:
            stage = Stage.BETWEEN  # it has its slots, and waits for their workers
        if self._adaptive.is_in(stage, run, self._rules):
            return []
        slots, pending = self._description.graph.slots_needed(), self._rescaling.can_withdraw(self._adaptive.request)
        return self._adaptive.enter(stage, run, self._rules, slots, now, pending=pending)

    def _acted(self, effects: list[Effect], now: float) -> list[Effect]:
        """Do what is wanted for the width; pass on the other effects."""
        result: list[Effect] = []
        for effect in effects:
            match effect:
                case Report(CountAnew(number=number)):
                    count = CountSlots(self._job, self._address, watch=True, question=number)
                    result.append(Send(self._resource_manager, count))
                case Report(Resize(request=request, width=width)):
                    # what it has done is not lost: it does nothing now, goes on from a checkpoint, or may begin anew
                    scale = replace(self._description.scale, most=width)
                    result += super().handle(RescaleJob(self._job, request, self._address, scale, from_scratch=True), now)
                case Report(Withdraw()):
                    result += self._rescaling.withdraw()
                case Report(TooFewSlots(slots=slots)):
                    result += self._fail(self._too_few(slots), now)
                case _:
                    result.append(effect)
        return result

    def _too_few(self, there: int) -> ErrorInfo:
        rules = self._rules
        least = rules.slots(1)
        return NotEnoughSlots(
            f"job '{self._job}' needs at least {least} {'slot' if least == 1 else 'slots'}, and there are {there} for it after {rules.wait_s:g} s",
            hint="start more TaskManagers, raise taskmanager.numberOfTaskSlots, or have it wait longer: "
            "jobmanager.adaptive-scheduler.submission.resource-wait-timeout",
        ).info()

    def check(self) -> None:
        """State what must hold in the job, and of its width."""
        super().check()
        self._adaptive.check()
