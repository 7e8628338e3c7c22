"""Readers that crash, are replaced, or live on as zombies, and a master that hands out splits, over a network that loses and doubles."""

from collections import Counter

import pytest

from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.jobs.splits import (
    NoMoreSplits,
    ReaderLost,
    ReaderStarted,
    SourceExhausted,
    SourceListed,
    SplitAssigned,
    SplitAssignment,
    SplitFinished,
    SplitRequested,
    _Reader,
)
from actorflow.protocol.machine import Send, SetTimer, TimerFired, ensure
from actorflow.testing.faults import Faults
from actorflow.testing.invariants import SplitsHaveOneReader
from actorflow.testing.simulation import Invariant, Simulation, first_failure, sweep

SOURCE = VertexId("text")
MASTER = Address("jm/splits")
SPLITS, READERS = 12, 3
CALM_S, END_S = 6.0, 20.0


class Master:
    """Lists the splits when it opens; the rest is the machine."""

    def __init__(self, assignment, partitioned):
        self.assignment = assignment(SOURCE, READERS, partitioned=partitioned)

    def handle(self, event, now):
        return self.assignment.start() if event == "open" else self.assignment.handle(event, now)

    def observe(self):
        return self.assignment.observe()

    def check(self):
        self.assignment.check()


class Reader:
    """Reads one split after the other. Every message is repeated until it has its effect: nothing else makes up for a loss."""

    def __init__(self, subtask, attempt, pace_s):
        self.subtask, self.attempt, self.pace_s = subtask, attempt, pace_s
        self.address = Address(f"tm-{subtask.index}/reader/{attempt}")
        self.request = 1
        self.reading = None
        self.read = []
        self.ended = False

    def handle(self, event, now):
        match event:
            case SplitAssigned(request=self.request, split=split) if self.reading is None:
                self.reading = split
                return [SetTimer("read", now + self.pace_s)]
            case NoMoreSplits(request=self.request):
                self.ended = True
            case TimerFired("read"):
                self.read.append(self.reading)
                self.reading = None
                self.request += 1
                return self.ask()
            case TimerFired("ask"):
                over = self.ended and now > CALM_S + 0.5
                return self.ask() if over else [*self.ask(), SetTimer("ask", now + 0.4)]
        return []

    def ask(self):
        told = [Send(MASTER, SplitFinished(self.subtask, self.attempt, split)) for split in self.read]
        if self.ended or self.reading is not None:
            return told
        return [*told, Send(MASTER, SplitRequested(self.subtask, self.attempt, self.request, self.address))]

    def observe(self):
        return self.read

    def check(self):
        pass


class EverythingIsRead(Invariant):
    """In the end every split is finished, by a reader that read all of it while it was the current one."""

    def __init__(self):
        self.read_by = {}
        self.current = {}

    def after(self, step):
        match step.event:
            case ReaderStarted(subtask, attempt):
                self.current[subtask] = max(attempt, self.current.get(subtask, 0))
            case ReaderLost(subtask, attempt):
                self.current[subtask] = max(attempt + 1, self.current.get(subtask, 0))
        reader = step.machine
        if isinstance(reader, Reader) and step.event == TimerFired("read") and reader.read:
            self.read_by.setdefault(reader.read[-1], []).append((reader.subtask, reader.attempt))

    def at_end(self, simulation):
        state = simulation.machine(MASTER, Master).observe()
        ensure(state.finished == SPLITS, f"{state.finished} of {SPLITS} splits are finished: {state}")
        ensure([SourceExhausted(SOURCE)] == simulation.reported(SourceExhausted), "the source is not exhausted once")
        ensure(sorted(self.read_by) == list(range(SPLITS)), f"splits were finished unread: {sorted(self.read_by)}")


class FinishedByItsReader(Invariant):
    """The master counts a split as finished only on the word of the attempt that has read it and that it still trusts."""

    def __init__(self):
        self.finished = 0
        self.alive = {}

    def after(self, step):
        match step.event:
            case ReaderStarted(subtask, attempt):
                self.alive[subtask] = attempt
            case ReaderLost(subtask, attempt) if self.alive.get(subtask) == attempt:
                del self.alive[subtask]
        if isinstance(step.machine, Master) and step.event != "open":
            finished = step.machine.observe().finished
            if finished > self.finished:
                word = step.event
                ensure(self.alive.get(word.subtask) == word.attempt, f"{word} counts, and the current attempts are {self.alive}")
            self.finished = finished


