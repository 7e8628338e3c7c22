"""Which lane a key goes to, and how many keys are remembered."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from actorflow.operators.failures import NOTHING
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.runtime.channels import routing
from actorflow.runtime.channels.routing import Chooser, GroupLaneOf, LaneOf
from actorflow.wire.batch import ColumnBatch
from actorflow.wire.stable_hash import UnstableKey, stable_hash


def look_up(chooser, keys, batch=1 << 14):
    """Return the lanes of `keys`, asked for in batches; the chooser adapts between them."""
    lanes = []
    for start in range(0, len(keys), batch):
        lanes += chooser.lanes(keys[start : start + batch])
        chooser.adapt()
    return lanes


def chooser_of(compute):
    lane_of = LaneOf(compute)
    return Chooser(lambda record: record, lane_of, lambda error, record: error), lane_of


KINDS = {
    "text": lambda number: f"key {number}",
    "integers": lambda number: number - 20_000,
    "pairs": lambda number: (number, "key"),
    "text and integers": lambda number: number if number % 2 else str(number),
    "integers, some beyond 64 bits": lambda number: number << 50,
    "text that is not Unicode": lambda number: f"key {number}" if number % 1000 else f"\ud800 {number}",
}


@pytest.mark.parametrize("max_parallelism", [128, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_is_the_owner_of_the_key_group_whether_remembered_or_hashed(kind, max_parallelism, monkeypatch):
    monkeypatch.setattr(routing, "_REMEMBERED_FIRST", 1 << 8)
    monkeypatch.setattr(routing, "_LOOKED_UP_MIN", 1 << 9)
    chooser = Chooser(lambda record: record, GroupLaneOf(7, max_parallelism), lambda error, record: error)
    keys = [KINDS[kind](number % 2000) for number in range(6000)]

    lanes = look_up(chooser, keys, batch=1 << 9)

    assert lanes == [subtask_of(key_group(stable_hash(key), max_parallelism), 7, max_parallelism) for key in keys]


def test_many_keys_of_text_are_hashed_and_few_are_looked_up():
    found = []
    for keys in (30_000, 10_000):
        lane_of = GroupLaneOf(2, 128)
        chooser = Chooser(lambda record: record, lane_of, lambda error, record: error)
        look_up(chooser, [str(number % keys) for number in range(1 << 17)])
        before = len(lane_of)
        chooser.lanes(["one more"])
        found.append(len(lane_of) - before)

    assert found == [0, 1]


def test_hashing_refuses_what_has_no_stable_hash():
    class Caseless(str):
        __slots__ = ()

        def __eq__(self, other):
            return self.lower() == other.lower()

        def __hash__(self):
            return hash(self.lower())

    lane_of = GroupLaneOf(2, 128)
    chooser = Chooser(lambda record: record, lane_of, lambda error, record: error)
    look_up(chooser, [str(number) for number in range(1 << 17)])
    with pytest.raises(UnstableKey):
        chooser.lanes(["text", Caseless("text")])


def test_few_keys_are_remembered_while_the_frequent_ones_are_found():
    chooser, lane_of = chooser_of(lambda key: 0)
    frequent = [number % 1000 for number in range(9)] * 1000
    rare = 100_000
    for _ in range(60):
        keys = frequent + list(range(rare, rare + 1000))
        rare += 1000
        look_up(chooser, keys)

    assert len(lane_of) == routing._REMEMBERED_FIRST


def test_more_keys_are_remembered_where_all_are_about_as_frequent():
    computed = []
    chooser, lane_of = chooser_of(lambda key: computed.append(key) or 0)
    for _ in range(12):
        look_up(chooser, list(range(60_000)))
    computed.clear()
    look_up(chooser, list(range(60_000)))

    assert (len(lane_of), computed) == (60_000, [])


def test_memory_is_bounded_where_keys_never_come_back(monkeypatch):
    monkeypatch.setattr(routing, "_REMEMBERED_MAX", 1 << 16)
    chooser, lane_of = chooser_of(lambda key: 0)
    largest = 0
    for start in range(0, 1_000_000, 1 << 14):
        chooser.lanes(list(range(start, start + (1 << 14))))
        chooser.adapt()
        largest = max(largest, len(lane_of))

    assert largest <= 1 << 16


def test_the_row_whose_key_has_no_lane_is_found():
    found = []
    chooser = Chooser(lambda row: row["k"], GroupLaneOf(2, 128), lambda *report: found.append(report) or OSError(), "k")
    unstable = ValueError("somewhere in the batch")
    chooser.columns_failure(unstable, ColumnBatch(pa.record_batch({"n": [1, 2, 3], "k": [0.5, math.nan, 1.0]})))
    chooser.columns_failure(unstable, ColumnBatch(pa.record_batch({"n": [1]})))
    (named, record), (missing, nothing) = found
    assert ("UnstableKey", 2, unstable, NOTHING) == (type(named).__name__, record["n"], missing, nothing)
