"""Checkpointed jobs over networks that lose and double control messages, subtasks that die at any moment, and storage that fails."""

from dataclasses import replace
from functools import partial

import pytest
from checkpoint_invariants import EveryRecordCountsOnce, NothingFails, NumbersRise
from checkpoint_world import (
    COUNTS,
    MASTER,
    SINK,
    SUBTASKS,
    Master,
    SimulatedSubtask,
    World,
    address_of,
    storage,
)

from actorflow.ids import ChannelId
from actorflow.protocol.barriers import AlignmentMode, BarrierAlignment, TakeSnapshot
from actorflow.protocol.checkpoint_events import CollectOrphans
from actorflow.protocol.checkpoint_messages import CheckpointCompleted
from actorflow.protocol.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.machine import Report, Start, TimerFired
from actorflow.testing.faults import Faults
from actorflow.testing.simulation import Simulation, first_failure, sweep
from actorflow.wire.batch import Barrier

CALM_S, END_S = 6.0, 40.0


def run(seed, *, coordinator=CheckpointCoordinator, alignment=BarrierAlignment, subtask=SimulatedSubtask):
    """Run one job to its end; it dies and is restarted a few times on the way."""
    world = World()
    simulation = Simulation(seed, invariants=[EveryRecordCountsOnce(world), NumbersRise()])
    random = simulation.random
    unaligned = random.random() < 0.5
    gentle = random.random() < 0.2
    if gentle:
        simulation._invariants += (NothingFails(),)
    simulation._work = storage(world, simulation, failing=0.0 if gentle else 0.1)
    rules = CheckpointRules(
        interval_s=random.uniform(0.1, 0.6),
        timeout_s=10.0 if gentle else random.uniform(0.3, 2.0),
        concurrent_max=1 if unaligned else random.choice((1, 3)),
        min_pause_s=random.choice((0.0, 0.1)),
        tolerable_failures=10**9,
        retained_max=random.choice((1, 3)),
        unaligned=unaligned and random.random() < 0.5,
    )
    timeout_s = random.uniform(0.01, 0.2) if unaligned else None
    simulation.suffer(
        Faults(
            loss=0.0 if gentle else random.choice((0.0, 0.1, 0.3)),
            doubling=random.choice((0.0, 0.5)),
            delay_s=(0.0005, random.choice((0.002, 0.1))),
            calm_after_s=CALM_S,
        )
    )

    ordered_at = random.choice((*COUNTS, SINK, None)) if unaligned else None

    def launch(attempt, states):
        for each in SUBTASKS:
            ordered = (ChannelId(0),) if each == ordered_at else ()
            aligned = partial(alignment, timeout_s=timeout_s, ordered=ordered)
            made = subtask(
                simulation, world, each, attempt, states.get(each), aligned, overtaking=timeout_s is not None, ordered=ordered
            )
            simulation.add(made.address, lambda _, made=made: made, TimerFired("turn"))
        if simulation.now < CALM_S and random.random() < 0.8 and not gentle:
            simulation.at(simulation.now + random.uniform(0.1, 2.0), lambda: die(attempt))

    def die(attempt):
        """One subtask is gone without a word; the master hears of it a moment later, while the others go on."""
        lost = random.choice(SUBTASKS)
        simulation._cells[address_of(lost, attempt)].machine = None
        simulation.at(simulation.now + random.uniform(0, 0.3), lambda: end(attempt))

    def end(attempt):
        if simulation.machine(MASTER, Master).over:
            return
        for each in SUBTASKS:
            simulation._cells[address_of(each, attempt)].machine = None
        simulation.tell(MASTER, ("broken", attempt))

    simulation.add(MASTER, lambda _: Master(launch, world, coordinator(rules)), "open")
    return simulation.run(END_S).finish()


@pytest.mark.slow
def test_every_record_is_counted_and_committed_once_over_many_seeds():
    sweep(run, range(2000))


def test_every_record_is_counted_and_committed_once_over_some_seeds():
    sweep(run, range(60))


# --- planted bugs: each is found ------------------------------------------------------------------------------------------------


class GivesNumbersAgain(CheckpointCoordinator):
    def _run_over(self, now):
        effects = super()._run_over(now)
        self._last = self.latest.checkpoint if self.latest else 0
        return effects


class CompletesWithoutTheLastPart(CheckpointCoordinator):
    def _store_if_whole(self, begun):
        if len(begun.waiting) == 1 and begun.states:
            (missing,) = begun.waiting
            begun.waiting.clear()
            begun.states[missing] = next(iter(begun.states.values()))
        return super()._store_if_whole(begun)


