"""The watermark of a subtask that reads several splits: each has its own, and those with nothing to read hold nothing back."""

from __future__ import annotations

import pytest
from chain_harness import Subtask, chain_of
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.config import Config
from actorflow.errors import ConfigError
from actorflow.operators.event_time.watermarks import TimestampSpec, Watermarks
from actorflow.operators.specs import MapAsyncSpec, MapBatchesSpec, MapSpec
from actorflow.wire.batch import MAX_TIMESTAMP, ObjectBatch


def itself(record):
    return record


def timed(watermarks, *before):
    subtask = Subtask()
    subtask.config = Config.of({"pipeline.auto-watermark-interval": 0})
    chain, output = chain_of(*before, TimestampSpec(itself, watermarks), context=subtask)
    chain.open()
    return chain, subtask, output


def read(chain, split, *records):
    chain.reading(split)
    chain.process(ObjectBatch(list(records)))


def test_the_slowest_split_sets_the_watermark():
    chain, subtask, _ = timed(Watermarks.monotonous())
    chain.reading(0)
    chain.reading(1)
    read(chain, 0, 100)
    assert subtask.forwarded == []
    read(chain, 1, 10, 12)
    read(chain, 0, 200)
    read(chain, 1, 150)
    assert subtask.forwarded == [11, 149]


def test_a_split_that_ends_holds_nothing_back_and_the_next_one_goes_on_from_there():
    chain, subtask, _ = timed(Watermarks.monotonous())
    chain.reading(0)
    chain.reading(1)
    read(chain, 0, 100)
    chain.split_ended(1)
    assert subtask.forwarded == [99]
    chain.split_ended(0)
    read(chain, 2, 50)
    read(chain, 2, 120)
    assert subtask.forwarded == [99, 119]
    assert chain.observe()["with_timestamps-0"]["splits"] == {2: {"watermark": 119, "idle": False}}


STEPS = st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 500), min_size=1, max_size=4)), max_size=25)


def follows_the_slowest(steps, bound):
    """Read these records of three splits, and compare with what a look at all that was read gives."""
    chain, subtask, _ = timed(Watermarks.bounded(bound))
    for split in range(3):
        chain.reading(split)
    seen = {split: [] for split in range(3)}
    expected = []
    for split, records in steps:
        in_bound = [record for record in records if record >= max([*seen[split], record]) - bound]
        behind = expected[-1] if expected else -1000
        assert all(record > behind for record in in_bound), "a record is late although it came within the bound of its split"
        read(chain, split, *records)
        seen[split] += records
        if all(seen.values()):
            watermark = min(max(times) for times in seen.values()) - bound - 1
            if watermark > behind:
                expected.append(watermark)
    assert subtask.forwarded == expected


@given(STEPS, st.integers(0, 100))
def test_the_watermark_is_the_smallest_of_all_splits_and_no_record_within_the_bound_is_late(steps, bound):
    follows_the_slowest(steps, bound)


@pytest.mark.slow
@settings(max_examples=1000)
@given(STEPS, st.integers(0, 100))
def test_the_watermark_is_the_smallest_of_all_splits_over_many_examples(steps, bound):
    follows_the_slowest(steps, bound)


@pytest.mark.parametrize("before", [(MapSpec(itself),), (MapBatchesSpec(itself),), (MapSpec(itself), MapBatchesSpec(itself))])
def test_splits_are_known_behind_operators_that_hold_nothing_back(before):
    chain, subtask, _ = timed(Watermarks.monotonous(), *before)
    read(chain, 0, 100)
    read(chain, 1, 50)
    read(chain, 0, 200)
    read(chain, 1, 60)
    assert subtask.forwarded == [99]
    read(chain, 1, 201)
    assert subtask.forwarded == [99, 199]


async def doubled(record):
    return record * 2


def test_behind_asynchronous_calls_the_subtask_counts_as_one_split():
    chain, subtask, output = timed(Watermarks.monotonous(), MapAsyncSpec(doubled))
    read(chain, 0, 100)
    read(chain, 1, 50)
    subtask.run_posted_until(chain.finish)
    assert subtask.forwarded[-1] == 199
    assert sorted(output.records) == [100, 200]
    chain.close()
    subtask.stop()


