"""Bugs that are planted in how wide jobs run."""

from cluster_bugs import Unchecked
from cluster_scaling import AdaptiveMaster

from actorflow.protocol.jobs.adaptive import Adaptive, Stage
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.jobs.rescaling import Rescaling


class UncheckedAdaptive(AdaptiveMaster):
    def check(self):
        pass


def with_part(master, name, kind):
    """Return a JobMaster with a part of this kind."""

    class Master(master):
        def __init__(self, description, **options):
            super().__init__(description, **options)
            getattr(self, name).__class__ = kind

    return Master


class KeepsItsPlan(Rescaling):
    def next_run(self, now):
        super().next_run(now)


class LeavesAtTheEnd(Rescaling):
    def job_over(self):
        return []


class AnswersBeforeItRuns(Rescaling):
    def _kept(self):
        due = super()._kept()
        return [*due, *self._answer(None)] if self._request else due


class KeepsTheSlotsOfTheRunBefore(Unchecked):
    def _run_ended(self, now):
        if self._status is JobStatus.RESCALING:
            return self._begin_run(now)
        return super()._run_ended(now)


class NeverWithdraws(Rescaling):
    def withdraw(self):
        return []


class TurnsUsersAway(Rescaling):
    def _supersede(self, request):
        own, self._address = self._address, ""
        try:
            return super()._supersede(request)
        finally:
            self._address = own


class ForgetsWhoWasPutOff(Rescaling):
    def put_off(self, status):
        super().put_off(status)
        return ()


class NeverSettles(Adaptive):
    def time_out(self, now):
        return [] if self._stage is Stage.WAITING else super().time_out(now)


class NeverWidens(Adaptive):
    def time_out(self, now):
        return super().time_out(now) if self._stage is Stage.WAITING else []


class SettlesForMoreThanThereIs(Adaptive):
    def _possible(self):
        return super()._possible() + 1


OF_RESCALED_JOBS = {
    kind.__name__: with_part(Unchecked, "_rescaling", kind) for kind in (KeepsItsPlan, LeavesAtTheEnd, AnswersBeforeItRuns)
} | {"KeepsTheSlotsOfTheRunBefore": KeepsTheSlotsOfTheRunBefore}
OF_ADAPTIVE_JOBS = {
    kind.__name__: with_part(UncheckedAdaptive, "_rescaling", kind)
    for kind in (NeverWithdraws, TurnsUsersAway, ForgetsWhoWasPutOff)
} | {
    kind.__name__: with_part(UncheckedAdaptive, "_adaptive", kind)
    for kind in (NeverSettles, NeverWidens, SettlesForMoreThanThereIs)
}
BUGS = OF_RESCALED_JOBS | OF_ADAPTIVE_JOBS
"""JobMasters with a bug each, by its name."""
