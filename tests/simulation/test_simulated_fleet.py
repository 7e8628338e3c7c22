"""A ResourceManager and its driver: starts that are lost, slow or never end, TaskManagers that crash, leaders that come and go."""

from functools import partial

import pytest

from actorflow.ids import Address, JobId, NodeId, split_address
from actorflow.protocol.jobs.job_messages import NodeLost
from actorflow.protocol.machine import Report, Send, SetTimer, Start, TimerFired, ensure
from actorflow.protocol.nodes.elastic import ElasticResourceManager
from actorflow.protocol.nodes.fleet import Fleet
from actorflow.protocol.nodes.fleet_events import FindTaskManagers, FleetRules, OpenFleet, ReleaseTaskManager, RequestTaskManager
from actorflow.protocol.nodes.registration import ResourceManagerMachine
from actorflow.protocol.nodes.slot_messages import JobEnded, SlotsGranted, SlotsLost, SlotsReleased, SlotsRequested
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.protocol.nodes.task_manager import NotRegistered, Register, TaskManagerMachine
from actorflow.testing.faults import Faults
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

LEADER, POOL = NodeId("jm"), Address("jm/resource-manager")
CALM_S, JOBS_END_S, END_S = 60.0, 160.0, 400.0
SLOTS_EACH, SLOTS_MAX, REGISTRATION_S, ALONE_S = 2, 8, 10.0, 30.0


class Job:
    """Asks for slots, holds them for a while, and gives them back, again and again; after a loss it asks anew."""

    def __init__(self, name, plan):
        self.name, self.plan, self.address = name, plan, Address(f"{LEADER}/{name}")
        self.number, self.holds, self.granted_at = 0, (), 0.0

    def handle(self, event, now):
        match event:
            case TimerFired("next"):
                return [*self.release(), *self.request()]
            case SlotsGranted(request=number, leases=leases) if number == self.number:
                self.holds, self.granted_at = tuple(lease.allocation for lease in leases), now
                return [SetTimer("next", now + 3.0 * self.plan[self.number % len(self.plan)])]
            case SlotsLost(allocations=lost) if set(lost) & set(self.holds):
                self.holds = tuple(held for held in self.holds if held not in lost)
                return [*self.release(), SetTimer("next", now + 0.1)]
        return []

    def release(self):
        released, self.holds = self.holds, ()
        return [Send(POOL, SlotsReleased(self.name, released))]

    def request(self):
        self.number += 1
        return [Send(POOL, SlotsRequested(self.name, self.number, self.plan[self.number % len(self.plan)], self.address))]

    def observe(self):
        return self.holds

    def check(self):
        pass


class TaskManager(TaskManagerMachine):
    """One whose process ends when nobody wants it."""

    def __init__(self, world, name):
        super().__init__(Address(f"{name}/tm"), POOL, slots=SLOTS_EACH, offer_every_s=1.0, registration_timeout_s=ALONE_S)
        self.world, self.name = world, name

    def handle(self, event, now):
        effects = super().handle(event, now)
        if any(isinstance(effect, Report) and isinstance(effect.value, NotRegistered) for effect in effects):
            self.world.simulation.at(now, partial(self.world.end, self.name))
        return effects


