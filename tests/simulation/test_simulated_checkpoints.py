"""Checkpointed jobs over networks that lose and double control messages, with subtasks and masters that die at any moment, and storage that fails."""

import tempfile
from dataclasses import replace
from functools import partial

import pytest
from checkpoint_invariants import (
    EveryRecordCountsAtLeastOnce,
    EveryRecordCountsOnce,
    NothingFails,
    NumbersRise,
    WhatIsStoredIsWhole,
)
from checkpoint_layers import LINES
from checkpoint_local import LOCALS, Hosts, Local, NoHosts
from checkpoint_master import Master, storage
from checkpoint_world import (
    COUNTS,
    MASTER,
    SINK,
    SUBTASKS,
    SimulatedSubtask,
    World,
    address_of,
)
from msgspec.structs import replace as replace_struct

from actorflow.ids import ChannelId, NodeId
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.checkpoints.barriers import AlignmentMode, BarrierAlignment, TakeSnapshot
from actorflow.protocol.checkpoints.checkpoint_events import BacklogChanged, CollectOrphans, LastCheckpointTaken
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointCompleted
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.machine import CancelTimer, Report, Start, TimerFired
from actorflow.runtime.checkpoints.layer_line import LayerLine
from actorflow.testing.faults import Crash, Faults
from actorflow.testing.simulation import Simulation, first_failure, sweep
from actorflow.wire.batch import Barrier

CALM_S, END_S = 6.0, 40.0


BARRIERS = ("aligned", "overtaking", "unaligned", "at least once")
"""How they travel: `overtaking` ones are aligned until that has taken too long."""


def drawn_rules(random, *, gentle, barriers):
    tolerable = random.choice((10**9, 10**9, 0, 3))
    patient = gentle or tolerable < 10**9  # else runs would fail for ever because their checkpoints take too long
    return CheckpointRules(
        interval_s=random.uniform(0.1, 0.6),
        timeout_s=10.0 if patient else random.uniform(0.3, 2.0),
        concurrent_max=random.choice((1, 3)),
        min_pause_s=random.choice((0.0, 0.0, 0.1)),
        tolerable_failures=tolerable,
        backlog_interval_s=random.choice((None, 0.0, 1.0)),
        retained_max=random.choice((1, 3)),
        unaligned=barriers in {"overtaking", "unaligned"},
        aligned_first=barriers == "overtaking",
        at_least_once=barriers == "at least once",
    )


def drawn_faults(random, *, gentle):
    return Faults(
        loss=0.0 if gentle else random.choice((0.0, 0.1, 0.3)),
        doubling=random.choice((0.0, 0.5)),
        delay_s=(0.0005, random.choice((0.002, 0.1))),
        calm_after_s=CALM_S,
        crashes=[]
        if gentle
        else [Crash(NodeId("jm"), random.uniform(0, CALM_S - 1), random.uniform(0, 1)) for _ in range(random.randrange(3))],
    )


def disturb(simulation, hosts):
    """Sources work off backlogs now and then, and disks lose files."""
    random = simulation.random
    for _ in range(random.randrange(6)):
        news = BacklogChanged(random.random() < 0.5)
        simulation.at(random.uniform(0, CALM_S), partial(simulation.tell, MASTER, news))
    for _ in range(hosts.sufferings):
        simulation.at(random.uniform(0, CALM_S), hosts.suffer)


def run(seed, **machines):
    """Run one job to its end; it dies and is restarted a few times on the way."""
    with tempfile.TemporaryDirectory(prefix="hosts-") as hosts:
        return run_with(seed, hosts, **machines)


