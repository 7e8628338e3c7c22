"""Jobs that are rescaled again and again: what the cluster's world needs for it, what must hold, and bugs that are planted in it."""

import dataclasses
from functools import partial

from cluster_bugs import Unchecked
from cluster_invariants import cluster_invariants, sent
from cluster_world import CALM_S, MASTERS, JobMaster, World

from actorflow.ids import Address
from actorflow.plan.scale import Scale
from actorflow.protocol.jobs.job_messages import JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale, Rescaling
from actorflow.protocol.machine import ensure
from actorflow.testing.simulation import Invariant

USER = Address("client/user")


class RescalingWorld(World):
    """Asks its jobs for other parallelisms; some of that cannot be planned or kept, or has no slots."""

    def __init__(
        self, seed, invariants=lambda world: [*cluster_invariants(world), RequestsAreAnswered(world)], *, master=JobMaster
    ):
        self.descriptions, self.planned = {}, {}
        super().__init__(seed, invariants, master=self.following(master))

    def following(self, master):
        """Return a JobMaster of whose plan the world knows."""
        world = self

        class Following(master):
            def __init__(self, description, **options):
                super().__init__(description, **options)
                world.descriptions[self._job] = description

            def _begin_run(self, now):
                effects = super()._begin_run(now)
                world.graphs[self._job] = self._description.graph
                return effects

        return Following

    def submit(self, number):
        super().submit(number)
        job = f"job-{number}"
        for asked in range(self.random.randrange(5)):
            at = self.simulation.now + self.random.uniform(0, CALM_S / 2)
            request = RescaleJob(job, f"{job}-{asked}", USER, Scale(self.random.randint(1, 4)), from_scratch=True)
            self.simulation.at(at, partial(self.tell, Address(f"{MASTERS}/{job}"), request))

    def tell(self, master, request):
        if master in self.simulation.alive():
            self.simulation.tell(master, request)

    def do(self, work):
        match work:
            case PlanScale(request=request, scale=scale, like=like):
                if self.unlucky(0.1):
                    raise ValueError("it cannot be planned")
                self.planned[request] = wide = self.random.randint(1, scale.parallelism)
                vertices = tuple(dataclasses.replace(vertex, parallelism=wide) for vertex in like.vertices)
                graph = dataclasses.replace(like, vertices=vertices)
                return dataclasses.replace(self.descriptions[like.name], graph=graph, sources={vertices[0].id: wide}, scale=scale)
            case KeepScale():
                if self.unlucky(0.1):
                    raise OSError("the disk is full")
                return None
        return super().do(work)


class RequestsAreAnswered(Invariant):
    """Whoever asks for a parallelism is answered, with what runs by then."""

    def __init__(self, world):
        self.world, self.asked, self.answered = world, {}, {}

    def after(self, step):
        if isinstance(step.event, RescaleJob) and not step.machine.observe().status.final:
            self.asked[step.event.request] = None
        for answer in sent(step, JobRescaled):
            ensure(self.answered.setdefault(answer.request, answer) == answer, f"{answer.request} is answered in two ways")
            runs = max(vertex.parallelism for vertex in step.machine.observe().topology.vertices)
            ensure(answer.parallelism == runs, f"{answer.request} is told of {answer.parallelism} subtasks, and {runs} run")

            wanted = runs if answer.error is not None else self.world.planned[answer.request]
            ensure(wanted == runs, f"{answer.request} is told that it runs with {wanted} subtasks, and {runs} run")

    def at_end(self, simulation):
        for request in self.asked:
            ensure(request in self.answered, f"{request} is never answered")


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


def with_rescaling(kind):
    """Return a JobMaster with this kind of rescaling."""

    class Master(Unchecked):
        def __init__(self, description, **options):
            super().__init__(description, **options)
            self._rescaling.__class__ = kind

    return Master


class KeepsTheSlotsOfTheRunBefore(Unchecked):
    def _run_ended(self, now):
        if self._status is JobStatus.RESCALING:
            return self._begin_run(now)
        return super()._run_ended(now)


BUGS = {kind.__name__: with_rescaling(kind) for kind in (KeepsItsPlan, LeavesAtTheEnd, AnswersBeforeItRuns)} | {
    "KeepsTheSlotsOfTheRunBefore": KeepsTheSlotsOfTheRunBefore
}
"""JobMasters with a bug each, by its name."""