def run(seed, *, assignment=SplitAssignment):
    simulation = Simulation(
        seed,
        invariants=[SplitsHaveOneReader(), EverythingIsRead(), FinishedByItsReader()],
        work=lambda work: [bytes([number]) for number in range(SPLITS)],
    )
    random = simulation.random
    simulation.suffer(
        Faults(
            loss=random.choice((0.0, 0.2)),
            doubling=random.choice((0.0, 0.3)),
            delay_s=(0.0005, random.choice((0.002, 0.2))),
            reordering=random.random() < 0.3,
            calm_after_s=CALM_S,
        )
    )
    partitioned = random.random() < 0.4
    simulation.add(MASTER, lambda _: Master(assignment, partitioned), "open")
    for index in range(READERS):
        launch(simulation, SubtaskId(SOURCE, index), 1, CALM_S)
    return simulation.run(END_S).finish()


def launch(simulation, subtask, attempt, until_s):
    """Start an attempt, and plan its replacement: it crashes before or long after the master has heard of it."""
    random = simulation.random
    reader = Reader(subtask, attempt, random.uniform(0.05, 0.8))
    simulation.tell(MASTER, ReaderStarted(subtask, attempt))
    simulation.add(reader.address, lambda _: reader, TimerFired("ask"))
    lost_at = simulation.now + random.expovariate(0.4)
    if lost_at >= until_s:
        return
    simulation.at(lost_at, lambda: simulation.tell(MASTER, ReaderLost(subtask, attempt)))
    simulation.at(lost_at + random.choice((0.0, random.uniform(0, 1))), lambda: launch(simulation, subtask, attempt + 1, until_s))
    simulation.at(lost_at + random.uniform(-0.5, 2.0), lambda: setattr(reader, "handle", lambda event, now: []))


@pytest.mark.slow
def test_every_split_is_read_and_finished_by_its_one_reader_over_many_seeds():
    sweep(run, range(200))


class LosesTheSplitsOfALostReader(SplitAssignment):
    def _take_back(self, subtask):
        for split in [split for split, owner in self._assigned.items() if owner == subtask]:
            del self._assigned[split]


class KeepsTheSplitsOfALostReader(SplitAssignment):
    def _take_back(self, subtask):
        self._pending.extend(split for split, owner in self._assigned.items() if owner == subtask)


class TakesBackFinishedSplits(SplitAssignment):
    def _take_back(self, subtask):
        super()._take_back(subtask)
        if self._finished:
            split, _ = self._finished.popitem()
            self._pending.append(split)


class HearsLateAttempts(SplitAssignment):
    def _current(self, subtask, attempt):
        reader = self._readers.get(subtask)
        return reader if reader is not None and reader.alive else None


class GivesADoubledRequestAnotherSplit(SplitAssignment):
    def _requested(self, request):
        reader = self._current(request.subtask, request.attempt)
        if reader is None:
            return []
        reader.request, reader.waiting = request.request, request
        return self._serve()


class ForgetsTheAnswer(SplitAssignment):
    def _requested(self, request):
        reader = self._current(request.subtask, request.attempt)
        return [] if reader is not None and reader.request == request.request else super()._requested(request)


class BringsALostAttemptBack(SplitAssignment):
    def _current(self, subtask, attempt):
        reader = self._readers.get(subtask)
        if reader is not None and reader.attempt == attempt and not reader.alive:
            self._readers[subtask] = _Reader(attempt)
        return super()._current(subtask, attempt)


class CountsPartitionsThatWereTakenBack(SplitAssignment):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.given = Counter()

    def _answer(self, reader, request):
        effect = super()._answer(reader, request)
        self.given[request.subtask] += isinstance(reader.answer, SplitAssigned)
        return effect

    def _has_its_share(self, subtask):
        return self._partitioned and self.given[subtask] >= self._share(subtask)


@pytest.mark.parametrize(
    "bug",
    [
        CountsPartitionsThatWereTakenBack,
        LosesTheSplitsOfALostReader,
        KeepsTheSplitsOfALostReader,
        TakesBackFinishedSplits,
        HearsLateAttempts,
        GivesADoubledRequestAnotherSplit,
        ForgetsTheAnswer,
        BringsALostAttemptBack,
    ],
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, assignment=bug), range(200)) is not None


def test_the_splits_are_listed_once_and_then_read():
    simulation = run(0)
    assert [SourceListed(SOURCE, SPLITS), SourceExhausted(SOURCE)] == [report.value for report in simulation.reports]
