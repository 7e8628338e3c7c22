"""Completed checkpoints: which are retained, which stay for the sake of subtasks, and which are to be discarded."""

from hypothesis import given
from hypothesis import strategies as st

from actorflow.ids import Address, SubtaskId, VertexId
from actorflow.protocol.checkpointing import CheckpointCoordinator
from actorflow.protocol.checkpoints.checkpoint_events import (
    CompletedCheckpoint,
    DiscardStates,
    RunOver,
    RunStarted,
    StoreCheckpoint,
)
from actorflow.protocol.checkpoints.checkpoint_messages import CheckpointAcknowledged
from actorflow.protocol.checkpoints.checkpoint_schedule import CheckpointRules
from actorflow.protocol.checkpoints.completed_checkpoints import CompletedCheckpoints
from actorflow.protocol.machine import Start, WorkDone
from actorflow.testing.probe import Probe

COUNT = SubtaskId(VertexId("count"), 0)
STARTED = RunStarted(1, {COUNT: Address("tm-1/worker")}, [COUNT])


def of(number, *, savepoint=False):
    return CompletedCheckpoint(number, 0, f"chk-{number}", {}, savepoint=savepoint)


def numbers(completed):
    return [one.checkpoint for one in completed]


def test_what_a_subtask_may_yet_build_upon_stays_until_the_next_one_says_otherwise():
    completed = CompletedCheckpoints(1)
    assert [] == completed.add(of(1), 1)
    assert [] == completed.add(of(2), 1)
    assert [1] == numbers(completed.add(of(4), 2))
    assert ([2, 4], 4) == (numbers(completed.all), completed.latest.checkpoint)
    assert [2, 4] == numbers(completed.add(of(5), 5))


def test_when_the_job_is_over_only_what_is_retained_is_left():
    completed = CompletedCheckpoints(2)
    for number in (1, 2, 3, 4):
        completed.add(of(number), 1)
    assert [1, 2] == numbers(completed.job_over())
    assert [3, 4] == numbers(completed.all)
    assert [] == completed.job_over()


def test_savepoints_are_not_discarded_and_the_next_checkpoint_replaces_all_of_an_earlier_life():
    completed = CompletedCheckpoints(1, [of(1), of(2, savepoint=True), of(3)])
    assert [1, 3] == numbers(completed.add(of(4), 4))
    assert [4] == numbers(completed.all)


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4), st.booleans()), max_size=12))
def test_each_is_given_out_once_and_never_while_it_is_needed(retained_max, steps):
    completed, number, oldest, given_out = CompletedCheckpoints(retained_max), 0, 0, []
    taken = []
    for by, back, over in steps:
        number += by
        taken.append(number)
        oldest = max(oldest, number - back)
        gone = numbers(completed.add(of(number), oldest))
        assert all(one < oldest for one in gone)
        given_out += gone
        if over:
            given_out += numbers(completed.job_over())
        completed.check()
        assert taken[-retained_max:] == numbers(completed.all)[-retained_max:]
        assert sorted([*given_out, *numbers(completed.all)]) == taken


def complete(probe, number, oldest):
    """Take a checkpoint to its end; return the numbers of those that are discarded then."""
    probe.advance(10)
    probe.tell(CheckpointAcknowledged(COUNT, 1, number, f"state-{number}".encode(), oldest=oldest))
    (store,) = [effect.work for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, StoreCheckpoint)]
    probe.tell(WorkDone(store, f"chk-{number}"))
    return [
        effect.work.checkpoint for effect in probe.effects if isinstance(effect, Start) and isinstance(effect.work, DiscardStates)
    ]


def test_the_parts_of_a_checkpoint_say_which_of_the_earlier_ones_are_discarded():
    probe = Probe(CheckpointCoordinator(CheckpointRules(interval_s=10.0)))
    probe.tell(STARTED)
    assert [[], [], [1, 2], [3]] == [complete(probe, number, oldest) for number, oldest in ((1, 1), (2, 1), (3, 3), (4, 4))]


def test_while_a_region_restarts_nothing_goes_that_the_others_may_build_upon():
    probe = Probe(CheckpointCoordinator(CheckpointRules(interval_s=10.0)))
    probe.tell(STARTED)
    assert [] == complete(probe, 1, 1) + complete(probe, 2, 1)
    probe.tell(RunOver(), STARTED)
    assert [] == complete(probe, 3, 1)
    assert [1, 2] == [effect.work.checkpoint for effect in probe.machine.job_over()]
    assert [3] == [one.checkpoint for one in probe.machine.observe().completed]
