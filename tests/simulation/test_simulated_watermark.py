"""Channels that advance, fall idle, wake up and end at their own pace: the merged watermark rises, and only as far as it may."""

import pytest

from actorflow.ids import Address, ChannelId
from actorflow.protocol.event_time.watermark import ChannelStatus, ChannelTold, WatermarkMerge
from actorflow.protocol.machine import Report, Send, SetTimer, TimerFired, ensure
from actorflow.testing.faults import Faults
from actorflow.testing.invariants import WatermarksRise
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP, Active, EndOfInput, Idle, Watermark

MERGE = Address("tm-0/count")
CHANNELS = [ChannelId(number) for number in range(3)]
END_S = 6.0


class Producer:
    """Tells watermarks, and now and then that it is idle, active, or at its end."""

    def __init__(self, channel, random):
        self.channel, self.random = channel, random
        self.timestamp = 0
        self.idle = False
        self.ends_at = random.uniform(2, END_S - 1)

    def handle(self, event, now):
        if now >= self.ends_at:
            return [self.tell(EndOfInput())]
        again = SetTimer("next", now + self.random.expovariate(5.0))
        if self.idle or self.random.random() < 0.2:
            self.idle = not self.idle
            return [self.tell(Idle() if self.idle else Active()), again]
        self.timestamp += self.random.choice((0, 1, 5, 50))
        return [self.tell(Watermark(self.timestamp)), again]

    def tell(self, event):
        return Send(MERGE, ChannelTold(self.channel, event))

    def observe(self):
        return self.timestamp

    def check(self):
        pass


class NeverAhead(Invariant):
    """A forwarded watermark is not ahead of any channel that is active and has caught up with what was forwarded before.

    Kept from the events alone: what each channel told last, and which were behind when they woke up.
    """

    def __init__(self):
        self.told = dict.fromkeys(CHANNELS, MIN_TIMESTAMP)
        self.behind = dict.fromkeys(CHANNELS, False)
        self.open = dict.fromkeys(CHANNELS, True)
        self.active = dict.fromkeys(CHANNELS, True)
        self.merged = MIN_TIMESTAMP

    def after(self, step):
        if step.address != MERGE:
            return
        channel = step.event.channel
        match step.event.event:
            case Watermark(timestamp):
                self.told[channel] = max(timestamp, self.told[channel])
                self.behind[channel] &= timestamp < self.merged
            case Idle():
                self.active[channel] = False
            case Active():
                self.active[channel] = True
                self.behind[channel] = self.told[channel] < self.merged
            case EndOfInput():
                self.open[channel] = False
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, Watermark):
                self.merged = effect.value.timestamp
        for other in CHANNELS:
            if self.open[other] and self.active[other] and not self.behind[other]:
                ensure(
                    self.merged <= self.told[other], f"watermark {self.merged} is ahead of channel {other} at {self.told[other]}"
                )


class NobodyHoldsItBack(Invariant):
    """When all channels have ended, time has; idleness and activity are forwarded in turn."""

    def __init__(self):
        self.idle = False

    def after(self, step):
        for effect in step.effects:
            if isinstance(effect, Report) and isinstance(effect.value, Idle | Active):
                ensure(isinstance(effect.value, Idle) != self.idle, f"{effect.value} is forwarded twice")
                self.idle = isinstance(effect.value, Idle)

    def at_end(self, simulation):
        forwarded = simulation.reported(Watermark)
        ensure(
            bool(forwarded) and forwarded[-1].timestamp == MAX_TIMESTAMP,
            f"all channels have ended and time has not: {forwarded[-1:]}",
        )
        ensure(not self.idle, "all channels have ended and the subtask is idle")


def run(seed, *, merge=WatermarkMerge):
    simulation = Simulation(seed, invariants=[WatermarksRise(), NeverAhead(), NobodyHoldsItBack()])
    simulation.suffer(Faults(delay_s=(0.0005, simulation.random.choice((0.002, 0.1)))))
    simulation.add(MERGE, lambda _: merge(CHANNELS))
    for channel in CHANNELS:
        address = Address(f"tm-{channel + 1}/source")
        simulation.add(address, lambda _, channel=channel: Producer(channel, simulation.random), TimerFired("next"))
    return simulation.run(END_S + 5).finish()


@pytest.mark.slow
def test_the_merged_watermark_rises_and_is_never_ahead_over_many_seeds():
    sweep(run, range(200))


class GoesBack(WatermarkMerge):
    __slots__ = ()

    def _merge(self):
        counting = [self._told[channel] for channel, status in self._statuses.items() if status is ChannelStatus.COUNTING]
        if counting and min(counting) < self.watermark:
            self.watermark = min(counting)
            return self.watermark
        return super()._merge()

    def active(self, channel):
        if self._statuses[channel] is ChannelStatus.IDLE:
            self._statuses[channel] = ChannelStatus.COUNTING
        return self._merge()


class FollowsTheFastest(WatermarkMerge):
    __slots__ = ()

    def advance(self, channel, timestamp):
        if timestamp <= self.watermark:
            return super().advance(channel, timestamp)
        self._told[channel] = self.watermark = timestamp
        return timestamp


class LeavesOutTheIdleForEver(WatermarkMerge):
    __slots__ = ()

    def active(self, channel):
        return None


class TakesTheEndedForIdle(WatermarkMerge):
    __slots__ = ()

    def ended(self, channel):
        return self.idle(channel)


class EndsTimeWithTheFirstChannel(WatermarkMerge):
    __slots__ = ()

    def ended(self, channel):
        self._told[channel] = MAX_TIMESTAMP
        self._statuses[channel] = ChannelStatus.IDLE
        return self._merge()


class ForgetsThatTheLaggingHasCaughtUp(WatermarkMerge):
    __slots__ = ()

    def advance(self, channel, timestamp):
        if self._statuses[channel] is ChannelStatus.LAGGING:
            self._told[channel] = max(timestamp, self._told[channel])
            return None
        return super().advance(channel, timestamp)


@pytest.mark.parametrize(
    "bug",
    [
        GoesBack,
        FollowsTheFastest,
        LeavesOutTheIdleForEver,
        TakesTheEndedForIdle,
        EndsTimeWithTheFirstChannel,
        ForgetsThatTheLaggingHasCaughtUp,
    ],
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, merge=bug), range(200)) is not None