def run_with(
    seed,
    directory,
    *,
    coordinator=CheckpointCoordinator,
    alignment=BarrierAlignment,
    subtask=SimulatedSubtask,
    line=LayerLine,
    local=Local,
):
    world = World()
    simulation = Simulation(seed, invariants=[NumbersRise(), WhatIsStoredIsWhole(world)])
    random = simulation.random
    barriers = random.choice(BARRIERS)
    unaligned = barriers in {"overtaking", "unaligned"}
    gentle = random.random() < 0.2
    pace = random.choice((15.0, 60.0))
    hosts = Hosts(directory, world, random, local) if random.random() < 0.25 else NoHosts(world)
    simulation._invariants += ((EveryRecordCountsAtLeastOnce if barriers == "at least once" else EveryRecordCountsOnce)(world),)
    if gentle:
        simulation._invariants += (NothingFails(),)
    simulation._work = storage(world, simulation, failing=0.0 if gentle else 0.1)
    rules = drawn_rules(random, gentle=gentle, barriers=barriers)
    mode = AlignmentMode.AT_LEAST_ONCE if rules.at_least_once else AlignmentMode.EXACTLY_ONCE
    timeout_s = random.uniform(0.01, 0.2) if unaligned else None
    simulation.suffer(drawn_faults(random, gentle=gentle))
    ordered_at = random.choice((*COUNTS, SINK, None)) if unaligned else None

    def launch(attempt, states):
        if attempt > 1:  # whom a master that died has left behind goes on for a moment
            simulation.at(simulation.now + random.uniform(0, 0.3), lambda: clear(attempt - 1))
        for each in SUBTASKS:
            ordered = (ChannelId(0),) if each == ordered_at else ()
            aligned = partial(alignment, mode=mode, timeout_s=timeout_s, ordered=ordered)
            state = hosts.launch(each, states.get(each))
            options = {"overtaking": timeout_s is not None, "ordered": ordered, "pace": pace, "line": line, "told": hosts.stored}
            made = subtask(simulation, world, each, attempt, state, aligned, **options)
            simulation.add(made.address, lambda _, made=made: made, TimerFired("turn"))
        if simulation.now < CALM_S and random.random() < 0.8 and not gentle:
            simulation.at(simulation.now + random.uniform(0.1, 2.0), lambda: die(attempt))

    def die(attempt):
        """One subtask is gone without a word; the master hears of it a moment later, while the others go on."""
        lost = random.choice(SUBTASKS)
        simulation._cells[address_of(lost, attempt)].machine = None
        simulation.at(simulation.now + random.uniform(0, 0.3), lambda: end(attempt))

    def end(attempt):
        clear(attempt)
        simulation.tell(MASTER, ("broken", attempt))

    def clear(attempt):
        for each in SUBTASKS:
            simulation._cells[address_of(each, attempt)].machine = None

    disturb(simulation, hosts)
    simulation.add(MASTER, lambda _: Master(launch, world, partial(coordinator, rules), clear), "open")
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


class AcceptsAcknowledgementsLate(CheckpointCoordinator):
    """Of a run that is over, for a checkpoint of the next one."""

    def _acknowledged(self, news):
        return super()._acknowledged(replace_struct(news, attempt=self._run.attempt, checkpoint=self._last)) if self._run else []


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
        told = self._tell_all(CheckpointCompleted, begun.checkpoint)
        return [*effects, *told] if effects else []


class TakesTheLastStateForEveryCheckpoint(CheckpointCoordinator):
    def _subtask_done(self, done, now):
        return super()._subtask_done(replace(done, passed=0), now)


class DiscardsWhatFinishedSubtasksLeft(CheckpointCoordinator):
    def _run_started(self, run, now):
        effects = super()._run_started(run, now)
        self._left.without = lambda states: tuple(states.values())
        return effects


class EndsWithoutALastCheckpoint(CheckpointCoordinator):
    last_awaited = False


class EndsBeforeTheLastCheckpointIsStored(CheckpointCoordinator):
    def _subtask_done(self, done, now):
        effects = super()._subtask_done(done, now)
        return [*effects, Report(LastCheckpointTaken())] if self.last_awaited else effects


class ForgetsToTryTheLastCheckpointAgain(CheckpointCoordinator):
    def _fail(self, begun, error, now):
        effects = super()._fail(begun, error, now)
        return [*effects, CancelTimer("checkpoint")] if self.last_awaited else effects


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug",
    [
        {"coordinator": AcceptsAcknowledgementsLate},
        {"coordinator": CompletesWithoutTheLastPart},
        {"coordinator": CommitsBeforeTheManifestIsWritten},
        {"coordinator": TakesTheLastStateForEveryCheckpoint},
        {"coordinator": DiscardsWhatFinishedSubtasksLeft},
        {"coordinator": EndsWithoutALastCheckpoint},
        {"coordinator": EndsBeforeTheLastCheckpointIsStored},
        {"coordinator": ForgetsToTryTheLastCheckpointAgain},
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
        *({"line": line} for line in LINES),
        *({"local": local} for local in LOCALS),
    ],
    ids=lambda bug: next(iter(bug.values())).__name__,
)
def test_a_planted_bug_is_found(bug):
    assert first_failure(lambda seed: run(seed, **bug), range(200)) is not None
