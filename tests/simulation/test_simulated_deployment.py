"""Attempts of one subtask after another, on workers that are slow, deaf, crash or come back as zombies; messages double and overtake."""

import pytest

from actorflow.errors import ErrorInfo
from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.jobs.deployment import (
    Attempt,
    AttemptEnded,
    AttemptRunning,
    AttemptState,
    Cancel,
    CancelSubtask,
    Deploy,
    KillSlot,
    SlotGone,
    SubtaskCancelled,
    SubtaskFailed,
    SubtaskFinished,
    SubtaskStarted,
)
from actorflow.protocol.machine import Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.nodes.slot_messages import Allocation
from actorflow.testing.faults import Faults
from actorflow.testing.invariants import AttemptsEndOnce
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep
from actorflow.wire.message import Message

COUNT = SubtaskId(VertexId("count"), 0)
MASTER = Address("jm/job")
END_S = 60.0
FAILURE = ErrorInfo("ValueError", "bad record")
GONE = ErrorInfo("SlotLost", "killed")


class DeployCount(Message, frozen=True):
    attempt: int


def worker_of(attempt):
    return Address(f"tm-{attempt}/worker")


class Master:
    """Runs an attempt; cancels some; starts the next when one has ended, a few times. Hands every event to the current attempt."""

    def __init__(self, attempt, random):
        self.make, self.random = attempt, random
        self.attempt = None
        self.number = 0

    def handle(self, event, now):
        if event == TimerFired("next"):
            return self.deploy(now)
        effects = self.attempt.handle(Cancel() if event == TimerFired("cancel") else event, now)
        ended = any(isinstance(effect, Report) and isinstance(effect.value, AttemptEnded) for effect in effects)
        return [*effects, SetTimer("next", now + 0.05)] if ended and self.number < 5 else effects

    def deploy(self, now):
        self.number += 1
        allocation = Allocation(f"1.{self.number}")
        worker = worker_of(self.number)
        self.attempt = self.make(COUNT, self.number, worker, worker, allocation, deploy_timeout_s=2.0, cancel_timeout_s=1.0)
        cancel_at = now + (self.random.uniform(0, 4) if self.random.random() < 0.5 else 10.0)
        return [*self.attempt.handle(Deploy(DeployCount(self.number)), now), SetTimer("cancel", cancel_at)]

    def observe(self):
        return self.attempt.observe()

    def check(self):
        self.attempt.check()


class Worker:
    """Runs its subtask for a while, then finishes or fails. A deaf one starts and reacts to nothing but a kill."""

    def __init__(self, number, random):
        self.number = number
        self.starts_after = random.choice((0.05, 0.5, 4.0, 1e9))
        self.runs_for = random.choice((0.3, 2.0, 1e9))
        self.deaf = random.random() < 0.3
        self.ending = random.choice((SubtaskFinished(COUNT, number), SubtaskFailed(COUNT, number, FAILURE)))
        self.over = False
        self.finished = False

    def handle(self, event, now):
        if self.over:
            return []
        match event:
            case DeployCount():
                return [SetTimer("start", now + self.starts_after)]
            case TimerFired("start"):
                return [Send(MASTER, SubtaskStarted(COUNT, self.number)), SetTimer("end", now + self.runs_for)]
            case TimerFired("end"):
                self.over = True
                self.finished = isinstance(self.ending, SubtaskFinished)
                return [Send(MASTER, self.ending)]
            case CancelSubtask() if not self.deaf:
                self.over = True
                return [Send(MASTER, SubtaskCancelled(COUNT, self.number))]
            case KillSlot():
                self.over = True
                return [Send(MASTER, SubtaskFailed(COUNT, self.number, GONE))]
        return []

    def observe(self):
        return self.over

    def check(self):
        pass


FOLLOWS = {
    AttemptState.CREATED: {AttemptState.DEPLOYING, AttemptState.CANCELLED, AttemptState.FAILED},
    AttemptState.DEPLOYING: {AttemptState.RUNNING, AttemptState.FINISHED, AttemptState.CANCELLING, AttemptState.FAILED},
    AttemptState.RUNNING: {AttemptState.FINISHED, AttemptState.CANCELLING, AttemptState.FAILED},
    AttemptState.CANCELLING: {AttemptState.CANCELLED},
}


