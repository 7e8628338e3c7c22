"""What must hold of jobs whose parallelism changes, besides all that holds in a cluster."""

from cluster_invariants import sent
from cluster_world import CALM_S, JobMaster

from actorflow.protocol.jobs.adaptive import slots_of_groups
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job_messages import JobRescaled, JobStatus, RescaleJob
from actorflow.protocol.machine import ensure
from actorflow.protocol.nodes.slot_messages import SlotsCounted
from actorflow.testing.simulation import Invariant

SETTLE_S, MARGIN_S = 0.3, 2.0


def scaling_invariants(world):
    """Return all that must hold in a world of such jobs, for one run."""
    return [RequestsAreAnswered(world), NobodyWaitsWhoCouldRun(), NobodyStaysNarrow(), WhatRunsIsNotNarrowed(), NoneBelowItsLeast()]


class RequestsAreAnswered(Invariant):
    """Whoever asks for a parallelism is answered once, with what runs by then, and is told of another one who has asked only if there is one."""

    def __init__(self, world):
        self.world, self.asked, self.answered = world, {}, {}

    def after(self, step):
        if (
            isinstance(step.event, RescaleJob)
            and step.event.request in self.world.asked
            and not step.machine.observe().status.final
        ):
            self.asked[step.event.request] = step.event.job
        for answer in sent(step, JobRescaled):
            if answer.request in self.world.asked:
                ensure(self.answered.setdefault(answer.request, answer) == answer, f"{answer.request} is answered in two ways")
                self.look_at(answer, step.machine)

    def look_at(self, answer, machine):
        runs = max(vertex.parallelism for vertex in machine.observe().topology.vertices)
        ensure(answer.parallelism == runs, f"{answer.request} is told of {answer.parallelism} subtasks, and {runs} run")
        wanted = self.world.asked[answer.request]
        if answer.error is None:
            most = wanted.parallelism
            least = min(most, wanted.least) if self.world.adaptive else most
            ensure(least <= runs <= most, f"{answer.request} is told that it runs so, with {runs} subtasks")
        elif "another parallelism" in answer.error.message:
            later = list(self.asked)[list(self.asked).index(answer.request) + 1 :]
            others = [request for request in later if self.asked[request] == self.asked[answer.request]]
            ensure(others, f"{answer.request} had to give way, and nobody has asked since")

    def at_end(self, simulation):
        for request in self.asked:
            ensure(request in self.answered, f"{request} is never answered")


class OfAdaptiveJobs(Invariant):
    """Looks at the steps of adaptive jobs."""

    def after(self, step):
        if isinstance(step.machine, JobMaster) and isinstance(step.machine, AdaptiveJobMachine):
            self.look_at(step, step.machine, step.machine.observe().status)


class NobodyWaitsWhoCouldRun(OfAdaptiveJobs):
    """A job that has been told of enough slots, and of no fewer since, gets them no later than it takes to settle for them."""

    def __init__(self):
        self.since = {}

    def look_at(self, step, machine, status):
        since = self.since.get(step.address)
        if since is not None:
            ensure(step.at <= since + SETTLE_S + MARGIN_S, f"{step.address} has waited since {since}, and could have run")
        if status is not JobStatus.WAITING_FOR_SLOTS or machine._run.slots():
            self.since.pop(step.address, None)
        elif isinstance(step.event, SlotsCounted):
            if step.event.slots < machine._description.elasticity.slots(1):
                self.since.pop(step.address, None)
            else:
                self.since.setdefault(step.address, max(step.at, CALM_S))


class NobodyStaysNarrow(OfAdaptiveJobs):
    """A job that runs, and has been told of slots for a wider run, is on its way to that when it has cooled down and they have settled."""

    def __init__(self):
        self.since = {}

    def look_at(self, step, machine, status):
        since = self.since.get(step.address)
        if since is not None:
            ensure(step.at <= since + 0.5 + 0.3 + MARGIN_S, f"{step.address} has been narrow since {since}")
        rules = machine._description.elasticity
        as_it_is = machine.observe().rescaling.phase == "as it is"
        if status is not JobStatus.RUNNING or not as_it_is or not rules.widens:
            self.since.pop(step.address, None)
        elif isinstance(step.event, SlotsCounted):
            if rules.slots(rules.width(step.event.there)) <= machine._description.graph.slots_needed():
                self.since.pop(step.address, None)
            else:
                self.since.setdefault(step.address, max(step.at, CALM_S))


class WhatRunsIsNotNarrowed(OfAdaptiveJobs):
    """A job ends a run that has its slots only for a wider one, unless a user wants it narrower."""

    def __init__(self):
        self.before = {}

    def look_at(self, step, machine, status):
        run, slots = machine._run.number, machine._description.graph.slots_needed()
        last, had = self.before.get(step.address, (run, 0))
        if run != last and machine._rescaling._own():
            ensure(slots > had, f"{step.address} narrows itself from {had} to {slots} slots, and has them")
        if status in {JobStatus.FAILING, JobStatus.RESTARTING}:
            self.before.pop(step.address, None)
        elif machine._run.slots() or run != last:
            self.before[step.address] = (run, slots if machine._run.slots() else 0)


class NoneBelowItsLeast(OfAdaptiveJobs):
    """No slot group of a job that has its slots has fewer than it must have."""

    def look_at(self, step, machine, status):
        if status in {JobStatus.DEPLOYING, JobStatus.RUNNING}:
            least = machine._description.elasticity.least
            has = tuple(slots_of_groups(machine._description.graph).values())
            ensure(all(h >= low for h, low in zip(has, least, strict=True)), f"{step.address} has {has} slots, not {least}")
            ensure(len(machine._run.slots()) <= sum(has), f"{step.address} holds more slots than it has asked for")
