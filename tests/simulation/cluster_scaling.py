"""Jobs whose parallelism changes: users ask for it again and again, and adaptive jobs follow the slots there are. What the cluster's world needs for it.

TaskManagers of a cluster with adaptive jobs come and go, some when all else has long become calm.
"""

import dataclasses
import math
from functools import partial

from cluster_invariants import cluster_invariants
from cluster_world import CALM_S, MASTERS, POOL, TASK_MANAGERS, BadLinks, JobMaster, World, task_manager_at
from scaling_invariants import SETTLE_S, scaling_invariants

from actorflow.ids import Address
from actorflow.plan.scale import Scale
from actorflow.protocol.jobs.adaptive import Elasticity, slots_of_groups
from actorflow.protocol.jobs.adaptive_job import AdaptiveJobMachine
from actorflow.protocol.jobs.job_messages import RescaleJob
from actorflow.protocol.jobs.rescaling import KeepScale, PlanScale
from actorflow.protocol.nodes.slot_messages import TaskManagerLost
from actorflow.testing.faults import Crash

USER = Address("client/user")
COOLDOWN_S, STABILIZE_S = 0.5, 0.3


class AdaptiveMaster(JobMaster, AdaptiveJobMachine):
    """A job that runs with the slots there are, and its Dispatcher."""


class ScalingWorld(World):
    """Asks its jobs for other parallelisms; some of that cannot be planned or kept, or has no slots.

    Args:
        seed: decides everything.
        master: the machine of a job; of an adaptive one all jobs are.
    """

    def __init__(self, seed, *, master=JobMaster):
        self.descriptions, self.asked = {}, {}
        self.adaptive = issubclass(master, AdaptiveJobMachine)
        super().__init__(seed, lambda world: [*cluster_invariants(world), *scaling_invariants(world)], master=self.followed(master))

    def followed(self, master):
        """Return a JobMaster of whose plan the world knows."""
        world = self

        class Followed(master):
            def __init__(self, description, **options):
                world.descriptions[description.job] = description
                super().__init__(world.planned(description.job, Scale()), **options)

            def _begin_run(self, now):
                effects = super()._begin_run(now)
                world.graphs[self._job] = self._description.graph
                return effects

        return Followed

    def submit(self, number):
        self.settings = {
            "widens": self.random.random() < 0.7,
            "wait_s": self.random.choice((3.0, math.inf)),
            "settle_s": SETTLE_S,
            "cooldown_s": COOLDOWN_S,
            "stabilize_s": STABILIZE_S,
        }
        super().submit(number)
        job = f"job-{number}"
        for asked in range(self.random.randrange(5)):
            at = self.simulation.now + self.random.uniform(0, CALM_S / 2)
            wanted = self.random.randint(1, 4)
            scale = Scale(wanted, least=self.random.choice((1, 1, self.random.randint(1, wanted))))
            request = RescaleJob(job, f"{job}-{asked}", USER, scale, from_scratch=True)
            self.simulation.at(at, partial(self.tell, Address(f"{MASTERS}/{job}"), request))

    def tell(self, master, request):
        if master in self.simulation.alive():
            self.asked[request.request] = request.scale
            self.simulation.tell(master, request)

    def suffer(self):
        if not self.adaptive:
            super().suffer()
            return
        random = self.random
        loss, delay_s = random.choice((0.0, 0.05, 0.2)), (0.0005, random.choice((0.002, 0.02, 0.05)))
        crashes = tuple(crash for node in TASK_MANAGERS if random.random() < 0.6 for crash in self.comes_and_goes(node))
        self.simulation.suffer(BadLinks(loss=loss, delay_s=delay_s, calm_after_s=CALM_S, crashes=crashes))
        lives = dict.fromkeys(TASK_MANAGERS, 0)
        for crash in crashes:
            lives[crash.node] += 1
            lost = TaskManagerLost(task_manager_at(crash.node), lives[crash.node], "no heartbeat")
            self.simulation.at(crash.at_s + random.uniform(0, 2), partial(self.simulation.tell, POOL, lost))

    def comes_and_goes(self, node):
        """Return when a TaskManager ends: once, for long, or several times in a short while."""
        random = self.random
        if random.random() < 0.5:
            return [Crash(node, random.uniform(0, CALM_S), random.uniform(1, 15))]
        first, every_s = random.uniform(0, CALM_S / 2), random.uniform(0.5, 1.5)
        return [Crash(node, first + number * every_s, every_s * random.uniform(0.1, 0.9)) for number in range(random.randint(2, 5))]

    def do(self, work):
        match work:
            case PlanScale(scale=scale, like=like):
                if self.unlucky(0.1):
                    raise OSError("it cannot be planned now")
                return self.planned(like.name, scale)
            case KeepScale():
                if self.unlucky(0.1):
                    raise OSError("the disk is full")
                return None
        return super().do(work)

    def planned(self, job, scale):
        """Return a job as it is at a scale."""
        first = self.descriptions[job]
        elasticity = None
        if self.adaptive:
            all_of_it, least = (slots_of_groups(_at(first.graph, dataclasses.replace(scale, most=most))) for most in (None, 1))
            elasticity = Elasticity(tuple(all_of_it.values()), tuple(least.values()), **self.settings)
        graph = _at(first.graph, scale)
        reader = graph.vertices[0]
        return dataclasses.replace(first, graph=graph, sources={reader.id: reader.parallelism}, scale=scale, elasticity=elasticity)


def _at(graph, scale):
    """Return a graph of vertices that have nothing to do with each other, at a scale."""
    return dataclasses.replace(graph, vertices=tuple(_vertex_at(vertex, scale) for vertex in graph.vertices))


def _vertex_at(vertex, scale):
    wanted = scale.parallelism or vertex.parallelism
    most = wanted if scale.most is None else max(scale.most, scale.least)
    return dataclasses.replace(vertex, parallelism=min(wanted, most))
