"""A sender with many channels and a receiver with few buffers: nothing stalls, nothing leaks, whatever the pace on both sides."""

from dataclasses import dataclass

import pytest

from actorflow.ids import Address, ChannelId
from actorflow.protocol.machine import Send, SetTimer, TimerFired, ensure
from actorflow.protocol.transfer.credit import CreditGranted, ReceiverLedger, SenderLedger
from actorflow.testing.faults import Faults
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep
from actorflow.wire.message import Message

SENDER, RECEIVER = Address("tm-1/out"), Address("tm-2/in")
CHANNELS = [ChannelId(number) for number in range(4)]
EXCLUSIVE, FLOATING, PER_CHANNEL_MAX = 1, 4, 4
PRODUCE_S, END_S = 3.0, 60.0


class Buffer(Message, frozen=True):
    channel: ChannelId
    number: int
    backlog: int
    last: bool


@dataclass(frozen=True)
class Abandon:
    """The channel is given up: what is on its way is dropped, what is held is still consumed."""

    channel: ChannelId


class Sender:
    """Produces bursts into its channels and sends what it has credit for. Some channels end early."""

    def __init__(self, random, ledger):
        self.random = random
        self.ledgers = {channel: ledger(waiting_max=2, overdraft_max=5) for channel in CHANNELS}
        self.produced = dict.fromkeys(CHANNELS, 0)
        self.queued = {channel: [] for channel in CHANNELS}
        self.ends_at = {channel: random.choice((PRODUCE_S, random.uniform(0, PRODUCE_S))) for channel in CHANNELS}
        self.ended = set()

    def handle(self, event, now):
        match event:
            case CreditGranted(channel=channel, credit=credit):
                self.ledgers[channel].granted(credit)
                return self.send(channel)
            case TimerFired("produce"):
                effects = self.produce(now)
                over = len(self.ended) == len(CHANNELS)
                return effects if over else [*effects, SetTimer("produce", now + self.random.expovariate(20.0))]
        raise AssertionError(event)

    def produce(self, now):
        for channel in CHANNELS:
            if now >= self.ends_at[channel] and channel not in self.ended:
                self.ended.add(channel)
                return self.add(channel, 1, last=True)
        channel = self.random.choice(CHANNELS)
        if channel in self.ended or self.ledgers[channel].exhausted:
            return []
        return self.add(channel, self.random.choice((1, 1, 2, 6)), last=False)

    def add(self, channel, buffers, *, last):
        for _ in range(buffers):
            self.produced[channel] += 1
            self.queued[channel].append((self.produced[channel], last))
        self.ledgers[channel].waiting(len(self.queued[channel]))
        return self.send(channel)

    def send(self, channel):
        effects = []
        queue, ledger = self.queued[channel], self.ledgers[channel]
        while queue and ledger.available:
            number, last = queue.pop(0)
            ledger.sent(len(queue))
            effects.append(Send(RECEIVER, Buffer(channel, number, len(queue), last)))
        return effects

    def observe(self):
        return {channel: ledger.observe() for channel, ledger in self.ledgers.items()}

    def check(self):
        for ledger in self.ledgers.values():
            ledger.check()


class Receiver:
    """Consumes one buffer at a time, slowly, from the channel that it happens to look at."""

    def __init__(self, random, ledger):
        self.random = random
        self.ledger = ledger(CHANNELS, exclusive=EXCLUSIVE, floating=FLOATING, per_channel_max=PER_CHANNEL_MAX)
        self.held = []
        self.consumed = dict.fromkeys(CHANNELS, 0)
        self.closed = set()
        self.pace_s = random.choice((0.01, 0.1))

    def handle(self, event, now):
        match event:
            case "open":
                return [*self.grant(self.ledger.opening_grants()), SetTimer("consume", now)]
            case Buffer(channel=channel, backlog=backlog):
                if channel not in self.closed:
                    self.held.append(event)
                return self.grant(self.ledger.received(channel, backlog))
            case Abandon(channel):
                return self.close(channel)
            case TimerFired("consume"):
                effects = self.consume()
                over = len(self.closed) == len(CHANNELS) and not self.held
                return effects if over else [*effects, SetTimer("consume", now + self.random.expovariate(1 / self.pace_s))]
        raise AssertionError(event)

    def consume(self):
        if not self.held:
            return []
        chosen = self.random.choice(self.held).channel
        buffer = next(buffer for buffer in self.held if buffer.channel == chosen)
        self.held.remove(buffer)
        self.consumed[chosen] += 1
        ensure(buffer.number == self.consumed[chosen], f"channel {chosen}: {buffer} is consumed as number {self.consumed[chosen]}")
        effects = self.grant(self.ledger.consumed(chosen))
        return [*effects, *self.close(chosen)] if buffer.last else effects

    def close(self, channel):
        self.closed.add(channel)
        return self.grant(self.ledger.closed(channel))

    def grant(self, grants):
        for channel, credit in grants:
            ensure(channel not in self.closed, f"channel {channel} is closed and is granted {credit}")
        return [Send(SENDER, CreditGranted(channel, credit)) for channel, credit in grants]

    def observe(self):
        return self.ledger.observe()

    def check(self):
        self.ledger.check()
        ensure(len(self.held) <= len(CHANNELS) * EXCLUSIVE + FLOATING, f"{len(self.held)} buffers are held")


