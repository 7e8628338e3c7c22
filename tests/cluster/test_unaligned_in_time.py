"""Programs in virtual time whose subtasks fall behind, so that barriers overtake: after failures they commit what an undisturbed run commits."""

import random
from collections import deque

import pytest
import test_programs_that_fail as programs
from planned_failures import CHECKPOINTS, POINTS_OF_SINKS, Planned

import actorflow as af
from actorflow.actor import ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.ids import NodeId
from actorflow.protocol.jobs.job_messages import JobStatus
from actorflow.runtime.checkpoints.in_flight import Returned
from actorflow.runtime.subtasks.feeds import GateFeed

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


def test_it_can_be_seen_how_checkpoints_go(monkeypatch):
    dispatcher = SimulatedDispatcher(1)
    system = ActorSystem(NodeId("test"), clock=ManualClock(0.0, 0), dispatcher=dispatcher)
    pipeline = af.Pipeline("counting", parallelism=2)
    counts = pipeline.read(af.sources.generator(rate=100)).key_by(lambda number: number % 17).count()
    counts.write(af.sinks.discard())
    Behind(monkeypatch, 1)
    with af.LocalCluster(system=system, config=OVERTAKING | {"execution.checkpointing.interval": "500ms"}) as cluster:
        job = cluster.submit(pipeline)
        assert dispatcher.run_until(lambda: job.status() is JobStatus.RUNNING, 60.0)
        assert dispatcher.run_until(lambda: len(job.checkpoints().completed) == 3, 600.0)
        seen = job.checkpoints()
        job.cancel()
        assert dispatcher.run_until(lambda: job.status().final, 60.0)
        with pytest.raises(af.ActorflowError, match="does not run now"):
            job.checkpoints()
    numbers = [one.checkpoint for one in seen.completed]
    times = [each for one in seen.completed for each in one.times.values()]

    assert numbers == sorted(set(numbers))
    assert seen.triggered >= max(numbers)
    assert (seen.failed, seen.error) == (0, None)
    assert len(times) == 4 * 3
    assert all(0 <= part for each in times for part in (each.start_delay_ms, each.alignment_ms, each.sync_ms, each.async_ms))
    assert any(each.in_flight_bytes > 0 for each in times)
