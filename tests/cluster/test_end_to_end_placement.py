"""How records travel between subtasks, and where subtasks run, through the public API alone."""

import os
from collections import defaultdict

import pytest

import actorflow as af
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.wire.stable_hash import stable_hash


@pytest.fixture
def pipeline():
    return af.Pipeline("travel")


def numbers(pipeline, count=100, **options):
    return pipeline.read(af.sources.collection(range(count)), **options)


# --- how records travel --------------------------------------------------------------------------------------------------------


class Place(af.OperatorActor):
    """Gives a record with the number of the subtask that got it."""

    def on_record(self, record, ctx):
        ctx.emit((ctx.parallel_index, record))


def places(spread, slots):
    """Return the records that each of four subtasks got."""
    at = defaultdict(list)
    for index, record in af.collect(spread.process(Place(), parallelism=4), slots=4 if slots == 2 else slots):
        at[index].append(record)
    return at


def test_rebalance_deals_evenly(slots, pipeline):
    at = places(numbers(pipeline, parallelism=1).rebalance(), slots)
    assert [25] * 4 == [len(at[index]) for index in range(4)]
    assert list(range(100)) == sorted(n for records in at.values() for n in records)


def test_rescale_reaches_the_near_subtasks_only(slots, pipeline):
    source = numbers(pipeline, parallelism=1).rebalance().process(Place(), parallelism=2)
    at = places(source.rescale(), slots)
    assert [{0}, {0}, {1}, {1}] == [{producer for producer, _ in at[index]} for index in range(4)]
    assert list(range(100)) == sorted(n for records in at.values() for _, n in records)


def test_shuffle_reaches_all_subtasks_and_loses_nothing(slots, pipeline):
    at = places(numbers(pipeline, 10_000, parallelism=1).shuffle(), slots)
    assert [True] * 4 == [len(at[index]) > 1000 for index in range(4)]
    assert list(range(10_000)) == sorted(n for records in at.values() for n in records)


def test_broadcast_gives_everything_to_everyone(slots, pipeline):
    at = places(numbers(pipeline).broadcast(), slots)
    assert [list(range(100))] * 4 == [sorted(at[index]) for index in range(4)]


def test_global_gives_everything_to_the_first(slots, pipeline):
    at = places(numbers(pipeline).global_(), slots)
    assert {0: list(range(100))} == {index: sorted(records) for index, records in at.items()}


def test_a_partitioner_of_ones_own_decides(slots, pipeline):
    at = places(numbers(pipeline).partition_by(lambda key, parallelism: parallelism - 1 - key, lambda n: n % 4), slots)
    assert [list(range(3 - index, 100, 4)) for index in range(4)] == [sorted(at[index]) for index in range(4)]


def test_a_key_goes_to_the_subtask_of_its_key_group(slots, pipeline):
    at = places(numbers(pipeline).map(str).key_by(lambda text: text), slots)
    expected = defaultdict(list)
    for text in sorted(map(str, range(100))):
        expected[subtask_of(key_group(stable_hash(text), 128), 4, 128)].append(text)
    assert expected == {index: sorted(records) for index, records in at.items()}


def test_forward_keeps_records_where_they_are(slots, pipeline):
    first = numbers(pipeline).rebalance().process(Place(), parallelism=4)
    at = places(first.forward(), slots)
    assert [{index} for index in range(4)] == [{before for before, _ in at[index]} for index in range(4)]


# --- where operators run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", ["always", "never"])
def test_pinned_operators_run_on_threads_of_their_own(chain, slots, pipeline):
    def thread(_):
        import threading

        return threading.current_thread() is threading.main_thread()

    stream = numbers(pipeline).map(thread, chain="never").map(lambda at: (at, thread(None)), dispatcher="pinned", chain=chain)
    assert {(True, False)} == set(af.collect(stream, slots=slots))


def test_a_pinned_chain_reads_counts_and_writes(slots, pipeline):
    """Every channel between two threads is used: pinned to pinned, pinned to not, in one process and between two."""
    keys = pipeline.read(af.sources.generator(count=30_000), dispatcher="pinned").map(lambda n: n % 1000, dispatcher="pinned")
    counts = keys.key_by(lambda key: key).count(dispatcher="pinned").map(tuple, chain="never")
    assert {key: list(range(1, 31)) for key in range(1000)} == by_key(af.collect(counts, slots=slots))


def by_key(pairs):
    values = defaultdict(list)
    for key, value in pairs:
        values[key].append(value)
    return values


def test_operators_of_two_slot_groups_share_no_process(slots, pipeline):
    both = numbers(pipeline).map(lambda _: os.getpid()).map(lambda pid: (pid, os.getpid()), slot_group="other")
    [(here, there)] = set(af.collect(both, slots=slots, parallelism=1))
    assert (here == there) == (slots == "inline")


@pytest.mark.slow
def test_each_slot_is_a_process_of_its_own(pipeline):
    pids = set(af.collect(numbers(pipeline).rebalance().map(lambda _: os.getpid()), slots=2))
    assert 2 == len(pids)
    assert os.getpid() not in pids


def test_operators_have_the_parallelism_they_ask_for(slots, pipeline):
    class Subtasks(af.OperatorActor):
        def on_record(self, record, ctx):
            ctx.emit((*record, ctx.parallelism))

    one = numbers(pipeline, parallelism=1).map(lambda n: ()).process(Subtasks(), parallelism=1)
    records = af.collect(one.process(Subtasks(), parallelism=2).key_by(len).process(Subtasks()), slots=slots, parallelism=1)
    assert {(1, 2, 1)} == set(records)
