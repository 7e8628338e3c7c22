"""Bugs that are planted in what brings back a failover region."""

from cluster_bugs import Unchecked, in_every_run

from actorflow.protocol.jobs.failover import Phase, RegionFailover
from actorflow.protocol.jobs.job_run import JobRun
from actorflow.protocol.jobs.job_sources import JobSources


def with_failover(kind):
    """Return a run whose regions come back in this way."""

    class Run(JobRun):
        def _open(self, now):
            self.failover.__class__ = kind
            return super()._open(now)

        def check(self):
            pass

    return Run


class BringsBackOnlyWhoHasFailed(RegionFailover):
    def failed(self, subtask, alive):
        super().failed(subtask, alive)
        self.region = {subtask: None}
        self._left, self._phase = {}, Phase.ENDED


class EndsTheOthersToo(RegionFailover):
    def failed(self, subtask, alive):
        super().failed(subtask, alive)
        self.region = dict.fromkeys(self._regions)
        self._left = dict.fromkeys(alive)
        self._phase = Phase.ENDING if self._left else Phase.ENDED


class BringsBackBeforeAllHaveEnded(RegionFailover):
    def ends(self, subtask):
        ends = super().ends(subtask)
        if ends:
            self._phase, self._left = Phase.ENDED, {}
        return ends


class GivesItsNumberAgain(RegionFailover):
    def come_back(self):
        self.latest -= self.latest > 1
        return super().come_back()


class EndsWithoutTheRegion(RegionFailover):
    busy = False


class ReadsOnInTheRegion(Unchecked):
    def _bring_back(self, now):
        sources, self._sources = self._sources, JobSources(self._description)
        effects = super()._bring_back(now)
        self._sources = sources
        return effects


FAILOVERS = [
    BringsBackOnlyWhoHasFailed,
    EndsTheOthersToo,
    BringsBackBeforeAllHaveEnded,
    GivesItsNumberAgain,
    EndsWithoutTheRegion,
]

IN_REGIONS = {failover.__name__: {"master": in_every_run(with_failover(failover)), "regional": True} for failover in FAILOVERS} | {
    "ReadsOnInTheRegion": {"master": ReadsOnInTheRegion, "regional": True}
}
"""What is different in a `World`, by the name of the bug."""
