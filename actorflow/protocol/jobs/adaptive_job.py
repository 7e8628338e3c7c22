"""A JobMaster's mind for a job that runs with the slots there are: a `JobMachine` that asks itself for another parallelism.

    ResourceManager ──slots counted──► Adaptive ──another width──► JobMachine, as if somebody had asked for it ──answer──► Adaptive

Late rule: see the two machines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actorflow.protocol.jobs import adaptive
from actorflow.protocol.jobs.adaptive import Adaptive, CountAnew, Resize, Stage, slots_of_groups, width_of
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_description import JobDescription
from actorflow.protocol.jobs.job_messages import JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.machine import Effect, Report, Send, TimerFired
from actorflow.protocol.nodes.slot_messages import CountSlots, SlotsCounted

_STAGES = {JobStatus.WAITING_FOR_SLOTS: Stage.WAITING, JobStatus.RUNNING: Stage.RUNNING}


class AdaptiveJobMachine(JobMachine):
    """Decides for one job whose description says what it makes of slots. See `JobMachine`."""

    def __init__(self, description: JobDescription, **options: Any) -> None:
        super().__init__(description, **options)
        self._adaptive = Adaptive()

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event: for the job, or for its width, which is looked at after each."""
        match event:
            case TimerFired(name=adaptive.TIMER):
                effects = self._adaptive.time_out()
            case JobRescaled():
                effects = self._adaptive.answered(event, now)
            case SlotsCounted(slots=slots):
                effects = [*super().handle(event, now), *self._adaptive.counted(slots, now)]
            case _:
                effects = super().handle(event, now)
        return self._acted([*effects, *self._follow(now)], now)

    def _follow(self, now: float) -> list[Effect]:
        """Have it known what the job does now, if that has changed."""
        stage, run = _STAGES.get(self._status, Stage.BETWEEN), self._run.number
        if self._adaptive.is_in(stage, run):
            return []
        description = self._description
        return self._adaptive.enter(stage, run, description.elasticity, width_of(slots_of_groups(description.graph)), now)

    def _acted(self, effects: list[Effect], now: float) -> list[Effect]:
        """Do what is wanted for the width; pass on the other effects."""
        result: list[Effect] = []
        for effect in effects:
            match effect:
                case Report(CountAnew()):
                    result.append(Send(self._resource_manager, CountSlots(self._job, self._address, watch=True)))
                case Report(Resize(request=request, width=width)):
                    result += super().handle(self._resized(request, width), now)
                case _:
                    result.append(effect)
        return result

    def _resized(self, request: str, width: int) -> RescaleJob:
        """Return what to ask for. A run that waits for slots has done nothing that could be lost."""
        scale = replace(self._description.scale, most=width)
        return RescaleJob(self._job, request, self._address, scale, from_scratch=self._status is JobStatus.WAITING_FOR_SLOTS)

    def check(self) -> None:
        """State what must hold in the job, and of its width."""
        super().check()
        self._adaptive.check()
