"""A JobMaster's mind for a job of which all is done but the commit: a leader before this one was lost over it, and had written down what it had decided.

    CREATED ─► COMMITTING ─► FINISHED, or FAILED

Nothing runs: what was prepared is committed by the JobMaster itself, again if it was committed before, which changes nothing. The job has ended with
the run that was decided for, so what its client has of that run is what the job has given.

Late rule: see `JobMachine`.
"""

from __future__ import annotations

from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.jobs.workers import Workers
from actorflow.protocol.machine import Effect


class LastCommit(JobMachine):
    """Decides for one job whose `EarlierLife` holds its end. See `JobMachine`."""

    def _begin_run(self, now: float) -> list[Effect]:
        ended = self._description.earlier.ended
        assert ended is not None, "else there is something to run"
        self._run = run = self._new_run(ended.run, {})
        run.workers = Workers(ended.records_in, ended.records_out)
        run.output.take_over(ended)
        return [*self._become(JobStatus.COMMITTING), *self._absorb(run.output.commit(now), now)]