class EverythingArrives(Invariant):
    """In the end all that was produced was consumed, abandoned channels aside, and all floating buffers are free."""

    def __init__(self):
        self.abandoned = set()

    def after(self, step):
        if isinstance(step.event, Abandon):
            self.abandoned.add(step.event.channel)

    def at_end(self, simulation):
        sender, receiver = simulation.machine(SENDER, Sender), simulation.machine(RECEIVER, Receiver)
        ensure(sender.ended == set(CHANNELS), "the channels have not all ended")
        for channel in CHANNELS:
            produced, consumed = sender.produced[channel], receiver.consumed[channel]
            arrived = produced == consumed or channel in self.abandoned
            ensure(arrived, f"channel {channel}: {produced} produced, {consumed} consumed")
        ensure(receiver.observe().free == FLOATING, f"{receiver.observe().free} of {FLOATING} floating buffers are free")


class BacklogIsServed(Invariant):
    """Floating buffers are used: a channel with a backlog gets more than its exclusive buffer while others are quiet."""

    def __init__(self):
        self.most = 0

    def after(self, step):
        if step.address == RECEIVER:
            self.most = max(self.most, *(channel.credit + channel.held for channel in step.machine.observe().channels))

    def at_end(self, simulation):
        ensure(self.most > EXCLUSIVE, "no channel ever got a floating buffer")


def run(seed, *, sender=SenderLedger, receiver=ReceiverLedger):
    simulation = Simulation(seed, invariants=[EverythingArrives(), BacklogIsServed()])
    random = simulation.random
    simulation.suffer(Faults(delay_s=(0.0005, random.choice((0.001, 0.05)))))
    simulation.add(SENDER, lambda _: Sender(random, sender), TimerFired("produce"))
    simulation.add(RECEIVER, lambda _: Receiver(random, receiver), "open")
    if random.random() < 0.5:
        abandoned = random.choice(CHANNELS)
        simulation.at(random.uniform(0.5, PRODUCE_S), lambda: simulation.tell(RECEIVER, Abandon(abandoned)))
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_everything_arrives_and_every_buffer_comes_back_over_many_seeds():
    sweep(run, range(200))


class GrantsTwice(ReceiverLedger):
    def consumed(self, channel):
        return super().consumed(channel) * 2


class LeaksFloatingBuffersOfClosedChannels(ReceiverLedger):
    def _reclaim(self, account):
        account.floating = min(account.floating, account.held)
        return []


class LeaksAFloatingBufferNowAndThen(ReceiverLedger):
    def consumed(self, channel):
        if self._accounts[channel].floating and not self._wanting:
            self._accounts[channel].floating -= 1
            self._accounts[channel].held -= 1
            return []
        return super().consumed(channel)


class NeverSharesTheFloating(ReceiverLedger):
    def _share(self):
        return []


class ForgetsToGrantAgain(ReceiverLedger):
    def consumed(self, channel):
        grants = super().consumed(channel)
        return [] if self._accounts[channel].held else grants


class GivesOneChannelEverything(ReceiverLedger):
    def _note_want(self, channel, account):
        if account.backlog:
            self._wanting[channel] = None
        else:
            self._wanting.pop(channel, None)


class GrantsToTheClosed(ReceiverLedger):
    def closed(self, channel):
        super().closed(channel)
        return [(channel, 1)]


class CountsCreditTwice(SenderLedger):
    __slots__ = ()

    def granted(self, credit):
        super().granted(2 * credit)


@pytest.mark.parametrize(
    "bug",
    [
        GrantsTwice,
        LeaksFloatingBuffersOfClosedChannels,
        LeaksAFloatingBufferNowAndThen,
        NeverSharesTheFloating,
        ForgetsToGrantAgain,
        GivesOneChannelEverything,
        GrantsToTheClosed,
    ],
)
def test_a_planted_bug_of_the_receiver_is_found(bug):
    assert first_failure(lambda seed: run(seed, receiver=bug), range(200)) is not None


def test_a_planted_bug_of_the_sender_is_found():
    assert first_failure(lambda seed: run(seed, sender=CountsCreditTwice), range(200)) is not None