# --- idleness ------------------------------------------------------------------------------------------------------------


def nothing(chain, subtask, split, *times):
    """Have the reader of a split (None: all input) say at these times that there is nothing; return when it wants to be asked again."""
    for now in times:
        subtask.advance_to(now)
        within = chain.nothing_from(split)
    return within


def test_an_idle_split_holds_nothing_back_until_its_next_record():
    chain, subtask, _ = timed(Watermarks.monotonous(idle_after="100ms"))
    read(chain, 1, 10)
    read(chain, 0, 100)
    assert nothing(chain, subtask, 1, 1000) == 100
    assert nothing(chain, subtask, 1, 1040) == 60
    assert subtask.forwarded == [9]
    assert nothing(chain, subtask, 1, 1100) is None
    assert subtask.forwarded == [9, 99]
    read(chain, 1, 20)
    read(chain, 0, 300)
    assert subtask.forwarded == [9, 99], "it counts again, and the others wait for it"
    read(chain, 1, 250)
    assert subtask.forwarded == [9, 99, 249]


def test_a_subtask_with_nothing_to_read_says_so_behind_its_last_watermark_and_takes_it_back_before_the_next_record():
    chain, subtask, output = timed(Watermarks.monotonous(idle_after="100ms"))
    read(chain, 0, 10)
    read(chain, 1, 30)
    nothing(chain, subtask, 0, 0, 100)
    nothing(chain, subtask, 1, 100, 200)
    assert subtask.forwarded == [9, 29, "idle"]
    subtask.forward_idleness = lambda *, idle: seen.append((idle, len(output.records)))
    seen = []
    read(chain, 0, 40)
    assert seen == [(False, 2)], "before the third record"


def test_time_in_which_the_subtask_was_held_up_does_not_count():
    chain, subtask, _ = timed(Watermarks.monotonous(idle_after="100ms"))
    read(chain, 0, 10)
    nothing(chain, subtask, 0, 0)
    subtask.held_ms = 5000
    assert nothing(chain, subtask, 0, 5060) == 40
    assert nothing(chain, subtask, 0, 5100) is None
    assert subtask.forwarded == [9, "idle"]


def test_a_subtask_without_splits_is_idle_when_it_has_had_no_input_for_that_long():
    chain, subtask, _ = timed(Watermarks.monotonous(idle_after="100ms"))
    assert nothing(chain, subtask, None, 0, 70) == 30
    chain.process(ObjectBatch([5]))
    assert nothing(chain, subtask, None, 100, 199) == 1
    assert nothing(chain, subtask, None, 200) is None
    assert subtask.forwarded == [4, "idle"]


def test_a_source_without_a_split_is_idle_too():
    chain, subtask, _ = timed(Watermarks.monotonous(idle_after="100ms"))
    nothing(chain, subtask, None, 0, 100)
    assert subtask.forwarded == ["idle"]
    chain.reading(3)
    assert subtask.forwarded == ["idle", "active"]
    assert nothing(chain, subtask, None, 300, 900) is None, "what counts now is the split"


def test_without_idle_after_nobody_is_ever_idle():
    chain, subtask, _ = timed(Watermarks.monotonous())
    chain.reading(0)
    assert nothing(chain, subtask, 0, 0, 10**9) is None
    assert subtask.forwarded == []


def test_after_the_end_of_the_input_nothing_is_said_any_more():
    chain, subtask, _ = timed(Watermarks.monotonous(idle_after="1ms"))
    read(chain, 0, 10)
    assert chain.advance_watermark(MAX_TIMESTAMP) == MAX_TIMESTAMP
    nothing(chain, subtask, 0, 0, 100)
    chain.split_ended(0)
    assert subtask.forwarded == [9]


@pytest.mark.parametrize("idle_after", [0, "0s", -1, "soon"])
def test_a_time_that_is_none_is_refused(idle_after):
    with pytest.raises(ConfigError, match=r"idle_after of Watermarks\.bounded"):
        Watermarks.bounded("1s", idle_after=idle_after)