class World(Invariant):
    """One seed: a leader, three jobs, and what the driver has started."""

    def __init__(self, seed, *, fleet=Fleet, manager=ElasticResourceManager):
        self.simulation = Simulation(seed, invariants=[self], work=self.do)
        self.random = random = self.simulation.random
        self.fleet, self.manager = fleet, manager
        self.processes = {}
        """Names of the processes that live."""
        self.asked_for, self.let_go, self.wrong = {}, {}, []
        self.trouble = random.choice((0.0, 0.1, 0.4))
        self.slots_min = random.choice((0, 0, 2, 3))
        self.leaderless = random.random() < 0.1
        self.simulation.suffer(
            Faults(loss=random.choice((0.0, 0.1)), doubling=random.choice((0.0, 0.1)), delay_s=(0.0005, 0.05), calm_after_s=CALM_S)
        )
        self.simulation.add(POOL, self.build, OpenFleet())
        self.jobs = [
            Job(JobId(f"job-{number}"), [random.randint(1, SLOTS_MAX // (1 + number)) for _ in range(4)]) for number in range(3)
        ]
        for job in self.jobs:
            self.simulation.add(job.address, partial(self.begin, job), TimerFired("next"))
            self.simulation.at(JOBS_END_S, partial(self.end_job, job))
        for _ in range(random.choice((0, 2, 5))):
            self.simulation.at(random.uniform(0, CALM_S), self.crash_one)
        for _ in range(random.choice((0, 1, 3))):
            self.change_leader(random.uniform(0, CALM_S - 10))
        if self.leaderless:
            self.simulation.at(JOBS_END_S, partial(self.simulation.crash, LEADER))

    def build(self, life):
        self.let_go.clear()  # one that an earlier leader failed to end may serve the next
        rules = FleetRules(
            f"tm-{life}", SLOTS_EACH, SLOTS_MAX, self.slots_min, self.random.choice((0, 1)), 5.0, REGISTRATION_S, 0.5, 4.0
        )
        pool = SlotPool(life=str(life), request_timeout_s=1e6, slots_max=SLOTS_MAX)
        return self.manager(ResourceManagerMachine(POOL, pool, reconnect_s=1.0), self.fleet(rules))

    @staticmethod
    def begin(job, _life):
        job.holds, job.number = (), 0
        return job

    def end_job(self, job):
        job.handle = lambda event, now: []
        self.simulation.tell(POOL, JobEnded(job.name))

    def change_leader(self, at_s):
        self.simulation.at(at_s, partial(self.simulation.crash, LEADER))
        back_s = at_s + self.random.uniform(0.1, 5)
        self.simulation.at(back_s, partial(self.simulation.restart, LEADER))
        if self.random.random() < 0.3:  # what the earlier one had begun may come when the next one has already looked
            self.simulation.at(back_s + self.random.uniform(0, 2), partial(self.start, NodeId(f"late-{back_s:.3f}")))

    # --- the host --------------------------------------------------------------------------------------------------------------------

    def do(self, work):
        """What the driver does; it may say that it failed, and have done it all the same."""
        failed = self.unlucky()
        match work:
            case RequestTaskManager(name):
                if name in self.asked_for:
                    self.wrong.append(f"{name} is asked for again")
                self.asked_for[name] = None
                if not failed or self.random.random() < 0.3:
                    self.start(name)
            case ReleaseTaskManager(name):
                self.let_go[name] = None
                if not failed:
                    self.end(name)
            case FindTaskManagers() if not failed:
                return tuple(self.processes)
        if failed:
            raise OSError("no more processes")
        return None

    def unlucky(self):
        return self.random.random() < self.trouble and self.simulation.now < CALM_S

    def start(self, name):
        self.processes[name] = None
        counted = [each for each in self.processes if not each.startswith("late")]
        if len(counted) * SLOTS_EACH > SLOTS_MAX:
            self.wrong.append(f"{counted} are more than {SLOTS_MAX} slots")
        if self.unlucky():
            if self.random.random() < 0.5:  # else it lives, and never registers
                self.simulation.at(self.simulation.now + self.random.uniform(0, 2), partial(self.end, name))
            return
        slow_s = self.random.uniform(0, 2 * REGISTRATION_S) if self.unlucky() else self.random.uniform(0.2, 1)
        self.simulation.at(self.simulation.now + slow_s, partial(self.boot, name))

    def boot(self, name):
        if name in self.processes:
            self.simulation.add(Address(f"{name}/tm"), lambda _: TaskManager(self, name), Register())

    def end(self, name):
        """End a process; whoever is connected to it notices, after what it had sent before has arrived."""
        if name in self.processes:
            del self.processes[name]
            self.simulation.crash(name)
            self.simulation.at(self.simulation.now + 0.5, partial(self.simulation.tell, POOL, NodeLost(name, "it has ended")))

    def crash_one(self):
        if self.processes:
            self.end(self.random.choice(list(self.processes)))

    # --- what must hold --------------------------------------------------------------------------------------------------------------

    def after(self, step):
        ensure(not self.wrong, ", ".join(self.wrong))
        for effect in step.effects:
            if isinstance(effect, Start) and isinstance(effect.work, ReleaseTaskManager):
                self.let_go[effect.work.name] = None
            if isinstance(effect, Send) and isinstance(effect.message, SlotsGranted):
                for lease in effect.message.leases:
                    ensure(split_address(lease.slot.task_manager)[0] not in self.let_go, f"{lease.slot} is granted, and was let go")

    def at_end(self, simulation):
        for job in self.jobs:
            ensure(job.granted_at > CALM_S, f"{job.name} got nothing in calm weather")
        if self.leaderless:
            ensure(not self.processes, f"{list(self.processes)} live without a leader")
            return
        pool = simulation.machine(POOL, ElasticResourceManager).observe()
        least = -(-self.slots_min // SLOTS_EACH)
        ensure(len(self.processes) == least, f"{list(self.processes)} live, and {least} are wanted")
        ensure(pool.registered == pool.free == least * SLOTS_EACH, f"{pool.free} of {pool.registered} are free")


def run(seed, **parts):
    return World(seed, **parts).simulation.run(END_S).finish()


def test_jobs_get_slots_and_nobody_is_left_over_a_few_seeds():
    sweep(run, range(4))


@pytest.mark.slow
def test_jobs_get_slots_and_nobody_is_left_over_many_seeds():
    sweep(run, range(4, 64))


class AsksBeforeItLooks(Fleet):
    def __init__(self, rules):
        super().__init__(rules)
        self._found = True

    def check(self):
        """Its own invariant would tell: the world has to."""


class BelievesInFailures(Fleet):
    """Does not undo a start that is said to have failed."""

    def _not_started(self, name, error, now):
        member = self._members.get(name)
        return [*self._failed(name, error, now), *self._gone(name)] if member else []


class WaitsForEver(Fleet):
    def _give_up_late(self, now):
        return []


class ForgetsThoseThatEnd(Fleet):
    """Counts one that was let go as gone."""

    def _sums(self):
        sums = super()._sums()
        return type(sums)(sums.registered, sums.free, sums.coming, 0)


class EndsOnlyOnce(Fleet):
    def _not_ended(self, work, error, now):
        return []


class NeverLooksAgain(Fleet):
    def _pace(self):
        return 1e6


class KeepsTheLost(Fleet):
    """Does not end one that was given up, but may live."""

    def _compare(self, now):
        there = {each.node for each in self._demand.task_managers}
        for name, member in list(self._members.items()):
            if member.state.value == "registered" and name not in there:
                del self._members[name]
        return super()._compare(now)

    def _listed(self, number, names, now):
        return super()._listed(number, tuple(name for name in names if name in self._members), now)


class TakesOffersOfThoseLetGo(ElasticResourceManager):
    def handle(self, event, now):
        lets_go, self._fleet.lets_go = self._fleet.lets_go, lambda node: False
        try:
            return super().handle(event, now)
        finally:
            self._fleet.lets_go = lets_go


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug", [AsksBeforeItLooks, BelievesInFailures, WaitsForEver, ForgetsThoseThatEnd, EndsOnlyOnce, NeverLooksAgain, KeepsTheLost]
)
def test_a_planted_bug_of_the_fleet_is_found(bug):
    assert first_failure(lambda seed: run(seed, fleet=bug), range(60)) is not None


@pytest.mark.slow
def test_offers_of_those_that_were_let_go_are_found():
    assert first_failure(lambda seed: run(seed, manager=TakesOffersOfThoseLetGo), range(60)) is not None
