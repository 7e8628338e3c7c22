"""The sorted feed: takes everything in first, in small turns, then gives a chain its keys one after the other."""

import random

import pytest

from actorflow.clock import ManualClock
from actorflow.errors import UserFunctionError
from actorflow.ids import ChannelId
from actorflow.operators.columnar.conversion import to_columns
from actorflow.operators.compiled.combining import Combiner
from actorflow.operators.specs import CountSpec
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.subtasks.feeds import GateFeed
from actorflow.runtime.subtasks.meter import Meter
from actorflow.runtime.subtasks.sorted_feed import SortedFeed
from actorflow.storage.external_sort import ExternalSort
from actorflow.storage.spill_file import SpillFile
from actorflow.wire.batch import MAX_TIMESTAMP, Active, EndOfInput, Idle, ObjectBatch, Watermark


class Chain:
    """Needs two calls to be done with keys."""

    def __init__(self, got):
        self.got = got
        self.calls = 0

    def finish_keys(self):
        self.calls += 1
        if self.calls % 2 == 0:
            self.got.append("finished")
        return self.calls % 2 == 0


class Subtask:
    def __init__(self):
        self.meter = Meter(ManualClock())
        self.got = []
        self.chain = Chain(self.got)
        self.rests = 0

    def take(self, batch, port):
        self.got.append((port, list(zip(batch.records, batch.timestamps, strict=True)) if batch.timestamps else batch.records))

    def event(self, event):
        self.got.append(event)

    def rest(self):
        self.rests += 1
        return False


class Fed:
    """A sorted feed with an input channel for each port; port 1 is sorted by the record's second half, port 2 is not sorted."""

    def __init__(self, directory, *, memory=1 << 20, piece=4, combiner=None):
        self.subtask = Subtask()
        ends = [InputChannel(ChannelId(port), port, lambda credit, records_max: None) for port in range(3)]
        self.gate = InputGate(ends, ReceiverLedger(map(ChannelId, range(3)), exclusive=1000, per_channel_max=1000), lambda: None)
        self.sort = ExternalSort(lambda: SpillFile(str(directory), "the input of 'it'"), memory)
        self.feed = SortedFeed(
            self.subtask,
            lambda taker: GateFeed(
                taker, self.gate, sizing=None, sizing_period_s=1.0, batch_records_max=10, payload_bytes_max=1000
            ),
            keys={0: lambda record: record[0], 1: lambda record: record[1]},
            sort=self.sort,
            operator="it",
            failure=lambda error, record: ValueError(f"{error} at {record!r}"),
            piece_records_max=piece,
            combiner=combiner,
            combined_bytes_max=memory // 2,
        )
        self.feed.begin()

    def push(self, port, *elements):
        for element in elements:
            self.gate.push(port, element, 0)

    def run(self):
        """Give it turns until it has nothing to do; return how many."""
        turns = 1
        while self.feed.advance():
            turns += 1
        return turns

    def end(self):
        for port in range(3):
            self.push(port, EndOfInput())
        self.run()
        self.feed.close()
        return self.subtask.got


def test_nothing_sorted_is_given_before_all_is_there(tmp_path):
    fed = Fed(tmp_path)
    fed.push(0, ObjectBatch(["b1", "a1"]), EndOfInput())
    fed.push(1, ObjectBatch(["xb", "xa"]))
    fed.push(2, EndOfInput())
    fed.run()
    assert ([], False) == (fed.subtask.got, fed.feed.ended)
    fed.push(1, EndOfInput())
    fed.run()
    assert [(0, ["a1", "b1"]), (1, ["xa", "xb"]), "finished", Watermark(MAX_TIMESTAMP)] == fed.subtask.got
    assert fed.feed.ended
    assert 4 == fed.feed.records_in


def test_small_keys_share_a_piece_and_a_large_one_has_several(tmp_path):
    fed = Fed(tmp_path)
    fed.push(0, ObjectBatch([f"b{n}" for n in range(6)] + ["a0", "c0", "d0"]))
    assert fed.end() == [
        (0, ["a0"]),
        "finished",
        (0, ["b0", "b1", "b2", "b3"]),
        (0, ["b4", "b5", "c0", "d0"]),
        "finished",
        Watermark(MAX_TIMESTAMP),
    ]


