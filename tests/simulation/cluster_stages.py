"""What must hold where jobs run in stages, and bugs that are planted in what decides about them."""

from cluster_bugs import Unchecked

from actorflow.protocol.jobs.deployment import AttemptState, SubtaskFailed, SubtaskFinished
from actorflow.protocol.jobs.job import JobMachine
from actorflow.protocol.jobs.job_messages import DeploySubtask, JobStatus, JobStatusChanged, OpenDeployment
from actorflow.protocol.jobs.stages import Stages
from actorflow.protocol.machine import Send, ensure
from actorflow.testing.simulation import Invariant

S = JobStatus


class StagesLast(Invariant):
    """A stage begins when all that it reads is written, and is told where; it runs again only if something of it, or before it, was lost.

    Nothing is read that is known to be lost with what else was in the same place.
    """

    def __init__(self, world):
        self.world = world
        self.written, self.status, self.known_gone = {}, {}, {}

    def after(self, step):
        if not isinstance(step.machine, JobMachine):
            return
        job = step.machine._job
        written = self.written.setdefault(job, {})
        messages = [effect.message for effect in step.effects if isinstance(effect, Send)]
        running = self.status.get(job) in {S.DEPLOYING, S.RUNNING}
        for changed in messages:
            if isinstance(changed, JobStatusChanged):
                self.status[job] = changed.status
        fails = running and self.status[job] not in {S.DEPLOYING, S.RUNNING, S.COMMITTING}
        match step.event:
            case SubtaskFinished(subtask=subtask) if running and not fails:
                if step.machine.observe().subtasks[str(subtask)] is AttemptState.FINISHED and self.status[job] is not S.COMMITTING:
                    written[subtask] = step.event.partitions
            case SubtaskFailed(error=error) if fails and "partition" in error.context:
                self.lose(written, error.context["partition"].rpartition("/")[0], job)
                gone = (location for location, node in self.world.gone_with.items() if node == error.context["lost with"])
                self.known_gone[job] = self.known_gone.get(job, frozenset()) | frozenset(gone)
        opened = [subtask for opening in messages if isinstance(opening, OpenDeployment) for subtask in opening.subtasks]
        self.opens(job, written, opened)
        for order in messages:
            if isinstance(order, DeploySubtask):
                self.begins(job, written, order)

    def producers(self, job, vertex):
        sources = [edge.source for edge in self.world.graphs[job].edges if edge.target == vertex]
        return [subtask for subtask in self.world.graphs[job].subtasks() if subtask.vertex in sources]

    def lose(self, written, vertex, job):
        lost = {vertex}
        for edge in self.world.graphs[job].edges:
            lost |= {edge.target} if edge.source in lost else set()
        for subtask in [subtask for subtask in written if subtask.vertex in lost]:
            del written[subtask]

    def opens(self, job, written, opened):
        vertices = {subtask.vertex for subtask in opened}
        read_again = {edge.target for edge in self.world.graphs[job].edges if edge.source in vertices}
        for vertex in vertices:
            members = [subtask for subtask in self.world.graphs[job].subtasks() if subtask.vertex == vertex]
            lasts = not vertex.endswith("write") and vertex not in read_again
            lasts = lasts and all(member in written and written[member].location in self.world.partitions for member in members)
            ensure(not lasts, f"{vertex} has finished, nothing of it is lost, and it is to run again")
        for subtask in opened:
            written.pop(subtask, None)
        old = [str(subtask) for subtask in written if subtask.vertex in read_again]
        ensure(not old, f"{old} do not run again, and what they had read does")
        alone = [str(subtask) for subtask in written if subtask.vertex in vertices and not self.producers(job, subtask.vertex)]
        ensure(not alone, f"{alone} do not run again, and what has read other splits does")

    def begins(self, job, written, order):
        told = {read.producer: read.at for read in order.reads}
        expected = {producer: written.get(producer, "nowhere") for producer in self.producers(job, order.subtask.vertex)}
        gone = [at for at in told.values() if at.location in self.known_gone.get(job, ())]
        ensure(not gone, f"{order.subtask} is to read what is known to be lost: {gone}")
        ensure(told == expected, f"{order.subtask} is to read {told}, and what is written is {expected}")


class NothingLasts(Stages):
    def begin_run(self):
        self._forget(range(len(self._stages)))


class SinksLast(Stages):
    def begin_run(self):
        self._forget(number for number in range(len(self._stages)) if not self._done(number))


class BeginsWhenTheFirstHasWritten(Stages):
    def _done(self, number):
        return any(member in self._written for member in self._members[number])

    def read_by(self, subtask):
        self._written = {member: self._written.get(member, SubtaskFinished(member, 0)) for member in self._subtasks}
        return super().read_by(subtask)


class ForgetsNothingLost(Stages):
    def forget_lost(self, error):
        pass


class FindsLossesOneByOne(Stages):
    def lose(self, place):
        pass


class ReadersDoNotReadAgain(Stages):
    def _forget(self, numbers):
        for number in numbers:
            self._begun.pop(number, None)
            self.run_again(self._members[number])


class FinishedReadersStay(Stages):
    """Of stages that had not finished."""

    def _forget(self, numbers):
        asked, before = list(numbers), dict(self._written)
        stay = [n for n in range(len(self._stages)) if n not in asked and not self._done(n)]
        super()._forget(asked)
        self._written |= {member: before[member] for n in stay for member in self._members[n] if member in before}


class FinishedSourcesStay(Stages):
    def begin_run(self):
        for number in range(len(self._stages)):
            if not self._done(number):
                self._begun.pop(number, None)
        self._forget(number for number, stage in enumerate(self._stages) if not stage.lasting)


def with_stages(kind):
    """Return a job that decides so about its stages."""

    class Job(Unchecked):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self._stages.__class__ = kind

    return Job


KINDS = (
    NothingLasts,
    SinksLast,
    BeginsWhenTheFirstHasWritten,
    ForgetsNothingLost,
    FindsLossesOneByOne,
    ReadersDoNotReadAgain,
    FinishedReadersStay,
    FinishedSourcesStay,
)
IN_STAGES = {kind.__name__: {"master": with_stages(kind), "staged": True} for kind in KINDS}
"""What is different in a `World`, by the name of the bug."""
