"""Jobs that run with the slots there are, while TaskManagers stay away for long: what the cluster's world needs for it, what must hold, and planted bugs."""

import dataclasses
from functools import partial

from cluster_bugs import Unchecked
from cluster_invariants import cluster_invariants
from cluster_rescaling import RescalingWorld
from cluster_world import CALM_S, POOL, TASK_MANAGERS, BadLinks, JobMaster, World, task_manager_at

from actorflow.protocol.jobs.adaptive import Adaptive, Elasticity, slots_of_groups
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.protocol.jobs.rescaling import PlanScale
from actorflow.protocol.machine import ensure
from actorflow.protocol.nodes.slot_messages import SlotsCounted, TaskManagerLost
from actorflow.testing.faults import Crash
from actorflow.testing.simulation import Invariant

SETTLE_S, COOLDOWN_S, MARGIN_S = 0.3, 0.5, 2.0


class AdaptiveMaster(JobMaster, AdaptiveJobMachine):
    """A job that runs with the slots there are, and its Dispatcher."""


class UncheckedMaster(Unchecked, AdaptiveJobMachine):
    """The same, which does not look after itself."""


class AdaptiveWorld(RescalingWorld):
    """Has TaskManagers crash that come back late, some when all else has long become calm."""

    def __init__(self, seed, *, master=AdaptiveMaster):
        super().__init__(seed, lambda world: [*cluster_invariants(world), NobodyWaitsWhoCouldRun()], master=master)

    def following(self, master):
        class Elastic(super().following(master)):
            def __init__(self, description, **options):
                rules = Elasticity(slots_of_groups(description.graph), SETTLE_S, COOLDOWN_S)
                super().__init__(dataclasses.replace(description, elasticity=rules), **options)

        return Elastic

    def submit(self, number):
        World.submit(self, number)

    def suffer(self):
        random = self.random
        crashes = tuple(
            Crash(node, random.uniform(0, CALM_S), random.uniform(1, 15)) for node in TASK_MANAGERS if random.random() < 0.6
        )
        loss, delay_s = random.choice((0.0, 0.05, 0.2)), (0.0005, random.choice((0.002, 0.02, 0.05)))
        self.simulation.suffer(BadLinks(loss=loss, delay_s=delay_s, calm_after_s=CALM_S, crashes=crashes))
        for crash in crashes:
            lost = TaskManagerLost(task_manager_at(crash.node), 1, "no heartbeat")
            self.simulation.at(crash.at_s + random.uniform(0, 2), partial(self.simulation.tell, POOL, lost))

    def do(self, work):
        if not isinstance(work, PlanScale):
            return super().do(work)
        if self.unlucky(0.1):
            raise OSError("it cannot be planned now")
        whole = self.descriptions[work.like.name]
        vertices = tuple(
            dataclasses.replace(one, parallelism=min(one.parallelism, work.scale.most)) for one in whole.graph.vertices
        )
        graph = dataclasses.replace(whole.graph, vertices=vertices)
        return dataclasses.replace(whole, graph=graph, sources={vertices[0].id: vertices[0].parallelism}, scale=work.scale)


class NobodyWaitsWhoCouldRun(Invariant):
    """A job that has been told of a slot for each of its groups, and of no fewer since, waits no longer than it takes to settle for them."""

    def __init__(self):
        self.since = {}

    def after(self, step):
        if not isinstance(step.machine, AdaptiveJobMachine):
            return
        since = self.since.get(step.address)
        if since is not None:
            ensure(step.at <= since + SETTLE_S + MARGIN_S, f"{step.address} has waited since {since}, and could have run")
        if step.machine.observe().status is not JobStatus.WAITING_FOR_SLOTS:
            self.since.pop(step.address, None)
        elif isinstance(step.event, SlotsCounted):
            if step.event.slots < len(step.machine._description.elasticity.wanted):
                self.since.pop(step.address, None)
            else:
                self.since.setdefault(step.address, max(step.at, CALM_S))


class NeverSettles(Adaptive):
    def time_out(self):
        return []


class SettlesForMoreThanThereIs(Adaptive):
    def _possible(self):
        return super()._possible() + 1


def deciding(kind):
    """Return a JobMaster whose width is decided so."""

    class Master(UncheckedMaster):
        def __init__(self, description, **options):
            super().__init__(description, **options)
            self._adaptive.__class__ = kind

    return Master


BUGS = {kind.__name__: deciding(kind) for kind in (NeverSettles, SettlesForMoreThanThereIs)}
"""JobMasters with a bug each, by its name."""
