"""Programs in virtual time whose subtasks fall behind, so that barriers overtake: after failures they commit what an undisturbed run commits."""

import random
from collections import deque

import pytest
import test_programs_that_fail as programs
from planned_failures import CHECKPOINTS, POINTS_OF_SINKS, Planned

from actorflow.runtime.feeds import GateFeed
from actorflow.runtime.in_flight import Returned

OVERTAKING = {
    "execution.checkpointing.unaligned.enabled": True,
    "execution.batch-records.max": 2,
    "taskmanager.network.memory.buffers-per-channel": 1,
    "taskmanager.network.memory.floating-buffers-per-gate": 0,
    "taskmanager.network.memory.buffer-debloat.enabled": False,
}


class Behind:
    """Makes subtasks fall behind: more often than not, one takes nothing for up to 600 ms. Counts the batches that restores give back."""

    def __init__(self, monkeypatch, seed):
        self.draw, self.returned = random.Random(seed), 0
        self.advance, self.inputs, self.outputs = GateFeed.advance, Returned.inputs, Returned.outputs

        def later(feed):
            return self.later(feed)

        monkeypatch.setattr(GateFeed, "advance", later)
        monkeypatch.setattr(Returned, "inputs", lambda returned: self.counted(self.inputs(returned)))
        monkeypatch.setattr(Returned, "outputs", lambda returned: self.counted(self.outputs(returned)))

    def later(self, feed):
        if self.draw.random() > 0.6:
            return self.advance(feed)
        subtask = feed._subtask
        subtask.call_at(subtask.processing_time() + self.draw.randrange(600), subtask.wake)
        return False

    def counted(self, batches):
        self.returned += len(batches)
        return batches


def outputs(name, tmp_path, monkeypatch, seed, patience):
    """Return what an undisturbed run commits, what one commits that falls behind and fails, and how many batches it got back."""
    none = Planned((), str(tmp_path / "none"))
    undisturbed, _ = programs.written(name, tmp_path / "undisturbed", none, (), parallelism=1, backend="hashmap", seed=0)
    draw = random.Random(f"{name} {seed}")
    planned = Planned(tuple((draw.choice(POINTS_OF_SINKS), draw.randint(1, 3)) for _ in range(4)), str(tmp_path / "marks"))
    failures = tuple(sorted((draw.randrange(2), draw.randrange(4, 40)) for _ in range(3)))
    config = {"execution.checkpointing.interval": "500ms", "execution.checkpointing.aligned-checkpoint-timeout": patience}
    with monkeypatch.context() as patched:
        behind = Behind(patched, seed)
        patched.setattr(programs, "CHECKPOINTS", CHECKPOINTS | OVERTAKING | config)
        found, _ = programs.written(
            name, tmp_path / "found", planned, failures, parallelism=draw.choice((2, 3)), backend="hashmap", seed=seed
        )
    return undisturbed, found, behind.returned


@pytest.mark.parametrize(
    ("name", "patience", "seed"),
    [
        ("sliding", 0, 1),
        ("sessions", "100ms", 2),
        ("interval join", 0, 3),
        pytest.param("tumbling", "1ms", 4, marks=pytest.mark.slow),
        pytest.param("all", 0, 5, marks=pytest.mark.slow),
        pytest.param("own event times", "100ms", 6, marks=pytest.mark.slow),
    ],
)
def test_what_was_in_flight_at_a_failure_is_in_its_window_once(tmp_path, monkeypatch, name, patience, seed):
    undisturbed, found, returned = outputs(name, tmp_path, monkeypatch, seed, patience)

    assert found == undisturbed
    assert returned > 0


def test_batches_that_are_not_given_back_are_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(Returned, "inputs", lambda _: deque())
    monkeypatch.setattr(Returned, "outputs", lambda _: [])
    undisturbed, found, _ = outputs("sliding", tmp_path, monkeypatch, 1, 0)

    assert found != undisturbed
