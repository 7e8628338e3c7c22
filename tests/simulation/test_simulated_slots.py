"""A ResourceManager, TaskManagers that crash, and jobs that ask, give back and end, over a network that loses and doubles."""

import pytest

from actorflow.ids import Address, JobId, NodeId
from actorflow.protocol.machine import Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.slot_messages import (
    JobEnded,
    Lease,
    SlotsGranted,
    SlotsLost,
    SlotsOffered,
    SlotsReleased,
    SlotsRequested,
    TaskManagerLost,
)
from actorflow.protocol.nodes.slots import SlotPool
from actorflow.testing.faults import Crash, Faults
from actorflow.testing.invariants import EndedJobsHoldNothing, SlotsLeasedOnce
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

POOL = Address("rm/slots")
TASK_MANAGERS = [NodeId(f"tm-{number}") for number in range(3)]
CALM_S, END_S = 10.0, 14.0


class TaskManager:
    """Offers its two slots again and again."""

    def __init__(self, address, incarnation):
        self.offer = SlotsOffered(address, incarnation, 2)

    def handle(self, event, now):
        return [Send(POOL, self.offer), SetTimer("offer", now + 0.5)] if event == TimerFired("offer") else []

    def observe(self):
        return self.offer

    def check(self):
        pass


class Job:
    """Asks until it is granted, works a while, gives back, asks again; ends at its time."""

    def __init__(self, name, plan):
        self.name = JobId(name)
        self.address = Address(f"jm/{name}")
        self.plan = plan
        self.request = 0
        self.holds = ()

    def handle(self, event, now):
        match event:
            case TimerFired("next"):
                released = SlotsReleased(self.name, tuple(lease.allocation for lease in self.holds))
                self.request += 1
                self.holds = ()
                return [Send(POOL, released), *self.handle(TimerFired("ask"), now)]
            case TimerFired("ask"):
                slots = self.plan[self.request % len(self.plan)]
                ask = SlotsRequested(self.name, self.request, slots, self.address)
                return [Send(POOL, ask), SetTimer("ask", now + 0.3)]
            case SlotsGranted(request=request, leases=leases) if request == self.request and not self.holds:
                self.holds = leases
                return [SetTimer("next", now + 0.2 * len(leases)), SetTimer("ask", now + 1e9)]
            case SlotsLost(allocations=lost):
                self.holds = tuple(lease for lease in self.holds if lease.allocation not in lost)
        return []

    def observe(self):
        return self.holds

    def check(self):
        pass


class AllSlotsAreFreeInTheEnd(Invariant):
    """When every job has ended, nothing is leased and nobody waits."""

    def at_end(self, simulation):
        state = simulation.machine(POOL, SlotPool).observe()
        ensure(state.free == state.registered == 6, f"{state.free} of {state.registered} slots are free, of 6")
        ensure(not state.waiting, f"requests wait for ended jobs: {state.waiting}")


class LostSlotsAreNotGranted(Invariant):
    """No slot of a TaskManager incarnation that was declared lost is granted before the next incarnation has registered."""

    def __init__(self):
        self.lost = {}
        self.current = {}

    def after(self, step):
        match step.event:
            case TaskManagerLost(address, incarnation):
                self.lost[address] = max(incarnation, self.lost.get(address, 0))
            case SlotsOffered(task_manager=address, incarnation=incarnation):
                self.current[address] = max(incarnation, self.current.get(address, 0))
        for effect in step.effects:
            if isinstance(effect, Send) and isinstance(effect.message, SlotsGranted):
                for lease in effect.message.leases:
                    address = lease.slot.task_manager
                    ensure(
                        self.current[address] > self.lost.get(address, 0), f"{lease.slot} is granted, and its TaskManager is lost"
                    )


