"""Sources at different speeds that go in step, over a network that loses, doubles, delays and reorders what they tell of it."""

import math

import pytest

from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.event_time.alignment import Member, ReaderFinished, WatermarkAlignment, WatermarkAllowed, WatermarkReported
from actorflow.protocol.machine import Send, SetTimer, TimerFired, ensure
from actorflow.testing.faults import Faults
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep
from actorflow.wire.batch import MIN_TIMESTAMP

MASTER = Address("jm/alignment")
TIMES = "with_timestamps"
READERS = [SubtaskId(VertexId("source"), index) for index in range(3)]
DRIFT, BATCH, LAST = 100, 20, 1000
CALM_S, END_S = 6.0, 30.0


def address_of(subtask):
    return Address(f"tm-{subtask.index}/reader")


class Reader:
    """Reads batches at its pace, unless it is too far ahead; reports now and then; may fall silent for a while, and ends."""

    def __init__(self, subtask, random):
        self.subtask = subtask
        self.pace_s = random.choice((0.02, 0.04, 0.1))
        self.random = random
        self.silent_at = random.randrange(LAST) if subtask.index == 2 and random.random() < 0.5 else None
        self.back_s = None
        self.never_silent = self.silent_at is None
        self.watermark = self.allowed = MIN_TIMESTAMP
        self.reports = self.answers = 0
        self.ended = False

    @property
    def idle(self):
        return self.back_s is not None

    def handle(self, event, now):
        match event:
            case WatermarkAllowed(number=number, watermark=watermark) if number > self.answers:
                self.answers, self.allowed = number, watermark
            case TimerFired("read"):
                return self.read(now)
            case TimerFired("report") if not self.ended:
                return [self.report(), SetTimer("report", now + 0.5)]
            case TimerFired("say it") if now < END_S - 10:  # that a subtask has finished is told reliably
                return [Send(MASTER, ReaderFinished(self.subtask)), SetTimer("say it", now + 1)]
            case "begin":
                return [self.report(), SetTimer("report", now + 0.5), SetTimer("read", now + self.pace_s)]
        return []

    def read(self, now):
        again = SetTimer("read", now + self.pace_s)
        if self.idle:
            if now < self.back_s:
                return [again]
            self.back_s = None
            return [again, self.report()]
        if self.watermark > self.allowed:
            return [again]
        self.watermark = max(0, self.watermark) + self.random.randrange(1, BATCH + 1)
        if self.watermark >= LAST:
            self.ended = True
            return [SetTimer("say it", now)]
        if self.silent_at is not None and self.watermark >= self.silent_at:
            self.silent_at, self.back_s = None, now + self.random.choice((5, math.inf))
            return [again, self.report()]
        return [again]

    def report(self):
        self.reports += 1
        here = address_of(self.subtask)
        return Send(MASTER, WatermarkReported(self.subtask, 1, TIMES, self.reports, self.watermark, self.idle, DRIFT, here))

    def observe(self):
        return self.watermark

    def check(self):
        pass


class InStep(Invariant):
    """Nobody is ahead of one that was never idle, and has not ended, by more than the drift and a batch. In the end all have read everything."""

    def __init__(self):
        self.readers = []

    def after(self, step):
        if not isinstance(step.machine, Reader):
            return
        slowest = min(
            (max(0, reader.watermark) for reader in self.readers if reader.never_silent and not reader.ended), default=LAST
        )
        for reader in self.readers:
            ensure(
                reader.ended or reader.watermark <= slowest + DRIFT + BATCH,
                f"{reader.subtask} is at {reader.watermark}, another at {slowest}",
            )

    def at_end(self, simulation):
        waiting = {str(reader.subtask): reader.watermark for reader in self.readers if not reader.ended and not reader.idle}
        ensure(not waiting, f"some wait for ever: {waiting}")


def run(seed, *, alignment=WatermarkAlignment):
    in_step = InStep()
    simulation = Simulation(seed, invariants=[in_step])
    random = simulation.random
    in_step.readers = readers = [Reader(subtask, random) for subtask in READERS]
    simulation.suffer(
        Faults(
            loss=random.choice((0.0, 0.3)),
            doubling=random.choice((0.0, 0.3)),
            delay_s=(0.0005, random.choice((0.002, 0.3))),
            reordering=random.random() < 0.5,
            calm_after_s=CALM_S,
        )
    )
    simulation.add(MASTER, lambda _: alignment(Member(subtask, TIMES, "live") for subtask in READERS))
    for reader in readers:
        simulation.at(
            random.uniform(0, 2), lambda reader=reader: simulation.add(address_of(reader.subtask), lambda _: reader, "begin")
        )
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_sources_go_in_step_over_many_seeds():
    sweep(run, range(200))


class ForgetsTheUnheard(WatermarkAlignment):
    def _slowest(self, group):
        return min((place.watermark for place in self._groups[group] if place.counts and place.report), default=None)

    def check(self):
        pass


class FollowsTheFastest(WatermarkAlignment):
    def _slowest(self, group):
        return max((place.watermark for place in self._groups[group] if place.counts), default=None)

    def check(self):
        pass


class WaitsForTheIdle(WatermarkAlignment):
    def _slowest(self, group):
        return min((place.watermark for place in self._groups[group] if not place.ended), default=None)


class WaitsForTheEnded(WatermarkAlignment):
    def _finished(self, subtask):
        return []


class AnswersOnce(WatermarkAlignment):
    def _tell(self, place):
        return [] if place.answers else super()._tell(place)


class LeavesOutWhoWasIdle(WatermarkAlignment):
    def _reported(self, report):
        place = self._places[report.subtask, report.operator]
        place.ended = place.ended or report.idle
        return super()._reported(report)


class AddsTheDriftTwice(WatermarkAlignment):
    def _slowest(self, group):
        slowest = super()._slowest(group)
        return None if slowest is None else slowest + DRIFT

    def check(self):
        pass


@pytest.mark.parametrize(
    "bug",
    [ForgetsTheUnheard, FollowsTheFastest, WaitsForTheIdle, WaitsForTheEnded, AnswersOnce, LeavesOutWhoWasIdle, AddsTheDriftTwice],
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, alignment=bug), range(200)) is not None
