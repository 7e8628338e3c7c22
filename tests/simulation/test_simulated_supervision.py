"""A supervisor and its children, which fail at the same time, while they wait, and while news of them are still under way."""

import dataclasses

import pytest

from actorflow.errors import Domain, ErrorInfo, Retry
from actorflow.ids import Address
from actorflow.protocol.machine import ChildEnded, Failed, Report, Send, SetTimer, TimerFired, ensure
from actorflow.protocol.supervision import (
    ChildFailed,
    Directive,
    EndChild,
    FailParent,
    RestartChild,
    ResumeChild,
    Supervise,
    Supervision,
    SuspendChild,
)
from actorflow.testing.faults import Faults
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

NAMES = ("a", "b", "c", "d")
PARENT = Address("node/p")
CALM_S, END_S = 20.0, 120.0


@dataclasses.dataclass(frozen=True)
class Failure:
    """A child to its parent."""

    name: str
    error: ErrorInfo
    instance: int


@dataclasses.dataclass(frozen=True)
class Gone:
    """A child to its parent: it has ended."""

    name: str
    error: ErrorInfo


def child(name):
    """Return the address of a child: on a node of its own, because children run on threads of their own."""
    return Address(f"node-{name}/p/{name}")


class Parent:
    """Does what `actor.supervising` does: hands failures to the machine, and its instructions to the children."""

    def __init__(self, supervision, policies, random):
        self.supervision = supervision()
        self.policies = policies
        self.random = random
        self.living = list(NAMES)

    def handle(self, event, now):
        match event:
            case Failure(name, error, instance):
                event = ChildFailed(name, error, self.policies[name], tuple(self.living), self.random.random(), instance)
            case Gone(name, error):
                self.living.remove(name)
                event = ChildEnded(name, Failed(error))
        effects = []
        for effect in self.supervision.handle(event, now):
            effects.append(effect)
            if isinstance(effect, Report):
                # The parent of the parent resumes it, and it resumes its child: see `lifecycle`.
                order = ResumeChild(effect.value.name) if isinstance(effect.value, FailParent) else effect.value
                effects.append(Send(child(effect.value.name), order))
        return effects

    def observe(self):
        return self.supervision.observe()

    def check(self):
        self.supervision.check()


class Child:
    """Fails now and then until the world is calm. Only a running child fails, as only running actors handle messages."""

    def __init__(self, name, random):
        self.name = name
        self.random = random
        self.state = "running"
        self.instance = 0
        self.restarts = 0

    def handle(self, event, now):
        match event:
            case TimerFired("fail") if self.state != "ended" and self.random.random() < 0.02:  # somebody stops it, failed or not
                self.state = "ended"
                return [Send(PARENT, Gone(self.name, ErrorInfo("stopped", "by somebody")))]
            case TimerFired("fail"):
                return [*self.fail(now), SetTimer("fail", now + self.random.choice([0.0, 0.5, 1.0, 2.0]))] if now < CALM_S else []
            case EndChild(error=error) if self.state != "ended":
                self.state = "ended"
                return [Send(PARENT, Gone(self.name, error))]
            case _ if self.state == "ended":
                return []
            case SuspendChild() if self.state == "running":
                self.state = "suspended"
            case ResumeChild() if self.state == "suspended":
                self.state = "running"
            case RestartChild(instance=instance):
                self.instance = instance
                self.restarts += 1
                self.state = "running"
        return []

    def fail(self, now):
        if self.state != "running":
            return []
        self.state = "suspended"
        kind = self.random.choice(["restart"] * 12 + ["resume", "escalate", "stop"])
        error = ErrorInfo(kind, f"at {now}", domain=Domain.USER, retry=Retry.BACKOFF)
        return [Send(PARENT, Failure(self.name, error, self.instance))]

    def observe(self):
        return self.state

    def check(self):
        pass


class NobodyWaitsForEver(Invariant):
    """In the end every child runs or has ended: none was suspended and forgotten."""

    def at_end(self, simulation):
        for name in NAMES:
            ensure(simulation.machine(child(name), Child).state != "suspended", f"{name} waits for ever")


