"""A job that fails again and again: every strategy keeps its promise over many runs."""

import pytest

from actorflow.errors import ErrorInfo, Retry
from actorflow.ids import Address
from actorflow.protocol.jobs.restarts import Backoff, ExponentialDelay, FailureRate, FixedDelay, GiveUp, NoRestart, Restart
from actorflow.protocol.machine import Report, SetTimer, TimerFired, ensure
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

JOB = Address("jm/job")
FAILURE = ErrorInfo("ValueError", "bad record")
HOPELESS = ErrorInfo("PlanError", "no such operator", retry=Retry.NEVER)
BACKOFF = Backoff(initial_s=1.0, max_s=8.0, multiplier=2.0, jitter=0.1, reset_after_s=30.0, attempts_max=6)
FAILURES_MAX, INTERVAL_S, ATTEMPTS_MAX = 3, 20.0, 4


class Job:
    """Runs for a random time, fails, and does what the strategy says."""

    def __init__(self, random, strategy):
        self.random, self.strategy = random, strategy

    def handle(self, event, now):
        if event == TimerFired("restart"):
            return [SetTimer("fail", now + self.random.choice((0.1, 2.0, 12.0, 40.0)))]
        error = HOPELESS if self.random.random() < 0.02 else FAILURE
        decision = self.strategy.decide(error, now, self.random.random())
        after = [SetTimer("restart", now + decision.after_s)] if isinstance(decision, Restart) else []
        return [Report((error, decision)), *after]

    def observe(self):
        return None

    def check(self):
        self.strategy.check()


class Promise(Invariant):
    """Collects `(time, error, decision)` of each failure; subclasses judge them."""

    def __init__(self):
        self.failures = []

    def after(self, step):
        for effect in step.effects:
            if isinstance(effect, Report):
                error, decision = effect.value
                ensure(error is FAILURE or isinstance(decision, GiveUp), f"{error} is tried again")
                self.failures.append((step.at, decision))
                if error is FAILURE:
                    self.judge()

    def restarts(self):
        return [at for at, decision in self.failures if isinstance(decision, Restart)]


class NeverRestarts(Promise):
    def judge(self):
        ensure(not self.restarts(), "restarted")


class AFixedNumber(Promise):
    def judge(self):
        ensure(len(self.restarts()) == min(len(self.failures), ATTEMPTS_MAX), f"{len(self.restarts())} restarts")


class FewInAnyInterval(Promise):
    def judge(self):
        now, decision = self.failures[-1]
        recent = [at for at, _ in self.failures[:-1] if now - INTERVAL_S < at]
        ensure(
            isinstance(decision, Restart) == (len(recent) < FAILURES_MAX),
            f"{decision} after {len(recent)} failures in the interval",
        )


class GrowingPauses(Promise):
    """Pauses double from the first to the longest, within their jitter, and start over after a good run."""

    def __init__(self):
        super().__init__()
        self.wanted_s, self.in_a_row, self.running_since = BACKOFF.initial_s, 0, None

    def judge(self):
        now, decision = self.failures[-1]
        if self.running_since is not None and now - self.running_since >= BACKOFF.reset_after_s:
            self.wanted_s, self.in_a_row = BACKOFF.initial_s, 0
        ensure(
            isinstance(decision, Restart) == (self.in_a_row < BACKOFF.attempts_max), f"{decision} after {self.in_a_row} restarts"
        )
        if isinstance(decision, Restart):
            share = decision.after_s / self.wanted_s
            ensure(1 - BACKOFF.jitter <= share <= 1 + BACKOFF.jitter, f"a pause of {decision.after_s} s, wanted {self.wanted_s} s")
            self.running_since = now + decision.after_s
            self.wanted_s, self.in_a_row = min(2 * self.wanted_s, BACKOFF.max_s), self.in_a_row + 1


def run(seed, strategy=lambda: ExponentialDelay(BACKOFF), promise=GrowingPauses):
    simulation = Simulation(seed, invariants=[promise()])
    simulation.add(JOB, lambda _: Job(simulation.random, strategy()), TimerFired("restart"))
    return simulation.run(600.0).finish()


STRATEGIES = [
    (NoRestart, NeverRestarts),
    (lambda: FixedDelay(ATTEMPTS_MAX, 1.0), AFixedNumber),
    (lambda: FailureRate(FAILURES_MAX, INTERVAL_S, 1.0), FewInAnyInterval),
    (lambda: ExponentialDelay(BACKOFF), GrowingPauses),
]


@pytest.mark.parametrize(("strategy", "promise"), STRATEGIES)
@pytest.mark.slow
def test_every_strategy_keeps_its_promise_over_many_seeds(strategy, promise):
    sweep(lambda seed: run(seed, strategy, promise), range(200))


class RetriesTheHopeless(FixedDelay):
    def decide(self, error, now, random):
        return super().decide(FAILURE, now, random)


class CountsOneTooMany(FixedDelay):
    def __init__(self):
        super().__init__(ATTEMPTS_MAX + 1, 1.0)


class NeverForgets(FailureRate):
    def decide(self, error, now, random):
        self._interval_s = 1e9
        return super().decide(error, now, random)


class NeverStartsOver(ExponentialDelay):
    def decide(self, error, now, random):
        self._restarted_at = None
        return super().decide(error, now, random)


class PilesJitterUp(ExponentialDelay):
    def decide(self, error, now, random):
        decision = super().decide(error, now, random)
        if isinstance(decision, Restart):
            self._pause_s = min(decision.after_s * BACKOFF.multiplier, BACKOFF.max_s)
        return decision


@pytest.mark.parametrize(
    ("bug", "promise"),
    [
        (lambda: RetriesTheHopeless(ATTEMPTS_MAX, 1.0), AFixedNumber),
        (CountsOneTooMany, AFixedNumber),
        (lambda: NeverForgets(FAILURES_MAX, INTERVAL_S, 1.0), FewInAnyInterval),
        (lambda: NeverStartsOver(BACKOFF), GrowingPauses),
        (lambda: PilesJitterUp(BACKOFF), GrowingPauses),
    ],
)
def test_a_planted_bug_is_found(bug, promise):
    assert first_failure(lambda seed: run(seed, bug, promise), range(200)) is not None
