"""Sorting more than fits into memory: equal to `sorted`, whatever memory allows, keys are, and times and lanes say."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import SerializationError
from actorflow.storage.external_sort import ExternalSort
from actorflow.storage.spill_file import SpillFile
from actorflow.wire.batch import MIN_TIMESTAMP, ObjectBatch
from actorflow.wire.key_order import key_code
from actorflow.wire.stable_hash import UnstableKey

ALL_IN_MEMORY = 1 << 30
ALL_ON_DISK = 1  # a run for each slice, two of them merged at a time


def sorter(directory, memory_bytes):
    return ExternalSort(lambda: SpillFile(str(directory), "the input of 'test'"), memory_bytes)


def sort_all(sort, batches):
    """Add batches of `(records, keys, times, lane)`; return what comes out as `(code, time, lane, record)`."""
    try:
        for records, keys, times, lane in batches:
            sort.add(ObjectBatch(list(records), None if times is None else list(times)), list(keys), lane)
            while sort.work():
                pass
        sort.finish()
        while sort.work():
            pass
        rows = []
        for portion in iter(sort.take, None):
            assert len(portion) > 0
            times = portion.times or itertools.repeat(MIN_TIMESTAMP)
            lanes = itertools.repeat(portion.lanes) if isinstance(portion.lanes, int) else portion.lanes
            rows += zip(portion.codes, times, lanes, portion.records, strict=False)
        return rows
    finally:
        sort.close()


def oracle(batches):
    rows = []
    for records, keys, times, lane in batches:
        for position, (record, key) in enumerate(zip(records, keys, strict=True)):
            rows.append((key_code(key), MIN_TIMESTAMP if times is None else times[position], lane, record))
    return sorted(rows, key=lambda row: row[:3])  # stable: equal ones stay as they came


some_keys = st.sampled_from(["a", "b", "", "\0", None, 0, 1, 1.0, True, 2.5, (1, "x"), (True, "x"), ("x",), b"a", 2**70])


@st.composite
def batches(draw, size=12):
    arrival = itertools.count()
    made = []
    for lane in draw(st.lists(st.integers(0, 2), max_size=size)):
        keys = draw(st.lists(some_keys, min_size=1, max_size=8))
        times = draw(st.none() | st.lists(st.integers(-3, 3), min_size=len(keys), max_size=len(keys)))
        made.append(([(key, next(arrival)) for key in keys], keys, times, lane))
    return made


@given(batches(), st.sampled_from([ALL_IN_MEMORY, 5_000, ALL_ON_DISK]))
@settings(deadline=None)
def test_records_come_in_the_order_of_sorted(tmp_path_factory, given_batches, memory):
    assert oracle(given_batches) == sort_all(sorter(tmp_path_factory.getbasetemp(), memory), given_batches)


@pytest.mark.slow
@given(batches(40), st.sampled_from([ALL_IN_MEMORY, 20_000, 5_000, ALL_ON_DISK]))
@settings(max_examples=1_000, deadline=None)
def test_records_come_in_the_order_of_sorted_in_many_runs(tmp_path_factory, given_batches, memory):
    assert oracle(given_batches) == sort_all(sorter(tmp_path_factory.getbasetemp(), memory), given_batches)


@pytest.mark.parametrize("timed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_hundred_thousand_records_are_sorted_in_an_eighth_of_their_memory(tmp_path, timed):
    chance = random.Random(3)
    made = []
    for start in range(0, 100_000, 1000):
        keys = [chance.randrange(5_000) for _ in range(1000)]
        times = [chance.randrange(1 << 40) for _ in keys] if timed else None
        made.append(([(key, start + place, "some text") for place, key in enumerate(keys)], keys, times, 0))
    sort = sorter(tmp_path, 2 << 20)
    assert oracle(made) == sort_all(sort, made)
    assert sort.spilled_bytes > 500_000
    assert list(tmp_path.iterdir()) == []  # a spill file has no name


def test_one_key_with_more_records_than_memory_keeps_them_as_they_came(tmp_path):
    made = [
        ([(place, "x" * 100) for place in range(start, start + 500)], ["only"] * 500, None, 0) for start in range(0, 20_000, 500)
    ]
    sort = sorter(tmp_path, 1 << 20)
    found = sort_all(sort, made)
    assert list(range(20_000)) == [record[0] for _, _, _, record in found]
    assert sort.spilled_bytes > 0


def test_a_batch_much_larger_than_a_slice_is_sorted_like_small_ones(tmp_path):
    keys = list(range(100_000, 0, -1))
    found = sort_all(sorter(tmp_path, 1 << 20), [(keys, keys, None, 0)])
    assert sorted(keys) == [record for _, _, _, record in found]


def test_nothing_comes_of_nothing(tmp_path):
    assert sort_all(sorter(tmp_path, ALL_IN_MEMORY), []) == []
    assert sort_all(sorter(tmp_path, ALL_ON_DISK), []) == []


def test_records_that_are_larger_than_all_memory_pass(tmp_path):
    large = [bytes([number]) * (3 << 20) for number in range(4)]
    made = [([record], [number], None, 0) for number, record in reversed(list(enumerate(large)))]
    assert large == [record for _, _, _, record in sort_all(sorter(tmp_path, 1 << 20), made)]


def test_a_record_that_cannot_be_pickled_is_named_when_it_has_to_be_written(tmp_path):
    with pytest.raises(SerializationError, match="generator"):
        sort_all(sorter(tmp_path, ALL_ON_DISK), [([(number for number in ())], ["a"], None, 0)])


def test_a_record_that_cannot_be_pickled_may_stay_in_memory(tmp_path):
    generator = (number for number in ())
    assert sort_all(sorter(tmp_path, ALL_IN_MEMORY), [([generator], ["a"], None, 0)]) == [("a", MIN_TIMESTAMP, 0, generator)]


def test_nothing_of_a_batch_with_an_unstable_key_is_taken(tmp_path):
    sort = sorter(tmp_path, ALL_IN_MEMORY)
    with pytest.raises(UnstableKey, match="list"):
        sort.add(ObjectBatch([1, 2]), ["a", [2]])
    assert sort_all(sort, []) == []