class OneRemedyForOneInstance(Invariant):
    """With scope "all" all children are of one instance. It is replaced once, and because one of it has failed."""

    def __init__(self):
        self.decided = set()

    def after(self, step):
        if isinstance(step.event, Failure) and any(is_remedy(effect) for effect in step.effects):
            ensure(step.event.instance not in self.decided, f"{step.event} is answered by a second restart")
            self.decided.add(step.event.instance)
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, RestartChild):
                ensure(effect.value.instance - 1 in self.decided, f"{effect.value}, and none of the instance before has failed")


class WithinTheLimit(Invariant):
    """Nobody's own failures are answered by more restarts in a window than its policy grants."""

    def __init__(self, policy):
        self.policy = policy
        self.granted = {}

    def after(self, step):
        if isinstance(step.event, Failure) and any(is_remedy(effect) for effect in step.effects):
            times = [at for at in self.granted.get(step.event.name, []) if step.at - at < self.policy.window_s]
            ensure(len(times) < self.policy.restarts_max, f"{step.event.name} is restarted beyond its limit")
            self.granted[step.event.name] = [*times, step.at]


def is_remedy(effect):
    """Whether an effect restarts somebody, now or after a back-off."""
    return isinstance(effect, SetTimer) or (isinstance(effect, Report) and isinstance(effect.value, RestartChild))


def run(seed, *, supervision=Supervision, scope="all"):
    policy = Supervise(decide=lambda error: Directive(error.kind), restarts_max=3, window_s=5.0, backoff_max_s=4.0)
    simulation = Simulation(
        seed, invariants=[NobodyWaitsForEver(), WithinTheLimit(policy), *([OneRemedyForOneInstance()] if scope == "all" else [])]
    )
    random = simulation.random
    simulation.suffer(Faults(delay_s=(0.0005, random.choice((0.002, 0.05, 0.3)))))
    policy = dataclasses.replace(policy, backoff_min_s=random.choice((0.0, 0.4, 3.0)))
    policies = {
        name: dataclasses.replace(policy, scope=scope if scope != "mixed" else random.choice(("one", "all"))) for name in NAMES
    }
    simulation.add(PARENT, lambda _incarnation: Parent(supervision, policies, random))
    for name in NAMES:
        simulation.add(child(name), lambda _incarnation, name=name: Child(name, random), TimerFired("fail"))
    return simulation.run(END_S).finish()


@pytest.mark.parametrize("scope", ["one", "all", "mixed"])
@pytest.mark.slow
def test_every_failure_has_one_remedy_and_nobody_waits_for_ever_over_many_seeds(scope):
    sweep(lambda seed: run(seed, scope=scope), range(200))


class RestartsForLateNews(Supervision):
    def _failed(self, failed, now):
        return super()._failed(dataclasses.replace(failed, instance=self._instances.get(failed.name, 0)), now)


class RestartsForThoseWhoWait(Supervision):
    def _is_promised(self, name):
        return False


class TakesNewsOfTheLastRestartForLate(Supervision):
    def _failed(self, failed, now):
        return [] if 0 < failed.instance <= self._instances.get(failed.name, 0) else super()._failed(failed, now)


class ForgetsTheSiblingsOfWhoEnds(Supervision):
    def _ended(self, name):
        return [effect for effect in super()._ended(name) if not isinstance(effect, Report)]


class ForgetsWhoWaits(Supervision):
    def _backoff_over(self, name):
        return super()._backoff_over(name)[:1]


class KnowsNoLimit(Supervision):
    def _failed(self, failed, now):
        return super()._failed(dataclasses.replace(failed, policy=dataclasses.replace(failed.policy, restarts_max=99)), now)


@pytest.mark.parametrize(
    "bug",
    [
        RestartsForLateNews, RestartsForThoseWhoWait, TakesNewsOfTheLastRestartForLate, ForgetsTheSiblingsOfWhoEnds, ForgetsWhoWaits,
        KnowsNoLimit,
    ],
)  # fmt: skip
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, supervision=bug), range(200)) is not None


class LeavesBackoffsBeside(Supervision):
    def _take_over(self, affected):
        return []


def test_two_backoffs_for_one_child_are_found_where_policies_differ():
    assert first_failure(lambda seed: run(seed, supervision=LeavesBackoffsBeside, scope="mixed"), range(200)) is not None
