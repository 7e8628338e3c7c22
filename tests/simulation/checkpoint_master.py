"""The master of a simulated job under checkpoints, and the storage that it has its slow work done by."""

from checkpoint_world import SOURCES, SUBTASKS, Finished, address_of

from actorflow.protocol.checkpoints.checkpoint_events import (
    CheckpointsFailing,
    CollectOrphans,
    CompletedCheckpoint,
    DiscardStates,
    LastCheckpointTaken,
    RunOver,
    RunStarted,
    StoreCheckpoint,
    SubtaskDone,
)
from actorflow.protocol.machine import Report, SetTimer, TimerFired


class Master:
    """Runs the job: starts runs, restarts them from the last checkpoint, and commits what is left when all have finished, one after the other.

    Args:
        launch: `launch(attempt, states)` puts the subtasks of a run into the world.
        world: keeps what is stored.
        coordinator: `coordinator(restored, last)` makes the machine.
        give_up: `give_up(attempt)` ends a run whose checkpoints fail.
    """

    def __init__(self, launch, world, coordinator, give_up):
        self.launch, self.world, self.give_up = launch, world, give_up
        newest = sorted(world.manifests, key=lambda stored: stored.checkpoint)[-1:]
        self.coordinator = coordinator(restored=newest, last=world.last)
        self.finished = {}
        self.uncommitted = None
        self.running = False

    @property
    def attempt(self):
        return self.world.attempt

    def handle(self, event, now):
        effects = self.act(event, now)
        reports = [effect.value for effect in effects if isinstance(effect, Report)]
        if any(isinstance(report, LastCheckpointTaken) for report in reports):
            effects += self.commit(now)
        if any(isinstance(report, CheckpointsFailing) for report in reports) and self.running and self.uncommitted is None:
            effects += self.act(("failing", self.attempt), now)
        self.world.last = max(self.world.last, self.coordinator._last)
        return effects

    def act(self, event, now):
        match event:
            case "open" | TimerFired("restart"):
                return [] if self.world.over else self.start(now)
            case TimerFired("commit"):
                return self.commit_next(now)
            case ("failing", attempt):
                self.give_up(attempt)
                return self.act(("broken", attempt), now)
            case ("broken", attempt) if attempt == self.attempt and self.running and self.uncommitted is None:
                self.running = False
                return [*self.coordinator.handle(RunOver(), now), SetTimer("restart", now + 0.3)]
            case Finished(attempt=self.attempt) if self.running:
                return self.subtask_finished(event, now)
            case ("broken", _) | Finished():
                return []
        return self.coordinator.handle(event, now)

    def start(self, now):
        self.world.attempt += 1
        self.running = True
        self.finished = {}
        latest = self.coordinator.latest
        self.launch(self.attempt, {} if latest is None else latest.states)
        workers = {subtask: address_of(subtask, self.attempt) for subtask in SUBTASKS}
        return self.coordinator.handle(RunStarted(self.attempt, workers, SOURCES), now)

    def subtask_finished(self, news, now):
        if news.subtask in self.finished:
            return []
        self.finished[news.subtask] = news.state
        effects = self.coordinator.handle(SubtaskDone(news.subtask, news.state, news.passed), now)
        all_have = len(self.finished) == len(SUBTASKS) and not self.coordinator.last_awaited
        return [*effects, *(self.commit(now) if all_have else [])]

    def commit(self, now):
        self.uncommitted = list(self.finished.values())
        return [*self.coordinator.handle(RunOver(), now), SetTimer("commit", now + 0.05)]

    def commit_next(self, now):
        if not self.uncommitted:
            self.world.over = True
            return []
        self.world.commit(self.world.parts[self.uncommitted.pop()]["pending"])
        return [SetTimer("commit", now + 0.05)]

    def observe(self):
        return self.coordinator.observe()

    def check(self):
        self.coordinator.check()


def storage(world, simulation, *, failing):
    """Return the slow work of a master: manifests that are written, or not, and parts that are removed."""

    def work(what):
        match what:
            case StoreCheckpoint():
                if what.attempt != world.attempt:
                    raise OSError(f"checkpoint {what.checkpoint} is of a run that is over")
                if simulation.random.random() < failing:
                    raise OSError("no space left on device")
                missing = [part for part in what.states.values() if part not in world.parts]
                if missing and what.attempt < world.collected:
                    raise OSError(f"checkpoint {what.checkpoint} of a run that is over comes too late")
                if wrong := world.wrong_with(what.states.values()):
                    world.wrong.append(f"checkpoint {what.checkpoint} {wrong}")
                    raise OSError("it is not whole")
                world.manifests.append(CompletedCheckpoint(what.checkpoint, what.timestamp, f"chk-{what.checkpoint}", what.states))
                return f"chk-{what.checkpoint}"
            case DiscardStates(location=location, states=states):
                world.manifests = [stored for stored in world.manifests if stored.location != location]
                world.remove(states)
            case CollectOrphans(attempt=attempt, keep=keep):
                simulation.at(simulation.now + simulation.random.uniform(0, 1), lambda: world.collect(attempt, keep))
        return None

    return work