def test_records_of_a_key_come_in_the_order_of_event_time_across_ports(tmp_path):
    fed = Fed(tmp_path, piece=100)
    fed.push(0, ObjectBatch(["a9", "a1", "b5"], [9, 1, 5]))
    fed.push(1, ObjectBatch(["5a", "1a"], [5, 1]))
    got = fed.end()
    of_a = [(port, record) for port, batch in got[:-2] for record in batch if "a" in record[0]]
    assert [(0, ("a1", 1)), (1, ("1a", 1)), (1, ("5a", 5)), (0, ("a9", 9))] == of_a


def test_what_is_not_spread_by_key_passes_at_once(tmp_path):
    fed = Fed(tmp_path)
    fed.push(0, ObjectBatch(["a"]))
    fed.push(2, ObjectBatch(["rule"]))
    fed.run()
    assert [(2, ["rule"])] == fed.subtask.got


def test_event_time_stands_still_until_the_end(tmp_path):
    fed = Fed(tmp_path)
    for port in range(3):
        fed.push(port, Watermark(5), Idle(), Active())
    fed.run()
    assert [] == fed.subtask.got
    assert [Watermark(MAX_TIMESTAMP)] == fed.end()


def test_taking_in_and_sorting_is_cut_into_turns(tmp_path):
    fed = Fed(tmp_path)
    chance = random.Random(1)
    count = 70
    for _ in range(count):
        fed.push(0, ObjectBatch([f"{chance.random()}" for _ in range(1000)]))
    assert fed.run() > count + 70_000 // (1 << 15)  # at least one turn for each batch, and one for each slice that is sorted
    assert fed.sort.spilled_bytes > 0
    records = [record for each in fed.end() if isinstance(each, tuple) for record in each[1]]
    assert sorted(records, key=lambda record: record[0]) == records
    assert 70_000 == len(records)


def test_columns_are_taken_in_portions(tmp_path):
    fed = Fed(tmp_path)
    fed.push(0, to_columns(ObjectBatch([f"k{n:05}" for n in range(20_000)])))
    assert fed.run() >= 5
    assert 20_000 == sum(len(each[1]) for each in fed.end() if isinstance(each, tuple))


def test_a_key_that_fails_is_reported_with_its_record(tmp_path):
    fed = Fed(tmp_path)
    fed.push(0, ObjectBatch(["fine", ""]))
    with pytest.raises(ValueError, match="string index out of range at ''"):
        fed.run()


def counting(key):
    return Combiner("it", CountSpec(key), subtask="it[0]")


def test_combined_input_is_given_as_pairs(tmp_path):
    fed = Fed(tmp_path, combiner=counting(lambda record: record[0]))
    fed.push(0, ObjectBatch(["a", "b", "a"]), ObjectBatch(["b", "a"]))
    assert [(0, [("a", 3), ("b", 2)]), "finished", Watermark(MAX_TIMESTAMP)] == fed.end()


def test_many_keys_are_combined_in_small_tables(tmp_path):
    fed = Fed(tmp_path, piece=1000, combiner=counting(lambda record: record))
    for start in range(0, 40_000, 1000):
        fed.push(0, ObjectBatch([(n * 7919) % 20_000 for n in range(start, start + 1000)]))
    totals = {}
    for each in fed.end():
        if isinstance(each, tuple):
            for key, count in each[1]:
                totals[key] = totals.get(key, 0) + count
    assert dict.fromkeys(range(20_000), 2) == totals
    assert fed.sort.records > 36_000


def test_a_key_that_cannot_be_combined_is_reported_as_one_that_cannot_be_sorted(tmp_path):
    fed = Fed(tmp_path, combiner=counting(lambda record: record[0]))
    fed.push(0, ObjectBatch(["a", [["list"]]]))
    with pytest.raises(ValueError, match=r"a key of type 'list' has no stable hash.* at \[\['list'\]\]"):
        fed.run()


def test_a_failure_of_user_code_in_combining_is_reported_as_such(tmp_path):
    fed = Fed(tmp_path, combiner=counting(lambda record: 1 // record))
    fed.push(0, ObjectBatch([0]))
    with pytest.raises(UserFunctionError, match="integer division"):
        fed.run()
