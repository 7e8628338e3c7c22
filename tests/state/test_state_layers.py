"""Snapshots in layers: whatever became of checkpoints, the layers of a completed one say what the state was."""

import random

import pytest
from backend_kinds import rocksdb, rocksdb_with_little_room, rocksdb_without_room
from few_and_many import at_length
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_steps import COUNTS, OUTCOMES, ROUNDS, steps_of
from layer_world import ForgetsWhatIsGone, LosesDeltas, Subtask, TrustsWhatIsStored, run

from actorflow.errors import CheckpointError
from actorflow.runtime.checkpoints.layer_line import LayerLine
from actorflow.state.hashmap import HashMapBackend
from actorflow.state.layers import Chunk, Place, decode_layer, encode_layer, payload


@at_length(ROUNDS, st.sampled_from([0, 150, 400]), few=40, many=500)
def test_the_layers_of_the_last_completed_checkpoint_say_what_the_state_was(rounds, inline_bytes_max):
    run(Subtask(inline_bytes_max), steps_of(rounds))


@pytest.mark.slow
@settings(max_examples=300)
@given(ROUNDS, OUTCOMES)
def test_what_a_subtask_leaves_at_its_end_stays_whatever_becomes_of_checkpoints_on_their_way(rounds, outcomes):
    subtask = Subtask()
    run(subtask, steps_of(rounds), check=False)
    subtask.end()
    run(subtask, [("settle", *outcome) for outcome in outcomes])
    subtask.check_last()


@pytest.mark.parametrize("make", [rocksdb, rocksdb_with_little_room, pytest.param(rocksdb_without_room, marks=pytest.mark.slow)])
@settings(max_examples=10)
@given(rounds=ROUNDS, inline_bytes_max=st.sampled_from([0, 150]))
def test_the_layers_say_what_the_state_was_on_disk(make, rounds, inline_bytes_max):
    subtask = Subtask(inline_bytes_max, make)
    try:
        run(subtask, steps_of(rounds))
    finally:
        subtask.backend.close()


@settings(max_examples=8)
@given(rounds=COUNTS)
def test_counts_that_leave_memory_and_come_again_are_found_by_comparison(rounds):
    subtask = Subtask(0, lambda clock: rocksdb(clock, object_bytes=2000))
    try:
        run(subtask, steps_of(rounds), check=False)
    finally:
        subtask.backend.close()


def drawn(seed):
    """Return the steps of a seed."""
    draw = random.Random(seed)

    def change():
        key, number = draw.randrange(8), draw.randrange(3)
        uses = ["value", "in place", "forget", "put", "remove", "append", "clear"]
        return draw.choice(
            [
                ("count", key),
                ("pane", key, number),
                ("drop", draw.choice(["panes", "bags"]), number),
                ("bag", key, number),
                ("use", key, draw.choice(uses), number),
                ("timer", draw.choice(["set", "delete", "take"]), key, number),
            ]
        )

    def outcomes():
        return [(draw.choice(["completed", "completed", "aborted"]), draw.random() < 0.5) for _ in range(draw.randrange(3))]

    return list(
        steps_of(
            [
                ([change() for _ in range(draw.randrange(6))], outcomes(), draw.choice([(), (), ("merge",), ("restart",)]))
                for _ in range(10)
            ]
        )
    )


def faulty(fault):
    """Return a subtask with a planted fault."""
    if issubclass(fault, LayerLine):
        return Subtask(line=fault)
    return Subtask(make=lambda clock: with_log(HashMapBackend(clock), fault))


def with_log(backend, log):
    backend._changes = log(backend)
    return backend


@pytest.mark.parametrize("fault", [LosesDeltas, TrustsWhatIsStored, ForgetsWhatIsGone])
def test_a_planted_fault_is_found_within_200_seeds(fault):
    def found(seed):
        try:
            run(faulty(fault), drawn(seed))
        except (AssertionError, KeyError):
            return True
        return False

    assert next((seed for seed in range(200) if found(seed)), None) is not None
    for seed in range(30):
        run(Subtask(), drawn(seed))


CYCLE = [("count", 1), ("use", 2, "value", 1), ("timer", "set", 3, 4), ("snapshot",)]


def test_what_an_aborted_checkpoint_held_is_in_the_next_one():
    subtask = Subtask()
    run(subtask, [*CYCLE, ("settle", "completed", True), ("count", 5), ("use", 5, "put", 1), ("timer", "set", 5, 3)])
    run(subtask, [("snapshot",), ("settle", "aborted", True), ("use", 6, "put", 1), ("snapshot",), ("settle", "completed", True)])
    assert {5: {1: 1}, 6: {1: 1}} == subtask.retained[3]["map"]


def test_no_change_is_lost_when_the_first_checkpoint_completes_after_many_others_were_begun():
    subtask = Subtask()
    for key in range(20):
        run(subtask, [("use", key, "value", 1), ("snapshot",)])
    run(subtask, [("settle", "completed", False), ("use", 99, "value", 1), ("snapshot",), ("settle", "completed", True)])
    assert {*range(20), 99} == set(subtask.retained[3]["value"])