def run(seed, *, pool=SlotPool):
    simulation = Simulation(
        seed, invariants=[SlotsLeasedOnce(), EndedJobsHoldNothing(), LostSlotsAreNotGranted(), AllSlotsAreFreeInTheEnd()]
    )
    random = simulation.random
    faults = Faults(
        loss=random.choice((0.0, 0.1)),
        doubling=random.choice((0.0, 0.3)),
        delay_s=(0.0005, random.choice((0.002, 0.1))),
        calm_after_s=CALM_S,
        crashes=tuple(
            Crash(node, random.uniform(0, CALM_S - 3), random.uniform(0.1, 2)) for node in TASK_MANAGERS if random.random() < 0.5
        ),
    )
    simulation.suffer(faults)
    simulation.add(POOL, lambda _: pool(request_timeout_s=1e6, fill=random.choice(("spread", "pack"))))
    for node in TASK_MANAGERS:
        address = Address(f"{node}/tm")
        simulation.add(address, lambda incarnation, address=address: TaskManager(address, incarnation), TimerFired("offer"))
    for crash in faults.crashes:
        lost = TaskManagerLost(Address(f"{crash.node}/tm"), 1, "no heartbeat")
        simulation.at(crash.at_s + random.uniform(0, 2), lambda lost=lost: simulation.tell(POOL, lost))
    for number in range(4):
        plan = [random.randint(1, 6) for _ in range(5)]
        job = Job(f"job-{number}", plan)
        simulation.add(job.address, lambda _, job=job: job, TimerFired("next"))
        simulation.at(random.uniform(1, CALM_S), lambda job=job: end(simulation, job))
    return simulation.run(END_S).finish()


def end(simulation, job):
    """End a job: its machine stops asking, and the pool is told at once, while messages of the job are still on their way."""
    job.handle = lambda event, now: []
    simulation.tell(POOL, JobEnded(job.name))


@pytest.mark.slow
def test_slots_are_leased_once_and_all_come_back_over_many_seeds():
    sweep(run, range(200))


class FreesWhateverIsInTheSlot(SlotPool):
    """Remembers slots instead of allocations: a late release frees the next lease of the slot."""

    def __init__(self, **options):
        super().__init__(**options)
        self._slots = {}

    def _lease(self, request):
        leases = super()._lease(request)
        self._slots |= {lease.allocation: lease.slot for lease in leases}
        return leases

    def _released(self, job, allocations):
        effects = []
        for allocation in allocations:
            for holding in list(self._holdings.values()):
                if holding.lease.slot == self._slots[allocation]:
                    self._free_slot(holding)
        return effects + self._serve()


class LeasesASlotTwice(SlotPool):
    """Looks for a free slot from the front, and forgets to look again."""

    def _serve(self):
        effects = super()._serve()
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, SlotsGranted) and len(effect.message.leases) > 2:
                first, *rest = effect.message.leases
                doubled = (first, Lease(first.slot, rest[0].allocation), *rest[1:])
                return [Send(effect.to, SlotsGranted(effect.message.job, effect.message.request, doubled))]
        return effects


class ServesTheSameRequestTwice(SlotPool):
    def _requested(self, request, now):
        self._last_request.pop(request.job, None)
        return super()._requested(request, now)


class HearsEndedJobs(SlotPool):
    def _job_ended(self, job):
        effects = super()._job_ended(job)
        self._ended.clear()
        return effects


class RegistersTheLost(SlotPool):
    def _task_manager_lost(self, lost):
        effects = super()._task_manager_lost(lost)
        self._lost.clear()
        return effects


class GrantsWhatThereIs(SlotPool):
    def _serve(self):
        effects = []
        for key, request in list(self._waiting.items()):
            if self._free() and request.slots > self._free():
                del self._waiting[key]
                leases = self._lease(SlotsRequested(*key, self._free(), request.reply_to))
                effects.append(Send(request.reply_to, SlotsGranted(*key, leases)))
        return effects + super()._serve()


class ForgetsTheWaitingWhenAJobEnds(SlotPool):
    def _job_ended(self, job):
        waiting = dict(self._waiting)
        effects = super()._job_ended(job)
        self._waiting |= {key: request for key, request in waiting.items() if key[0] == job}
        return effects


class KeepsLeasesOfTheLost(SlotPool):
    def _drop(self, address, reason):
        kept = dict(self._holdings)
        effects = super()._drop(address, reason)
        self._holdings = kept
        return effects


class WakesNobodyWhenATaskManagerIsLost(SlotPool):
    def _task_manager_lost(self, lost):
        serve, self._serve = self._serve, list
        effects = super()._task_manager_lost(lost)
        self._serve = serve
        return effects


@pytest.mark.parametrize(
    "bug",
    [
        FreesWhateverIsInTheSlot,
        LeasesASlotTwice,
        ServesTheSameRequestTwice,
        HearsEndedJobs,
        RegistersTheLost,
        GrantsWhatThereIs,
        ForgetsTheWaitingWhenAJobEnds,
        KeepsLeasesOfTheLost,
        WakesNobodyWhenATaskManagerIsLost,
    ],
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, pool=bug), range(200)) is not None


def test_the_jobs_of_a_run_are_granted_slots():
    granted = [line for line in run(1).history() if "SlotsGranted" in line]
    assert len(granted) > 10