class TheDiagramHolds(Invariant):
    """An attempt takes only the steps of the diagram, in time, and only on the word of its own worker, a timer, or its master."""

    def __init__(self):
        self.states = {}
        self.since = {}

    def after(self, step):
        if not isinstance(step.machine, Master):
            return
        seen = step.machine.observe()
        before = self.states.get(seen.attempt, AttemptState.CREATED)
        self.states[seen.attempt] = seen.state
        deploying_s = step.at - self.since.get(seen.attempt, step.at) if before is AttemptState.DEPLOYING else 0.0
        ensure(deploying_s <= 2.001, f"attempt {seen.attempt} was deploying for {deploying_s} s")
        self.since[seen.attempt] = seen.since
        if seen.state is before:
            return
        ensure(seen.state in FOLLOWS.get(before, ()), f"attempt {seen.attempt} goes from {before} to {seen.state}")
        said_by = getattr(step.event, "attempt", seen.attempt)
        ensure(said_by == seen.attempt, f"attempt {seen.attempt} becomes {seen.state} on the word of attempt {said_by}")


class ItComesToAnEnd(Invariant):
    """In the end the last attempt is over, and what was reported as finished has been."""

    def at_end(self, simulation):
        last = simulation.machine(MASTER, Master).observe()
        ensure(last.state.final, f"attempt {last.attempt} is {last.state} for ever")
        for ended in simulation.reported(AttemptEnded):
            worker = simulation.machine(worker_of(ended.attempt), Worker)
            ensure(ended.state is not AttemptState.FINISHED or worker.finished, f"{ended}, and its worker has not finished")


def run(seed, *, attempt=Attempt):
    simulation = Simulation(seed, invariants=[AttemptsEndOnce(), TheDiagramHolds(), ItComesToAnEnd()])
    random = simulation.random
    simulation.suffer(
        Faults(doubling=random.choice((0.0, 0.4)), delay_s=(0.0005, random.choice((0.002, 0.1))), reordering=random.random() < 0.5)
    )
    simulation.add(MASTER, lambda _: Master(attempt, random), TimerFired("next"))
    for number in range(1, 6):
        simulation.add(worker_of(number), lambda _, number=number: Worker(number, random))
    if random.random() < 0.3:
        simulation.at(random.uniform(0.5, 8), lambda: simulation.tell(MASTER, SlotGone(GONE)))
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_every_attempt_follows_the_diagram_and_ends_once_over_many_seeds():
    sweep(run, range(300))


class HearsOtherAttempts(Attempt):
    def handle(self, event, now):
        if isinstance(event, SubtaskStarted | SubtaskFinished | SubtaskCancelled):
            event = type(event)(self.subtask, self.attempt)
        return super().handle(event, now)


class EndsTwice(Attempt):
    def handle(self, event, now):
        if self.state.final and isinstance(event, SubtaskFinished | SubtaskFailed) and event.attempt == self.attempt:
            return [Report(AttemptEnded(self.subtask, self.attempt, self.state, self._error))]
        return super().handle(event, now)


class NeverKills(Attempt):
    def _overdue(self, now):
        return [] if self.state is AttemptState.CANCELLING else super()._overdue(now)


class WaitsForEverForAStart(Attempt):
    def _overdue(self, now):
        return [] if self.state is AttemptState.DEPLOYING else super()._overdue(now)


class StartsAlthoughCancelled(Attempt):
    def _told(self, news, now):
        if isinstance(news, SubtaskStarted) and self.state is AttemptState.CANCELLING:
            self._become(AttemptState.RUNNING, now)
            return [Report(AttemptRunning(self.subtask, self.attempt))]
        return super()._told(news, now)


class RunsTwice(Attempt):
    def _told(self, news, now):
        if isinstance(news, SubtaskStarted) and self.state is AttemptState.RUNNING:
            return [Report(AttemptRunning(self.subtask, self.attempt))]
        return super()._told(news, now)


class FailsWhileCancelling(Attempt):
    def _end(self, state, now, error=None):
        if self.state is AttemptState.CANCELLING and state is AttemptState.FAILED:
            self.state = AttemptState.RUNNING
        return super()._end(state, now, error)


@pytest.mark.parametrize(
    "bug",
    [HearsOtherAttempts, EndsTwice, NeverKills, WaitsForEverForAStart, StartsAlthoughCancelled, RunsTwice, FailsWhileCancelling],
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, attempt=bug), range(200)) is not None