def test_what_a_subtask_leaves_at_its_end_needs_no_file_that_a_checkpoint_on_its_way_does_without():
    subtask = Subtask()
    run(subtask, [("count", 1), ("snapshot",), ("settle", "completed", True)])
    run(subtask, [("count", 2), ("snapshot",), ("count", 3), ("snapshot",), ("settle", "completed", False)])
    subtask.end()
    run(subtask, [("settle", "completed", True)])
    subtask.check_last()


def test_what_a_subtask_builds_upon_stays_though_a_later_checkpoint_that_does_without_is_complete():
    subtask = Subtask()
    run(subtask, [("count", 1), ("snapshot",), ("settle", "completed", True)])
    run(subtask, [("count", 2), ("snapshot",), ("count", 3), ("snapshot",), ("settle", "completed", False)])
    run(subtask, [("count", 4), ("snapshot",), ("settle", "heard later", False), ("settle", "heard later", True)])
    assert (4, {3, 4}) == (subtask.number, set(subtask.completed)), (
        "the third may be built upon: the fourth was taken before its end was heard of"
    )
    run(subtask, [("hear", False), ("count", 5), ("snapshot",), ("settle", "completed", True)])
    assert {4, 5} == set(subtask.completed)


def test_what_a_savepoint_was_lent_stays_until_it_has_files_of_its_own_though_a_base_was_on_its_way():
    subtask, several = Subtask(), [("use", key, "value", 1) for key in range(10)]
    completed = [*several, ("snapshot",), ("settle", "completed", True)]
    run(subtask, [("count", 0), ("snapshot",), ("settle", "completed", True), *completed * 4])
    run(subtask, [*several, ("snapshot",), ("savepoint",), ("settle", "completed", True)])
    run(subtask, [*completed, ("store savepoint",)])


@pytest.mark.parametrize("became", ["unheard", "aborted"])
def test_what_left_memory_before_a_checkpoint_that_nobody_builds_upon_is_in_the_next_one(became):
    """Key 0 changes and is written to disk in the interval of the second checkpoint; the third has to hold it all the same."""
    subtask = Subtask(0, lambda clock: rocksdb(clock, object_bytes=2000))
    try:
        run(subtask, [("count", 0), ("snapshot",), ("settle", "completed", True)])
        table = subtask.backend.table("counts")
        run(subtask, [("count", 0), *(("count", key) for key in range(1, 100))])
        assert 0 not in table, "the key has left memory"
        run(subtask, [("snapshot",), ("settle", became, True), ("count", 100), ("snapshot",), ("settle", "completed", True)])
        assert 1002 == subtask.retained[3]["counts"][0]
    finally:
        subtask.backend.close()


def test_a_delta_holds_what_changed_and_no_more():
    subtask = Subtask()
    for key in range(1000):
        subtask.count(key)
        subtask.use(key, "value", 1)
    run(subtask, [("snapshot",), ("settle", "completed", True)])
    subtask.count(7)
    subtask.use(8, "append", 1)
    run(subtask, [("snapshot",), ("settle", "completed", True)])
    chunks = [chunk for _, chunk in decode_layer(subtask.files.data[subtask.retained[0][-1]])]
    assert {(chunk.place.name, key) for chunk in chunks for key in chunk.keys} == {("counts", 7), ("list", 8)}


def test_deltas_larger_than_their_base_become_a_base_and_many_small_ones_become_one():
    subtask = Subtask()
    for key in range(200):
        subtask.use(key, "value", 1)
    for _ in range(40):
        run(subtask, [("use", 3, "append", 1), ("snapshot",), ("settle", "completed", True), ("merge",)])
    assert len(subtask.retained[0]) < 40
    assert len(subtask.retained[0]) > 1
    for key in range(200):
        subtask.use(key, "append", 1)
    for _ in range(3):
        run(subtask, [("snapshot",), ("settle", "completed", True), ("merge",)])
    assert len(subtask.retained[0]) <= 3


def test_a_layer_of_a_newer_version_is_refused_by_its_number():
    data = bytearray(encode_layer([("count", payload(Chunk(Place("value"), [1], [2], [])))]))
    assert [("count", Chunk(Place("value"), [1], [2], []))] == list(decode_layer(bytes(data)))
    data[7] = 9
    with pytest.raises(CheckpointError, match="version 9, this program reads up to 1"):
        list(decode_layer(bytes(data)))
    with pytest.raises(CheckpointError, match="it is none"):
        list(decode_layer(b"something else"))


def test_a_value_that_cannot_be_pickled_is_named_by_its_state():
    subtask = Subtask()
    subtask.backend.current_key = 1
    subtask.value.set([(one for one in ())])
    with pytest.raises(CheckpointError, match="state 'value' cannot be pickled"):
        subtask.log.capture(1, whole=True)


@pytest.mark.parametrize(("stored", "restored"), [(HashMapBackend, rocksdb_without_room), (rocksdb_without_room, HashMapBackend)])
def test_what_one_backend_has_stored_another_restores(stored, restored):
    subtask, other = Subtask(make=stored), restored(lambda: 0)
    try:
        for seed in range(2):
            run(subtask, [*drawn(seed), ("snapshot",), ("settle", "completed", True)])
        subtask.restore(other)
        assert subtask.contents(subtask.backend) == subtask.contents(other)
    finally:
        subtask.backend.close()
        other.close()
