"""An output that fills its buffers at random: no record waits longer than it may, and no buffer is fuller than it may be."""

import pytest

from actorflow.ids import Address
from actorflow.protocol.machine import Report, SetTimer, TimerFired, ensure
from actorflow.protocol.transfer.flush import EventPassing, Flush, FlushReason, FlushRules, Lane, NodeIdle, RecordsBuffered
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

OUTPUT = Address("tm-1/out")
LANES = [Lane(number) for number in range(3)]
TIMEOUT_S, SIZE_RECORDS, END_S = 0.1, 8, 4.0


class Output:
    """Appends records to lanes; now and then an event passes or the node has nothing to do."""

    def __init__(self, random, rules):
        self.random = random
        self.rules = rules(SIZE_RECORDS, TIMEOUT_S)
        self.held = {}

    def handle(self, event, now):
        if event != TimerFired("produce"):
            return self.follow(self.rules.handle(event, now))
        again = SetTimer("produce", now + self.random.expovariate(50.0)) if now < END_S / 2 else SetTimer("produce", 1e9)
        lane = self.random.choice(LANES)
        chance = self.random.random()
        if chance < 0.05:
            told = EventPassing(None if chance < 0.02 else (lane,))
        elif chance < 0.1:
            told = NodeIdle((lane,))
        else:
            self.held.setdefault(lane, []).append(now)
            told = RecordsBuffered(lane, len(self.held[lane]))
        return [*self.follow(self.rules.handle(told, now)), again]

    def follow(self, effects):
        for effect in effects:
            if isinstance(effect, Report):
                ensure(bool(self.held.pop(effect.value.lane, None)), f"{effect.value}: its buffer is empty")
        return effects

    def observe(self):
        return self.rules.observe()

    def check(self):
        self.rules.check()


class NothingWaitsTooLong(Invariant):
    """No record waits beyond the timeout, no buffer beyond its size, and a buffer is not called full or overdue before it is."""

    def after(self, step):
        for lane, appended in step.machine.held.items():
            ensure(step.at <= appended[0] + TIMEOUT_S + 1e-9, f"a record of lane {lane} waits since {appended[0]}")
            ensure(len(appended) < SIZE_RECORDS, f"the buffer of lane {lane} holds {len(appended)} records")

    def at_end(self, simulation):
        ensure(not simulation.machine(OUTPUT, Output).held, "records wait for ever")
        reasons = {flush.reason for flush in simulation.reported(Flush)}
        ensure(FlushReason.TIMEOUT in reasons, "nothing was ever sent for its timeout")


def run(seed, *, rules=FlushRules):
    simulation = Simulation(seed, invariants=[NothingWaitsTooLong()])
    simulation.add(OUTPUT, lambda _: Output(simulation.random, rules), TimerFired("produce"))
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_no_record_waits_too_long_over_many_seeds():
    sweep(run, range(200))


class ForgetsToSetTheTimerAnew(FlushRules):
    def handle(self, event, now):
        effects = super().handle(event, now)
        return [effect for effect in effects if isinstance(effect, Report)] if isinstance(event, TimerFired) else effects


class WaitsFromTheLastRecord(FlushRules):
    def buffered(self, lane, records, now):
        self._since.pop(lane, None)
        return super().buffered(lane, records, now)


class KeepsALaneThatWasSent(FlushRules):
    def _sent(self, lane, reason):
        if reason is not FlushReason.FULL:
            super()._sent(lane, reason)


class OverfillsByOne(FlushRules):
    def buffered(self, lane, records, now):
        return super().buffered(lane, records - 1, now) if records > 1 else super().buffered(lane, records, now)


@pytest.mark.parametrize("bug", [ForgetsToSetTheTimerAnew, WaitsFromTheLastRecord, KeepsALaneThatWasSent, OverfillsByOne])
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, rules=bug), range(200)) is not None