class CommitsBeforeTheManifestIsWritten(CheckpointCoordinator):
    def _store_if_whole(self, begun):
        effects = super()._store_if_whole(begun)
        told = self._tell_all(lambda subtask, attempt: CheckpointCompleted(subtask, attempt, begun.checkpoint))
        return [*effects, *told] if effects else []


class TakesTheLastStateForEveryCheckpoint(CheckpointCoordinator):
    def _subtask_done(self, done):
        return super()._subtask_done(replace(done, passed=0))


class DiscardsWhatFinishedSubtasksLeft(CheckpointCoordinator):
    def _discardable(self, states):
        return tuple(states.values())


class CollectsWhatARestartNeeds(CheckpointCoordinator):
    def _collect(self, run):
        return [Start(CollectOrphans(run.attempt, ()))] if run.attempt > 1 else []


class CollectsWhatTheRunItselfStores(CheckpointCoordinator):
    def _collect(self, run):
        return [Start(CollectOrphans(effect.work.attempt + 1, effect.work.keep)) for effect in super()._collect(run)]


class RestoresTheOneBefore(CheckpointCoordinator):
    @property
    def latest(self):
        return self._completed[0] if self._completed else None


class BlocksNothing(BarrierAlignment):
    def __init__(self, channels, **options):
        super().__init__(channels, mode=AlignmentMode.AT_LEAST_ONCE, **options)


class SnapshotsAtTheFirstBarrier(BarrierAlignment):
    def _arrived(self, channel, barrier, now):
        effects = super()._arrived(channel, barrier, now)
        if self._aligning is not None and not barrier.unaligned:
            return effects + self._complete(self._aligning, now)
        return effects


class ForgetsWhatWasOvertaken(BarrierAlignment):
    def _overtake(self, aligning, now):
        return [
            Report(replace(effect.value, in_flight=tuple(c for c in effect.value.in_flight if c not in aligning.announced)))
            if isinstance(effect, Report) and isinstance(effect.value, TakeSnapshot)
            else effect
            for effect in super()._overtake(aligning, now)
        ]


class OvertakesInOrderedChannels(BarrierAlignment):
    def __init__(self, channels, *, ordered=(), **options):
        super().__init__(channels, **options)


class TakesAnEndThatHasArrivedForTheEnd(BarrierAlignment):
    def _ends(self, channel, now):
        return self._ended(channel, now)


class CountsAnEndedChannelAsMissing(BarrierAlignment):
    def _ended(self, channel, now):
        aligning, self._aligning = self._aligning, None
        effects = super()._ended(channel, now)
        self._aligning = aligning
        return effects


class ReadsOnBeforeItsSnapshot(SimulatedSubtask):
    def triggered(self, trigger, now):
        effects = super().triggered(trigger, now)
        if effects and not self.done:
            self.read(now)
            self.world.parts[effects[0].message.state] = self.part()
        return effects


class KeepsTheBarrierToItself(SimulatedSubtask):
    def broadcast(self, element):
        if not isinstance(element, Barrier) or self.subtask.index == 0:
            super().broadcast(element)


class CommitsWhenItPrepares(SimulatedSubtask):
    def snapshot(self, barrier, in_flight, now):
        effects = super().snapshot(barrier, in_flight, now)
        self.world.commit(self.pending)
        return effects


class LosesWhatIsPendingWhenItIsRestored(SimulatedSubtask):
    def __init__(self, simulation, world, subtask, attempt, state, alignment, **options):
        state = None if state is None else {**state, "pending": {}}
        super().__init__(simulation, world, subtask, attempt, state, alignment, **options)


@pytest.mark.parametrize(
    "bug",
    [
        {"coordinator": CompletesWithoutTheLastPart},
        {"coordinator": CommitsBeforeTheManifestIsWritten},
        {"coordinator": TakesTheLastStateForEveryCheckpoint},
        {"coordinator": DiscardsWhatFinishedSubtasksLeft},
        {"alignment": BlocksNothing},
        {"alignment": SnapshotsAtTheFirstBarrier},
        {"alignment": ForgetsWhatWasOvertaken},
        {"alignment": CountsAnEndedChannelAsMissing},
        {"alignment": TakesAnEndThatHasArrivedForTheEnd},
        {"alignment": OvertakesInOrderedChannels},
        {"subtask": ReadsOnBeforeItsSnapshot},
        {"subtask": CommitsWhenItPrepares},
        {"subtask": LosesWhatIsPendingWhenItIsRestored},
        {"coordinator": GivesNumbersAgain},
        {"coordinator": RestoresTheOneBefore},
        {"coordinator": CollectsWhatARestartNeeds},
        {"coordinator": CollectsWhatTheRunItselfStores},
        {"subtask": KeepsTheBarrierToItself},
    ],
    ids=lambda bug: next(iter(bug.values())).__name__,
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, **bug), range(200)) is not None
